"""Pages over a ledger with a little in it: what it keeps is what they show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from tests.ledger.world import StillClock, World, at, moment, open_fresh, sha
from tests.web.worlds import World as Served

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import CiState, Standing
from fluxtrail.model.environments import Environment, Grouping
from fluxtrail.model.moment import Evidence, bracket
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import CommitId
from fluxtrail.model.verdict import Verdict
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

Read = Callable[[str], Awaitable[tuple[int, str]]]
GROUPING = Grouping((Environment(name="live", clusters=("north",)), Environment(name="trial")))


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    opened = await open_fresh(tmp_path / "ledger.sqlite", StillClock())
    yield opened
    await opened.close()


@pytest.fixture
async def read(ledger: SqlLedger) -> AsyncIterator[Read]:
    app = create_app(answers=ledger, report=Served(), now=lambda: at(600), grouping=GROUPING)
    async with (
        WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server,
        aiohttp.ClientSession() as session,
    ):

        async def page(path: str) -> tuple[int, str]:
            async with session.get(f"{server.addresses['api'].url}{path}") as response:
                return response.status, await response.text()

        yield page


async def fill(ledger: SqlLedger) -> int:
    """Three commits; of the first two one is deployed on `north` and failed on `south`. Returns a target's id."""
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        first, second, _ = await world.commits(shop, range(1, 4))
        north = await world.target(shop, cluster="north", applied=f"main@sha1:{sha(2)}", phase=Outcome.SUCCEEDED)
        south = await world.target(
            shop, cluster="south", attempted=f"main@sha1:{sha(2)}", phase=Outcome.FAILED, reason="BuildFailed",
            message="kustomize build failed",
        )  # fmt: skip
        applied = bracket(at(20), at(50))
        fetched = moment(10, Evidence.ARTIFACT)
        done = await world.sync(north, 2, fetched=fetched, applied=applied)
        await world.sync(south, 2, fetched=fetched, outcome=Outcome.FAILED, reason="BuildFailed")
        for commit in (first, second):
            await world.delivery(commit, north, applied_sync=done.id)
        await world.delivery(second, south, Verdict.FAILED, reason="BuildFailed")
        return int(north.id)


@pytest.mark.parametrize(
    "path", ["/clusters", "/targets", "/images", "/workloads", "/targets?cluster=a&namespace=b&target=c", "/reports"]
)
async def test_new_ledger_has_a_page_that_says_so(read: Read, path: str) -> None:
    status, text = await read(path)
    assert status == 200
    assert 'class="empty"' in text


async def test_what_the_ledger_keeps_is_shown(ledger: SqlLedger, read: Read) -> None:
    number = await fill(ledger)
    status, commit = await read(f"/commits/{sha(2)}")
    assert status == 200
    for said in (
        "Change 2",
        "Live on 1 of 2 targets, 1 failed",
        "Flux gave up with BuildFailed.",
        "kustomize build failed",
    ):
        assert said in commit
    assert commit.index('id="south"') < commit.index('id="north"')
    assert "estimated: between" in commit
    status, target = await read(f"/targets/{number}")
    assert (status, sha(2)[:8] in target) == (200, True)
    for path, said in (
        ("/targets?cluster=south", "BuildFailed"),
        (f"/commits/{sha(3)}", "Change 3"),
    ):
        status, text = await read(path)
        assert (status, said in text) == (200, True)


async def test_cells_of_an_environment_lead_to_where_it_begins(ledger: SqlLedger, read: Read) -> None:
    await fill(ledger)
    async with ledger.unit() as unit:
        await unit.put_builds({CommitId(2): Standing(build_state=CiState.FAILED)})
    _, board = await read("/board")
    assert f'href="/commits/{sha(2)}#env-trial"' in board
    assert "Build</th>" in board
    _, commit = await read(f"/commits/{sha(2)}")
    for name, cluster in (("trial", "south"), ("live", "north")):
        assert commit.index(f'id="{cluster}"') < commit.index(f'id="env-{name}"')
        assert commit.count(f'id="env-{name}"') == 1
    assert "#south" in (await read("/board?by=cluster"))[1]
