"""How Deployments stand, and what their pods say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.trail.rollouts.checks import check
from tests.trail.rollouts.states import (
    Row,
    World,
    bad,
    condition,
    container,
    deployment,
    lost,
    pod,
    pods,
    replica_set,
    stuck,
    waiting,
)

from fluxtrail.model.rollout import RolloutCause as Cause
from fluxtrail.model.rollout import RolloutState as State
from fluxtrail.model.workloads import ContainerKind, ContainerTrouble, Pod

LATE = condition("Progressing", "False", "ProgressDeadlineExceeded", 'ReplicaSet "web-2" has timed out progressing.')
OWNER = deployment("3/3/3/3")
OLD, NEW = replica_set(OWNER, 1, 0), replica_set(OWNER, 2)
QUOTA = 'pods "web-2-x" is forbidden: exceeded quota: mem, requested: limits.memory=1Gi, used: 4Gi, limited: 4Gi'
HOOK = 'admission webhook "policy.example.org" denied the request: image is not signed'
PROXY = container("proxy", kind=ContainerKind.SIDECAR, is_ready=False, trouble=ContainerTrouble(is_running=True))


def world(counts: str, *found: Pod, ready: int = 0, **fields: Any) -> World:
    """Return a Deployment with ready new pods and those given."""
    return World(deployment(counts, **fields), [*pods(NEW, ready), *found], [OLD, NEW])


def one(found: Pod) -> World:
    """Return one of which the only new pod is the one given."""
    return world("1/1/1/0", found)


def failure(message: str) -> Any:
    return (condition("ReplicaFailure", "True", "FailedCreate", message),)


ROWS = [
    # how many, and of which revision
    Row("done", State.ROLLED_OUT, None, world("3/3/3/3", ready=3), reached=32),
    Row("done, one may be missing", State.ROLLED_OUT, None, world("3/3/3/2", ready=2, max_unavailable=1), reached=None),
    Row("surge: an old pod is left", State.ROLLED_OUT, None, world("3/4/3/4", ready=3), reached=32),
    Row("available counts old pods", State.PROGRESSING, None, world("3/4/3/3", ready=3)),
    Row("not all are made", State.PROGRESSING, None, world("3/4/2/4", ready=2)),
    Row("none is made", State.PROGRESSING, None, world("3/3/0/3")),
    Row("one of one may be missing", State.PROGRESSING, None, world("1/1/1/0", max_unavailable=1)),
    Row(
        "unread generation",
        State.PROGRESSING,
        Cause.NOT_OBSERVED,
        world("3/3/3/3", observed_generation=1),
        "observed 1",
    ),
    Row("never looked at", State.PROGRESSING, Cause.NOT_OBSERVED, world("3/0/0/0", observed_generation=0)),
    Row(
        "no generation",
        State.ROLLED_OUT,
        None,
        world("1/1/1/1", ready=1, generation=0, observed_generation=0),
        reached=30,
    ),
    Row("scaled to zero", State.ABSENT, None, world("0/0/0/0")),
    Row("scaled to zero, pods still there", State.ABSENT, None, world("0/3/3/3", ready=3)),
    Row("scaled to zero, unread", State.ABSENT, None, world("0/3/3/3", observed_generation=1)),
    Row("scaled up in the roll-out", State.PROGRESSING, None, world("10/4/3/4", ready=3)),
    Row("scaled down in the roll-out", State.ROLLED_OUT, None, world("2/5/5/5", ready=5), reached=31),
    Row(
        "autoscaler after it",
        State.ROLLED_OUT,
        None,
        world("5/5/5/5", ready=5, generation=3, observed_generation=3),
        reached=34,
    ),
    Row(
        "recreate: all must be there", State.PROGRESSING, None, world("3/3/3/2", strategy="Recreate", max_unavailable=1)
    ),
    Row("recreate: done", State.ROLLED_OUT, None, world("3/3/3/3", ready=3, strategy="Recreate"), reached=32),
    Row(
        "recreate: old pods on a lost node",
        State.BLOCKED,
        Cause.NODE_LOST,
        World(deployment("1/0/0/0", strategy="Recreate"), [lost(OLD, is_deleting=True)], [OLD, NEW]),
        where="web-lost/",
    ),
    Row(
        "recreate: old pods end in their time",
        State.PROGRESSING,
        None,
        World(deployment("1/0/0/0", strategy="Recreate"), [pod(OLD, is_deleting=True)], [OLD, NEW]),
    ),
    Row(
        "a disruption budget is nothing to it",
        State.ROLLED_OUT,
        None,
        world("3/3/3/3", bad(OLD, pod={"is_deleting": True}), ready=3),
        reached=32,
    ),
    Row("being deleted", State.BLOCKED, Cause.GONE, world("3/3/3/3", ready=3, is_deleting=True)),
    # by hand
    Row("paused before it began", State.BLOCKED, Cause.PAUSED, world("3/3/0/3", is_paused=True)),
    Row("paused half-way", State.BLOCKED, Cause.PAUSED, world("3/4/2/3", waiting(NEW, "ErrImagePull"), is_paused=True)),
    Row("paused after it", State.ROLLED_OUT, None, world("3/3/3/3", ready=3, is_paused=True), reached=32),
    Row(
        "paused, unread", State.PROGRESSING, Cause.NOT_OBSERVED, world("3/3/3/3", is_paused=True, observed_generation=1)
    ),
    # out of time
    Row("deadline, nobody says why", State.BLOCKED, Cause.DEADLINE, world("3/4/2/3", conditions=(LATE,)), "timed out"),
    Row(
        "deadline, a probe does not pass",
        State.BLOCKED,
        Cause.PROBE,
        world("1/2/1/1", bad(NEW, is_running=True, has_started=True), conditions=(LATE,)),
        "running, not ready",
        "web-bad/app",
    ),
    Row("deadline, but done since", State.ROLLED_OUT, None, world("3/3/3/3", ready=3, conditions=(LATE,)), reached=32),
    # pods are not made
    Row("quota", State.BLOCKED, Cause.QUOTA, world("3/3/0/3", conditions=failure(QUOTA)), "exceeded quota"),
    Row(
        "limit range",
        State.BLOCKED,
        Cause.QUOTA,
        world("1/0/0/0", conditions=failure("maximum cpu usage per Container is 1, but limit is 2")),
    ),
    Row(
        "quota wants limits",
        State.BLOCKED,
        Cause.QUOTA,
        world("1/0/0/0", conditions=failure("forbidden: failed quota: mem: must specify limits.memory")),
    ),
    Row("webhook", State.BLOCKED, Cause.REFUSED, world("3/3/0/3", conditions=failure(HOOK)), "denied the request"),
    Row(
        "service account",
        State.BLOCKED,
        Cause.REFUSED,
        world(
            "1/0/0/0", conditions=failure('error looking up service account shop/web: serviceaccount "web" not found')
        ),
    ),
    Row(
        "refused before",
        State.PROGRESSING,
        None,
        world("3/3/0/3", conditions=(condition("ReplicaFailure", "False", "FailedCreate", HOOK),)),
    ),
    # images
    *[
        Row(
            f"image: {reason}",
            State.BLOCKED,
            Cause.IMAGE_PULL,
            one(waiting(NEW, reason, message="no such tag")),
            reason,
            "web-bad/app",
        )
        for reason in (
            "ErrImagePull",
            "ImagePullBackOff",
            "InvalidImageName",
            "ErrImageNeverPull",
            "ImageInspectError",
            "RegistryUnavailable",
            "SignatureValidationFailed",
        )
    ],
    Row(
        "image of an init container",
        State.BLOCKED,
        Cause.IMAGE_PULL,
        one(waiting(NEW, "ErrImagePull", kind=ContainerKind.INIT)),
    ),
    # containers
    Row("being made", State.PROGRESSING, None, one(waiting(NEW, "ContainerCreating"))),
    Row("initialising", State.PROGRESSING, None, one(waiting(NEW, "PodInitializing"))),
    Row("node has said nothing", State.PROGRESSING, None, one(bad(NEW, phase="Pending"))),
    Row(
        "no such ConfigMap",
        State.BLOCKED,
        Cause.CONFIGURATION,
        one(waiting(NEW, "CreateContainerConfigError", message='configmap "web" not found')),
        'configmap "web" not found',
    ),
    Row("runtime refuses", State.BLOCKED, Cause.CONFIGURATION, one(waiting(NEW, "RunContainerError"))),
    Row(
        "no such command",
        State.BLOCKED,
        Cause.CONFIGURATION,
        one(bad(NEW, waiting="CrashLoopBackOff", ended="StartError", exit_code=128, restarts=2)),
    ),
    Row(
        "crash loop",
        State.BLOCKED,
        Cause.CRASH_LOOP,
        one(bad(NEW, waiting="CrashLoopBackOff", ended="Error", exit_code=1, restarts=4)),
        "CrashLoopBackOff, Error, exit code 1",
    ),
    Row(
        "ends well, again and again",
        State.BLOCKED,
        Cause.CRASH_LOOP,
        one(bad(NEW, waiting="CrashLoopBackOff", ended="Completed", exit_code=0, restarts=4)),
        "Completed",
    ),
    Row("crashed once", State.PROGRESSING, Cause.CRASH_LOOP, one(bad(NEW, ended="Error", exit_code=2))),
    Row(
        "crashed once, runs again",
        State.PROGRESSING,
        Cause.CRASH_LOOP,
        one(bad(NEW, is_running=True, ended="Error", exit_code=2, restarts=1)),
    ),
    Row(
        "crashed often, runs again",
        State.BLOCKED,
        Cause.CRASH_LOOP,
        one(bad(NEW, is_running=True, ended="Error", exit_code=2, restarts=5)),
    ),
    Row("post-start hook", State.BLOCKED, Cause.CRASH_LOOP, one(waiting(NEW, "PostStartHookError"))),
    Row(
        "out of memory",
        State.BLOCKED,
        Cause.OUT_OF_MEMORY,
        one(bad(NEW, waiting="CrashLoopBackOff", ended="OOMKilled", exit_code=137, restarts=4)),
        "OOMKilled",
    ),
    Row("out of memory once", State.PROGRESSING, Cause.OUT_OF_MEMORY, one(bad(NEW, ended="OOMKilled", exit_code=137))),
    Row(
        "liveness probe ends it",
        State.BLOCKED,
        Cause.PROBE,
        one(bad(NEW, waiting="CrashLoopBackOff", ended="Error", exit_code=137, restarts=4)),
    ),
    Row(
        "not ready yet",
        State.PROGRESSING,
        Cause.PROBE,
        one(bad(NEW, is_running=True, has_started=True)),
        "running, not ready",
    ),
    Row("startup probe", State.PROGRESSING, Cause.PROBE, one(bad(NEW, is_running=True)), "running, not started"),
    Row(
        "sidecar not ready", State.PROGRESSING, Cause.PROBE, one(bad(NEW, is_running=True, kind=ContainerKind.SIDECAR))
    ),
    Row(
        "app ready, sidecar not",
        State.PROGRESSING,
        Cause.PROBE,
        one(pod(NEW, is_ready=False, ready_at=None, containers=(container(), PROXY))),
        where="web-0/proxy",
    ),
    Row("init container at work", State.PROGRESSING, None, one(bad(NEW, is_running=True, kind=ContainerKind.INIT))),
    Row(
        "init container fails",
        State.BLOCKED,
        Cause.CRASH_LOOP,
        one(bad(NEW, waiting="CrashLoopBackOff", ended="Error", exit_code=1, restarts=2, kind=ContainerKind.INIT)),
        where="web-bad/app",
    ),
    Row(
        "readiness gate",
        State.PROGRESSING,
        Cause.PROBE,
        one(
            stuck(
                NEW,
                "ReadinessGatesNotReady",
                "target not registered",
                node="node-1",
                phase="Running",
                containers=(container(),),
            )
        ),
        "not registered",
    ),
    Row("ready, for minReadySeconds", State.PROGRESSING, None, world("1/1/1/0", ready=1, min_ready_seconds=60)),
    Row("ready long enough", State.ROLLED_OUT, None, world("1/1/1/1", ready=1, min_ready_seconds=60), reached=90),
    # nodes
    Row(
        "no room",
        State.BLOCKED,
        Cause.UNSCHEDULABLE,
        one(stuck(NEW, "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.")),
        "Insufficient cpu",
        "web-stuck/",
    ),
    Row("gated", State.BLOCKED, Cause.UNSCHEDULABLE, one(stuck(NEW, "SchedulingGated", "persistentvolumeclaim gate"))),
    Row(
        "node has no room after all",
        State.PROGRESSING,
        Cause.UNSCHEDULABLE,
        one(stuck(NEW, "OutOfcpu", phase="Failed")),
    ),
    Row(
        "volume not bound",
        State.BLOCKED,
        Cause.VOLUME,
        one(stuck(NEW, "Unschedulable", "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.")),
    ),
    Row(
        "no such claim",
        State.BLOCKED,
        Cause.VOLUME,
        one(stuck(NEW, "Unschedulable", 'persistentvolumeclaim "data" not found')),
    ),
    Row(
        "volume elsewhere",
        State.BLOCKED,
        Cause.VOLUME,
        one(
            stuck(
                NEW,
                "Unschedulable",
                "1 node(s) had untolerated taint {cp: }, 2 node(s) had volume node affinity conflict.",
            )
        ),
    ),
    Row(
        "volume elsewhere, no room here",
        State.BLOCKED,
        Cause.UNSCHEDULABLE,
        one(stuck(NEW, "Unschedulable", "1 node(s) had volume node affinity conflict, 2 Insufficient memory.")),
    ),
    Row(
        "sandbox",
        State.BLOCKED,
        Cause.SANDBOX,
        one(waiting(NEW, "CreatePodSandboxError", message="cni plugin not initialized")),
    ),
    Row("node refuses", State.PROGRESSING, Cause.SANDBOX, one(stuck(NEW, "UnexpectedAdmissionError", phase="Failed"))),
    Row("node lost", State.BLOCKED, Cause.NODE_LOST, one(lost(NEW)), where="web-lost/"),
    Row(
        "node lost, its pod taken away",
        State.BLOCKED,
        Cause.NODE_LOST,
        one(stuck(NEW, "NodeLost", "Node node-1 which was running pod is unresponsive")),
    ),
    Row(
        "container's end unknown",
        State.PROGRESSING,
        Cause.NODE_LOST,
        one(bad(NEW, ended="ContainerStatusUnknown", exit_code=137)),
    ),
    Row(
        "evicted",
        State.PROGRESSING,
        Cause.EVICTED,
        one(stuck(NEW, "Evicted", "The node was low on resource: memory.", phase="Failed")),
        "low on resource",
    ),
    Row(
        "evicted, out of time",
        State.BLOCKED,
        Cause.EVICTED,
        world("1/1/1/0", stuck(NEW, "Evicted", phase="Failed"), conditions=(LATE,)),
    ),
    Row("pod's own deadline", State.PROGRESSING, Cause.DEADLINE, one(stuck(NEW, "DeadlineExceeded", phase="Failed"))),
    # whose trouble
    Row("an old pod's trouble", State.PROGRESSING, None, world("3/4/2/2", waiting(OLD, "ImagePullBackOff"), ready=2)),
    Row(
        "pods of the template before",
        State.PROGRESSING,
        None,
        World(deployment("3/3/0/2"), [waiting(OLD, "ImagePullBackOff")], [OLD]),
    ),
    Row(
        "terminating for ever", State.PROGRESSING, None, world("3/3/3/2", bad(NEW, pod={"is_deleting": True}), ready=2)
    ),
    Row(
        "what must be changed goes first",
        State.BLOCKED,
        Cause.IMAGE_PULL,
        world("3/3/3/0", waiting(NEW, "ImagePullBackOff", name="b"), stuck(NEW, "Unschedulable", name="a")),
        where="b/app",
    ),
    Row(
        "what blocks goes first",
        State.BLOCKED,
        Cause.UNSCHEDULABLE,
        world("3/3/3/0", bad(NEW, "a", ended="Error", exit_code=1), stuck(NEW, "Unschedulable", name="b")),
        where="b/",
    ),
    Row(
        "of two pods the first by name",
        State.BLOCKED,
        Cause.IMAGE_PULL,
        world("3/3/3/1", waiting(NEW, "ErrImagePull", name="b"), waiting(NEW, "ErrImagePull", name="a"), ready=1),
        where="a/app",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_deployment_stands(row: Row) -> None:
    check(row)


def test_words_are_bounded() -> None:
    found = one(waiting(NEW, "ErrImagePull", message="x" * 5000)).judge()
    assert len(found.message) == 1024


def test_a_good_end_of_a_container_is_no_reason() -> None:
    ended = container(is_ready=False, trouble=ContainerTrouble(ended="Completed", exit_code=0))
    found = one(pod(NEW, is_ready=False, ready_at=None, containers=(ended, container("b")))).judge()
    assert (found.state, found.cause) == (State.PROGRESSING, None)
