"""When a Deployment had rolled out, by the cluster's own clocks."""

from __future__ import annotations

from tests.trail.rollouts.states import World, at, condition, deployment, pod, pods, replica_set

from fluxtrail.model.rollout import RolloutState as State

DONE = condition("Progressing", "True", "NewReplicaSetAvailable", 'ReplicaSet "web-2" has successfully progressed.', 40)
OWNER = deployment("3/3/3/3")
OLD, NEW = replica_set(OWNER, 1, 0), replica_set(OWNER, 2)


def test_reached_is_bounded_by_what_the_deployment_said() -> None:
    late = [*pods(NEW, 3)[:2], pod(NEW, "again", created_at=at(500), ready_at=at(520))]
    reached = World(deployment("3/3/3/3", conditions=(DONE,)), late, [OLD, NEW]).judge().reached
    assert reached is not None
    assert (reached.not_before, reached.not_after) == (at(0), at(40))
    assert reached.evidence == "rollout_condition"


def test_reached_takes_no_bound_of_an_earlier_rollout() -> None:
    touched = deployment("3/3/3/3", conditions=(DONE,), touched_at=at(100))
    fresh = pods(NEW, 3, created_at=at(110), ready_at=at(130))
    reached = World(touched, fresh, [OLD, NEW]).judge().reached
    assert reached is not None
    assert (reached.at, reached.precision) == (at(130), "exact")


def test_reached_is_not_before_the_change() -> None:
    reached = World(deployment("3/3/3/3", touched_at=at(900)), pods(NEW, 3), [OLD, NEW]).judge().reached
    assert reached is not None
    assert (reached.at, reached.evidence) == (at(900), "managed_fields")


def test_reached_is_unknown_while_the_newest_replica_set_is_not_seen() -> None:
    """It would be the moment of the roll-out before: the Deployment names another."""
    ahead = condition("Progressing", "True", "ReplicaSetUpdated", 'ReplicaSet "web-3" is progressing.')
    found = World(deployment("3/3/3/3", conditions=(ahead,)), pods(NEW, 3), [OLD, NEW]).judge()
    assert (found.state, found.reached) == (State.ROLLED_OUT, None)


def test_reached_counts_what_may_be_missing() -> None:
    slow = [*pods(NEW, 3)[:2], pod(NEW, "slow", created_at=at(35), ready_at=at(900))]
    reached = World(deployment("3/3/3/3", max_unavailable=1), slow, [OLD, NEW]).judge().reached
    assert reached is not None
    assert reached.at == at(35)
