from __future__ import annotations

import json

import msgspec
import pytest
from tests.cli.conftest import Invoke
from tests.web.worlds import World

from fluxtrail.model.report import ReportState


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], [6, 5, 4, 3, 2, 1]),
        (["--state", "waiting"], [6, 2]),
        (["--route", "pull-requests", "--state", "dead"], [5, 4]),
        (["--sink", "otlp.traces"], [2, 1]),
        (["--limit", "2"], [6, 5]),
    ],
)
async def test_reports_are_narrowed(invoke: Invoke, arguments: list[str], ids: list[int]) -> None:
    result = await invoke("get", "reports", *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    assert [item["id"] for item in json.loads(result.stdout)["items"]] == ids


async def test_nothing_found_leaves_a_pipe_empty(invoke: Invoke) -> None:
    result = await invoke("get", "reports", "--route", "none")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No reports found.\n")


@pytest.mark.parametrize(
    ("arguments", "said", "changed"),
    [
        (["4"], "✔ 1 report will be sent again\n", {4}),
        (["report/4", "5"], "✔ 2 reports will be sent again\n", {4, 5}),
        (["--route", "pull-requests"], "✔ 2 reports will be sent again\n", {4, 5}),
        (["--all-dead"], "✔ 2 reports will be sent again\n", {4, 5}),
        (["3"], "► none of them is dead: nothing to send again\n", set()),
        (["--all-dead", "-o", "json"], '{\n  "changed": 2\n}\n', {4, 5}),
    ],
)
async def test_dead_letters_are_sent_again(
    invoke: Invoke, world: World, arguments: list[str], said: str, changed: set[int]
) -> None:
    result = await invoke("reports", "replay", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (0, said, "")
    assert {r.id for r in world.reports if r.id in (4, 5) and r.state is ReportState.WAITING} == changed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["6", "--yes"], "✔ 1 report will never be sent\n"),
        (["--route", "pull-requests", "-y"], "✔ 3 reports will never be sent\n"),
        (["--sink", "otlp.traces", "-y"], "✔ 1 report will never be sent\n"),
        (["1", "-y"], "► none of them waits or is dead: nothing to drop\n"),
    ],
)
async def test_reports_are_dropped(invoke: Invoke, arguments: list[str], said: str) -> None:
    result = await invoke("reports", "drop", *arguments)
    assert (result.exit_code, result.stdout) == (0, said)


async def test_nothing_is_dropped_where_nobody_can_be_asked(invoke: Invoke, world: World) -> None:
    result = await invoke("reports", "drop", "--all-dead")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "add --yes" in result.stderr
    assert [r.id for r in world.reports if r.state is ReportState.DROPPED] == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "4", "--all-dead"],
        ["replay", "--route", "a", "--sink", "b"],
        ["replay", "four"],
        ["replay", "0"],
        ["replay", "9" * 19],
        ["drop", "--yes"],
        ["test"],
        ["test", "a/b"],
        ["test", ""],
    ],
    ids=" ".join,
)
async def test_usage_errors_exit_with_2(invoke: Invoke, world: World, arguments: list[str]) -> None:
    result = await invoke("reports", *arguments)
    assert (result.exit_code, result.stdout, world.tested) == (2, "", [])


async def test_a_test_message_says_what_came_back(invoke: Invoke, world: World) -> None:
    result = await invoke("reports", "test", "chat")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "✔ hooks.slack.example.com took the test message of chat after 0.25 s: 200 ok\n"
    result = await invoke("reports", "test", "route/pull-requests")
    assert result.exit_code == 1
    assert "✗ hooks.slack.example.com refused the test message of pull-requests" in result.stdout
    assert "401 Bad credentials" in result.stdout
    assert world.tested == ["chat", "pull-requests"]


@pytest.mark.parametrize(("seconds", "said"), [(0.0004, "1 ms"), (0.0036, "4 ms"), (0.0994, "99 ms"), (0.1, "0.10 s")])
async def test_a_quick_answer_has_a_time_too(invoke: Invoke, world: World, seconds: float, said: str) -> None:
    world.test_seconds = seconds
    assert f" of chat after {said}: " in (await invoke("reports", "test", "chat")).stdout


async def test_a_test_message_as_data(invoke: Invoke) -> None:
    result = await invoke("reports", "test", "pull-requests", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, 401)


@pytest.mark.parametrize(("name", "is_refused", "said"), [("none", False, "no route is named 'none'"), ("chat", True, "no commit is known yet")])  # fmt: skip  # noqa: E501
async def test_what_cannot_be_tried_fails(invoke: Invoke, world: World, name: str, is_refused: bool, said: str) -> None:
    world.refuses_test = is_refused
    result = await invoke("reports", "test", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


async def test_hostile_answers_cannot_steer_the_terminal(invoke: Invoke, world: World) -> None:
    world.reports[0] = msgspec.structs.replace(world.reports[0], key="a\x1b]0;x\x07", answer="b\nc")
    result = await invoke("get", "reports")
    assert not {"\x1b", "\x07"} & set(result.stdout)
    assert len(result.stdout.splitlines()) == 7
