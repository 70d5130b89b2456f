from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.settings import Settings, load_settings


def load(text: str, folder: Path) -> Settings:
    path = folder / "fluxtrail.yaml"
    path.write_text(f"doctor:\n{text}", encoding="utf-8")
    return load_settings(path=path, flags={}, environ={})


def test_the_doctor_is_off_and_does_nothing_by_default() -> None:
    found = load_settings(path=None, flags={}, environ={}).doctor
    assert (found.enabled, found.act, found.helm_secrets) == (False, False, False)
    assert (found.limits.per_hour, found.limits.per_namespace_per_hour, found.limits.freezes) == (10, 3, ())


@pytest.mark.parametrize("start", ['"16:00"', "16:00"])
def test_freezes_are_read_as_they_are_meant(tmp_path: Path, start: str) -> None:
    text = f"  freezes:\n  - {{days: [fri, Saturday], start: {start}, until: '08:00', time_zone: Europe/Berlin}}\n"
    (freeze,) = load(text, tmp_path).doctor.limits.freezes
    assert str(freeze) == "fri,sat 16:00-08:00 Europe/Berlin"
    assert freeze.holds(datetime(2026, 11, 20, 15, tzinfo=UTC))
    assert not freeze.holds(datetime(2026, 11, 20, 14, 59, tzinfo=UTC))


def test_the_environment_sets_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_DOCTOR__ENABLED", "true")
    monkeypatch.setenv("FLUXTRAIL_DOCTOR__ACT", "true")
    monkeypatch.setenv("FLUXTRAIL_DOCTOR__NAMESPACES", "shop,pay,shop")
    monkeypatch.setenv("FLUXTRAIL_DOCTOR__FREEZES", '[{"days": ["sun"], "first": "2026-12-20"}]')
    found = load_settings(path=None, flags={}).doctor
    assert (found.enabled, found.act, found.namespaces) == (True, True, ("shop", "pay"))
    assert [str(each) for each in found.limits.freezes] == ["sun 00:00-00:00 UTC"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  act: true\n", "does nothing without doctor.enabled"),
        ("  namespaces: [Shop]\n", "'Shop' is no namespace"),
        ("  freezes: [{days: [someday]}]\n", "'someday' is no day"),
        ("  freezes: [{start: '25:00'}]\n", "must be a time of day"),
        ("  freezes: [{start: 9}]\n  interval_seconds: 1\n", "greater than or equal to 10"),
        ("  freezes: [{time_zone: Mars/Olympus}]\n", "'Mars/Olympus' is no time zone"),
        ("  freezes: [{time_zone: ../../etc/passwd}]\n", "is no time zone"),
        ("  freezes: [{first: 2026-12-20, last: 2026-12-01}]\n", "ends before it begins"),
        ("  remedies: [reset]\n", "there is no such setting"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="setting doctor") as raised:
        load(text, tmp_path)
    assert said in str(raised.value)
