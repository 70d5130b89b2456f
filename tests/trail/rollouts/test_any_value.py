"""The rules answer whatever the cluster says: no count, time or text makes them fail, and the answer is whole."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.rollout import RolloutState
from fluxtrail.model.workloads import (
    ContainerKind,
    ContainerRun,
    ContainerTrouble,
    Owner,
    Pod,
    PodTrouble,
    Progress,
    StatusCondition,
    Workload,
)
from fluxtrail.trail.rollouts.rules import digests_of, judge_rollout

COUNTS = st.sampled_from([-(2**31), -1, 0, 1, 2, 3, 2**31, 2**63])
TIMES = st.one_of(
    st.none(),
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from([datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]),
)
TEXTS = st.sampled_from(["", "a", "web", "\x00", "é" * 2000, 'ReplicaSet "a"'])
UIDS = st.sampled_from([ObjectUid(each) for each in ("", "a", "b", "c", "d")])
FLAGS = st.booleans()
KINDS = st.sampled_from(
    [
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("batch", "Job"),
        ("batch", "CronJob"),
        ("", "Pod"),
        ("", "ReplicationController"),
        ("argoproj.io", "Rollout"),
        ("example.org", "Thing"),
    ]
)
REASONS = st.sampled_from(
    ["", "Unschedulable", "NodeLost", "Evicted", "Error", "OOMKilled", "CrashLoopBackOff", "ErrImagePull", "OutOf", "?"]
)
CONDITIONS = st.builds(
    StatusCondition,
    st.sampled_from(
        ["Progressing", "ReplicaFailure", "Complete", "Failed", "SuccessCriteriaMet", "Ready", "Stalled", "Reconciling"]
    ),
    st.sampled_from(["True", "False", "Unknown", ""]),
    st.sampled_from(["", "NewReplicaSetAvailable", "ProgressDeadlineExceeded", "RolloutPaused", "DeadlineExceeded"]),
    TEXTS,
    TIMES,
)
PROGRESS = st.builds(
    Progress,
    observed_generation=COUNTS,
    wanted=COUNTS,
    total=COUNTS,
    updated=COUNTS,
    ready=COUNTS,
    available=COUNTS,
    max_unavailable=COUNTS,
    partition=COUNTS,
    strategy=st.sampled_from(["", "RollingUpdate", "Recreate", "OnDelete", "?"]),
    is_paused=FLAGS,
    is_suspended=FLAGS,
    min_ready_seconds=COUNTS,
    current_revision=TEXTS,
    completed_at=TIMES,
    conditions=st.lists(CONDITIONS, max_size=3).map(tuple),
)
OWNERS = st.lists(
    st.builds(Owner, TEXTS, st.sampled_from(["ReplicaSet", "Job", "x"]), TEXTS, UIDS, is_controller=FLAGS), max_size=2
).map(tuple)
TROUBLES = st.builds(
    ContainerTrouble,
    waiting=REASONS,
    ended=REASONS,
    exit_code=st.none() | COUNTS,
    message=TEXTS,
    is_running=FLAGS,
    has_started=FLAGS,
)
RUNS = st.builds(
    ContainerRun,
    TEXTS,
    TEXTS,
    st.sampled_from(ContainerKind),
    TEXTS,
    is_ready=FLAGS,
    started_at=TIMES,
    restarts=COUNTS,
    trouble=st.none() | TROUBLES,
)
PODS = st.builds(
    Pod,
    uid=UIDS,
    namespace=TEXTS,
    name=TEXTS,
    owners=OWNERS,
    containers=st.lists(RUNS, max_size=2).map(tuple),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", "?"]),
    created_at=TIMES,
    is_deleting=FLAGS,
    is_ready=FLAGS,
    is_static=FLAGS,
    node=TEXTS,
    revision=TEXTS,
    generation=COUNTS,
    notes=st.just(()),
    ready_at=TIMES,
    trouble=st.none() | st.builds(PodTrouble, REASONS, TEXTS),
)
WORKLOADS = st.builds(
    Workload,
    uid=UIDS,
    key=KINDS.map(lambda kind: ObjectKey(*kind, "shop", "web")),
    owners=OWNERS,
    notes=st.just(()),
    containers=st.none(),
    replicas=st.none() | COUNTS,
    revision=COUNTS,
    update_revision=TEXTS,
    created_at=TIMES,
    is_deleting=FLAGS,
    generation=COUNTS,
    touched_at=TIMES,
    progress=st.none() | PROGRESS,
)


@settings(max_examples=200, deadline=None)
@given(
    WORKLOADS | PODS,
    st.lists(PODS, max_size=4, unique_by=lambda pod: pod.uid),
    st.lists(WORKLOADS, max_size=4, unique_by=lambda item: item.uid),
    FLAGS,
)
def test_answer_is_whole_whatever_the_cluster_says(
    item: Workload | Pod, pods: list[Pod], below: list[Workload], owns_pods: bool
) -> None:
    found = judge_rollout(item, pods, below, owns_pods=owns_pods)
    assert found == judge_rollout(item, pods[::-1], below[::-1], owns_pods=owns_pods)
    assert found.state not in (RolloutState.BLOCKED, RolloutState.FAILED) or found.cause is not None
    assert found.reached is None or found.state is RolloutState.ROLLED_OUT
    assert len(found.message) <= 1024
    digests_of(item, pods, below)


def test_a_long_chain_of_owners_is_followed() -> None:
    chain = [
        Workload(
            uid=ObjectUid(str(number)),
            key=ObjectKey("example.org", "Thing", "shop", str(number)),
            owners=(Owner("example.org", "Thing", "x", ObjectUid(str(number - 1)), is_controller=True),),
            notes=(),
            containers=None,
            replicas=None,
            revision=0,
            update_revision="",
            created_at=None,
            is_deleting=False,
        )
        for number in range(1, 3000)
    ]
    assert judge_rollout(chain[0], [], chain[1:]).state is RolloutState.ABSENT
