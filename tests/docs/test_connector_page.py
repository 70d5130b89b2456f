"""The page for users of gitops-connector: its variables are all there, and its examples are what the code takes."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import yaml
from tests.docs.pages import page

from fluxtrail.reports.phases.records import PhaseRecord
from fluxtrail.runtime.settings.connector import CONNECTOR_NAMES, OWN_TOKENS
from fluxtrail.runtime.settings.hooks import HooksSetting

PAGE = page("migrate-from-gitops-connector.md")


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("name", [*CONNECTOR_NAMES, *OWN_TOKENS.values(), "WORKERS", "THREADS"])
def test_every_variable_is_listed(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("number", range(1, 17))
def test_every_weakness_has_its_row(number: int) -> None:
    assert f"\n| {number} | " in PAGE


@pytest.mark.parametrize("number", range(1, 16))
def test_every_weakness_is_shown_over_a_whole_service(number: int) -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| {number} | ")]
    assert re.search(r"`tests/runtime/test_gitops_connector\w*\.py:test_\w+`", row)


def test_the_record_is_one() -> None:
    [record] = examples("json")
    decoded = msgspec.json.decode(record, type=PhaseRecord)
    assert msgspec.to_builtins(decoded) == msgspec.json.decode(record)


def test_the_sender_is_a_setting() -> None:
    found: list[Any] = [part for text in examples("yaml") for part in yaml.safe_load_all(text)]
    hooks = HooksSetting.model_validate(next(part["hooks"] for part in found if "hooks" in part))
    assert [sender.name for sender in hooks.senders] == ["prod-flux"]
    kinds = [part.get("kind") for part in found]
    assert [kind for kind in kinds if kind] == ["Secret", "Provider", "Alert", "ConfigMap"]
