"""How ReplicaSets and pods stand that nothing else controls."""

from __future__ import annotations

import pytest
from tests.trail.rollouts.checks import check
from tests.trail.rollouts.states import Row, World, bad, condition, pod, pods, stuck, templated, waiting

from fluxtrail.model.rollout import RolloutCause as Cause
from fluxtrail.model.rollout import RolloutState as State

REFUSED = condition("ReplicaFailure", "True", "FailedCreate", "pods is forbidden: exceeded quota: mem")

ROWS = [
    Row(
        "replica set done",
        State.ROLLED_OUT,
        None,
        World(rs := templated("ReplicaSet", "2/2/0/2"), pods(rs, 2)),
        reached=31,
    ),
    Row("replica set not full", State.PROGRESSING, None, World(templated("ReplicaSet", "2/2/0/1"))),
    Row(
        "replica set unread",
        State.PROGRESSING,
        Cause.NOT_OBSERVED,
        World(templated("ReplicaSet", "2/2/0/2", observed_generation=1)),
    ),
    Row("replica set of zero", State.ABSENT, None, World(templated("ReplicaSet", "0/0/0/0"))),
    Row(
        "replica set, quota",
        State.BLOCKED,
        Cause.QUOTA,
        World(templated("ReplicaSet", "2/0/0/0", conditions=(REFUSED,))),
    ),
    Row("replication controller", State.ROLLED_OUT, None, World(templated("ReplicationController", "2/2/0/2"))),
    Row("pod ready", State.ROLLED_OUT, None, World(pod()), reached=30),
    Row("pod succeeded", State.ROLLED_OUT, None, World(pod(phase="Succeeded", is_ready=False, ready_at=None))),
    Row(
        "pod failed",
        State.FAILED,
        Cause.CRASH_LOOP,
        World(bad(None, phase="Failed", ended="Error", exit_code=1)),
        "exit code 1",
    ),
    Row("pod evicted", State.FAILED, Cause.EVICTED, World(stuck(None, "Evicted", phase="Failed"))),
    Row("pod failed, nobody says why", State.FAILED, Cause.UNKNOWN, World(bad(None, phase="Failed")), "phase Failed"),
    Row("pod has no image", State.BLOCKED, Cause.IMAGE_PULL, World(waiting(None, "ErrImagePull"))),
    Row("pod on its way", State.PROGRESSING, None, World(waiting(None, "ContainerCreating"))),
    Row("pod on its way out", State.BLOCKED, Cause.GONE, World(pod(is_deleting=True))),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bare_stands(row: Row) -> None:
    check(row)
