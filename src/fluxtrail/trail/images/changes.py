"""Which images a sync changed, and to what: from a roll-out, the workload's record and what ran there. Pure.

A container's digest is known from the pin in its image, from the workload's record, or from what its pods ran. Nodes
of several architectures run several digests of one image, so a side of a change is a set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from fluxtrail.model.image import find_digest, is_digest
from fluxtrail.model.image_records import ImageRecord, ImageRun, ImageState
from fluxtrail.model.running_records import RolloutRecord, WorkloadRecord

CLOCK_SLACK = timedelta(seconds=5)
"""How much earlier than our own a node's clock may say that a container started."""

Digests = frozenset[str]
NONE: Digests = frozenset()


class ImageChange(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in one container, before a sync and since."""

    container: str
    image: str
    """As wanted since."""
    image_before: str
    before: Digests
    """Empty where it is not known."""
    after: Digests


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    found: tuple[ImageChange, ...] = ()
    is_open: bool = False
    """More may be seen: a container of the new template has not been seen to run."""


def changes_of(
    rollout: RolloutRecord, workload: WorkloadRecord | None, runs: Sequence[ImageRun], *, applied_at: datetime
) -> Changes:
    """Return the changes of a roll-out. Containers that were not there before bring no commits: nothing preceded them.

    Args:
        workload: as it is now, which may be later syncs on.
        runs: what the workload's containers run and ran.
    """
    found: list[ImageChange] = []
    is_open = False
    is_over = rollout.running is not None or rollout.is_dropped
    for container, image in sorted(rollout.images.items()):
        image_before = rollout.images_before.get(container)
        if image_before is None:
            continue
        mine = [run for run in runs if run.container == container]
        before = _before(rollout, container, image_before, mine, applied_at)
        after = _after(rollout, workload, container, mine, before, applied_at)
        if not after:
            is_open |= not is_over
        elif not before & after:
            found.append(
                ImageChange(container=container, image=image, image_before=image_before, before=before, after=after)
            )
    return Changes(found=tuple(found), is_open=is_open)


def _before(
    rollout: RolloutRecord, container: str, image: str, runs: Sequence[ImageRun], applied_at: datetime
) -> Digests:
    """Return what ran before a sync. An image that was wanted and never ran is passed over for the one that did.

    What was kept with the roll-out may be of the new pods, where these ran before the sync's workloads were read.
    """
    pinned = pinned_digest(image)
    if pinned:
        return frozenset({pinned})
    began = applied_at - CLOCK_SLACK
    ran = [run for run in runs if run.since < began and (run.until is None or run.until >= began)]
    of_image = frozenset(run.digest for run in ran if run.image == image)
    known = of_image or frozenset(run.digest for run in ran)
    kept = rollout.digests_before.get(container)
    is_late = bool(of_image) or (bool(known) and _has_begun(kept, rollout.images[container], runs))
    if kept and (kept in known or not is_late):
        return frozenset({kept})
    return known


def _after(
    rollout: RolloutRecord,
    workload: WorkloadRecord | None,
    container: str,
    runs: Sequence[ImageRun],
    before: Digests,
    applied_at: datetime,
) -> Digests:
    image = rollout.images[container]
    pinned = pinned_digest(image)
    if pinned:
        return frozenset({pinned})
    is_same_image = image == rollout.images_before[container]
    if workload is not None and workload.images.get(container) == image:
        # A tag that was used again: what its pods run may still be what they ran before, until they are new.
        has_rolled = rollout.running is not None and workload.rolled_generation >= rollout.generation
        # And another may be wanted before the first of its pods has begun: what was seen last is what ran before.
        digest = workload.digests.get(container)
        if digest and (has_rolled or (not is_same_image and digest not in before)):
            return frozenset({digest})
    begun = {
        run.digest
        for run in runs
        if run.image == image and (run.until is None or run.until >= applied_at) and _is_new(run, applied_at)
    }
    if is_same_image:
        begun -= before
    return frozenset(begun)


def _has_begun(digest: str | None, image: str, runs: Sequence[ImageRun]) -> bool:
    """Whether a digest ran as this image: one that had not run before a sync is what the sync brought."""
    return any((run.digest, run.image) == (digest, image) for run in runs)


def _is_new(run: ImageRun, applied_at: datetime) -> bool:
    return run.since >= applied_at - CLOCK_SLACK


def pinned_digest(image: str) -> str | None:
    """Return the digest that an image reference names."""
    digest = find_digest(image.partition("@")[2])
    return digest if is_digest(digest) else None


class Known(StrEnum):
    YES = "yes"
    NO = "no"
    """And it will not be: private, gone, nobody may ask, its maker does not say."""
    NOT_YET = "not_yet"


class BuiltFrom(msgspec.Struct, frozen=True):
    """What is known of one side of a change."""

    known: Known
    source: str | None = None
    revision: str | None = None
    created_at: datetime | None = None
    heads: Digests = NONE
    """The digests, or those of their indexes where these are known: equal ones are the same image."""


def built_from(digests: Digests, images: Mapping[str, ImageRecord]) -> BuiltFrom:
    """Return what an image was built from, told by any of its digests; digests that disagree tell nothing."""
    records = [images[digest] for digest in sorted(digests) if digest in images]
    heads = frozenset(
        (images[digest].index_digest or digest) if digest in images else digest for digest in sorted(digests)
    )
    told = {(record.source, record.revision) for record in records if record.revision}
    if len(told) == 1:
        source, revision = told.pop()
        created = (record.created_at for record in records if record.revision)
        created_at = min((moment for moment in created if moment), default=None)
        return BuiltFrom(Known.YES, source, revision, created_at, heads)
    is_open = any(digest not in images or images[digest].state is ImageState.PENDING for digest in digests)
    return BuiltFrom(Known.NOT_YET if is_open and not told else Known.NO, heads=heads)
