"""Every cause is somebody's answer, and each has its place in the order."""

from __future__ import annotations

from tests.trail.rollouts import test_bare, test_customs, test_deployments, test_sets_and_jobs

from fluxtrail.model.rollout import RolloutCause, RolloutState
from fluxtrail.trail.rollouts.causes import ORDER

TABLES = (
    test_deployments.ROWS,
    test_bare.ROWS,
    test_sets_and_jobs.STATEFUL_SETS,
    test_sets_and_jobs.DAEMON_SETS,
    test_sets_and_jobs.JOBS,
    test_customs.ROWS,
)
ROWS = [row for table in TABLES for row in table]


def test_every_cause_and_state_is_in_the_tables() -> None:
    found = [row.world.judge() for row in ROWS]
    assert {rollout.cause for rollout in found} == {*RolloutCause, None}
    assert {rollout.state for rollout in found} == set(RolloutState)


def test_every_cause_has_its_place() -> None:
    assert sorted(ORDER) == sorted(RolloutCause)


def test_names_are_unique() -> None:
    for table in TABLES:
        names = [row.name for row in table]
        assert len(names) == len(set(names))
