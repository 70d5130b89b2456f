"""What is to be done for one roll-out's images: from what the ledger knows, without asking anybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from fluxtrail.model.image_records import ImageRecord, ImageRun
from fluxtrail.model.records import Attribution, Cause, SyncRecord, TargetRecord
from fluxtrail.model.running_records import RolloutRecord, WorkloadRecord
from fluxtrail.trail.images.changes import BuiltFrom, Changes, ImageChange, Known, built_from, changes_of
from fluxtrail.trail.images.histories import Bump
from fluxtrail.trail.images.knowing import pending_image
from fluxtrail.trail.images.ports import ImageUnit
from fluxtrail.trail.workloads.anchors import kind_text

GIVE_UP_AFTER = timedelta(hours=24)
BEFORE_PATIENCE = timedelta(hours=1)
"""How long the image before is waited for: without it, the new one's own commit is all that is known."""
RUNS_LIMIT = 200


class State(StrEnum):
    WAITING = "waiting"
    READY = "ready"
    NOTHING = "nothing"
    """Dealt with: its images bring nothing, or nobody will ever know what."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an image whose commits are to be found."""

    bump: Bump
    built_at: datetime
    """When the new image was made; at the latest when it was applied."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    state: State
    rollout: RolloutRecord
    sync: SyncRecord | None = None
    target: TargetRecord | None = None
    steps: tuple[Step, ...] = ()
    is_late: bool = False
    """What is not known by now is not waited for."""


async def plan_rollout(
    unit: ImageUnit,
    rollout: RolloutRecord,
    sync: SyncRecord | None,
    target: TargetRecord | None,
    workload: WorkloadRecord | None,
    *,
    is_superseded: bool,
    now: datetime,
) -> Plan:
    """Return what is to be done now. Images that the ledger has not heard of are asked for.

    Args:
        is_superseded: a later sync has changed the workload: what has not run by now will not.
    """
    nothing = Plan(state=State.NOTHING, rollout=rollout, sync=sync, target=target)
    if sync is None or target is None or workload is None or sync.cause is Cause.BASELINE or not rollout.images_before:
        return nothing
    applied_at = sync.applied.at if sync.applied else sync.started.at
    is_late = now - applied_at > GIVE_UP_AFTER
    waiting = Plan(state=State.WAITING, rollout=rollout, sync=sync, target=target)
    if sync.attribution is Attribution.PENDING and sync.attribution_problem is None and not is_late:
        return waiting
    # Helm tells that it has applied something when all of it runs: its images came since it began.
    began_at = sync.applied.earliest if sync.applied else applied_at
    changes = changes_of(rollout, workload, await _runs(unit, workload), applied_at=began_at)
    images = await _images(unit, changes.found)
    steps, is_open = _steps(changes, images, applied_at, age=now - applied_at)
    if (is_open or (changes.is_open and not is_superseded)) and not is_late:
        return waiting
    if not steps:
        return nothing
    return Plan(state=State.READY, rollout=rollout, sync=sync, target=target, steps=tuple(steps), is_late=is_late)


async def _runs(unit: ImageUnit, workload: WorkloadRecord) -> list[ImageRun]:
    key = workload.key
    return await unit.image_runs_at(
        workload.cluster, key.namespace, kind_text(key.group, key.kind), key.name, RUNS_LIMIT
    )


async def _images(unit: ImageUnit, changes: Sequence[ImageChange]) -> dict[str, ImageRecord]:
    """Return what is known of the digests of these changes; the others are noted, to be described."""
    wanted: dict[str, str] = {}
    for change in changes:
        wanted |= dict.fromkeys(change.before, change.image_before) | dict.fromkeys(change.after, change.image)
    known = await unit.images(list(wanted))
    fresh = [pending_image(digest, image) for digest, image in wanted.items() if digest not in known]
    await unit.put_images(fresh)
    return known | {record.digest: record for record in fresh}


def _steps(
    changes: Changes, images: dict[str, ImageRecord], applied_at: datetime, *, age: timedelta
) -> tuple[list[Step], bool]:
    """Return what can be looked for, and whether a registry's answer is still awaited."""
    steps: dict[Bump, Step] = {}
    is_open = False
    for change in changes.found:
        before, after = built_from(change.before, images), built_from(change.after, images)
        if before.heads & after.heads:
            continue
        if after.known is Known.NOT_YET or (before.known is Known.NOT_YET and age < BEFORE_PATIENCE):
            is_open = True
        elif after.known is Known.YES and after.source is not None and after.revision is not None:
            step = _step(before, after, applied_at)
            if step is not None:
                steps.setdefault(step.bump, step)
    return list(steps.values()), is_open


def _step(before: BuiltFrom, after: BuiltFrom, applied_at: datetime) -> Step | None:
    """Return the way between two images; None where they were built from the same commit."""
    assert after.source is not None
    assert after.revision is not None
    revision = before.revision if before.source == after.source else None
    if revision == after.revision:
        return None
    built_at = min(after.created_at or applied_at, applied_at)
    return Step(bump=Bump(after.source, revision, after.revision), built_at=built_at)
