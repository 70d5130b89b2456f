from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from tests.docs.pages import blocks, page, spans, table

from fluxtrail.cli.run import FLAGS, run
from fluxtrail.runtime.settings.connector import CONNECTOR_NAMES, OWN_TOKENS
from fluxtrail.runtime.settings.settings import REPLACED_NAMES, Settings, load_settings
from fluxtrail.runtime.settings.tracker import TRACKER_CREDENTIALS, TRACKER_NAMES


def fields(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every setting by its dotted name, with its default as JSON has it."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            found |= fields(type(default), f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = to_jsonable_python(default)
    return found


ROWS = {spans(row[0])[0]: row for row in table(page("settings.md"), "setting")}


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    assert set(ROWS) == set(fields(Settings))


@pytest.mark.parametrize("name", list(fields(Settings)))
def test_row_names_the_environment_variable(name: str) -> None:
    assert spans(ROWS[name][1]) == ["FLUXTRAIL_" + name.upper().replace(".", "__")]


@pytest.mark.parametrize(("name", "default"), list(fields(Settings).items()))
def test_row_has_the_default(name: str, default: Any) -> None:
    shown = spans(ROWS[name][3])
    if default in (None, ""):
        assert shown == []
    else:
        assert shown == [default if isinstance(default, str) else json.dumps(default)]


def test_rows_name_the_flags_of_run() -> None:
    flags = {parameter.name: parameter.opts[0] for parameter in run.params}
    expected = {setting: flags[name] for name, setting in FLAGS.items()}
    assert {name: spans(row[2])[0] for name, row in ROWS.items() if row[2]} == {
        setting: "--namespace" if flag == "-n" else flag for setting, flag in expected.items()
    }


def test_the_replaced_names_are_listed() -> None:
    rows = table(page("settings.md"), "variable of flux-commit-tracker")
    assert {spans(row[0])[0]: spans(row[1])[0] for row in rows} == REPLACED_NAMES


def test_the_names_of_deployment_tracker_are_listed() -> None:
    rows = table(page("settings.md"), "variable of deployment-tracker")
    assert {spans(row[0])[0]: spans(row[1])[0] for row in rows} == TRACKER_NAMES
    told = {name for row in table(page("migrate-from-deployment-tracker.md"), "variable") for name in spans(row[0])}
    assert told == {*TRACKER_NAMES, *TRACKER_CREDENTIALS, "LOG_LEVEL", "KUBECONFIG"}
    assert set(TRACKER_CREDENTIALS) <= set(spans(page("settings.md")))


def test_the_names_of_gitops_connector_are_listed() -> None:
    rows = table(page("settings.md"), "variable of gitops-connector")
    assert tuple(name for row in rows for name in spans(row[0])) == CONNECTOR_NAMES
    told = {name for row in table(page("migrate-from-gitops-connector.md"), "variable") for name in spans(row[0])}
    assert told == {*CONNECTOR_NAMES, "WORKERS", "THREADS"}
    assert set(OWN_TOKENS.values()) <= set(spans(page("settings.md")))


def test_flags_of_deployment_tracker_lead_to_their_settings() -> None:
    flags = {flag: FLAGS.get(str(parameter.name)) for parameter in run.params for flag in parameter.opts}
    rows = table(page("migrate-from-deployment-tracker.md"), "flag")
    assert len(rows) == 5
    for row in rows:
        assert flags[spans(row[0])[0]] == spans(row[2])[0]


def test_the_example_is_a_settings_file(tmp_path: Path) -> None:
    (example,) = blocks(page("settings.md"), "yaml")
    file = tmp_path / "fluxtrail.yaml"
    file.write_text(example, encoding="utf-8")
    settings = load_settings(path=file, flags={}, environ={})
    assert settings.contexts == ("prod-eu", "prod-us")
    assert settings.repositories[0].exports_to == ("https://github.com/acme/manifests",)


def test_a_later_place_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "fluxtrail.yaml"
    file.write_text("metrics: {listen: ':1'}\n", encoding="utf-8")
    found = [load_settings(path=None, flags={}, environ={}), load_settings(path=file, flags={}, environ={})]
    environ = {"METRICS_ADDR": ":2"}
    found.append(load_settings(path=file, flags={}, environ=environ))
    monkeypatch.setenv("FLUXTRAIL_METRICS__LISTEN", ":3")
    found.append(load_settings(path=file, flags={}, environ=environ))
    found.append(load_settings(path=file, flags={"metrics.listen": ":4"}, environ=environ))
    assert [settings.metrics.listen for settings in found] == [":8888", ":1", ":2", ":3", ":4"]
