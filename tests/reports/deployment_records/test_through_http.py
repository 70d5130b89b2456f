"""The whole way over HTTP: output, client, and an artifact metadata API with faults, on a clock that runs fast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.ledger.world import fresh_place
from tests.reports.deployment_records.rooms import PROD, content, destination, digest, gone, many, put

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.deployment import Content, Told
from fluxtrail.remotes.github.artifact_metadata import ArtifactMetadataClient
from fluxtrail.reports.deployment_records.budget import HourlyBudget
from fluxtrail.reports.deployment_records.late import LateArtifacts
from fluxtrail.reports.deployment_records.output import DeploymentRecordsOutput, records_pace
from fluxtrail.reports.dispatcher import Dispatcher
from fluxtrail.runtime.records_client import GitHubRecords
from fluxtrail.simulator.artifact_faults import RecordsFault
from fluxtrail.simulator.artifact_metadata import ArtifactMetadata
from fluxtrail.simulator.clock import SimulatedClock

SCALE = 100.0


class Street:
    """A ledger at one end, GitHub's API at the other, and what carries records between them."""

    def __init__(self, ledger: SqlLedger, clock: SimulatedClock, github: ArtifactMetadata, url: str) -> None:
        self.ledger, self.clock, self.github, self._url = ledger, clock, github, url
        self.dispatcher: Dispatcher | None = None

    async def record(self, names: dict[str, Content]) -> None:
        await put(self.ledger, self.clock, names)
        if self.dispatcher is not None:
            self.dispatcher.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell records until the end of the block, then stop as a process does."""
        budget = HourlyBudget(self.ledger.outbox.spend, self.clock, organization="acme", requests_per_hour=4_000)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            client = ArtifactMetadataClient(
                session, "acme", clock=self.clock, base_url=self._url, token="secret", observe=budget.note
            )
            output = DeploymentRecordsOutput(
                GitHubRecords(client),
                self.ledger,
                self.clock,
                find_destination=destination,
                budget=budget,
                wake=lambda: self.dispatcher.wake() if self.dispatcher else None,
            )
            pace = records_pace(has_bulk=True)
            self.dispatcher = Dispatcher(output, self.ledger.outbox, self.clock, owner="test", pace=pace)
            late = LateArtifacts(self.ledger, self.clock, wake=self.dispatcher.wake)
            tasks = [asyncio.create_task(self.dispatcher.run()), asyncio.create_task(late.run())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def held(self) -> dict[str, tuple[str, str]]:
        return {item["deployment_name"]: (item["digest"], item["status"]) for item in self.github.listed()}

    async def told(self) -> dict[str, Told]:
        async with self.ledger.unit() as unit:
            return {item.deployment_name: item.told for item in await unit.deployment_records(PROD)}

    async def until(self, condition: Callable[[dict[str, Told]], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition(await self.told()):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.02)


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    clock = SimulatedClock(scale=SCALE)
    github = ArtifactMetadata(clock=clock, token="secret")
    app = web.Application(client_max_size=64 * 1024 * 1024)
    github.add_routes(app.router)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "data" / "ledger.sqlite"), clock=clock)
    try:
        yield Street(ledger, clock, github, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await ledger.close()
        await runner.cleanup()


def all_told(told: dict[str, Told]) -> bool:
    return set(told.values()) == {Told.TOLD}


async def test_a_cluster_is_told_changes_and_goes(street: Street) -> None:
    await street.record(many(40))
    async with street.running():
        await street.until(all_told)
        await street.record({"d0": content(version="2"), "d1": gone(content())})
        await street.until(all_told)
    held = street.held()
    assert held.pop("d0") == (digest("nginx:2"), "deployed")
    assert held.pop("d1") == (digest("nginx:1"), "decommissioned")
    assert set(held.values()) == {(digest("nginx:1"), "deployed")}
    assert street.github.counts["job", 202] == 1
    assert street.github.counts["single", 200] == 2


async def test_an_attestation_that_comes_late_is_found(street: Street) -> None:
    street.github.unattested = {digest("late:1"), digest("nginx:2")}
    await street.record({"web": content(), "other": content(version="2"), "late": content("late")})
    async with street.running():
        await street.until(lambda told: sorted(told.values()) == ["told", "unknown", "unknown"])
        street.github.attest([digest("late:1"), digest("nginx:2")])
        await street.until(all_told)
    assert street.held()["late"] == (digest("late:1"), "deployed")


@pytest.mark.parametrize(
    "fault",
    [
        RecordsFault(action="drop", count=3, is_after=True),
        RecordsFault(action="drop", count=9),
        RecordsFault(action="status", status=502, count=9),
        RecordsFault(action="status", status=429, count=2),
        RecordsFault(action="status", status=403, seconds=120, retry_after_seconds=120),
        RecordsFault(action="status", status=409, count=1, calls=("job",)),
        RecordsFault(action="status", status=404, calls=("job", "cluster")),
        RecordsFault(action="status", status=404, count=1, calls=("job_status",)),
        RecordsFault(action="fail_job", count=1),
    ],
    ids=["answers lost", "cut", "502", "429", "403", "job 409", "no bulk", "job lost", "job failed"],
)
async def test_whatever_fails_all_is_told_in_the_end(street: Street, fault: RecordsFault) -> None:
    street.github.fail(fault)
    names = {f"d{number}": content(f"image{number % 7}") for number in range(45)}
    await street.record(names)
    async with street.running():
        await street.until(all_told)
    assert street.held() == {name: (what.digest, "deployed") for name, what in names.items()}


async def test_a_stop_in_the_middle_of_a_job_loses_nothing(street: Street) -> None:
    await street.record(many(10))
    async with street.running():
        async with asyncio.timeout(10):
            while not street.github.counts["job", 202]:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
    async with street.running():
        await street.until(all_told)
    assert len(street.held()) == 10
