"""A keeper of records that follows a cluster: what it hears, when, is up to the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
from tests.trail.workloads.cluster import Cluster, Kind

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.deployment import DEFAULT_TEMPLATE, DeploymentStatus, KeptRecord, NameTemplate
from fluxtrail.model.errors import StoreError
from fluxtrail.model.report import Mode, NewReport
from fluxtrail.trail.records.keeper import RecordKeeper, RecordRules
from fluxtrail.trail.records.ports import RecordLedger
from fluxtrail.trail.workloads.anchors import FAMILIAR
from fluxtrail.trail.workloads.view import WorkloadView


class Follower:
    """A keeper on a cluster: one life of the process. Make another on the same ledger for a restart.

    Attributes:
        planned: (deployment name, version or None where decommissioned) of each report, in order.
        said: set with each report, in the unit that plans it.
    """

    def __init__(
        self,
        cluster: Cluster,
        ledger: RecordLedger,
        *,
        template: str = DEFAULT_TEMPLATE,
        namespaces: Sequence[str] = (),
        excluded: Sequence[str] = (),
        decommissions_at_zero: bool = False,
    ) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self.planned: list[tuple[str, int | None]] = []
        self.said = asyncio.Event()
        rules = RecordRules(
            template=NameTemplate(template),
            namespaces=frozenset(namespaces),
            excluded=frozenset(excluded),
            decommissions_at_zero=decommissions_at_zero,
        )
        self.view = WorkloadView(
            cluster.uid, clock=cluster.clock, on_kind=lambda group, kind: cluster.watch((group, kind))
        )
        self.keeper = RecordKeeper(
            self.view,
            ledger=ledger,
            clock=cluster.clock,
            rules=rules,
            report_of=self._report_of,
        )
        self.view.listen(self.keeper)
        cluster.streams.clear()
        for kind in sorted(FAMILIAR):
            cluster.watch(kind)

    async def hear(self, *kinds: Kind, most: int | None = None) -> None:
        """Take what these kinds' streams have brought, in this order, or at most so many of each."""
        for kind in kinds:
            stream = self.cluster.streams[kind]
            count = len(stream) if most is None else min(most, len(stream))
            await self.view.observe([stream.popleft() for _ in range(count)])

    async def hear_all(self) -> None:
        """Pods come first: what owns them is not known when they come."""
        while waiting := [kind for kind, stream in self.cluster.streams.items() if stream]:
            await self.hear(*sorted(waiting))

    async def settle(self) -> dict[str, int | None]:
        """Hear everything, judge, and return what is recorded then: see `state`."""
        await self.hear_all()
        await self.keeper.settle()
        return await self.state()

    async def settle_in_time(self) -> dict[str, int | None]:
        """Settle again when every wait is over: for owners that do not come, and kinds that cannot be read."""
        await self.settle()
        self.cluster.clock.turn(61)
        self.cluster.bookmark()
        await self.settle()
        self.cluster.clock.turn(61)
        return await self.settle()

    async def begin(self) -> dict[str, int | None]:
        await self.keeper.recall()
        return await self.settle()

    async def records(self) -> dict[str, KeptRecord]:
        async with self.ledger.unit() as unit:
            return {record.deployment_name: record for record in await unit.deployment_records(self.cluster.uid)}

    async def state(self) -> dict[str, int | None]:
        """Return which version is recorded under each name, None where it is decommissioned."""
        return {name: version_of(record) for name, record in (await self.records()).items()}

    def take_planned(self) -> list[tuple[str, int | None]]:
        """Return what was planned since this was asked last."""
        taken, self.planned = self.planned, []
        return taken

    def _report_of(self, record: KeptRecord) -> NewReport:
        self.planned.append((record.deployment_name, version_of(record)))
        self.said.set()
        return NewReport(
            sink="github.records",
            key=f"{record.cluster}/{record.deployment_name}",
            mode=Mode.LATEST,
            body=msgspec.json.encode({"record": record.id}),
        )


def version_of(record: KeptRecord) -> int | None:
    if record.content.status is DeploymentStatus.DECOMMISSIONED:
        return None
    return int(record.content.digest.removeprefix("sha256:"), 16)


class FailingLedger:
    """A ledger whose next units fail: before anything is written, or as the transaction ends."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.failures: list[str] = []
        """`begin` or `end`, for each of the next units."""

    def unit(self) -> AbstractAsyncContextManager[SqlUnit]:
        return self._unit()

    @asynccontextmanager
    async def _unit(self) -> AsyncIterator[SqlUnit]:
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "begin":
            raise StoreError("the disk is full", retryable=True)
        async with self._ledger.unit() as unit:
            yield unit
            if failure == "end":
                raise StoreError("the disk is full", retryable=True)
