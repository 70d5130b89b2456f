"""docs/statuses.md and docs/hooks.md against the settings and words of the code."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import to_jsonable_python
from tests.docs.pages import ROOT, blocks, page, prose, spans, table

from fluxtrail.model.notices import Hook
from fluxtrail.model.status import StatusState
from fluxtrail.remotes.azure_devops import statuses as azure_devops
from fluxtrail.remotes.bitbucket import cloud, server
from fluxtrail.remotes.gitea import statuses as gitea
from fluxtrail.remotes.github import statuses as github
from fluxtrail.remotes.gitlab import statuses as gitlab
from fluxtrail.remotes.webhooks import signing
from fluxtrail.reports.events import cdevents, document
from fluxtrail.reports.messages.parts import DEFAULT_TEXT
from fluxtrail.reports.routes import DEFAULT_CONTEXT, Commits, RouteKind, Until
from fluxtrail.reports.standings.budgets import PENDING_SHARE
from fluxtrail.reports.standings.words import DEFAULT_DESCRIPTION, MESSAGE_BYTES
from fluxtrail.runtime.settings.hooks import SHORTEST_SECRET, SenderSetting
from fluxtrail.runtime.settings.routes import EnvironmentSetting, RouteSetting
from fluxtrail.runtime.settings.settings import load_settings
from fluxtrail.runtime.settings.templates import template_values
from fluxtrail.web.hooks.answers import _STATUS
from fluxtrail.web.hooks.bodies import BODY_LIMIT_BYTES, BODY_SECONDS
from fluxtrail.web.hooks.reading import PATHS

STATUSES, HOOKS = page("statuses.md"), page("hooks.md")
TEXTS = {"context": DEFAULT_CONTEXT, "description": DEFAULT_DESCRIPTION, "url": "{{ url }}"}


def fields(text: str, section: str) -> dict[str, str]:
    """The rows of a section's table: each field and its default."""
    body = text.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return {name: row[1] for row in table(body, "field") for name in spans(row[0])}


def settings(folder: Path, example: str) -> Any:
    file = folder / "fluxtrail.yaml"
    file.write_text(example, encoding="utf-8")
    return load_settings(path=file, flags={}, environ={})


def test_every_field_of_a_route_has_a_row() -> None:
    assert set(fields(STATUSES, "Routes")) == set(RouteSetting.model_fields)


@pytest.mark.parametrize("name", [name for name in RouteSetting.model_fields if name not in ("name", "to")])
def test_row_has_the_default(name: str) -> None:
    shown = spans(fields(STATUSES, "Routes")[name])
    default = to_jsonable_python(RouteSetting.model_fields[name].default)
    if name in TEXTS:
        assert shown == [TEXTS[name]]
    elif name in ("interval_seconds", "abandoned_hours"):
        assert f"{default:g}" in shown
    elif shown:
        assert json.loads(shown[0]) == default if shown[0][0] in "[tf0123456789" else shown == [default]
    else:
        assert default in (None, [], ())


def test_every_kind_of_route_has_a_row_and_an_example(tmp_path: Path) -> None:
    assert {spans(row[0])[0] for row in table(STATUSES, "`to`")} == {kind.value for kind in RouteKind}
    shown = {route.to for example in blocks(STATUSES, "yaml") for route in settings(tmp_path, example).routes}
    assert shown == set(RouteKind)


@pytest.mark.parametrize("words", [Commits, Until, StatusState, Hook])
def test_every_word_has_its_place(words: type[StrEnum]) -> None:
    assert {word.value for word in words} <= set(spans(prose(STATUSES + HOOKS)))


def test_the_table_of_states_is_complete() -> None:
    assert {spans(row[0])[0] for row in table(STATUSES, "state")} == {state.value for state in StatusState}


def test_the_table_of_states_has_the_words_of_the_forges() -> None:
    for row in table(STATUSES, "state"):
        state = StatusState(spans(row[0])[0])
        tables = (github._WORDS, gitlab._WORDS, azure_devops._WORDS, cloud._WORDS)
        assert [spans(cell)[0] for cell in row[2:]] == [words[state] for words in tables]
        assert gitea._WORDS[state] == github._WORDS[state]
        assert spans(row[-1])[-1] == server._WORDS[state]


def test_names_of_templates_are_those_that_are_filled_in() -> None:
    rows = table(STATUSES, "name")
    assert {name for row in rows for name in spans(row[0])} == set(template_values())
    assert set(template_values()["commit"]) == set(spans(rows[0][1]))
    assert f"{MESSAGE_BYTES} bytes" in STATUSES


@pytest.mark.parametrize("example", blocks(STATUSES, "yaml"))
def test_examples_are_settings(example: str, tmp_path: Path) -> None:
    found = settings(tmp_path, example)
    assert found.routes or found.environments
    for route in found.routes:
        route.to_route()


def test_the_default_message_is_that_of_the_code() -> None:
    assert blocks(STATUSES, "jinja") == [DEFAULT_TEXT]


def test_every_field_of_a_webhook_is_explained() -> None:
    shown = {name for row in table(STATUSES, "part") for cell in row for name in spans(cell)}
    parts = (document.CommitPart, document.ClusterPart, document.TargetPart, document.StagePart, document.LinksPart)
    for part in (document.EventDocument, *parts):
        assert set(part.__struct_fields__) <= shown
    assert {document.SEEN, document.TEST} <= shown


def test_every_type_of_event_is_explained() -> None:
    types = {
        value for name, value in vars(cdevents).items() if name.isupper() and str(value).startswith("dev.cdevents.")
    }
    assert {spans(row[0])[0] for row in table(STATUSES, "type")} == types


def test_the_signatures_are_those_of_the_code() -> None:
    assert {signing.SIGNATURE, signing.TIMED_SIGNATURE, signing.TIMESTAMP} <= set(re.findall(r"X-[A-Za-z-]+", STATUSES))


def test_numbers_are_those_of_the_code() -> None:
    assert f"{PENDING_SHARE:.0%}".replace("%", " %") in STATUSES
    assert f"more than {BODY_LIMIT_BYTES // 1024**2} mib" in HOOKS.lower()
    assert f"within {BODY_SECONDS:g} s" in HOOKS
    assert f"At least {SHORTEST_SECRET} characters" in HOOKS


def test_the_dead_letters_are_as_they_are_printed() -> None:
    shown = next(block for block in blocks(STATUSES, "console") if "get reports" in block).splitlines()
    ids = {line.split()[0] for line in shown if line.startswith(("4", "5"))}
    printed = (ROOT / "tests" / "cli" / "golden" / "get_reports_name.txt").read_text(encoding="utf-8").split()
    assert {f"report/{number}" for number in ids} == set(printed)


def test_environments_have_their_fields_in_settings() -> None:
    assert set(fields(page("settings.md"), "`environments`")) == set(EnvironmentSetting.model_fields)


def test_every_field_of_a_sender_has_a_row() -> None:
    assert set(fields(HOOKS, "Senders")) == set(SenderSetting.model_fields)


def test_every_hook_has_its_path() -> None:
    rows = table(HOOKS, "path")
    assert {spans(row[0])[0]: Hook(spans(row[1])[0]) for row in rows} == dict(PATHS)


def test_every_answer_is_explained() -> None:
    told = {int(code) for row in table(HOOKS, "answer") for code in row[0].split(", ")}
    assert told == {status for status, _ in _STATUS.values()}


def test_the_example_of_hooks_is_settings(tmp_path: Path) -> None:
    found = settings(tmp_path, blocks(HOOKS, "yaml")[0])
    assert [sender.name for sender in found.hooks.senders] == ["flux-prod-eu", "github"]
    assert found.hooks.listen == ":9292"


def test_the_other_examples_are_yaml() -> None:
    for example in blocks(HOOKS, "yaml")[1:]:
        assert all(yaml.safe_load_all(example))
