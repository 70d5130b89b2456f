"""Events of the core group, as controllers and nodes write them: the only place where some troubles are told."""

from __future__ import annotations

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.workloads.objects import Object


class EventRecorder:
    """Writes one Event an object and reason; the same thing once more is counted in it, as client-go does."""

    def __init__(self, store: Store, clock: SimulatedClock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[tuple[str, str, str], str] = {}

    def tell(self, about: Object, reason: str, message: str, *, component: str, kind: str = "Warning") -> None:
        metadata, now = about["metadata"], wire_time(self._clock.now())
        key = (metadata["uid"], reason, message)
        name = self._known.get(key)
        present = self._store.find("events", name, metadata["namespace"]) if name else None
        if present is not None and name is not None:
            again = {"count": present["count"] + 1, "lastTimestamp": now}
            self._store.patch("events", name, metadata["namespace"], again)
            return
        made = self._store.create("events", _event(about, reason, message, component=component, kind=kind, now=now))
        self._known[key] = made["metadata"]["name"]


def _event(about: Object, reason: str, message: str, *, component: str, kind: str, now: str) -> Object:
    metadata = about["metadata"]
    return {
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "reason": reason,
        "message": message,
        "type": kind,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
    }
