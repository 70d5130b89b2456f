"""What the simulated programs of Flux tell of themselves: what they reconciled, for how long, and what they wrote.

Names, labels and buckets are those of the real ones, in simulated seconds. All programs are one process here, so what
is of a process (memory, CPU) is the whole simulator's for each of them.

Source: controller-runtime 0.24, pkg/internal/controller; fluxcd/pkg, runtime/metrics; client-go, tools/metrics.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from fluxtrail.simulator.apiserver.statuses import StatusError
from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock

PROGRAMS = {
    "source-controller": ("GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket"),
    "kustomize-controller": ("Kustomization",),
    "helm-controller": ("HelmRelease",),
}
"""The simulated programs, and the kinds that each is the controller of, whether or not there are any."""
_EACH = ("kind", "name", "namespace")
_DURATIONS = tuple(0.01 * (1800 / 0.01) ** (step / 9) for step in range(10))
_RECONCILE_TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)
_WRITES = {"create": "POST", "patch": "PATCH", "patch_status": "PATCH", "update": "PUT", "delete": "DELETE"}
_DONE = {"POST": "201"}


class Result(StrEnum):
    """How controller-runtime counts the end of a reconciliation."""

    SUCCESS = "success"
    ERROR = "error"
    REQUEUE = "requeue"
    REQUEUE_AFTER = "requeue_after"


class Reconciliation:
    """One that is under way; whoever does it says how it ended."""

    def __init__(self, controller: str, began: float) -> None:
        self.controller = controller
        self.began = began
        self.result = Result.SUCCESS

    def end(self, wait_seconds: float | None, *, has_failed: bool = False) -> None:
        """It comes again after so many seconds, or only when something changes; or it ended with an error."""
        if has_failed:
            self.result = Result.ERROR
        else:
            self.result = Result.SUCCESS if wait_seconds is None else Result.REQUEUE_AFTER


class ControllerMetrics:
    """The metrics of one program on one cluster."""

    def __init__(self, program: str, clock: SimulatedClock) -> None:
        self.program = program
        self._clock = clock
        self._busy: list[Reconciliation] = []
        self.registry = registry = CollectorRegistry()
        self._durations = Histogram(
            "gotk_reconcile_duration_seconds",
            "The duration in seconds of a reconciliation.",
            _EACH,
            buckets=_DURATIONS,
            registry=registry,
        )
        self._reconciled = Counter(
            "controller_runtime_reconcile_total", "Reconciliations.", ("controller", "result"), registry=registry
        )
        self._times = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Length of a reconciliation.",
            ("controller",),
            buckets=_RECONCILE_TIMES,
            registry=registry,
        )
        self._requests = Counter(
            "rest_client_requests_total", "Writes to the API server.", ("code", "host", "method"), registry=registry
        )
        self._work = Histogram(
            "workqueue_work_duration_seconds",
            "Length of the work on an item.",
            ("controller", "name"),
            registry=registry,
        )
        self._longest = Gauge(
            "workqueue_longest_running_processor_seconds",
            "For how long the longest work has been under way.",
            ("controller", "name"),
            registry=registry,
        )
        self._set_up()

    @property
    def pod(self) -> str:
        return f"{self.program}-5b8f6c9d4-simul"

    def _set_up(self) -> None:
        """Series that are there before anything happened."""
        depth = Gauge(
            "workqueue_depth",
            "Items that wait. None here: every object has a worker of its own.",
            ("controller", "name"),
            registry=self.registry,
        )
        for kind in PROGRAMS[self.program]:
            controller = kind.lower()
            for result in Result:
                self._reconciled.labels(controller, result.value)
            self._times.labels(controller)
            for each in (self._work, self._longest, depth):
                each.labels(controller, controller)
        go = Gauge("go_info", "The program's language: Python's version, here.", ("version",), registry=self.registry)
        go.labels(f"python{platform.python_version()}").set(1)
        memory = Gauge("go_memstats_alloc_bytes", "Memory in use, of the whole simulator.", registry=self.registry)
        memory.set_function(resident_bytes)
        ProcessCollector(registry=self.registry)

    @contextmanager
    def reconciling(self, kind: str, namespace: str, name: str) -> Iterator[Reconciliation]:
        """One reconciliation, from here to the block's end. One that is cancelled has not been."""
        work = Reconciliation(kind.lower(), self._clock.monotonic())
        self._busy.append(work)
        try:
            yield work
        finally:
            self._busy.remove(work)
        seconds = self._clock.monotonic() - work.began
        self._durations.labels(kind, name, namespace).observe(seconds)
        self._reconciled.labels(work.controller, work.result.value).inc()
        self._times.labels(work.controller).observe(seconds)
        self._work.labels(work.controller, work.controller).observe(seconds)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """The object is gone, and what was told of it alone."""
        self._durations.remove_by_labels({"kind": kind, "name": name, "namespace": namespace})

    def counted(self, store: Store, host: str = "kubernetes.default.svc:443") -> Store:
        """Return the store as this program writes to it: each write is a request. It reads from its cache."""

        def count(method: str, code: str) -> None:
            self._requests.labels(code, host, method).inc()

        return cast("Store", _CountedStore(store, count))

    def exposition(self) -> bytes:
        now = self._clock.monotonic()
        for kind in PROGRAMS[self.program]:
            controller = kind.lower()
            ages = (now - work.began for work in self._busy if work.controller == controller)
            self._longest.labels(controller, controller).set(max(ages, default=0.0))
        # What Python's client adds of its own.
        lines = generate_latest(self.registry).splitlines(keepends=True)
        return b"".join(line for line in lines if b"_created" not in line)


class _CountedStore:
    def __init__(self, store: Store, count: Callable[[str, str], None]) -> None:
        self._store = store
        self._count = count

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        method = _WRITES.get(name)
        if method is None:
            return found

        def write(*given: Any, **more: Any) -> Any:
            try:
                answer = found(*given, **more)
            except StatusError as exc:
                self._count(method, str(exc.code))
                raise
            self._count(method, _DONE.get(method, "200"))
            return answer

        return write


def resident_bytes() -> float:
    """Return the memory that this process has, as Linux counts it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def kubelet_exposition(pods: list[str], namespace: str) -> bytes:
    """Return what the kubelet tells of these pods' memory."""
    registry = CollectorRegistry()
    memory = Gauge(
        "container_memory_working_set_bytes",
        "Memory in use, of the whole simulator.",
        ("namespace", "pod", "container"),
        registry=registry,
    )
    for pod in pods:
        memory.labels(namespace, pod, "manager").set(resident_bytes())
    return generate_latest(registry)
