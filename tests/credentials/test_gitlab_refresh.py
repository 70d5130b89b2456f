"""GitLab's refresh tokens: each is good once, so the next is never lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.credentials.identities import CASES, World, obtain, until

from fluxtrail.credentials.providers import gitlab
from fluxtrail.model.errors import AuthError
from fluxtrail.simulator.issuers.desk import Fault

CASE = next(case for case in CASES if case.name == "gitlab")


async def test_the_next_is_written_in_its_place(world: World) -> None:
    provider, file = CASE.make(world), world.folder / "refresh"
    first = file.read_text().strip()
    await obtain(provider, CASE)
    assert file.read_text().strip() == world.issuers.gitlab.refresh != first
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in world.folder.glob(".refresh*")] == []


async def test_a_restart_goes_on_with_it(world: World) -> None:
    await obtain(CASE.make(world), CASE)
    text = (world.folder / "refresh").read_text()
    world.cache.forget("")
    again = CASE.make(world)
    world.file("refresh", text)
    world.issuers.gitlab.refresh = text.strip()
    world.now += 5_000
    assert CASE.is_good(world, await obtain(again, CASE))


async def test_a_cancelled_asker_does_not_lose_it(world: World) -> None:
    provider, gate = CASE.make(world), asyncio.Event()
    world.issuers.fail("gitlab", Fault(gate=gate))
    asking = asyncio.ensure_future(obtain(provider, CASE))
    await world.issuers.desk.arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    before = (world.folder / "refresh").read_text()
    gate.set()
    async with asyncio.timeout(10):
        while (world.folder / "refresh").read_text() == before:  # noqa: ASYNC110 - a file sets no event
            await asyncio.sleep(0.001)
    world.issuers.fail("gitlab", None)
    assert CASE.is_good(world, await obtain(provider, CASE))


async def test_one_that_cannot_be_written_is_kept_in_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path, text: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(gitlab, "_replace", refuse)
    provider = CASE.make(world)
    with capture_logs() as logs:
        for _ in range(3):
            assert CASE.is_good(world, await obtain(provider, CASE))
            world.now += 5_000
    assert {entry["event"] for entry in logs} == {"refresh token not written"}
    assert world.issuers.gitlab.refresh not in str(logs)
    assert world.issuers.gitlab.refresh in provider.secrets


async def test_one_that_is_no_longer_good_is_said(world: World) -> None:
    provider = CASE.make(world)
    world.issuers.gitlab.sign_in()
    with pytest.raises(AuthError, match="sign in again, and put the new refresh token into") as caught:
        await obtain(provider, CASE)
    assert (world.folder / "refresh").read_text().strip() not in str(caught.value)
    await until(lambda: True)
