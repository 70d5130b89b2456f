"""What is checked of a row of the tables."""

from __future__ import annotations

from tests.trail.rollouts.states import Row, at

from fluxtrail.model.rollout import RolloutState


def check(row: Row) -> None:
    found = row.world.judge()
    assert (found.state, found.cause) == (row.state, row.cause)
    assert row.words in found.message
    if row.where:
        assert f"{found.pod}/{found.container}" == row.where
    assert (found.reached and found.reached.at) == (None if row.reached is None else at(row.reached))
    if found.state in (RolloutState.BLOCKED, RolloutState.FAILED):
        assert found.cause is not None
    if found.state is not RolloutState.ROLLED_OUT:
        assert found.reached is None
