"""The nodes of a simulated cluster: what becomes of a pod from its creation to its end, as its status tells it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.workloads.ailing import Ailments
from fluxtrail.simulator.workloads.events import EventRecorder
from fluxtrail.simulator.workloads.images import Registry, image_name
from fluxtrail.simulator.workloads.losing import Losses
from fluxtrail.simulator.workloads.objects import PODS, Object, is_going
from fluxtrail.simulator.workloads.pod_statuses import (
    COMPLETED,
    FAILED,
    NOT_READY,
    ended,
    merged,
    started_conditions,
    waiting,
)
from fluxtrail.simulator.workloads.troubles import Trouble, Troubles

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


@dataclass(slots=True)
class PodLife:
    """What a node remembers of a pod more precisely than its status says."""

    born_at: datetime
    ready_at: datetime | None = None


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
        troubles: Troubles,
        events: EventRecorder,
        prefix: str = "",
    ) -> None:
        self.busy = 0
        """Pods of which something is still to come."""
        self.lives: dict[str, PodLife] = {}
        """By uid."""
        self._store = store
        self._clock = clock
        self._registry = registry
        self._truth = truth
        self._dice = dice
        self._spawn = spawn
        self._prefix = prefix
        self._troubles = troubles
        self._ailments = Ailments(self, clock=clock, events=events)
        self._losses = Losses(self, store=store, clock=clock)
        self._dying: set[str] = set()
        self._next_node = 0

    def see(self, pod: Object) -> None:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        if uid not in self.lives:
            self.lives[uid] = PodLife(self._clock.now())
            self._begin(self._live, pod, "lives")
        if is_going(pod) and uid not in self._dying:
            self._dying.add(uid)
            self._troubles.stir()
            self._begin(self._die, pod, "dies")

    def forget(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        self.lives.pop(uid, None)
        self._dying.discard(uid)

    def restart(self, namespace: str, name: str, container: str) -> None:
        """Let a container crash: it starts again, from what its tag stands for by now."""
        pod = self._store.get(PODS, name, namespace)
        statuses = pod["status"]["containerStatuses"]
        status = next(item for item in statuses if item["name"] == container)
        now = wire_time(self._clock.now())
        over = {"exitCode": 137, "reason": "Error", "startedAt": now, "finishedAt": now}
        status["lastState"] = {"terminated": over}
        status["state"] = {"running": {"startedAt": now}}
        status["restartCount"] += 1
        status["imageID"] = self._image_id(status["image"])
        self._store.patch_status(PODS, name, namespace, {"containerStatuses": statuses})
        self._tell(pod, [status])

    # What ailments and losses need.

    def write(self, pod: Object, **status: Any) -> None:
        """Write of a pod's status what is given; conditions that stay as they are keep their times."""
        present = self.check(pod)
        if "conditions" in status:
            old = (present.get("status") or {}).get("conditions") or ()
            status["conditions"] = merged(old, status["conditions"])
        self._store.patch_status(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], status)

    def running(self, container: Object, *, is_ready: bool) -> Object:
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

    def check(self, pod: Object) -> Object:
        """Return a pod as it is now; a pod that is gone, or going, ends what asks."""
        present = self.find(pod)
        if present is None or is_going(present):
            raise _GoneError
        return present

    def find(self, pod: Object) -> Object | None:
        present = self._store.find(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
        return present if present and present["metadata"]["uid"] == pod["metadata"]["uid"] else None

    async def until_better(self, pod: Object, trouble: Trouble) -> None:
        with self._idle():
            while self._troubles.of_pod(self.check(pod)) is trouble:
                await self._troubles.until_changed()

    async def until_found(self, pod: Object) -> None:
        """Wait until a pod's node is back: a deletion that nobody carries out."""
        with self._idle():
            while self.find(pod) is not None and self._troubles.of_pod(pod) is Trouble.NODE_LOST:
                await self._troubles.until_changed()

    # A pod's life.

    def _begin(self, life: Callable[[Object], Awaitable[None]], pod: Object, what: str) -> None:
        self.busy += 1
        self._spawn(self._counted(life, pod), f"{pod['metadata']['name']} {what}")

    async def _counted(self, life: Callable[[Object], Awaitable[None]], pod: Object) -> None:
        try:
            with suppress(_GoneError):
                await life(pod)
        finally:
            self.busy -= 1

    @contextmanager
    def _idle(self) -> Iterator[None]:
        self.busy -= 1
        try:
            yield
        finally:
            self.busy += 1

    async def _live(self, pod: Object) -> None:
        await self._pause("schedule")
        if self._troubles.of_pod(self.check(pod)) is Trouble.UNSCHEDULABLE:
            await self._ailments.wait_for_node(pod)
        self._bind(pod)
        main = pod["spec"]["containers"]
        conditions = started_conditions(NOT_READY, main, at=self._clock.now())
        status = [waiting(container) for container in main]
        self.write(pod, startTime=wire_time(self._clock.now()), containerStatuses=status, conditions=conditions)
        trouble = self._troubles.of_pod(self.check(pod))
        if trouble in self._ailments.before_start:
            await self._ailments.before_start[trouble](pod, main, trouble)
        await self._initialize(pod, pod["spec"].get("initContainers") or [])
        await self._run(pod, main)

    async def _initialize(self, pod: Object, init: list[Object]) -> None:
        done: list[Object] = []
        for number, container in enumerate(init):
            rest = [waiting(item, "PodInitializing") for item in init[number + 1 :]]
            await self._pause("pull")
            started = self.running(container, is_ready=False)
            self.write(pod, initContainerStatuses=[*done, started, *rest])
            await self._pause("init")
            is_sidecar = container.get("restartPolicy") == "Always"
            done.append(started | {"ready": True} if is_sidecar else ended(started, at=self._clock.now()))
            self.write(pod, initContainerStatuses=[*done, *rest])
            self._tell(pod, [started])

    async def _run(self, pod: Object, main: list[Object]) -> None:
        await self._pause("pull")
        statuses = [self.running(container, is_ready=False) for container in main]
        if self._dice.random() < _LATE_CHANCE:
            self.write(pod, phase="Running", containerStatuses=[status | {"imageID": ""} for status in statuses])
            await self._pause("report")
        self.write(pod, phase="Running", containerStatuses=statuses)
        self._tell(pod, statuses)
        trouble = self._troubles.of_pod(self.check(pod))
        if pod["spec"].get("restartPolicy") in ("Never", "OnFailure"):
            await self._finish(pod, main, is_failed=self._losses.is_failing(pod, trouble))
            return
        if trouble in self._ailments.after_start:
            await self._ailments.after_start[trouble](pod, main, trouble)
        await self._pause("ready")
        is_running = all("running" in status["state"] for status in self._statuses(pod))
        ready = [status | {"ready": True} for status in (self._statuses(pod) if is_running else statuses)]
        self.lives[pod["metadata"]["uid"]].ready_at = self._clock.now()
        self.write(pod, containerStatuses=ready, conditions=started_conditions("", main, at=self._clock.now()))
        await self._losses.befall(pod, self._troubles.of_pod(pod))

    async def _finish(self, pod: Object, main: list[Object], *, is_failed: bool) -> None:
        await self._pause("job")
        now, statuses = self._clock.now(), self._statuses(pod)
        end: dict[str, Any] = {"exit_code": 1, "reason": "Error"} if is_failed else {}
        over = [ended(status, at=now, **end) for status in statuses]
        conditions = started_conditions(FAILED if is_failed else COMPLETED, main, at=now)
        self.write(pod, phase="Failed" if is_failed else "Succeeded", containerStatuses=over, conditions=conditions)

    async def _die(self, pod: Object) -> None:
        metadata = pod["metadata"]
        await self._pause("end")
        if metadata["uid"] in self._losses.lost:
            await self.until_found(pod)
        present = self.find(pod)
        if present is None:
            raise _GoneError
        now, status = self._clock.now(), present.get("status") or {}
        statuses = [
            ended(item, at=now) if "running" in item["state"] else item
            for item in status.get("containerStatuses") or ()
        ]
        phase = "Succeeded" if status.get("phase") == "Succeeded" else "Failed"
        conditions = merged(
            status.get("conditions") or (), started_conditions(FAILED, pod["spec"]["containers"], at=now)
        )
        new = {"phase": phase, "containerStatuses": statuses, "conditions": conditions}
        self._store.patch_status(PODS, metadata["name"], metadata["namespace"], new)
        await self._pause("schedule")
        if self.find(pod) is not None:
            self._store.delete(PODS, metadata["name"], metadata["namespace"])

    def _bind(self, pod: Object) -> None:
        """Give a pod its node, if nobody did."""
        metadata = pod["metadata"]
        present = self.check(pod)
        if not pod["spec"].get("nodeName"):
            self._next_node += 1
            node = NODES[self._next_node % len(NODES)]
            if self._troubles.of_pod(present) is Trouble.NODE_LOST:
                node = self._losses.choose_node(present) or node
            self._store.patch(PODS, metadata["name"], metadata["namespace"], {"spec": {"nodeName": node}})

    def _tell(self, pod: Object, statuses: list[Object]) -> None:
        for status in statuses:
            self._truth.ran(pod, status["name"], status["imageID"].rpartition("@")[2])

    def _image_id(self, image: str) -> str:
        return f"{self._prefix}{image_name(image)}@{self._registry.digest(image)}"

    def _statuses(self, pod: Object) -> list[Object]:
        statuses: list[Object] = self.check(pod)["status"]["containerStatuses"]
        return statuses

    async def _pause(self, what: str) -> None:
        await self._clock.sleep(self._dice.uniform(*_TIMES[what]))
