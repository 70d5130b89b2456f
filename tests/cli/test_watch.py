"""`--watch` and `wait` on the live feed: the real command against a real server."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from litestar import Litestar
from tests.cli.conftest import QUIET, Invoke
from tests.web.worlds import EVERYWHERE, FAILED, ON_ITS_WAY, World, target

from fluxtrail.model.views import TrailView
from fluxtrail.web.access.asgi import AsgiApp
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.server import Listener, WebServer

pytestmark = pytest.mark.process
SCRIPT = Path(sys.executable).with_name("fluxtrail")
DEADLINE_SECONDS = 15.0


def _hear_interrupts() -> None:
    """Whoever runs the tests in the background of a shell has them ignored, and so would a child."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@asynccontextmanager
async def running(*arguments: str, server: str, **more: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    env = {name: value for name, value in QUIET.items() if value is not None and name != "COLUMNS"}
    env["FLUXTRAIL_SERVER"] = server
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE} | more
    process = await asyncio.create_subprocess_exec(SCRIPT, *arguments, env=env, preexec_fn=_hear_interrupts, **pipes)
    try:
        with anyio.fail_after(DEADLINE_SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def read_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def interrupt(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Press Ctrl-C; returns the exit code and what was said on stderr."""
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    return process.returncode, err.decode()


def deploy(world: World, sha: str = ON_ITS_WAY, verdict: str = "deployed") -> None:
    """Let every delivery of a commit end, and say so on the feed."""
    trail = world.trails[sha]
    ended = [msgspec.structs.replace(d, verdict=verdict, reason="", is_settled=True) for d in trail.deliveries]
    world.trails[sha] = msgspec.structs.replace(trail, deliveries=ended, is_settled=True)
    world.tell(sha, after=verdict)


async def looked(world: World, times: int) -> None:
    """Return once the trail was asked for `times` more times."""
    done, find = asyncio.Event(), world.find_trail

    async def find_trail(*arguments: Any, **named: Any) -> Any:
        nonlocal times
        times -= 1
        if times <= 0:
            done.set()
        return await find(*arguments, **named)

    world.find_trail = find_trail  # type: ignore[method-assign]
    with anyio.fail_after(DEADLINE_SECONDS):
        await done.wait()
    world.find_trail = find  # type: ignore[method-assign]


@pytest.mark.parametrize(("sha", "code"), [(EVERYWHERE, 0), (FAILED, 4)], ids=["deployed everywhere", "lost somewhere"])
async def test_a_settled_trail_is_shown_once(invoke: Invoke, world: World, sha: str, code: int) -> None:
    world.trails[sha] = msgspec.structs.replace(world.trails[sha], is_settled=True)
    once = await invoke("trace", sha)
    watched = await invoke("trace", sha, "-w")
    assert (watched.exit_code, watched.stdout, watched.stderr) == (code, once.stdout, "")


@pytest.mark.parametrize(("verdict", "code"), [("deployed", 0), ("failed", 1), ("abandoned", 4)])
async def test_a_trail_is_watched_until_it_is_settled(invoke: Invoke, world: World, verdict: str, code: int) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_then(world, 2, lambda: deploy(world, verdict=verdict)))
        result = await invoke("trace", ON_ITS_WAY, "--watch", "-o", "json")
    trails = [msgspec.json.decode(line, type=TrailView) for line in result.stdout.splitlines()]
    assert [trail.is_settled for trail in trails] == [False, True]
    assert (result.exit_code, result.stderr) == (code, "")


async def test_pictures_in_a_pipe_follow_each_other(invoke: Invoke, world: World) -> None:
    before = await invoke("trace", ON_ITS_WAY)
    async with asyncio.TaskGroup() as group:
        group.create_task(_then(world, 2, lambda: deploy(world)))
        result = await invoke("trace", ON_ITS_WAY, "--watch")
    after = await invoke("trace", ON_ITS_WAY)
    assert result.stdout == f"{before.stdout}\n{after.stdout}"


async def test_an_unknown_commit_is_watched_for(invoke: Invoke, world: World) -> None:
    known = world.trails.pop(EVERYWHERE)

    def appear() -> None:
        world.trails[EVERYWHERE] = known
        world.tell(EVERYWHERE, kind="commit_seen")

    async with asyncio.TaskGroup() as group:
        group.create_task(_then(world, 2, appear))
        result = await invoke("trace", EVERYWHERE, "-w", "-o", "name")
    assert (result.exit_code, result.stdout) == (0, f"commit/{EVERYWHERE}\n")
    assert f"{EVERYWHERE} is not known yet" in result.stderr


async def test_what_others_do_is_not_looked_at(invoke: Invoke, world: World) -> None:
    looks = 0
    find = world.find_trail

    async def find_trail(*arguments: Any, **named: Any) -> Any:
        nonlocal looks
        looks += 1
        return await find(*arguments, **named)

    world.find_trail = find_trail  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:

        async def play() -> None:
            await _until(lambda: looks == 2)
            for number in range(50):
                world.tell("0" * 40, target_id=100 + number)
                await asyncio.sleep(0.01)
            deploy(world)

        group.create_task(play())
        result = await invoke("wait", ON_ITS_WAY)
    assert (result.exit_code, looks) == (0, 3)


async def test_wait_hears_of_it_at_once(invoke: Invoke, world: World) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_then(world, 2, lambda: deploy(world)))
        result = await invoke("wait", ON_ITS_WAY, "--timeout", "9s")  # sooner than it would look again by itself
    assert result.exit_code == 0
    assert "healthy on 3 targets" in result.stderr


async def test_wait_polls_where_there_is_no_feed(invoke: Invoke, world: World) -> None:
    older = WebServer([Listener(name="api", app=without_feed(world), host="127.0.0.1", port=0)])
    async with older as server, asyncio.TaskGroup() as group:
        group.create_task(_then(world, 2, lambda: deploy(world)))
        result = await invoke("wait", ON_ITS_WAY, FLUXTRAIL_SERVER=server.addresses["api"].url)
    assert result.exit_code == 0
    assert "no live feed, asking every few seconds instead" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["trace", ON_ITS_WAY, "-w"], ["wait", ON_ITS_WAY], ["get", "targets", "-w"]], ids=" ".join
)
async def test_an_interrupt_is_quiet(server: str, world: World, arguments: list[str]) -> None:
    async with running(*arguments, server=server) as process:
        stream = process.stderr if arguments[0] == "wait" else process.stdout
        assert stream is not None
        await stream.readline()
        code, err = await interrupt(process)
    assert code == 130
    assert "Abort" not in err
    assert "Traceback" not in err


async def test_rows_that_change_are_printed_below(server: str, world: World) -> None:
    async with running("get", "targets", "-w", server=server) as process:
        lines = [await read_line(process) for _ in range(5)]
        world.targets[1] = target(2, "prod-us", phase="succeeded")
        world.targets.append(target(9, "staging", "a-new-one"))
        world.tell(kind="target", after="resumed")
        changed = [await read_line(process) for _ in range(2)]
        await interrupt(process)
    assert lines[0].split()[:3] == ["CLUSTER", "NAMESPACE", "NAME"]
    assert [line.split()[:3] for line in changed] == [
        ["prod-us", "flux-system", "apps"],
        ["staging", "flux-system", "a-new-one"],
    ]
    assert changed[0].index("flux-system") == lines[0].index("NAMESPACE")


@pytest.mark.parametrize("what", ["commits", "deliveries", "targets", "clusters"])
async def test_changes_as_json_are_a_line_each(server: str, world: World, what: str) -> None:
    asked = {"commits": 5, "deliveries": 9, "targets": 4, "clusters": 3}
    async with running("get", what, "-w", "-o", "json", server=server) as process:
        before = [json.loads(await read_line(process)) for _ in range(asked[what])]
        _change(world, what)
        changed = json.loads(await read_line(process))
        await interrupt(process)
    assert changed not in before
    assert set(changed) == set(before[0])


async def test_a_server_that_comes_back_is_told_and_watched_on(world: World) -> None:
    def app() -> AsgiApp:
        feed = Feed(world, poll_seconds=0.02)
        return create_app(answers=world, report=world, now=lambda: world.now, feed=feed)

    async with WebServer([Listener(name="api", app=app(), host="127.0.0.1", port=0)]) as first:
        port, url = first.addresses["api"].port, first.addresses["api"].url
        async with running("get", "targets", "-w", "-o", "name", server=url) as process:
            for _ in range(4):
                await read_line(process)
            assert process.stderr is not None
            await first.__aexit__(None, None, None)
            said = (await process.stderr.readline()).decode()
            assert "the live feed broke off" in said or "no answer now" in said
            async with WebServer([Listener(name="api", app=app(), host="127.0.0.1", port=port)]):
                world.targets[0] = target(1, "prod-eu", phase="failed")
                assert await read_line(process) == "kustomization/flux-system/apps\n"
                code, _ = await interrupt(process)
    assert code == 130


async def test_on_a_terminal_the_picture_is_drawn_over_itself(server: str, world: World, invoke: Invoke) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
    shown = b""
    loop = asyncio.get_running_loop()

    def read() -> None:
        nonlocal shown
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other side is closed
            loop.remove_reader(ours)

    try:
        loop.add_reader(ours, read)
        async with running("trace", ON_ITS_WAY, "-w", "--utc", server=server, stdout=theirs) as process:
            await _until(lambda: b"Ctrl-C ends" in shown)
            deploy(world)
            assert await process.wait() == 0
        await _until(lambda: b"settled" in shown.rpartition(b"\x1b[J")[2])
    finally:
        loop.remove_reader(ours)
        os.close(theirs)
        os.close(ours)
    settled = await invoke("trace", ON_ITS_WAY, "--utc")
    assert screen_of(shown.decode()) == settled.stdout.splitlines()


def screen_of(text: str) -> list[str]:
    """What a terminal shows after `text`: it knows "up n lines" and "clear below"."""
    lines: list[str] = [""]
    for piece in re.split(r"(\x1b\[\d*[FJ]|\r?\n)", text):
        up = re.fullmatch(r"\x1b\[(\d+)F", piece)
        if up:
            del lines[len(lines) - 1 - int(up[1]) :]
            lines.append("")
        elif piece.endswith("\n"):
            lines.append("")
        elif not piece.startswith("\x1b["):
            lines[-1] += piece
    return lines[:-1]


async def _then(world: World, looks: int, act: Callable[[], None]) -> None:
    await looked(world, looks)
    act()


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def _change(world: World, what: str) -> None:
    if what in ("commits", "deliveries"):
        trail = world.trails[FAILED]
        first, *others = trail.deliveries
        world.trails[FAILED] = msgspec.structs.replace(
            trail,
            commit=msgspec.structs.replace(trail.commit, verdicts={"deployed": 2}),
            deliveries=[msgspec.structs.replace(first, verdict="deployed", reason=""), *others],
        )
    elif what == "targets":
        world.targets[3] = target(4, "prod-eu", "infra")
    else:
        list_clusters = world.list_clusters

        async def fewer_failed() -> Any:
            return [msgspec.structs.replace(cluster, failed=0) for cluster in await list_clusters()]

        world.list_clusters = fewer_failed  # type: ignore[method-assign]
    world.tell(FAILED)


def without_feed(world: World) -> AsgiApp:
    """A server that is older than the feed."""
    app = create_app(answers=world, report=world, now=lambda: world.now)

    async def older(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/feed"):
            await Litestar([])(scope, receive, send)
        else:
            await app(scope, receive, send)

    return older
