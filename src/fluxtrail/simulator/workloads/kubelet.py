"""The nodes of a simulated cluster: what becomes of a pod from its creation to its end, as its status tells it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.building import HEALTH_ANNOTATION
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.workloads.images import Registry, image_name
from fluxtrail.simulator.workloads.objects import PODS, Object, is_going

NODES = ("node-1", "node-2")
_TIMES = {
    "schedule": (0.02, 0.2),
    "pull": (0.1, 0.8),
    "init": (0.1, 0.5),
    "report": (0.3, 1.5),
    "ready": (0.3, 1.2),
    "job": (1.0, 3.0),
    "end": (0.3, 1.5),
}
"""From one thing to the next, in simulated seconds."""
_LATE_CHANCE = 0.3
"""How many pods run a while before their node knows what their containers' images are."""

Spawn = Callable[[Coroutine[Any, Any, None], str], None]


class RunsTruth(Protocol):
    """Who is told what really runs."""

    def ran(self, pod: Object, container: str, digest: str) -> None: ...


class _GoneError(Exception):
    """The pod is gone, or going."""


class Kubelet:
    """Brings pods to life and to their end. `see` is told of every state of every pod.

    Args:
        prefix: before image ids, as some container runtimes write one.
        spawn: starts a task that ends with the cluster.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: SimulatedClock,
        registry: Registry,
        truth: RunsTruth,
        dice: random.Random,
        spawn: Spawn,
        prefix: str = "",
    ) -> None:
        self.busy = 0
        """Pods of which something is still to come."""
        self._store = store
        self._clock = clock
        self._registry = registry
        self._truth = truth
        self._dice = dice
        self._spawn = spawn
        self._prefix = prefix
        self._born: set[str] = set()
        self._dying: set[str] = set()
        self._next_node = 0

    def see(self, pod: Object) -> None:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        if uid not in self._born:
            self._born.add(uid)
            self._begin(self._live, pod, "lives")
        if is_going(pod) and uid not in self._dying:
            self._dying.add(uid)
            self._begin(self._die, pod, "dies")

    def forget(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        self._born.discard(uid)
        self._dying.discard(uid)

    def restart(self, namespace: str, name: str, container: str) -> None:
        """Let a container crash: it starts again, from what its tag stands for by now."""
        pod = self._store.get(PODS, name, namespace)
        statuses = pod["status"]["containerStatuses"]
        status = next(item for item in statuses if item["name"] == container)
        now = wire_time(self._clock.now())
        ended = {"exitCode": 137, "reason": "Error", "startedAt": now, "finishedAt": now}
        status["lastState"] = {"terminated": ended}
        status["state"] = {"running": {"startedAt": now}}
        status["restartCount"] += 1
        status["imageID"] = self._image_id(status["image"])
        self._store.patch_status(PODS, name, namespace, {"containerStatuses": statuses})
        self._tell(pod, [status])

    def _begin(self, life: Callable[[Object], Awaitable[None]], pod: Object, what: str) -> None:
        self.busy += 1
        self._spawn(self._counted(life, pod), f"{pod['metadata']['name']} {what}")

    async def _counted(self, life: Callable[[Object], Awaitable[None]], pod: Object) -> None:
        try:
            with suppress(_GoneError):
                await life(pod)
        finally:
            self.busy -= 1

    async def _live(self, pod: Object) -> None:
        await self._pause("schedule")
        self._bind(pod)
        init = pod["spec"].get("initContainers") or []
        main = pod["spec"]["containers"]
        self._patch(pod, startTime=wire_time(self._clock.now()), containerStatuses=[_waiting(c) for c in main])
        done: list[Object] = []
        for number, container in enumerate(init):
            await self._pause("pull")
            started = self._running(container, is_ready=False)
            self._patch(pod, initContainerStatuses=[*done, started, *map(_waiting, init[number + 1 :])])
            await self._pause("init")
            is_sidecar = container.get("restartPolicy") == "Always"
            done.append(started | {"ready": True} if is_sidecar else self._ended(started))
            self._patch(pod, initContainerStatuses=[*done, *map(_waiting, init[number + 1 :])])
            self._tell(pod, [started])
        await self._run(pod, main)

    async def _run(self, pod: Object, main: list[Object]) -> None:
        await self._pause("pull")
        statuses = [self._running(container, is_ready=False) for container in main]
        if self._dice.random() < _LATE_CHANCE:
            self._patch(pod, phase="Running", containerStatuses=[status | {"imageID": ""} for status in statuses])
            await self._pause("report")
        self._patch(pod, phase="Running", containerStatuses=statuses)
        self._tell(pod, statuses)
        if pod["spec"].get("restartPolicy") == "Never":
            await self._pause("job")
            ended = [self._ended(status) for status in statuses]
            self._patch(pod, phase="Succeeded", containerStatuses=ended, conditions=self._conditions("PodCompleted"))
            return
        if (pod["metadata"].get("annotations") or {}).get(HEALTH_ANNOTATION) == "failing":
            self._patch(pod, conditions=self._conditions("ContainersNotReady"))
            return
        await self._pause("ready")
        ready = [status | {"ready": True} for status in self._statuses(pod)]
        self._patch(pod, containerStatuses=ready, conditions=self._conditions(""))

    async def _die(self, pod: Object) -> None:
        metadata = pod["metadata"]
        await self._pause("end")
        present = self._find(pod)
        if present is None:
            raise _GoneError
        statuses = [
            self._ended(status) if "running" in status["state"] else status
            for status in (present.get("status") or {}).get("containerStatuses") or ()
        ]
        phase = "Succeeded" if (present["status"]).get("phase") == "Succeeded" else "Failed"
        status = {"phase": phase, "containerStatuses": statuses, "conditions": self._conditions("PodFailed")}
        self._store.patch_status(PODS, metadata["name"], metadata["namespace"], status)
        await self._pause("schedule")
        if self._find(pod) is not None:
            self._store.delete(PODS, metadata["name"], metadata["namespace"])

    def _bind(self, pod: Object) -> None:
        """Give a pod its node, if nobody did."""
        metadata = pod["metadata"]
        self._check(pod)
        if not pod["spec"].get("nodeName"):
            self._next_node += 1
            node = NODES[self._next_node % len(NODES)]
            self._store.patch(PODS, metadata["name"], metadata["namespace"], {"spec": {"nodeName": node}})

    def _tell(self, pod: Object, statuses: list[Object]) -> None:
        for status in statuses:
            self._truth.ran(pod, status["name"], status["imageID"].rpartition("@")[2])

    def _running(self, container: Object, *, is_ready: bool) -> Object:
        return {
            "name": container["name"],
            "image": container["image"],
            "imageID": self._image_id(container["image"]),
            "containerID": f"containerd://{self._dice.getrandbits(256):064x}",
            "ready": is_ready,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": wire_time(self._clock.now())}},
            "lastState": {},
        }

    def _ended(self, status: Object) -> Object:
        started = (status["state"].get("running") or {}).get("startedAt", wire_time(self._clock.now()))
        now = wire_time(self._clock.now())
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": now}
        return status | {"ready": False, "started": False, "state": {"terminated": ended}}

    def _image_id(self, image: str) -> str:
        return f"{self._prefix}{image_name(image)}@{self._registry.digest(image)}"

    def _conditions(self, reason: str) -> list[Object]:
        """Return a started pod's conditions; without a reason it is ready."""
        now = wire_time(self._clock.now())
        is_ready = {"status": "False", "reason": reason} if reason else {"status": "True"}
        return [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
            {"type": "Initialized", "status": "True", "lastTransitionTime": now},
            {"type": "ContainersReady", "lastTransitionTime": now} | is_ready,
            {"type": "Ready", "lastTransitionTime": now} | is_ready,
        ]

    def _statuses(self, pod: Object) -> list[Object]:
        present = self._check(pod)
        statuses: list[Object] = present["status"]["containerStatuses"]
        return statuses

    def _patch(self, pod: Object, **status: Any) -> None:
        self._check(pod)
        self._store.patch_status(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], status)

    def _check(self, pod: Object) -> Object:
        present = self._find(pod)
        if present is None or is_going(present):
            raise _GoneError
        return present

    def _find(self, pod: Object) -> Object | None:
        present = self._store.find(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
        return present if present and present["metadata"]["uid"] == pod["metadata"]["uid"] else None

    async def _pause(self, what: str) -> None:
        await self._clock.sleep(self._dice.uniform(*_TIMES[what]))


def _waiting(container: Object) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "PodInitializing"}},
        "lastState": {},
    }
