"""The sections `workloads` and `images`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.running import WorkloadsSetting, watched_namespaces
from fluxtrail.runtime.settings.settings import Settings, load_settings


def load(text: str, folder: Path) -> Settings:
    path = folder / "fluxtrail.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path=path, flags={}, environ={})


def test_both_are_on_by_default() -> None:
    found = load_settings(path=None, flags={}, environ={})
    assert (found.workloads.enabled, found.images.enabled) == (True, True)
    assert (found.workloads.namespaces, found.images.registries, found.images.insecure_registries) == ((), (), ())


def test_the_environment_sets_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_WORKLOADS__ENABLED", "false")
    monkeypatch.setenv("FLUXTRAIL_WORKLOADS__NAMESPACES", "shop,pay,shop")
    monkeypatch.setenv("FLUXTRAIL_IMAGES__ENABLED", "false")
    monkeypatch.setenv("FLUXTRAIL_IMAGES__REGISTRIES", '["GHCR.io/acme/*", "registry.local:5000"]')
    monkeypatch.setenv("FLUXTRAIL_IMAGES__INSECURE_REGISTRIES", "registry.local:5000,[::1]:5000")
    found = load_settings(path=None, flags={})
    assert (found.workloads.enabled, found.workloads.namespaces) == (False, ("shop", "pay"))
    assert (found.images.enabled, found.images.registries) == (False, ("ghcr.io/acme/*", "registry.local:5000"))
    assert found.images.insecure_registries == ("registry.local:5000", "[::1]:5000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workloads: {namespaces: [Shop]}", r"workloads\.namespaces: 'Shop' is no namespace: lower-case letters"),
        (
            "images: {registries: ['https://ghcr.io']}",
            r"images\.registries: 'https://ghcr\.io' is not a registry: write",
        ),
        ("images: {insecure_registries: [registry.local/acme]}", r"'registry\.local/acme' is not a registry's host"),
        ("images: {insecure_registries: ['*.local']}", r"'\*\.local' is not a registry's host"),
        ("workloads: {enabled: perhaps}", r"workloads\.enabled: .*given: 'perhaps'"),
        ("workloads: {namespace: [shop]}", r"no such setting; known are enabled, namespaces"),
    ],
    ids=["namespace", "scheme", "path", "wildcard", "switch", "misspelt"],
)
def test_a_wrong_value_is_named_with_its_remedy(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        load(text, tmp_path)


@pytest.mark.parametrize(
    ("own", "recorded", "expected"),
    [((), (), ()), ((), ("shop",), ("shop",)), (("pay",), ("shop",), ("pay",))],
    ids=["all", "recorded", "own"],
)
def test_which_namespaces_are_watched(
    own: tuple[str, ...], recorded: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert watched_namespaces(WorkloadsSetting(namespaces=own), recorded=recorded) == expected
