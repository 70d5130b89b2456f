"""Plans records again that were told before, or should have been: on request, and at every start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from fluxtrail.model.deployment import DeploymentStatus, Destination, KeptRecord, RecordId, Told
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import UNSAVED
from fluxtrail.model.report import ReportState
from fluxtrail.reports.deployment_records.noting import BATCH, Notes, parts_of
from fluxtrail.reports.deployment_records.plan import new_report, report_of
from fluxtrail.reports.deployment_records.ports import RecordLedger
from fluxtrail.reports.ports import Clock


class CatchingUp:
    """Every method raises StoreError, and may be called again at any time: what is planned twice is told once.

    Args:
        wake: called when something was planned: the dispatcher's.
    """

    def __init__(self, ledger: RecordLedger, clock: Clock, wake: Callable[[], None] = lambda: None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._wake = wake
        self._notes = Notes(ledger, clock, wake)

    async def resend(self, cluster: ClusterUid | None = None, *, told_since: datetime | None = None) -> int:
        """Tell everything again that is recorded of a cluster, or of all; returns how many records.

        What went before GitHub ever heard of it is left out.

        Args:
            told_since: only what GitHub took then or later.
        """
        clusters = [cluster] if cluster is not None else await self._clusters()
        planned = 0
        for uid in clusters:
            async with self._ledger.unit() as unit:
                found = await unit.deployment_records(uid, told_since=told_since)
                records = [item for item in found if item.told is not Told.SILENT]
            for some in parts_of(records):
                planned += await self._notes.plan_again(some)
        return planned

    async def told_elsewhere(self, cluster: ClusterUid, destination: Destination) -> int:
        """Tell again what GitHub holds under another organisation, environment or cluster name; returns how many.

        What it holds there stays: it may be somebody else's by now.
        """
        planned, after = 0, ""
        while True:
            found = await self._ledger.records_told_elsewhere(cluster, destination.text, limit=BATCH, after=after)
            planned += await self._notes.plan_again(found)
            if len(found) < BATCH:
                return planned
            after = found[-1].deployment_name

    async def inherit(self, cluster: ClusterUid, destination: Destination) -> int:
        """Take over what GitHub holds there of a cluster that is no more: made anew, a cluster has another uid.

        What only the old one had does not run any more. Ask once the new one's own records are in the ledger.

        Returns:
            How many records.
        """
        taken = 0
        while old := await self._ledger.records_held_at(destination.text, but=cluster, limit=BATCH):
            async with self._ledger.unit() as unit:
                known = {record.deployment_name for record in await unit.deployment_records(cluster)}
                left = [record for record in old if record.deployment_name not in known]
                gone = [found for record in left if (found := _as_gone(record, cluster, self._clock.now()))]
                saved = await unit.put_deployment_records(gone)
                await unit.forget_deployment_records([record.id for record in old])
                await unit.add_reports([report_of(record) for record in saved])
            taken += len(old)
            self._wake()
        return taken

    async def ask_again(self, cluster: ClusterUid) -> int:
        """Let it be time to ask about all artifacts that GitHub did not know; returns how many records.

        To credentials that may not see a repository GitHub says the same as to those that may: not found. Whoever has
        mended them, or the organisation, starts anew and should not wait a day for the next question.
        """
        async with self._ledger.unit() as unit:
            unknown = await unit.deployment_records(cluster, told=Told.UNKNOWN)
        for some in parts_of(unknown):
            await self._notes.ask_again(some)
        return len(unknown)

    async def replan_pending(self) -> int:
        """Plan whatever is to be told and has no report waiting, as after a dry run; returns how many."""
        planned, cursor = 0, None
        while True:
            page = await self._ledger.list_deployment_records(told=Told.PENDING.value, limit=BATCH, cursor=cursor)
            lost = [item for item in page.items if item.report != ReportState.WAITING.value]
            await self._notes.plan(
                [new_report(ClusterUid(item.cluster_uid), item.deployment_name, RecordId(item.id)) for item in lost]
            )
            planned += len(lost)
            cursor = page.next
            if cursor is None:
                return planned

    async def _clusters(self) -> list[ClusterUid]:
        return sorted({count.cluster for count in await self._ledger.deployment_record_counts()})


def _as_gone(record: KeptRecord, cluster: ClusterUid, now: datetime) -> KeptRecord | None:
    """Return an old cluster's record as one of the new, which does not run it; None where GitHub knows that."""
    held = record.told_content
    if held is None or held.status is DeploymentStatus.DECOMMISSIONED:
        return None
    gone = replace(held, status=DeploymentStatus.DECOMMISSIONED)
    return replace(record, id=RecordId(UNSAVED), cluster=cluster, content=gone, changed_at=now)
