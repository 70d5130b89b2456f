"""What becomes of a pod that cannot run, as its node and its Events tell it: the words are the real ones.

Sources: kubernetes pkg/kubelet/images, pkg/kubelet/kuberuntime, pkg/kubelet/prober, pkg/scheduler,
pkg/kubelet/eviction, pkg/controller/tainteviction, version 1.34.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.workloads.events import EventRecorder
from fluxtrail.simulator.workloads.objects import Object
from fluxtrail.simulator.workloads.pod_statuses import NOT_READY, backing_off, ended, started_conditions, waiting
from fluxtrail.simulator.workloads.troubles import Trouble

_BACKOFF_SECONDS = (2.0, 4.0)
"""Before the second and the third start of what crashes. Real ones are 10 and 20."""
_LATE_SECONDS = 8.0
_NO_ROOM = (
    "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
    "2 No preemption victims found for incoming pods."
)


Course = Callable[[Object, list[Object], Trouble], Awaitable[None]]
"""(pod, main containers, trouble)."""


class Sickbed(Protocol):
    """The kubelet, as what is written here needs it."""

    async def until_better(self, pod: Object, trouble: Trouble) -> None:
        """Wait until the pod has that trouble no more. Nothing happens meanwhile, and nothing is expected to.

        Raises:
            GoneError: the pod is going.
        """

    def write(self, pod: Object, **status: Any) -> None: ...

    def running(self, container: Object, *, is_ready: bool) -> Object: ...


class Ailments:
    """What each trouble does to a pod. All methods return when it is over, if ever."""

    def __init__(self, sickbed: Sickbed, *, clock: SimulatedClock, events: EventRecorder) -> None:
        self._sickbed = sickbed
        self._clock = clock
        self._events = events
        self.before_start: dict[Trouble, Course] = {
            Trouble.VOLUME: self._lack_volume,
            Trouble.SANDBOX: self._lack_sandbox,
            Trouble.IMAGE_PULL: self._lack_image,
            Trouble.CONFIGURATION: self._lack_configuration,
        }
        self.after_start: dict[Trouble, Course] = {
            Trouble.CRASH_LOOP: self._crash,
            Trouble.OUT_OF_MEMORY: self._crash,
            Trouble.PROBE: self._fail_probe,
            Trouble.LATE: self._be_late,
        }

    async def wait_for_node(self, pod: Object) -> None:
        now = wire_time(self._clock.now())
        refused = {"status": "False", "reason": "Unschedulable", "message": _NO_ROOM}
        self._sickbed.write(pod, conditions=[{"type": "PodScheduled", "lastTransitionTime": now} | refused])
        self._events.tell(pod, "FailedScheduling", _NO_ROOM, component="default-scheduler")
        await self._sickbed.until_better(pod, Trouble.UNSCHEDULABLE)

    async def _lack_volume(self, pod: Object, main: list[Object], trouble: Trouble) -> None:
        message = f'MountVolume.SetUp failed for volume "{main[0]["name"]}-data" : secret "{main[0]["name"]}" not found'
        self._events.tell(pod, "FailedMount", message, component="kubelet")
        await self._wait(pod, main, trouble, "ContainerCreating")

    async def _lack_sandbox(self, pod: Object, main: list[Object], trouble: Trouble) -> None:
        message = (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: "
            'plugin type="calico" failed (add): error getting ClusterInformation: connection is unauthorized'
        )
        self._events.tell(pod, "FailedCreatePodSandBox", message, component="kubelet")
        await self._wait(pod, main, trouble, "ContainerCreating")

    async def _lack_image(self, pod: Object, main: list[Object], trouble: Trouble) -> None:
        image = main[0]["image"]
        why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        error = f"rpc error: code = NotFound desc = {why}"
        self._sickbed.write(pod, containerStatuses=[waiting(c, "ErrImagePull", error) for c in main])
        self._events.tell(pod, "Failed", f'Failed to pull image "{image}": {error}', component="kubelet")
        await self._clock.sleep(_BACKOFF_SECONDS[0])
        await self._wait(
            pod, main, trouble, "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {error}'
        )

    async def _lack_configuration(self, pod: Object, main: list[Object], trouble: Trouble) -> None:
        message = f'configmap "{main[0]["name"]}-settings" not found'
        self._events.tell(pod, "Failed", f"Error: {message}", component="kubelet")
        await self._wait(pod, main, trouble, "CreateContainerConfigError", message)

    async def _wait(self, pod: Object, main: list[Object], trouble: Trouble, reason: str, message: str = "") -> None:
        conditions = started_conditions(NOT_READY, main, at=self._clock.now())
        if trouble in (Trouble.VOLUME, Trouble.SANDBOX):
            conditions[0] |= {"status": "False"}
        self._sickbed.write(pod, containerStatuses=[waiting(c, reason, message) for c in main], conditions=conditions)
        await self._sickbed.until_better(pod, trouble)

    async def _crash(self, pod: Object, main: list[Object], trouble: Trouble) -> None:
        """Start, end, wait a while, and again: three times, and then the wait is long enough to be for ever."""
        exit_code, reason = (137, "OOMKilled") if trouble is Trouble.OUT_OF_MEMORY else (1, "Error")
        conditions = started_conditions(NOT_READY, main, at=self._clock.now())
        for count, backoff in enumerate((*_BACKOFF_SECONDS, None)):
            running = [self._sickbed.running(container, is_ready=False) | {"restartCount": count} for container in main]
            self._sickbed.write(pod, phase="Running", containerStatuses=running, conditions=conditions)
            await self._clock.sleep(0.5)
            over = [ended(status, at=self._clock.now(), exit_code=exit_code, reason=reason) for status in running]
            self._sickbed.write(pod, containerStatuses=over)
            await self._clock.sleep(0.2)
            seconds = 10 * 2**count
            self._sickbed.write(pod, containerStatuses=[backing_off(status, pod, seconds=seconds) for status in over])
            self._events.tell(
                pod,
                "BackOff",
                f"Back-off restarting failed container {main[0]['name']} in pod {pod['metadata']['name']}",
                component="kubelet",
            )
            if backoff is not None:
                await self._clock.sleep(backoff)
        await self._sickbed.until_better(pod, trouble)

    async def _fail_probe(self, pod: Object, main: list[Object], trouble: Trouble) -> None:
        self._sickbed.write(pod, conditions=started_conditions(NOT_READY, main, at=self._clock.now()))
        message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        self._events.tell(pod, "Unhealthy", message, component="kubelet")
        await self._sickbed.until_better(pod, trouble)

    async def _be_late(self, pod: Object, main: list[Object], trouble: Trouble) -> None:
        self._sickbed.write(pod, conditions=started_conditions(NOT_READY, main, at=self._clock.now()))
        await self._clock.sleep(_LATE_SECONDS if trouble is Trouble.LATE else 0.0)
