"""How StatefulSets, DaemonSets, Jobs and CronJobs stand."""

from __future__ import annotations

from typing import Any

import pytest
from tests.trail.rollouts.checks import check
from tests.trail.rollouts.states import (
    Row,
    World,
    at,
    bad,
    condition,
    daemon_set,
    job,
    lost,
    pod,
    pods,
    replace,
    stateful_set,
    stuck,
    templated,
    waiting,
    workload,
)

from fluxtrail.model.rollout import RolloutCause as Cause
from fluxtrail.model.rollout import RolloutState as State
from fluxtrail.model.workloads import Pod

SET, DAEMONS, JOB = stateful_set("3/3/3/3"), daemon_set("3/3/3/3"), job()


def new(count: int) -> list[Pod]:
    return pods(SET, count, revision="new", generation=2)


def old(found: Pod) -> Pod:
    return replaced(found, "old", 1)


def replaced(found: Pod, revision: str, generation: int) -> Pod:
    return replace(found, revision=revision, generation=generation)


def fresh(found: Pod) -> Pod:
    return replaced(found, "new", 2)


def stateful(counts: str, *found: Pod, **fields: Any) -> World:
    return World(stateful_set(counts, **fields), found)


def daemons(counts: str, *found: Pod, **fields: Any) -> World:
    return World(daemon_set(counts, **fields), found)


def ended(kind: str, reason: str = "", message: str = "", when: float = 50) -> Any:
    return condition(kind, "True", reason, message, when)


STATEFUL_SETS = [
    Row("done", State.ROLLED_OUT, None, stateful("3/3/3/3", *new(3)), reached=32),
    Row("an older server has no available", State.ROLLED_OUT, None, stateful("3/3/3/0", *new(3), ready=3), reached=32),
    Row(
        "ready, for minReadySeconds",
        State.PROGRESSING,
        None,
        stateful("3/3/3/0", *new(3), ready=3, min_ready_seconds=9),
    ),
    Row("one after the other", State.PROGRESSING, None, stateful("3/3/1/3", *new(1))),
    Row(
        "never looked at",
        State.PROGRESSING,
        Cause.NOT_OBSERVED,
        stateful("3/0/0/0", observed_generation=0, generation=0),
    ),
    Row("unread generation", State.PROGRESSING, Cause.NOT_OBSERVED, stateful("3/3/3/3", observed_generation=1)),
    Row("scaled to zero", State.ABSENT, None, stateful("0/0/0/0")),
    Row(
        "first pod has no image",
        State.BLOCKED,
        Cause.IMAGE_PULL,
        stateful("3/1/1/0", fresh(waiting(SET, "ErrImagePull"))),
    ),
    Row(
        "in parallel, one may be missing",
        State.ROLLED_OUT,
        None,
        stateful("3/3/3/2", *new(3), max_unavailable=1),
        reached=31,
    ),
    Row(
        "an older pod is in the way",
        State.BLOCKED,
        Cause.CRASH_LOOP,
        stateful("3/3/0/2", old(bad(SET, waiting="CrashLoopBackOff", ended="Error", exit_code=1))),
    ),
    Row(
        "a terminating pod is in the way",
        State.BLOCKED,
        Cause.NODE_LOST,
        stateful("3/3/2/2", *new(2), old(lost(SET, is_deleting=True))),
    ),
    Row(
        "volume not bound",
        State.BLOCKED,
        Cause.VOLUME,
        stateful("1/1/1/0", fresh(stuck(SET, "Unschedulable", "pod has unbound immediate PersistentVolumeClaims"))),
    ),
    Row(
        "partition: those above have it", State.ROLLED_OUT, None, stateful("3/3/1/3", *new(1), partition=2), reached=30
    ),
    Row("partition: not yet", State.PROGRESSING, None, stateful("3/3/0/2", partition=2)),
    Row(
        "partition: an old pod is down",
        State.ROLLED_OUT,
        None,
        stateful("3/3/1/2", *new(1), old(bad(SET, is_running=True)), partition=2),
        reached=30,
    ),
    Row(
        "partition: the new pod is down",
        State.PROGRESSING,
        Cause.PROBE,
        stateful("3/3/1/2", fresh(bad(SET, is_running=True)), partition=2),
    ),
    Row("partition spares all", State.BLOCKED, Cause.MANUAL, stateful("3/3/0/3", partition=3), "partition 3"),
    Row(
        "partition spares all, template unchanged",
        State.ROLLED_OUT,
        None,
        stateful("3/3/3/3", *new(3), partition=5, current_revision="new"),
        reached=32,
    ),
    Row(
        "partition spares all, not full",
        State.PROGRESSING,
        None,
        stateful("3/2/2/2", partition=5, current_revision="new"),
    ),
    Row(
        "OnDelete: nobody did",
        State.BLOCKED,
        Cause.MANUAL,
        stateful("3/3/1/3", *new(1), strategy="OnDelete"),
        "OnDelete",
    ),
    Row(
        "OnDelete: somebody did", State.ROLLED_OUT, None, stateful("3/3/3/3", *new(3), strategy="OnDelete"), reached=32
    ),
    Row("OnDelete: first pods", State.PROGRESSING, None, stateful("3/1/1/1", *new(1), strategy="OnDelete")),
    Row(
        "OnDelete: a new pod crashes",
        State.BLOCKED,
        Cause.IMAGE_PULL,
        stateful("3/3/1/2", fresh(waiting(SET, "ImagePullBackOff")), strategy="OnDelete"),
    ),
    Row("scaled up in the roll-out", State.PROGRESSING, None, stateful("5/3/3/3", *new(3))),
    Row("autoscaler", State.ROLLED_OUT, None, stateful("2/3/3/3", *new(3)), reached=31),
]

DAEMON_SETS = [
    Row("done", State.ROLLED_OUT, None, daemons("3/3/3/3", *new(3)), reached=31),
    Row("one may be missing", State.ROLLED_OUT, None, daemons("3/3/3/2", *new(3)), reached=31),
    Row("one of one may not", State.PROGRESSING, None, daemons("1/1/1/0")),
    Row("node by node", State.PROGRESSING, None, daemons("3/3/1/3", *new(1))),
    Row("surge", State.ROLLED_OUT, None, daemons("3/3/3/3", *new(3), max_unavailable=0), reached=32),
    Row("no node wants it", State.ABSENT, None, daemons("0/0/0/0")),
    Row("no node wanted it before", State.PROGRESSING, Cause.NOT_OBSERVED, daemons("0/0/0/0", observed_generation=1)),
    Row(
        "never looked at",
        State.PROGRESSING,
        Cause.NOT_OBSERVED,
        daemons("0/0/0/0", observed_generation=0, generation=0),
    ),
    Row("image", State.BLOCKED, Cause.IMAGE_PULL, daemons("3/3/1/2", fresh(waiting(DAEMONS, "ErrImagePull")), *new(0))),
    Row(
        "an old pod's trouble",
        State.PROGRESSING,
        None,
        daemons("3/3/1/2", *new(1), old(waiting(DAEMONS, "ErrImagePull"))),
    ),
    Row(
        "pods of the template before",
        State.PROGRESSING,
        None,
        daemons("3/3/0/2", old(waiting(DAEMONS, "ErrImagePull"))),
    ),
    Row("OnDelete: nobody did", State.BLOCKED, Cause.MANUAL, daemons("3/3/1/3", *new(1), strategy="OnDelete")),
    Row(
        "node lost, its pod old",
        State.ROLLED_OUT,
        None,
        daemons("4/4/3/3", *new(3), old(lost(DAEMONS)), max_unavailable=0),
        reached=32,
    ),
    Row(
        "node lost, its pod new",
        State.ROLLED_OUT,
        None,
        daemons("4/4/4/3", *new(3), fresh(lost(DAEMONS)), max_unavailable=0),
        reached=32,
    ),
    Row(
        "node lost, another not done",
        State.BLOCKED,
        Cause.NODE_LOST,
        daemons("4/4/2/3", *new(2), old(lost(DAEMONS)), old(pod(DAEMONS, "z", node="node-9")), max_unavailable=0),
    ),
    Row(
        "node lost, its status counts on",
        State.PROGRESSING,
        Cause.PROBE,
        daemons(
            "4/4/3/3",
            *new(2),
            fresh(bad(DAEMONS, is_running=True, pod={"node": "node-9"})),
            old(lost(DAEMONS)),
            max_unavailable=0,
        ),
        where="web-bad/app",
    ),
    Row(
        "node lost, two pods on another",
        State.BLOCKED,
        Cause.NODE_LOST,
        daemons("4/4/3/3", *new(2), fresh(pod(DAEMONS, "surge")), old(lost(DAEMONS)), max_unavailable=0),
    ),
    Row("all nodes lost", State.BLOCKED, Cause.NODE_LOST, daemons("1/1/1/0", fresh(lost(DAEMONS)))),
]

JOBS = [
    Row("at work", State.PROGRESSING, None, World(job(), [pod(JOB)])),
    Row("just made", State.PROGRESSING, None, World(job(counts="1/0/0/0"))),
    Row("complete", State.ROLLED_OUT, None, World(job(ended("Complete"), completed_at=at(49))), reached=49),
    Row("complete, without a time", State.ROLLED_OUT, None, World(job(ended("Complete"))), reached=50),
    Row(
        "complete after a retry",
        State.ROLLED_OUT,
        None,
        World(
            job(ended("Complete"), counts="1/0/1/0", failed=2, completed_at=at(49)),
            [bad(JOB, phase="Failed", ended="Error", exit_code=1)],
        ),
        reached=49,
    ),
    Row(
        "complete, it goes then",
        State.ROLLED_OUT,
        None,
        World(job(ended("Complete"), is_expiring=True, completed_at=at(49))),
        reached=49,
    ),
    Row(
        "complete, on its way out",
        State.ROLLED_OUT,
        None,
        World(job(ended("Complete"), is_deleting=True, completed_at=at(9))),
        reached=9,
    ),
    Row("success is sure", State.ROLLED_OUT, None, World(job(ended("SuccessCriteriaMet", when=40))), reached=40),
    Row(
        "success was sure",
        State.ROLLED_OUT,
        None,
        World(job(ended("SuccessCriteriaMet", when=40), ended("Complete"), completed_at=at(49))),
        reached=40,
    ),
    Row("one of several completions", State.PROGRESSING, None, World(job(counts="5/2/3/0"))),
    Row("all, and not said to be complete", State.PROGRESSING, None, World(job(counts="5/0/5/0"))),
    Row("workers of a queue", State.PROGRESSING, None, World(job(counts="1/3/2/0"))),
    Row(
        "indexed, complete",
        State.ROLLED_OUT,
        None,
        World(job(ended("Complete"), counts="5/0/5/0", completed_at=at(49))),
        reached=49,
    ),
    Row(
        "retried",
        State.PROGRESSING,
        Cause.CRASH_LOOP,
        World(job(counts="1/1/0/0", failed=1), [bad(JOB, phase="Failed", ended="Error", exit_code=1), pod(JOB)]),
        "exit code 1",
    ),
    Row(
        "retried in place",
        State.BLOCKED,
        Cause.CRASH_LOOP,
        World(job(), [bad(JOB, waiting="CrashLoopBackOff", ended="Error", exit_code=1, restarts=1)]),
    ),
    Row("has no image", State.BLOCKED, Cause.IMAGE_PULL, World(job(), [waiting(JOB, "ErrImagePull")])),
    Row(
        "failed",
        State.FAILED,
        Cause.JOB_FAILED,
        World(
            job(ended("Failed", "BackoffLimitExceeded", "reached the specified backoff limit")),
            [bad(JOB, phase="Failed", ended="Error", exit_code=3)],
        ),
        "backoff limit (Error, exit code 3)",
        "web-bad/app",
    ),
    Row(
        "failed, no pod left",
        State.FAILED,
        Cause.JOB_FAILED,
        World(job(ended("Failed", "PodFailurePolicy"))),
        "PodFailurePolicy",
    ),
    Row(
        "failed, out of memory",
        State.FAILED,
        Cause.OUT_OF_MEMORY,
        World(
            job(ended("Failed", "BackoffLimitExceeded")), [bad(JOB, phase="Failed", ended="OOMKilled", exit_code=137)]
        ),
    ),
    Row("failure is sure", State.FAILED, Cause.JOB_FAILED, World(job(ended("FailureTarget", "FailedIndexes")))),
    Row(
        "out of time",
        State.FAILED,
        Cause.DEADLINE,
        World(job(ended("Failed", "DeadlineExceeded", "was active longer"))),
    ),
    Row(
        "out of time, had no image",
        State.FAILED,
        Cause.IMAGE_PULL,
        World(job(ended("Failed", "DeadlineExceeded")), [waiting(JOB, "ImagePullBackOff")]),
    ),
    Row("suspended", State.ABSENT, None, World(job(is_suspended=True))),
    Row("suspended, it says", State.ABSENT, None, World(job(ended("Suspended")))),
    Row(
        "suspended after it",
        State.ROLLED_OUT,
        None,
        World(job(ended("Complete"), is_suspended=True, completed_at=at(49))),
        reached=49,
    ),
    Row("being deleted", State.BLOCKED, Cause.GONE, World(job(is_deleting=True))),
    Row("cron job", State.ABSENT, None, World(workload("CronJob"))),
    Row("cron job, suspended", State.ABSENT, None, World(templated("CronJob", "1/0/0/0", is_suspended=True))),
    Row(
        "cron job whose job fails",
        State.ABSENT,
        None,
        World(workload("CronJob"), [waiting(JOB, "ErrImagePull")], [JOB]),
    ),
]


@pytest.mark.parametrize("row", STATEFUL_SETS, ids=lambda row: row.name)
def test_stateful_set_stands(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("row", DAEMON_SETS, ids=lambda row: row.name)
def test_daemon_set_stands(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("row", JOBS, ids=lambda row: row.name)
def test_job_stands(row: Row) -> None:
    check(row)


def test_a_template_that_comes_back_keeps_its_pods() -> None:
    """A DaemonSet set back: pods of the first template have the older generation, and the hash that is wanted again."""
    back = [replaced(each, "new", 1) for each in pods(DAEMONS, 2)] + [replaced(pod(DAEMONS, "third"), "new", 3)]
    reached = daemons("3/3/3/3", *back, max_unavailable=0, revision=3).judge().reached
    assert reached is not None
    assert reached.at == at(31)


def test_a_daemon_set_whose_newest_pods_are_not_seen_tells_no_moment() -> None:
    """Its status is ahead of its pods: those that are held are of the template before."""
    found = daemons("3/3/3/3", *new(3), revision=3).judge()
    assert (found.state, found.reached) == (State.ROLLED_OUT, None)
