"""How custom resources stand: by their conditions, their workloads, and their pods."""

from __future__ import annotations

import pytest
from tests.trail.rollouts.checks import check
from tests.trail.rollouts.states import (
    Row,
    World,
    at,
    bad,
    condition,
    custom,
    deployment,
    job,
    lost,
    owned_by,
    pod,
    pods,
    replica_set,
    stateful_set,
    stuck,
    waiting,
    workload,
)

from fluxtrail.model.rollout import RolloutCause as Cause
from fluxtrail.model.rollout import RolloutState as State

CLUSTER, ROLLOUT = custom(), custom(kind="Rollout")
STABLE, CANARY = replica_set(ROLLOUT, 4, 0), replica_set(ROLLOUT, 5)
READY, UNREADY = condition("Ready"), condition("Ready", "False", "ClusterIsNotReady", "waiting for instances")
UI = deployment("1/1/1/1", owner=CLUSTER, touched_at=None)
UI_SET = replica_set(UI, 1, 1)
DOWN = deployment("1/1/1/0", owner=CLUSTER)
MADE_BY = {"owners": owned_by(CLUSTER)}
DATA = stateful_set("2/2/2/2", revision=0, owner=CLUSTER)
PREPARING, PREPARED = job(owner=CLUSTER), job(condition("Complete", when=9), owner=CLUSTER, completed_at=at(9))
SPOILT = job(condition("Failed", "True", "BackoffLimitExceeded"), owner=CLUSTER)
NIGHTLY = workload("CronJob", "nightly", owner=CLUSTER)
NIGHT = job(condition("Failed", "True", "BackoffLimitExceeded"), name="night", owner=NIGHTLY)
BETWEEN = workload("Pooler", "pool", owner=CLUSTER, containers=None)


def aborted(kind: str) -> World:
    halted = condition("Progressing", "False", kind, "metric failed")
    return World(
        custom(halted, kind="Rollout"), pods(STABLE, 3), [replica_set(ROLLOUT, 4, 3), replica_set(ROLLOUT, 5, 0)]
    )


ROWS = [
    Row("nothing below", State.ABSENT, None, World(custom(UNREADY))),
    Row("nothing below, known by its metadata", State.ABSENT, None, World(custom(progress=None))),
    Row("nothing below yet", State.PROGRESSING, None, World(custom(UNREADY), owns_pods=True)),
    Row(
        "nothing below, stalled",
        State.BLOCKED,
        Cause.UNKNOWN,
        World(custom(condition("Stalled", "True", "Invalid", "no such storage")), owns_pods=True),
        "no such storage",
    ),
    Row("nothing below, and ready", State.ABSENT, None, World(custom(READY), owns_pods=True)),
    Row("unread generation", State.PROGRESSING, Cause.NOT_OBSERVED, World(custom(READY, observed=1), pods(CLUSTER, 2))),
    Row("scaled to zero", State.ABSENT, None, World(custom(replicas=0), pods(CLUSTER, 2))),
    Row("being deleted", State.BLOCKED, Cause.GONE, World(custom(is_deleting=True), pods(CLUSTER, 2))),
    # its own pods
    Row("its pods are ready", State.ROLLED_OUT, None, World(custom(READY), pods(CLUSTER, 3)), reached=32),
    Row(
        "its pods are ready, by its metadata",
        State.ROLLED_OUT,
        None,
        World(custom(progress=None), pods(CLUSTER, 3)),
        reached=32,
    ),
    Row("it is not ready", State.PROGRESSING, None, World(custom(UNREADY), pods(CLUSTER, 3)), "waiting for instances"),
    Row("it is at work", State.PROGRESSING, None, World(custom(condition("Reconciling")), pods(CLUSTER, 3))),
    Row(
        "it is stalled",
        State.BLOCKED,
        Cause.UNKNOWN,
        World(custom(condition("Stalled", "True", "Broken", "no quorum")), pods(CLUSTER, 3)),
        "no quorum",
    ),
    Row(
        "one is not ready",
        State.PROGRESSING,
        Cause.PROBE,
        World(custom(), [*pods(CLUSTER, 2), bad(CLUSTER, is_running=True)]),
    ),
    Row(
        "one has no image",
        State.BLOCKED,
        Cause.IMAGE_PULL,
        World(custom(), [*pods(CLUSTER, 2), waiting(CLUSTER, "ErrImagePull")]),
    ),
    Row("one is on a lost node", State.BLOCKED, Cause.NODE_LOST, World(custom(), [*pods(CLUSTER, 2), lost(CLUSTER)])),
    Row(
        "one is of an older revision",
        State.PROGRESSING,
        None,
        World(custom(), [pod(CLUSTER, "a", revision="1"), pod(CLUSTER, "b", revision="2", created_at=at(50))]),
    ),
    Row(
        "they ran to their end",
        State.ROLLED_OUT,
        None,
        World(custom(), [pod(CLUSTER, phase="Succeeded", is_ready=False)]),
    ),
    Row(
        "they failed",
        State.BLOCKED,
        Cause.OUT_OF_MEMORY,
        World(custom(), [bad(CLUSTER, phase="Failed", ended="OOMKilled", exit_code=137)]),
    ),
    Row("all are on their way out", State.PROGRESSING, None, World(custom(), [pod(CLUSTER, is_deleting=True)])),
    Row("pods of what is between", State.ROLLED_OUT, None, World(custom(), pods(BETWEEN, 2), [BETWEEN]), reached=31),
    Row("older pods tell no moment", State.ROLLED_OUT, None, World(custom(touched_at=at(900)), pods(CLUSTER, 2))),
    Row(
        "older pods, and it has looked",
        State.ROLLED_OUT,
        None,
        World(custom(touched_at=at(900), observed=2), pods(CLUSTER, 2)),
        reached=900,
    ),
    # its ReplicaSets
    Row("canary done", State.ROLLED_OUT, None, World(ROLLOUT, pods(CANARY, 3), [STABLE, CANARY]), reached=32),
    Row(
        "canary under way",
        State.PROGRESSING,
        None,
        World(
            ROLLOUT,
            [*pods(STABLE, 2), *pods(replica_set(ROLLOUT, 5, 1), 1)],
            [replica_set(ROLLOUT, 4, 2), replica_set(ROLLOUT, 5, 1)],
        ),
    ),
    Row(
        "canary paused",
        State.BLOCKED,
        Cause.PAUSED,
        World(
            custom(condition("Progressing", "Unknown", "RolloutPaused", "canary step"), kind="Rollout"),
            pods(CANARY, 1),
            [replica_set(ROLLOUT, 4, 2), replica_set(ROLLOUT, 5, 1)],
        ),
        "canary step",
    ),
    Row("canary aborted", State.BLOCKED, Cause.UNKNOWN, aborted("RolloutAborted"), "metric failed"),
    Row("canary out of time", State.BLOCKED, Cause.DEADLINE, aborted("ProgressDeadlineExceeded")),
    Row(
        "canary crashes, out of time",
        State.BLOCKED,
        Cause.PROBE,
        World(
            custom(condition("Progressing", "False", "ProgressDeadlineExceeded"), kind="Rollout"),
            [bad(CANARY, is_running=True)],
            [replica_set(ROLLOUT, 4, 2), CANARY],
        ),
    ),
    Row(
        "canary without room",
        State.BLOCKED,
        Cause.UNSCHEDULABLE,
        World(ROLLOUT, [*pods(CANARY, 2), stuck(CANARY, "Unschedulable", "3 Insufficient cpu")], [STABLE, CANARY]),
    ),
    Row(
        "green serves, blue is still there",
        State.ROLLED_OUT,
        None,
        World(
            custom(condition("Progressing", "True", "NewReplicaSetAvailable"), kind="Rollout"),
            pods(CANARY, 3),
            [replica_set(ROLLOUT, 4, 3), CANARY],
        ),
        reached=32,
    ),
    Row("rollout of zero", State.ABSENT, None, World(ROLLOUT, [], [STABLE, replica_set(ROLLOUT, 5, 0)])),
    Row(
        "newest not seen",
        State.PROGRESSING,
        None,
        World(
            custom(
                condition("Progressing", "True", "ReplicaSetUpdated", 'ReplicaSet "db-6" is progressing.'),
                kind="Rollout",
            ),
            pods(CANARY, 3),
            [STABLE, CANARY],
        ),
    ),
    # its workloads
    Row("its Deployment is done", State.ROLLED_OUT, None, World(CLUSTER, pods(UI_SET, 1), [UI, UI_SET]), reached=30),
    Row(
        "its Deployment is not",
        State.BLOCKED,
        Cause.CRASH_LOOP,
        World(CLUSTER, [bad(UI_SET, waiting="CrashLoopBackOff", exit_code=1, ended="Error")], [DOWN, UI_SET]),
    ),
    Row(
        "the worst of several",
        State.PROGRESSING,
        None,
        World(CLUSTER, pods(UI_SET, 1), [UI, UI_SET, stateful_set("2/2/1/2", owner=CLUSTER)]),
    ),
    Row(
        "a CronJob besides",
        State.ROLLED_OUT,
        None,
        World(CLUSTER, pods(UI_SET, 1), [UI, UI_SET, NIGHTLY, NIGHT]),
        reached=30,
    ),
    Row("nothing but a CronJob", State.ABSENT, None, World(CLUSTER, [], [NIGHTLY, NIGHT])),
    Row("it prepares", State.PROGRESSING, None, World(CLUSTER, [pod(PREPARING)], [PREPARING])),
    Row("preparing fails", State.BLOCKED, Cause.JOB_FAILED, World(CLUSTER, [], [SPOILT])),
    Row("an old backup failed", State.ROLLED_OUT, None, World(CLUSTER, pods(CLUSTER, 2), [SPOILT]), reached=31),
    Row("only a Job, and done", State.ROLLED_OUT, None, World(CLUSTER, [], [PREPARED]), reached=9),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_custom_resource_stands(row: Row) -> None:
    check(row)


def test_owners_in_a_circle_are_left_out() -> None:
    one = workload("Pooler", "one", containers=None)
    two = workload("Pooler", "two", owner=one, containers=None)
    looped = workload("Pooler", "one", owner=two, containers=None)
    assert World(CLUSTER, [], [looped, two]).judge().state is State.ABSENT
