"""What an image brings to a target: source commits, the export that carries them, and their deliveries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from fluxtrail.model.moment import Evidence, Moment, Precision
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    ExportEvidence,
    ExportRecord,
    RepositoryId,
    RepositoryRecord,
    SyncRecord,
    TargetRecord,
)
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.images.ports import ImageUnit
from fluxtrail.trail.merged import better
from fluxtrail.trail.outcomes import Change, drop_reverts, keep_changes, next_delivery, roll_back
from fluxtrail.trail.rows import REPLACEABLE
from fluxtrail.trail.strategies.stated import ExportedCommit

replace = msgspec.structs.replace


EARLIER_SYNCS = 16
"""Of a target, in which a commit is looked for whose image was replaced before it ran."""


class Carrier(NamedTuple):
    """The commit with which an image came, as it stands on the target."""

    commit: CommitRecord
    row: DeliveryRecord


async def keep_sources(
    unit: ImageUnit, canonical: str, commits: Sequence[ExportedCommit], *, built_at: datetime
) -> list[CommitRecord]:
    """Keep source commits, in their order. A merge time that is only read from history is an estimate.

    Args:
        built_at: when the image was made, or seen at the latest: its commits had been merged by then.
    """
    home = await unit.put_repository(RepositoryRecord(id=RepositoryId(UNSAVED), canonical=canonical, url=""))
    known = await unit.commits_by_sha(home.id, [commit.sha for commit in commits])
    records = []
    for commit in commits:
        merged = _merged(commit.stated_at, built_at) if commit.stated_at else None
        there = known.get(commit.sha)
        if there is not None:
            records.append(replace(there, merged=better(there.merged, merged)))
            continue
        records.append(
            CommitRecord(
                id=CommitId(UNSAVED),
                repository_id=home.id,
                sha=commit.sha,
                subject=commit.summary,
                author=commit.author,
                committed_at=commit.stated_at,
                merged=merged,
            )
        )
    return await unit.put_commits(records)


def _merged(committed_at: datetime, built_at: datetime) -> Moment:
    return Moment(
        at=committed_at,
        evidence=Evidence.COMMITTER_DATE,
        precision=Precision.ESTIMATED,
        not_before=committed_at,
        not_after=max(committed_at, built_at),
    )


async def find_carrier(
    unit: ImageUnit,
    target: TargetRecord,
    sync: SyncRecord,
    *,
    homes: Collection[RepositoryId],
    sources: Collection[CommitId],
) -> Carrier | None:
    """Return the newest commit in scope that a sync carried; rather one that image automation pushed.

    What was made from source commits, as it states itself or as a run states, was pushed by an exporter: images came
    with it only if with nobody else, or if what they bring is what it was made from.

    Args:
        homes: where the target's manifests, and those of what applies the target, come from.
        sources: what the image brings.
    """
    rows = [
        row
        for row in await unit.applied_deliveries([sync.id])
        if row.target_id == target.id and row.carrier_id is None and row.commit_id not in sources
    ]
    commits = await unit.commits_by_id([row.commit_id for row in rows])
    found = [
        Carrier(commit, row)
        for row in rows
        if (commit := commits.get(row.commit_id)) is not None and commit.repository_id in homes
    ]
    places = await _places(unit, target, [item.commit for item in found])
    links = await unit.exports_of([item.commit.id for item in found])
    exported = [link for link in links if not _is_by_image(link)]
    exports = {link.carrier_id for link in exported}
    naming = {link.carrier_id for link in exported if link.source_id in sources}

    def rank(item: Carrier) -> tuple[bool, bool, bool, int, int]:
        id_ = item.commit.id
        is_export = id_ in exports
        is_automated = item.commit.is_carrier and not is_export
        return id_ in naming, is_automated, not is_export, places.get(item.commit.sha, -1), id_

    return max(found, key=rank, default=None)


def _is_by_image(link: ExportRecord) -> bool:
    """Whether an image told of a link. Of links that say nothing of it, an exporter's has a time."""
    return link.evidence is ExportEvidence.IMAGE or (link.evidence is None and link.stated_at is None)


async def _places(unit: ImageUnit, target: TargetRecord, commits: Sequence[CommitRecord]) -> dict[str, int]:
    if target.repository_id is None or target.branch is None:
        return {}
    shas = [commit.sha for commit in commits if commit.repository_id == target.repository_id]
    return await unit.chain_positions(target.repository_id, target.branch, shas)


async def deliver(
    unit: ImageUnit,
    target: TargetRecord,
    sync: SyncRecord,
    carrier: Carrier | None,
    sources: Sequence[CommitRecord],
    *,
    now: datetime,
) -> None:
    """Write the deliveries of source commits that a sync brought with an image. Does nothing where it was done."""
    there = await unit.deliveries(target.id, [commit.id for commit in sources])
    came = await _came_before(unit, target, sync, [commit for commit in sources if commit.id not in there])
    if carrier is not None:
        others = {row.commit_id for row in there.values() if _came_with_another(row, carrier.commit)} | came.keys()
        await _link(unit, carrier.commit, [commit for commit in sources if commit.id not in others])
    changes = []
    for commit in sources:
        before = there.get(commit.id) or _begun(commit, target, now)
        by, with_sync = came.get(commit.id, (carrier, sync))
        after = delivered(before, with_sync, by, now=now)
        if after is not None and after != before:
            changes.append(Change(before, after, with_sync))
    await keep_changes(unit, changes, now=now)


def _came_with_another(row: DeliveryRecord, carrier: CommitRecord) -> bool:
    return row.verdict is Verdict.DEPLOYED and row.carrier_id not in (None, carrier.id)


async def _came_before(
    unit: ImageUnit, target: TargetRecord, sync: SyncRecord, sources: Sequence[CommitRecord]
) -> dict[CommitId, tuple[Carrier, SyncRecord]]:
    """Return which of these commits came with an earlier sync, whose image never ran here: it ran elsewhere, and told
    what the commit that set it carries.
    """
    if not sources:
        return {}
    syncs = {item.id: item for item in await unit.recent_syncs(target.id, limit=EARLIER_SYNCS) if item.id < sync.id}
    rows = {
        row.commit_id: row
        for row in await unit.applied_deliveries(list(syncs))
        if row.target_id == target.id and row.verdict is Verdict.DEPLOYED and row.carrier_id is None
    }
    wanted = {commit.id for commit in sources}
    links = [link for link in await unit.exports_of(list(rows)) if link.source_id in wanted and _is_by_image(link)]
    commits = await unit.commits_by_id([link.carrier_id for link in links])
    found: dict[CommitId, tuple[Carrier, SyncRecord]] = {}
    for link in links:
        row = rows[link.carrier_id]
        if row.applied_sync is None or link.carrier_id not in commits:
            continue
        there = found.get(link.source_id)
        if there is None or row.applied_sync < there[1].id:
            found[link.source_id] = Carrier(commits[link.carrier_id], row), syncs[row.applied_sync]
    return found


async def _link(unit: ImageUnit, carrier: CommitRecord, sources: Sequence[CommitRecord]) -> None:
    """Link a carrier to what its images were built from: no time is stated, and what an exporter has stated stays."""
    known = {link.source_id for link in await unit.exports_of([carrier.id])} | {carrier.id}
    await unit.put_exports(
        [
            ExportRecord(carrier_id=carrier.id, source_id=commit.id, stated_at=None, evidence=ExportEvidence.IMAGE)
            for commit in sources
            if commit.id not in known
        ]
    )


def _begun(commit: CommitRecord, target: TargetRecord, now: datetime) -> DeliveryRecord:
    since = commit.merged.at if commit.merged else now
    return DeliveryRecord(commit_id=commit.id, target_id=target.id, verdict=Verdict.PENDING, since=since)


def delivered(
    before: DeliveryRecord, sync: SyncRecord, carrier: Carrier | None, *, now: datetime
) -> DeliveryRecord | None:
    """Return what a source commit's delivery is, given the sync that brought an image with it; None: as it was.

    What an earlier sync applied keeps that moment. What was rolled back comes back, unless that was done after this
    sync: images may be described late.
    """
    if carrier is not None and before.commit_id == carrier.commit.id:
        return None
    if before.applied_sync is not None and before.applied_sync != sync.id and before.verdict not in _COMES_BACK:
        return None
    if before.verdict is Verdict.ROLLED_BACK and sync.applied is not None and before.since > sync.applied.at:
        return None
    carried = replace(before, carrier_id=carrier.commit.id if carrier else before.carrier_id)
    if carrier is None:
        return next_delivery(carried, replace(sync, is_unchanged=False), now=now)
    row = carrier.row
    return replace(
        carried,
        verdict=row.verdict,
        since=row.since,
        reason=row.reason,
        applied_sync=before.applied_sync or sync.id,
        healthy_sync=before.healthy_sync or row.healthy_sync,
    )


_COMES_BACK = REPLACEABLE | OPEN | {Verdict.ROLLED_BACK}


async def drop(
    unit: ImageUnit, target: TargetRecord, sync: SyncRecord, canonical: str, shas: Sequence[str], *, now: datetime
) -> None:
    """Roll back what an image had that was there before, and the one that is there now has not."""
    home = await unit.put_repository(RepositoryRecord(id=RepositoryId(UNSAVED), canonical=canonical, url=""))
    commits = await unit.commits_by_sha(home.id, shas)
    ids = [commit.id for commit in commits.values()]
    rows = (await unit.deliveries(target.id, ids)).values()
    # Where code and manifests are one repository a commit may have come by itself: its manifests are still there.
    brought = [row for row in rows if row.carrier_id is not None or home.id != target.repository_id]
    await roll_back(unit, brought, sync, now=now)
    await drop_reverts(unit, target.id, ids)


def is_settled(sync: SyncRecord, carrier: Carrier | None) -> bool:
    """Whether nothing more will become of what a sync carried that would have to be written here."""
    if carrier is not None:
        return carrier.row.verdict not in OPEN
    return sync.outcome is Outcome.SUCCEEDED
