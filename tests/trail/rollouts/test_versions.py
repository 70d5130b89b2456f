"""Which version of a workload's spec is a sync's, where the next sync came before it could be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fluxtrail.model.moment import Evidence, exact, observed
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, SyncId, SyncRecord, TargetId
from fluxtrail.model.workloads import Workload
from fluxtrail.trail.rollouts.versions import Version, Versions, find_version

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def version(generation: int, *, touched: float | None, seen: float) -> Version:
    item = Workload(
        uid=ObjectUid("u1"),
        key=ObjectKey("apps", "Deployment", "shop", "web"),
        owners=(),
        notes=(),
        containers=(),
        replicas=1,
        revision=0,
        update_revision="",
        created_at=START,
        is_deleting=False,
        generation=generation,
        touched_at=None if touched is None else at(touched),
    )
    return Version(item, at(seen))


def sync(number: int, *, started: float, applied: float) -> SyncRecord:
    return SyncRecord(
        id=SyncId(number),
        target_id=TargetId(1),
        revision=f"main@sha1:{number:040x}",
        sha=f"{number:040x}",
        previous=None,
        previous_sha=None,
        cause=Cause.REVISION,
        generation=1,
        outcome=Outcome.SUCCEEDED,
        started=observed(at(started), Evidence.STATUS_OBSERVED),
        applied=exact(at(applied), Evidence.READY_CONDITION),
    )


FIRST, SECOND = sync(1, started=0, applied=3), sync(2, started=4, applied=7)


@pytest.mark.parametrize(
    ("known", "after", "following", "expected"),
    [
        pytest.param([version(2, touched=2, seen=2.1)], 1, None, (2, True), id="alone"),
        pytest.param([version(1, touched=-9, seen=5)], 1, None, None, id="nothing new"),
        pytest.param([version(2, touched=2, seen=5)], 1, SECOND, (2, True), id="seen late, made in time"),
        pytest.param([version(2, touched=3, seen=3.5)], 1, SECOND, (2, True), id="seen before the next one began"),
        pytest.param([version(2, touched=6, seen=6.1)], 1, SECOND, None, id="the next one's"),
        pytest.param([version(2, touched=4, seen=4.1)], 1, SECOND, None, id="the next one's, just after this one"),
        pytest.param([version(2, touched=4, seen=3.9)], 1, SECOND, None, id="and seen before that was seen to begin"),
        pytest.param([version(2, touched=4, seen=4.1)], 1, None, (2, False), id="the next one's, or of another clock"),
        pytest.param([version(2, touched=3, seen=4.1)], 1, SECOND, (2, False), id="of that second, seen after it"),
        pytest.param(
            [version(2, touched=2, seen=2.1), version(3, touched=6, seen=6.1)], 1, SECOND, (2, True), id="each its own"
        ),
        pytest.param([version(3, touched=6, seen=8)], 1, SECOND, (3, False), id="one that nobody saw in between"),
        pytest.param([version(2, touched=None, seen=8)], 1, SECOND, (2, False), id="nobody says when"),
        pytest.param([version(2, touched=30, seen=31)], 1, None, None, id="made long after: somebody's later change"),
        pytest.param(
            [version(2, touched=2, seen=2.1), version(3, touched=2, seen=2.2)],
            1,
            None,
            (3, True),
            id="two of its own",
        ),
    ],
)
def test_version_of_a_sync(
    known: list[Version], after: int, following: SyncRecord | None, expected: tuple[int, bool] | None
) -> None:
    found = find_version(known, after, FIRST, following)
    assert (None if found is None else (found.version.generation, found.is_certain)) == expected


def test_a_sync_that_is_seen_to_begin_late_has_what_it_made_before_that() -> None:
    lagging = sync(1, started=6, applied=3)
    found = find_version([version(2, touched=3, seen=6.1)], 1, lagging, sync(2, started=6.5, applied=4))
    assert found is not None
    assert found.version.generation == 2


def test_the_next_sync_has_what_the_first_did_not_make() -> None:
    known = [version(2, touched=2, seen=2.1), version(3, touched=6, seen=6.1)]
    found = find_version(known, 2, SECOND, None)
    assert found is not None
    assert found.version.generation == 3


def test_what_was_read_counts_by_its_second() -> None:
    known = [Version(version(2, touched=3, seen=0).thing, at(9), is_watched=False)]
    found = find_version(known, 1, FIRST, SECOND)
    assert found is not None
    assert found.is_certain


def test_versions_are_few_and_in_order() -> None:
    versions = Versions()
    for number in [*range(1, 20), 5, 19]:
        item = version(number, touched=number, seen=number)
        versions.note(item.thing, item.seen_at, was_held=True)
    assert [item.generation for item in versions.of(ObjectUid("u1"))] == list(range(12, 20))
    versions.forget(ObjectUid("u1"))
    assert not versions.of(ObjectUid("u1"))
