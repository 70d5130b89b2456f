"""A roll-out that was there for an instant only is latched with that instant, whatever it is like when it is judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from fluxtrail.model.moment import Evidence, exact, observed
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import TargetId
from fluxtrail.model.rollout import Rollout, RolloutState
from fluxtrail.model.running_records import WorkloadId, WorkloadRecord
from fluxtrail.trail.rollouts.latches import Sight, latch_glimpse, next_record

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEEN = NOON + timedelta(seconds=5)
DONE = Rollout(state=RolloutState.ROLLED_OUT)
UNDER_WAY = Rollout(state=RolloutState.PROGRESSING)
GLIMPSE = Sight(at=SEEN, was_held=True, not_before=NOON, generation=2)
LATCHED = observed(SEEN, Evidence.ROLLOUT_OBSERVED, not_before=NOON)

replace = msgspec.structs.replace


def record(rolled_generation: int = 1) -> WorkloadRecord:
    return WorkloadRecord(
        id=WorkloadId(1),
        cluster=ClusterUid("c1"),
        key=ObjectKey("apps", "Deployment", "shop", "web"),
        uid=ObjectUid("u1"),
        target_id=TargetId(1),
        generation=2,
        touched_at=NOON,
        state=RolloutState.PROGRESSING,
        since=NOON,
        rolled_generation=rolled_generation,
        rolled=exact(NOON, Evidence.PODS_READY),
        observed_at=NOON,
    )


@pytest.mark.parametrize("now", [None, DONE, UNDER_WAY], ids=["a later generation", "still so", "crashed since"])
def test_glimpse_is_latched_however_it_stands_now(now: Rollout | None) -> None:
    latched = latch_glimpse(record(), now, GLIMPSE)
    assert (latched.rolled_generation, latched.rolled) == (2, LATCHED)


def test_glimpse_gives_way_to_the_moment_of_its_pods() -> None:
    told = exact(SEEN - timedelta(seconds=1), Evidence.PODS_READY)
    assert latch_glimpse(record(), Rollout(state=RolloutState.ROLLED_OUT, reached=told), GLIMPSE).rolled == told


def test_glimpse_of_what_is_latched_changes_nothing() -> None:
    assert latch_glimpse(record(2), DONE, GLIMPSE) == record(2)


def test_judging_later_does_not_move_a_glimpse() -> None:
    late = replace(GLIMPSE, at=SEEN + timedelta(seconds=9), not_before=SEEN)
    after = next_record(latch_glimpse(record(), DONE, GLIMPSE), DONE, late)
    assert (after.rolled_generation, after.rolled, after.state) == (2, LATCHED, RolloutState.ROLLED_OUT)
