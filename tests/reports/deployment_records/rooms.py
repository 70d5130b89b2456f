"""A ledger with records, a dispatcher with the output, and a GitHub at the other end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from tests.reports.deployment_records.github import FakeGitHub
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.deployment import (
    SINK,
    Content,
    DeploymentStatus,
    Destination,
    KeptRecord,
    Place,
    RecordId,
    Told,
)
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.report import ReportState
from fluxtrail.reports.deployment_records.budget import HourlyBudget
from fluxtrail.reports.deployment_records.catching_up import CatchingUp
from fluxtrail.reports.deployment_records.late import LateArtifacts
from fluxtrail.reports.deployment_records.lost_jobs import LostJobs
from fluxtrail.reports.deployment_records.output import DeploymentRecordsOutput, records_pace
from fluxtrail.reports.deployment_records.plan import report_of
from fluxtrail.reports.dispatcher import Dispatcher
from fluxtrail.reports.ports import Clock

PROD, STAGING = ClusterUid("uid-prod"), ClusterUid("uid-staging")
GONE = DeploymentStatus.DECOMMISSIONED


def digest(name: str) -> str:
    return "sha256:" + (name.encode().hex() * 64)[:64]


def content(image: str = "nginx", version: str = "1", **given: Any) -> Content:
    """Return what runs where an image in one version does; its digest follows from both."""
    fields: dict[str, Any] = {
        "name": image,
        "digest": digest(f"{image}:{version}"),
        "version": version,
        "status": DeploymentStatus.DEPLOYED,
    }
    return Content(**(fields | given))


def destination(cluster: ClusterUid, **given: Any) -> Destination:
    fields = {"organization": "acme", "logical_environment": "production", "physical_environment": "eu"}
    return Destination(**(fields | {"cluster": cluster.removeprefix("uid-")} | given))


async def put(ledger: SqlLedger, clock: Clock, names: dict[str, Content], *, cluster: ClusterUid = PROD) -> None:
    """Keep what runs: rows and reports of what changed in one unit."""
    now = clock.now()
    given = [
        KeptRecord(
            id=RecordId(0),
            cluster=cluster,
            deployment_name=name,
            place=Place("shop", "Deployment", name, "main"),
            content=what,
            since=now,
            changed_at=now,
        )
        for name, what in names.items()
    ]
    async with ledger.unit() as unit:
        before = {item.deployment_name: item.content for item in await unit.deployment_records(cluster)}
        saved = await unit.put_deployment_records(given)
        changed = [item for item in saved if before.get(item.deployment_name) != item.content]
        await unit.add_reports([report_of(item) for item in changed])


class Room:
    def __init__(self, ledger: SqlLedger, clock: FakeClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.github = FakeGitHub(clock)
        self.destinations = {PROD: destination(PROD), STAGING: destination(STAGING)}
        self.per_hour = 4_000
        self.lost_jobs = LostJobs(clock)
        self.restart()

    def restart(self, *, has_bulk: bool = True, workers: int = 2) -> None:
        """Begin anew with nothing but the ledger."""
        self.budget = HourlyBudget(
            self.ledger.outbox.spend, self.clock, organization="acme", requests_per_hour=self.per_hour
        )
        self.output = DeploymentRecordsOutput(
            self.github,
            self.ledger,
            self.clock,
            find_destination=self.destinations.get,
            budget=self.budget,
            workers=workers,
            has_bulk=has_bulk,
            lost_jobs=self.lost_jobs,
        )
        self.dispatcher = Dispatcher(
            self.output,
            self.ledger.outbox,
            self.clock,
            owner=f"process {self.clock.monotonic()}",
            pace=records_pace(has_bulk=has_bulk),
            dice=random.Random(7),
        )
        self.late = LateArtifacts(self.ledger, self.clock, lost_jobs=self.lost_jobs, counters=self.output.counters)
        self.catching_up = CatchingUp(self.ledger, self.clock)

    async def record(self, names: dict[str, Content], *, cluster: ClusterUid = PROD) -> None:
        """Keep what runs, as following a cluster does."""
        await put(self.ledger, self.clock, names, cluster=cluster)

    async def go_on(self, *, seconds: float = 3600.0) -> None:
        """Send until nothing is left to be sent, on a clock that runs as fast as that allows."""
        ends = self.clock.monotonic() + seconds
        step = 1.0
        while self.clock.monotonic() < ends:
            if await self.dispatcher.work():
                step = 1.0
            elif SINK not in await self.ledger.outbox.counts() or not await self.waiting():
                return
            else:
                self.clock.turn(step)
                step = min(step * 2, 15.0)

    async def settle(self, *names: str, cluster: ClusterUid = PROD, **given: Any) -> None:
        """Record names with the usual image and tell them."""
        await self.record({name: content(**given) for name in names}, cluster=cluster)
        await self.go_on()

    async def rows(self, cluster: ClusterUid = PROD) -> dict[str, KeptRecord]:
        async with self.ledger.unit() as unit:
            return {item.deployment_name: item for item in await unit.deployment_records(cluster)}

    async def row(self, name: str, cluster: ClusterUid = PROD) -> KeptRecord:
        return (await self.rows(cluster))[name]

    async def told(self, cluster: ClusterUid = PROD) -> dict[str, Told]:
        return {name: record.told for name, record in (await self.rows(cluster)).items()}

    async def waiting(self) -> list[str]:
        """Return whose reports wait; at most 1,000 of them."""
        return await self._reports(ReportState.WAITING)

    async def dead(self) -> dict[str, str | None]:
        page = await self.ledger.outbox.list(state=ReportState.DEAD, limit=1000)
        return {view.key.partition("/")[2]: view.answer for view in page.items}

    async def _reports(self, state: ReportState) -> list[str]:
        page = await self.ledger.outbox.list(state=state, limit=1000)
        return [view.key.partition("/")[2] for view in page.items]

    async def age(self, seconds: float, *, step: float = 15.0) -> None:
        """Let time pass, with what looks for late attestations running."""
        ends = self.clock.monotonic() + seconds
        while self.clock.monotonic() < ends:
            await self.late.look()
            await self.go_on()
            self.clock.turn(min(step, max(ends - self.clock.monotonic(), 0.1)))

    async def check(self) -> None:
        """GitHub holds exactly what the ledger says should be told, where it can know it."""
        for cluster, where in self.destinations.items():
            for name, record in (await self.rows(cluster)).items():
                held = self.github.held.get((where.text, name))
                wanted = record.content
                if wanted.digest in self.github.unattested:
                    assert held is None or held.status is GONE or held.digest == wanted.digest, name
                elif wanted.status is GONE:
                    assert held is None or held == wanted, name
                else:
                    assert held == wanted, name


def gone(what: Content) -> Content:
    return replace(what, status=GONE)


def many(count: int, *, image: str = "nginx", start: int = 0, distinct: bool = False) -> dict[str, Content]:
    """Return names `d0`, `d1`, … of one image, or of one each."""
    return {
        f"d{number}": content(f"{image}{number}" if distinct else image, str(number) if distinct else "1")
        for number in range(start, start + count)
    }


def all_are(found: Sequence[Told] | dict[str, Told], told: Told) -> bool:
    values = found.values() if isinstance(found, dict) else found
    return set(values) == {told}
