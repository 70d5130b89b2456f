"""Which of several digests under one name speaks for it: a pure function of how the cluster is now.

The newest pod of the newest revision speaks. In order: not being deleted, running (over ended), the newer revision of
its workload, the later made pod, the later started container. So a roll-out tells its new digest once its first pod
runs it, a rollback tells the old one once Kubernetes has made that revision the newest again, and a canary's two
revisions do not take turns, however often their pods come and go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from fluxtrail.model.image import is_digest
from fluxtrail.model.observation import ObjectUid
from fluxtrail.model.workloads import ContainerRun, Pod
from fluxtrail.trail.workloads.anchors import CRON_JOB, JOB, Anchor

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Candidate(NamedTuple):
    """One container that could speak for a name. The greatest does."""

    is_staying: bool
    is_running: bool
    revision: int
    created_at: datetime
    started_at: datetime
    digest: str
    image: str
    pod: ObjectUid

    @property
    def over_all(self) -> tuple[bool, bool, datetime, datetime, str, str]:
        """What is compared between workloads, whose revisions say nothing of each other."""
        return self.is_staying, self.is_running, self.created_at, self.started_at, self.digest, self.pod


def may_speak(anchor: Anchor, pod: Pod) -> bool:
    """Whether a pod's containers are told: it runs, or it ran to its end as a Job's."""
    return pod.phase == "Running" or (pod.is_over and anchor.kind in (JOB, CRON_JOB))


Rank = tuple[bool, bool, int, datetime]


def rank_of(pod: Pod, revision: int) -> Rank:
    """Return the first fields of a candidate: those that all containers of a pod share."""
    return not pod.is_deleting, pod.phase == "Running", revision, pod.created_at or _EARLIEST


def candidate_of(pod: Pod, container: ContainerRun, rank: Rank) -> Candidate | None:
    """Return what a container says; None where its image is not known by a digest (yet)."""
    if not is_digest(container.image_id):
        return None
    return Candidate(
        *rank,
        started_at=container.started_at or _EARLIEST,
        digest=container.image_id,
        image=container.image,
        pod=pod.uid,
    )


def choose(anchor: Anchor, pods: Iterable[tuple[Pod, int]]) -> dict[str, Candidate]:
    """Return who speaks for each container of a workload.

    Args:
        pods: each with the revision of the workload that it is of.
    """
    best: dict[str, Candidate] = {}
    for pod, revision in pods:
        if not may_speak(anchor, pod):
            continue
        rank = rank_of(pod, revision)
        for container in pod.containers:
            held = best.get(container.name)
            if held is not None and rank < held[:4]:
                continue  # as for most pods of many: what they run need not be looked at
            found = candidate_of(pod, container, rank)
            if found is not None and (held is None or found > held):
                best[container.name] = found
    return best
