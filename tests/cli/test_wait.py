from __future__ import annotations

import asyncio
import json

import anyio
import msgspec
import pytest
from tests.cli.conftest import Invoke
from tests.web.worlds import EVERYWHERE, FAILED, ON_ITS_WAY, TWIN_A, World


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([EVERYWHERE], 0, "healthy on 3 targets"),
        ([ON_ITS_WAY, "--for", "applied", "--cluster", "staging"], 0, "applied on 1 target"),
        ([FAILED, "--cluster", "staging"], 0, "unaffected everywhere"),
        ([FAILED, "--cluster", "prod-eu"], 1, "BuildFailed"),
        (["c0ff"], 2, TWIN_A),
        ([EVERYWHERE, "--timeout", "soon"], 2, "write 90s, 10m or 1h30m"),
        ([EVERYWHERE, "--for", "started"], 2, "--for"),
        ([EVERYWHERE, "--target", "nothing"], 2, "none of its targets is called so"),
        ([ON_ITS_WAY, "--timeout", "0s"], 3, "not within 0s: 1 of 3 targets"),
        (["deadbeef", "--timeout", "0s"], 3, "not known yet"),
        ([FAILED, "--cluster", "prod-us"], 4, "no longer on the branch"),
    ],
)
async def test_exit_codes(invoke: Invoke, arguments: list[str], code: int, said: str) -> None:
    result = await invoke("wait", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


async def test_an_unknown_commit_is_waited_for(invoke: Invoke, world: World) -> None:
    known = world.trails.pop(EVERYWHERE)
    asked = asyncio.Event()
    find = world.find_trail

    async def find_trail(*arguments: object, **named: object) -> object:
        found = await find(*arguments, **named)  # type: ignore[arg-type]
        if found is None:
            world.trails[EVERYWHERE] = known
            asked.set()
        return found

    world.find_trail = find_trail  # type: ignore[method-assign,assignment]
    with anyio.fail_after(15):
        result = await invoke("wait", EVERYWHERE, "-o", "json")
    assert asked.is_set()
    assert result.exit_code == 0
    assert json.loads(result.stdout)["commit"]["sha"] == EVERYWHERE
    assert "is not known yet" in result.stderr


async def test_a_server_that_restarts_is_waited_for(invoke: Invoke, world: World) -> None:
    find, count = world.find_trail, 0

    async def find_trail(*arguments: object, **named: object) -> object:
        nonlocal count
        count += 1
        world.fails = count == 2
        if count == 3:
            pending = world.trails[ON_ITS_WAY]
            done = [
                msgspec.structs.replace(d, verdict="deployed", reason="", is_settled=True) for d in pending.deliveries
            ]
            world.trails[ON_ITS_WAY] = msgspec.structs.replace(pending, deliveries=done)
        return await find(*arguments, **named)  # type: ignore[arg-type]

    world.find_trail = find_trail  # type: ignore[method-assign,assignment]
    with anyio.fail_after(15):
        result = await invoke("wait", ON_ITS_WAY)
    assert (result.exit_code, count) == (0, 3)
    assert "no answer now" in result.stderr


async def test_no_server_at_all_fails_at_once(invoke: Invoke) -> None:
    result = await invoke("wait", EVERYWHERE, FLUXTRAIL_SERVER="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "Start `fluxtrail run`" in result.stderr


async def test_quiet_says_nothing(invoke: Invoke) -> None:
    result = await invoke("wait", ON_ITS_WAY, "--timeout", "0s", "-q")
    assert (result.exit_code, result.output) == (3, "")
