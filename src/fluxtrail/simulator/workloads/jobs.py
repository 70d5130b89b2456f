"""Jobs, which run one pod to its end, and CronJobs, which make Jobs when their time comes."""

from __future__ import annotations

from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
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
)

JOB_LABEL = "batch.kubernetes.io/job-name"
_CRON_LABEL = "simulator.fluxtrail.io/cron-job"


class Jobs:
    def __init__(self, store: Store, *, clock: SimulatedClock) -> None:
        self._store = store
        self._clock = clock

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(JOBS, name, namespace)
        if found is None or is_going(found):
            return
        status = found.get("status") or {}
        if status.get("completionTime"):
            return
        pods = owned_by_labels(self._store, PODS, found, {JOB_LABEL: name})
        now = wire_time(self._clock.now())
        if not pods:
            create_pod(self._store, found["spec"]["template"], owner=found, prefix=f"{name}-", labels={JOB_LABEL: name})
            patch_status(self._store, JOBS, found, active=1, startTime=now)
        elif any((pod.get("status") or {}).get("phase") == "Succeeded" for pod in pods):
            complete = {"type": "Complete", "status": "True", "lastTransitionTime": now}
            patch_status(self._store, JOBS, found, active=None, succeeded=1, completionTime=now, conditions=[complete])


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
