"""Jobs, which run one pod to its end, and CronJobs, which make Jobs when their time comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.workloads.conditions import condition, dated
from fluxtrail.simulator.workloads.objects import (
    CRON_JOBS,
    JOBS,
    PODS,
    Object,
    create_pod,
    is_going,
    owned_by_labels,
    owner_reference,
    patch_status,
    staying,
)

JOB_LABEL = "batch.kubernetes.io/job-name"
_CRON_LABEL = "simulator.fluxtrail.io/cron-job"


class Jobs:
    """Runs one pod to its success, again and again until `backoffLimit`; what is over goes after its TTL.

    Args:
        end_later: (seconds, namespace, name): delete that Job after so much simulated time.
    """

    def __init__(self, store: Store, *, clock: SimulatedClock, end_later: Callable[[float, str, str], None]) -> None:
        self.ended_at: dict[str, datetime] = {}
        """By uid: when each succeeded."""
        self._store = store
        self._clock = clock
        self._end_later = end_later

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(JOBS, name, namespace)
        if found is None or is_going(found):
            return
        status = found.get("status") or {}
        if any(c["type"] in ("Complete", "Failed") for c in status.get("conditions") or ()):
            return
        if found["spec"].get("suspend"):
            suspended = condition("Suspended", "True", "JobSuspended", "Job suspended")
            self._write(found, suspended, active=None)
            return
        pods = staying(owned_by_labels(self._store, PODS, found, {JOB_LABEL: name}))
        failed = [pod for pod in pods if _phase(pod) == "Failed"]
        if any(_phase(pod) == "Succeeded" for pod in pods):
            self._complete(found, failed=len(failed))
        elif len(failed) > found["spec"].get("backoffLimit", 6):
            self._fail(found, failed=len(failed))
        elif len(failed) == len(pods):
            create_pod(self._store, found["spec"]["template"], owner=found, prefix=f"{name}-", labels={JOB_LABEL: name})
            started = status.get("startTime") or wire_time(self._clock.now())
            self._write(found, active=1, ready=0, startTime=started, failed=len(failed) or None)

    def _complete(self, job: Object, *, failed: int) -> None:
        now = self._clock.now()
        self.ended_at[job["metadata"]["uid"]] = now
        reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
        conditions = [condition(kind, "True", reason, message) for kind in ("SuccessCriteriaMet", "Complete")]
        more = {"active": None, "ready": 0, "succeeded": 1, "failed": failed or None}
        self._write(job, *conditions, completionTime=wire_time(now), **more)
        self._expire(job)

    def _fail(self, job: Object, *, failed: int) -> None:
        reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        conditions = [condition(kind, "True", reason, message) for kind in ("FailureTarget", "Failed")]
        self._write(job, *conditions, active=None, ready=0, failed=failed)
        self._expire(job)

    def _expire(self, job: Object) -> None:
        lifetime = job["spec"].get("ttlSecondsAfterFinished")
        if lifetime is not None:
            self._end_later(float(lifetime), job["metadata"]["namespace"], job["metadata"]["name"])

    def _write(self, job: Object, *conditions: Object, **status: Any) -> None:
        if conditions:
            status["conditions"] = dated(job, *conditions, at=self._clock.now())
        patch_status(self._store, JOBS, job, **status)


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


class CronJobs:
    """Makes Jobs when `trigger` is called; the schedule of the object is only written there."""

    def __init__(self, store: Store, *, clock: SimulatedClock) -> None:
        self._store = store
        self._clock = clock
        self._last = 0

    def step(self, namespace: str, name: str) -> None:
        """Keep the history short: the oldest finished Jobs go."""
        found = self._store.find(CRON_JOBS, name, namespace)
        if found is None or is_going(found):
            return
        finished = [job for job in self._jobs(found) if (job.get("status") or {}).get("completionTime")]
        finished.sort(key=lambda job: str(job["metadata"]["name"]))
        for job in finished[: max(len(finished) - found["spec"].get("successfulJobsHistoryLimit", 3), 0)]:
            self._store.delete(JOBS, job["metadata"]["name"], namespace)

    def trigger(self, namespace: str, name: str) -> None:
        """It is time: make a Job, named after the minute for which it was scheduled."""
        cron = self._store.get(CRON_JOBS, name, namespace)
        self._last = max(self._last + 1, int(self._clock.now().timestamp()) // 60)
        template: dict[str, Any] = cron["spec"]["jobTemplate"]
        metadata = {
            "name": f"{name}-{self._last}",
            "namespace": namespace,
            "labels": {_CRON_LABEL: name},
            "ownerReferences": [owner_reference(cron)],
        }
        self._store.create(JOBS, {"metadata": metadata, "spec": template["spec"]})
        patch_status(self._store, CRON_JOBS, cron, lastScheduleTime=wire_time(self._clock.now()))

    def _jobs(self, cron: Object) -> list[Object]:
        return owned_by_labels(self._store, JOBS, cron, {_CRON_LABEL: cron["metadata"]["name"]})
