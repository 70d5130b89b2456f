"""What befalls a pod that ran: its node is lost, the node throws it out, its work fails."""

from __future__ import annotations

from typing import Any, Protocol

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.workloads.objects import GRACE_SECONDS, PODS, Object, find_controller
from fluxtrail.simulator.workloads.pod_statuses import ended
from fluxtrail.simulator.workloads.troubles import Trouble

LOSING_NODE = "node-3"
"""The node that is lost. Only what is to be lost with it gets there."""
_SILENCE_SECONDS = 1.0
"""Until a node that says nothing is taken for lost. Real: 40."""
_TOLERATION_SECONDS = 2.0
"""Until its pods are deleted. Real: 300."""
_EVICTED = (
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 84Mi. "
    "Container was using 512Mi, request is 0, has larger consumption of memory."
)


class Ward(Protocol):
    """The kubelet, as what is written here needs it."""

    def write(self, pod: Object, **status: Any) -> None: ...

    def check(self, pod: Object) -> Object: ...


class Losses:
    """Each happens to one pod of a workload: the next one has better luck."""

    def __init__(self, ward: Ward, *, store: Store, clock: SimulatedClock) -> None:
        self.lost: set[str] = set()
        """Pods (by uid) whose node is lost."""
        self._ward = ward
        self._store = store
        self._clock = clock
        self._met: set[tuple[str, Trouble]] = set()
        """Which owners (by uid) had their share."""

    def choose_node(self, pod: Object) -> str | None:
        """Return the node that will be lost, for the first pod of a workload."""
        if not self._is_first(pod, Trouble.NODE_LOST):
            return None
        if self._store.find("nodes", LOSING_NODE) is None:
            self._store.create("nodes", {"metadata": {"name": LOSING_NODE}})
        self._write_node(is_lost=False)
        self.lost.add(pod["metadata"]["uid"])
        return LOSING_NODE

    def is_failing(self, pod: Object, trouble: Trouble | None) -> bool:
        """Whether the work of a Job's pod fails."""
        return trouble is Trouble.JOB_FAILED or (
            trouble is Trouble.JOB_RETRIED and self._is_first(pod, Trouble.JOB_RETRIED)
        )

    async def befall(self, pod: Object, trouble: Trouble | None) -> None:
        if trouble is Trouble.EVICTED and self._is_first(pod, Trouble.EVICTED):
            await self._clock.sleep(_SILENCE_SECONDS)
            self._evict(pod)
        elif pod["metadata"]["uid"] in self.lost:
            await self._clock.sleep(_SILENCE_SECONDS)
            self._write_node(is_lost=True)
            self._ward.write(pod, conditions=[*self._without_ready(pod), self._condition("Ready", "False")])
            await self._clock.sleep(_TOLERATION_SECONDS)
            why = "Taint manager: deleting due to NoExecute taint"
            self._disrupt(pod, "DeletionByTaintManager", why)
            metadata = pod["metadata"]
            self._store.begin_deletion(PODS, metadata["name"], metadata["namespace"], grace_seconds=GRACE_SECONDS)

    def _evict(self, pod: Object) -> None:
        present = self._ward.check(pod)
        now = self._clock.now()
        over = [ended(s, at=now, exit_code=137, reason="Error") for s in present["status"]["containerStatuses"]]
        self._disrupt(pod, "TerminationByKubelet", _EVICTED)
        conditions = [*self._without_ready(pod), self._condition("Ready", "False", reason="PodFailed")]
        more = {"phase": "Failed", "reason": "Evicted", "message": _EVICTED}
        self._ward.write(pod, containerStatuses=over, conditions=conditions, **more)

    def _disrupt(self, pod: Object, reason: str, message: str) -> None:
        present = self._ward.check(pod)["status"]["conditions"]
        disruption = self._condition("DisruptionTarget", "True", reason=reason, message=message)
        self._ward.write(pod, conditions=[*present, disruption])

    def _without_ready(self, pod: Object) -> list[Object]:
        return [item for item in self._ward.check(pod)["status"]["conditions"] if item["type"] != "Ready"]

    def _condition(self, kind: str, status: str, **more: str) -> Object:
        return {"type": kind, "status": status, "lastTransitionTime": wire_time(self._clock.now())} | more

    def _write_node(self, *, is_lost: bool) -> None:
        silent = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
        good = {"reason": "KubeletReady", "message": "kubelet is posting ready status"}
        ready = self._condition("Ready", "Unknown" if is_lost else "True", **(silent if is_lost else good))
        self._store.patch_status("nodes", LOSING_NODE, "", {"conditions": [ready]})

    def _is_first(self, pod: Object, trouble: Trouble) -> bool:
        owner = find_controller(pod)
        key = ((owner or pod["metadata"])["uid"], trouble)
        is_first = key not in self._met
        self._met.add(key)
        return is_first
