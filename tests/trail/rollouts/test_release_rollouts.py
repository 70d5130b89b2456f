"""When the roll-outs of a HelmRelease's sync are its own, and how their moment stands to Helm's. Tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.trail.rollouts.states import deployment

from fluxtrail.model.moment import Evidence, Moment, bracket, exact, observed
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, SyncId, SyncRecord, TargetId
from fluxtrail.model.rollout import RolloutState, RunningState
from fluxtrail.model.running_records import RolloutRecord, WorkloadId, WorkloadRecord
from fluxtrail.trail.rollouts.closing import Fate, Standing, fate_on_release, running_of
from fluxtrail.trail.rollouts.versions import Version, find_version

replace = msgspec.structs.replace
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def sync(number: int = 1, outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> SyncRecord:
    return SyncRecord(
        id=SyncId(number),
        target_id=TargetId(1),
        revision="1.0.0",
        sha=None,
        previous=None,
        previous_sha=None,
        cause=Cause.CONFIGURATION,
        generation=number,
        outcome=outcome,
        started=exact(NOON, Evidence.STATUS_OBSERVED),
        **fields,
    )


def standing(*, rolled: int, judged: int) -> Standing:
    record = WorkloadRecord(
        id=WorkloadId(1),
        cluster=ClusterUid("c1"),
        key=ObjectKey("apps", "Deployment", "shop", "cart"),
        uid=ObjectUid("u1"),
        target_id=TargetId(1),
        generation=judged,
        touched_at=None,
        state=RolloutState.ROLLED_OUT if rolled == judged else RolloutState.PROGRESSING,
        since=NOON,
        rolled_generation=rolled,
        rolled=exact(NOON, Evidence.PODS_READY),
        observed_at=NOON,
    )
    return Standing(record=record, judged_generation=judged)


FAILED = sync(1, Outcome.FAILED)


@pytest.mark.parametrize(
    ("own", "newest", "rolled", "judged", "fate"),
    [
        (FAILED, FAILED, 3, 3, Fate.OPEN),
        (replace(FAILED, is_remediated=True), FAILED, 3, 3, Fate.OPEN),
        (FAILED, sync(2, Outcome.RUNNING), 3, 4, Fate.OPEN),
        (FAILED, sync(2, Outcome.FAILED), 4, 4, Fate.OPEN),
        (FAILED, sync(2), 3, 4, Fate.OPEN),
        (FAILED, sync(2), 4, 4, Fate.OWN),
        (FAILED, sync(2, is_unchanged=True), 3, 3, Fate.OTHER),
        (sync(1), sync(1), 3, 4, Fate.OPEN),
        (sync(1), sync(1), 4, 4, Fate.OWN),
    ],
    ids=[
        "what Flux put back has rolled out",
        "and it says so",
        "the next change is under way",
        "the next change failed too",
        "the next change has not rolled out",
        "the next change has",
        "the next change wants what was put back",
        "tried again with success, not rolled out since",
        "tried again with success",
    ],
)
def test_a_later_generation_of_a_release_is_its_own_after_a_success_only(
    own: SyncRecord, newest: SyncRecord, rolled: int, judged: int, fate: Fate
) -> None:
    assert fate_on_release(own, newest, standing(rolled=rolled, judged=judged)) is fate


ROLLED = observed(at(4), Evidence.ROLLOUT_OBSERVED, not_before=at(3))
HELM = bracket(at(1), at(9), evidence=Evidence.HELM_RELEASE)


@pytest.mark.parametrize(
    ("applied", "running"),
    [
        (HELM, ROLLED),
        (bracket(at(6), at(9), evidence=Evidence.HELM_RELEASE), bracket(at(6), at(9), evidence=Evidence.HELM_RELEASE)),
        (exact(at(2), Evidence.READY_CONDITION), ROLLED),
        (exact(at(9), Evidence.READY_CONDITION), exact(at(9), Evidence.READY_CONDITION)),
        (bracket(at(1), at(9)), bracket(at(1), at(9))),
    ],
    ids=["while Helm waited", "before Helm began", "after it was applied", "before it was applied", "late to see both"],
)
def test_roll_out_that_helm_waited_for_keeps_its_moment(applied: Moment, running: Moment) -> None:
    row = RolloutRecord(sync_id=SyncId(1), workload_id=WorkloadId(1), generation=1, running=ROLLED)
    assert running_of(sync(applied=applied), [row]) == (RunningState.REACHED, running)


def test_sync_that_nobody_saw_ran_by_then_and_not_just_then() -> None:
    row = RolloutRecord(
        sync_id=SyncId(1), workload_id=WorkloadId(1), generation=1, running=exact(at(8), ROLLED.evidence)
    )
    missed = replace(sync(applied=bracket(at(1), at(6))), started=bracket(at(0), at(9)))
    state, moment = running_of(missed, [row])
    assert state is RunningState.REACHED
    assert moment == bracket(at(1), at(8), evidence=ROLLED.evidence)


def version(generation: int, touched: float) -> Version:
    return Version(deployment("1/1/1/1", generation=generation, touched_at=at(touched)), at(touched + 0.3))


@pytest.mark.parametrize("back_at", [9, 10], ids=["in the same second", "in the next"])
def test_what_flux_puts_back_after_a_failure_is_not_the_failed_syncs(back_at: float) -> None:
    applied = bracket(at(1), at(9), evidence=Evidence.HELM_RELEASE)
    failed = sync(outcome=Outcome.FAILED, applied=applied, failed=exact(at(9), Evidence.READY_CONDITION))
    failed = replace(failed, action="upgrade")
    own, back = version(2, 1), version(3, back_at)
    found = find_version([own, back], 1, failed, None)
    assert found is not None
    assert found.version == own
    assert find_version([back], 1, failed, None) is None
