from __future__ import annotations

import json

import msgspec
import pytest
from tests.cli.conftest import Invoke
from tests.web.worlds import World


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], [1, 2, 3, 4, 5, 6]),
        (["--cluster", "prod-eu"], [1, 2]),
        (["-n", "platform-notifications"], [5]),
        (["-A", "--status", "decommissioned"], [6]),
        (["--told", "unknown"], [4]),
        (["--text", "opensearch"], [4]),
        (["--digest", "sha256:3"], [3]),
        (["--limit", "2"], [1, 2]),
    ],
)
async def test_records_are_narrowed(invoke: Invoke, arguments: list[str], ids: list[int]) -> None:
    result = await invoke("records", "list", *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    assert [item["id"] for item in json.loads(result.stdout)["items"]] == ids


async def test_nothing_found_leaves_a_pipe_empty(invoke: Invoke) -> None:
    result = await invoke("records", "list", "-n", "none")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No records found.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--digest", "a", "--text", "b"],
        ["list", "-n", "a", "-A"],
        ["list", "--told", "maybe"],
        ["sync", "--timeout", "soon"],
    ],
)
async def test_usage_errors_exit_with_2(invoke: Invoke, arguments: list[str]) -> None:
    result = await invoke("records", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")


async def test_hostile_names_cannot_steer_the_terminal(invoke: Invoke, world: World) -> None:
    world.records[0] = msgspec.structs.replace(world.records[0], deployment_name="a\x1b]0;x\x07", version="b\nc")
    result = await invoke("records", "list")
    assert not {"\x1b", "\x07"} & set(result.stdout)
    assert len(result.stdout.splitlines()) == 7


async def test_a_dry_run_lists_what_would_be_told(invoke: Invoke, world: World) -> None:
    result = await invoke("records", "sync", "--dry-run", "--cluster", "prod-us", "-o", "name")
    assert result.exit_code == 0
    assert result.stdout == "record/prod-us/shop/checkout/checkout\nrecord/prod-us/shop/search/search\n"
    assert result.stderr == "2 records would be told; nothing was changed\n"
    assert world.synced == []


async def test_not_waiting_says_how_many_will_be_told(invoke: Invoke, world: World) -> None:
    result = await invoke("records", "sync", "--no-wait", "--cluster", "prod-eu")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "► 2 records will be told\n"
    assert world.synced == ["prod-eu"]


async def test_waiting_tells_how_far_it_is(invoke: Invoke, world: World) -> None:
    world.answers = ["told", "told", "told", "unknown", "told"]
    result = await invoke("records", "sync", "-o", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"planned": 5, "pending": 0, "told": 5, "unknown": 1, "refused": 0}
    *steps, last = result.stderr.splitlines()
    assert steps == [f"► {done} of 5 records told" for done in range(5)]
    assert last == "✔ 4 of 5 records told again; GitHub knows no artifact of 1: they are asked about again"


async def test_refused_records_are_a_failure(invoke: Invoke, world: World) -> None:
    world.answers = ["refused", "refused", "told", "told", "told"]
    result = await invoke("records", "sync", "-q", "-o", "json")
    assert (result.exit_code, result.stderr) == (1, "")
    assert json.loads(result.stdout)["refused"] == 2
    world.answers = ["refused", "told", "told", "told", "told"]
    assert "✗ 4 of 5 records told again; GitHub refused 1: " in (await invoke("records", "sync")).stderr


async def test_a_timeout_is_told_apart(invoke: Invoke, world: World) -> None:
    result = await invoke("records", "sync", "--timeout", "0.1s")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines()[-1].endswith("0 of 5 records told; the server goes on")


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--cluster", "prod-ue"], "no cluster is named 'prod-ue'"), ([], "--dry-run; start it")]
)
async def test_what_cannot_be_told_fails(invoke: Invoke, world: World, arguments: list[str], said: str) -> None:
    world.refuses_sync = not arguments
    result = await invoke("records", "sync", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
