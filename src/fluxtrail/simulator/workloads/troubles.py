"""What keeps pods from running: which trouble a pod has, given by its template or brought on from outside.

A template carries its trouble as an annotation, so that a commit can bring it and another take it away. What is
brought on from outside (a broken node, a full quota) concerns a workload by name, and may be over at any moment.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum

from fluxtrail.simulator.building import HEALTH_ANNOTATION
from fluxtrail.simulator.workloads.objects import Object


class Trouble(StrEnum):
    IMAGE_PULL = "image_pull"
    CRASH_LOOP = "crash_loop"
    OUT_OF_MEMORY = "out_of_memory"
    CONFIGURATION = "configuration"
    PROBE = "probe"
    UNSCHEDULABLE = "unschedulable"
    VOLUME = "volume"
    SANDBOX = "sandbox"
    QUOTA = "quota"
    REFUSED = "refused"
    NODE_LOST = "node_lost"
    EVICTED = "evicted"
    LATE = "late"
    """Ready much later than others."""
    JOB_FAILED = "job_failed"
    JOB_RETRIED = "job_retried"
    """The first pod of a Job fails, the second one does not."""


OF_PODS = frozenset(Trouble) - {Trouble.QUOTA, Trouble.REFUSED}
"""Those that a pod has; the others keep pods from being made."""
GOOD = ("", "good")
_NAMES = {"failing": Trouble.PROBE}


class Troubles:
    """The troubles of one cluster."""

    def __init__(self) -> None:
        self._imposed: dict[tuple[str, str], Trouble] = {}
        """By namespace and the beginning of a pod's name: its workload's."""
        self._changed = asyncio.Event()

    def impose(self, namespace: str, workload: str, trouble: Trouble | None) -> None:
        """Let a workload's pods have a trouble from now on, those that wait for their beginning too; None: no more."""
        if trouble is None:
            self._imposed.pop((namespace, workload), None)
        else:
            self._imposed[namespace, workload] = trouble
        self.stir()

    def stir(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_changed(self) -> None:
        await self._changed.wait()

    def of_pod(self, pod: Object) -> Trouble | None:
        return self._find(pod["metadata"]["namespace"], pod["metadata"]["name"], pod["metadata"])

    def of_template(self, owner: Object) -> Trouble | None:
        """Return what keeps the pods of a ReplicaSet (or whatever has a template) from being made, or running."""
        metadata = owner["metadata"]
        return self._find(metadata["namespace"], metadata["name"], owner["spec"]["template"].get("metadata") or {})

    def _find(self, namespace: str, name: str, metadata: Object) -> Trouble | None:
        for (place, workload), trouble in self._imposed.items():
            if place == namespace and (name == workload or name.startswith(f"{workload}-")):
                return trouble
        return parse_trouble((metadata.get("annotations") or {}).get(HEALTH_ANNOTATION, ""))


def parse_trouble(text: str) -> Trouble | None:
    """Return what an annotation says; None for `good` and for nothing."""
    if text in GOOD:
        return None
    return _NAMES.get(text) or Trouble(text)
