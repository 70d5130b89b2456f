"""A HelmRelease that Flux gives up for a fault that passes, and who heals it; and what doctors say that they did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from fluxtrail.simulator.clock import precise_time
from fluxtrail.simulator.flux import FluxCluster
from fluxtrail.simulator.helm.layout import NAMESPACE
from fluxtrail.simulator.helm.release_object import RESET_AT, RESOURCE
from fluxtrail.simulator.source_controller import REQUESTED_AT
from fluxtrail.simulator.truth import Truth

FAULT = 'failed calling webhook "policy.acme.example": connect: connection refused'
KEPT_TREATMENTS = 500
_REASON = "DoctorTreated"

Json = dict[str, Any]


class Stuck:
    """One release, from the fault that it meets to its healing.

    Args:
        name: of the release. It stands well, and nothing is under way with it.
    """

    def __init__(self, cluster: FluxCluster, name: str, *, truth: Truth) -> None:
        self._cluster = cluster
        self._name = name
        self._truth = truth
        self._release = next(r for r in truth.releases if (r.cluster, r.release) == (cluster.name, name))
        self._before = len(self._release.attempts)

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Whatever Helm does with the release meanwhile fails."""
        outages = self._cluster.helm.outages
        outages[NAMESPACE, self._name] = FAULT
        self._note("fault", is_there=True)
        try:
            yield
        finally:
            del outages[NAMESPACE, self._name]
            self._note("fault", is_there=False)

    def has_failed(self) -> bool:
        return any(attempt.failed_at for attempt in self._release.attempts[self._before :])

    def is_healed(self) -> bool:
        return any(attempt.succeeded_at for attempt in self._release.attempts[self._before :])

    def reset(self) -> None:
        """Do what `flux reconcile hr … --reset` does."""
        token = precise_time(self._note("reset"))
        requests = {REQUESTED_AT: token, RESET_AT: token}
        self._cluster.server.store.patch(RESOURCE, self._name, NAMESPACE, {"metadata": {"annotations": requests}})

    def _note(self, kind: str, **facts: Any) -> datetime:
        return self._truth.note(kind, cluster=self._cluster.name, target=self._release.name, **facts)


class Treatments:
    """What doctors did on the clusters: they leave an Event on what they treated."""

    def __init__(self, clusters: Mapping[str, FluxCluster], *, truth: Truth) -> None:
        self._changes = {name: cluster.server.store.subscribe("events") for name, cluster in clusters.items()}
        self._truth = truth
        self._kept: list[Json] = []
        self._count = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name in self._changes:
                group.create_task(self._watch(name), name=f"{name} treatments")

    def listed(self) -> list[Json]:
        """Return the newest ones, the oldest of them first; `number` goes on."""
        return list(self._kept)

    async def _watch(self, cluster: str) -> None:
        async for change in self._changes[cluster]:
            if change.type == "ADDED" and change.object.get("reason") == _REASON:
                self._add(cluster, change.object)

    def _add(self, cluster: str, event: Json) -> None:
        about = event["involvedObject"]
        self._count += 1
        treatment = {
            "number": self._count,
            "cluster": cluster,
            "target": f"{about['kind']}/{about['namespace']}/{about['name']}",
            "remedy": event.get("action", ""),
            "treated_at": event["lastTimestamp"],
            "message": event["message"],
        }
        self._truth.note("treated", **treatment)
        self._kept.append(treatment)
        del self._kept[:-KEPT_TREATMENTS]
