"""What people do to the workloads of one cluster by hand, beside what Flux delivers: one round after the other.

Nothing ends in a state of which a look at the cluster could not say what ran there: who was away meanwhile must
still be able to end with the truth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Protocol

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.truth import Truth
from fluxtrail.simulator.workloads.controller import WorkloadController
from fluxtrail.simulator.workloads.images import image_digest
from fluxtrail.simulator.workloads.objects import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    PODS,
    ROLLOUTS,
    STATEFUL_SETS,
    Object,
    staying,
)
from fluxtrail.simulator.workloads.tenants import NAMESPACE, STABLE_IMAGE, image

_LATE_SECONDS = 20.0
"""How long an attestation is late."""


class Attestations(Protocol):
    """Which digests GitHub knows no artifact of."""

    unattested: set[str]

    def attest(self, digests: Collection[str]) -> None: ...


class People:
    """Plays rounds on one cluster.

    Args:
        is_odd: this cluster is the one on which some things end otherwise: a canary is taken back, a deletion
            happens in the foreground, an attestation comes late, a rollback is quicker than a roll-out.
    """

    def __init__(
        self,
        cluster: str,
        workloads: WorkloadController,
        *,
        clock: SimulatedClock,
        truth: Truth,
        attestations: Attestations,
        dice: random.Random,
        is_odd: bool,
    ) -> None:
        self.is_finished = False
        self._cluster = cluster
        self._workloads = workloads
        self._store = workloads.store
        self._clock = clock
        self._truth = truth
        self._attestations = attestations
        self._dice = dice
        self._is_odd = is_odd

    async def play(self, rounds: int) -> None:
        for number in range(1, rounds + 1):
            await self._round(number)
        await self._until_settled()
        self.is_finished = True

    async def _round(self, number: int) -> None:
        await self._roll("catalog", DEPLOYMENTS, f"1.{number}")
        self._cron()
        if number == 1:
            await self._do("annotate", self._annotate)
            await self._do("drop container", self._drop_exporter)
            await self._do("delete", self._delete)
        await self._roll("catalog", DEPLOYMENTS, f"2.{number}", pause_seconds=1.5 if self._is_odd else 8.0)
        await self._roll("catalog", DEPLOYMENTS, f"1.{number}")
        await self._do("move tag", lambda: self._move_tag(number))
        await self._roll("checkout", ROLLOUTS, f"1.{number}", pause_seconds=4.0)
        if self._is_odd:
            self._abort_canary()
        await self._do("scale to zero", lambda: self._scale("batcher", 0))
        self._cron()
        await self._roll("database", STATEFUL_SETS, f"15.{number + 1}")
        if self._is_odd:
            await self._late_attestation(number)
        await self._roll("node-agent", DAEMON_SETS, f"1.{number}")
        await self._do("scale back", lambda: self._scale("batcher", 2))
        self._cron()

    async def _do(self, what: str, deed: Callable[[], None], pause_seconds: float | None = None) -> None:
        self._truth.note("people", cluster=self._cluster, deed=what)
        deed()
        await self._clock.sleep(self._dice.uniform(2.0, 5.0) if pause_seconds is None else pause_seconds)

    async def _roll(self, name: str, resource: str, version: str, *, pause_seconds: float | None = None) -> None:
        """Give a workload's first container another version; its name is the image's."""

        def change(spec: Object) -> None:
            spec["containers"][0]["image"] = image(name, version)

        await self._do(f"roll {name} to {version}", lambda: self._edit(resource, name, change), pause_seconds)

    def _edit(self, resource: str, name: str, change: Callable[[Object], None]) -> None:
        obj = self._store.get(resource, name, NAMESPACE)
        change(obj["spec"]["template"]["spec"])
        self._store.update(resource, obj)

    def _cron(self) -> None:
        self._truth.note("people", cluster=self._cluster, deed="run report")
        if self._store.find(CRON_JOBS, "report", NAMESPACE) is not None:
            self._workloads.cron_jobs.trigger(NAMESPACE, "report")

    def _annotate(self) -> None:
        notes = {"metadata.github.com/team": "discovery", "metadata.github.com/runtime-risks": "internet-exposed"}
        self._store.patch(DEPLOYMENTS, "search", NAMESPACE, {"metadata": {"annotations": notes}})

    def _drop_exporter(self) -> None:
        def change(spec: Object) -> None:
            spec["containers"] = [item for item in spec["containers"] if item["name"] != "exporter"]

        self._edit(DEPLOYMENTS, "search", change)

    def _delete(self) -> None:
        if self._is_odd:
            self._workloads.delete_in_foreground(DEPLOYMENTS, NAMESPACE, "legacy")
        else:
            self._store.delete(DEPLOYMENTS, "legacy", NAMESPACE)
        self._store.begin_deletion(PODS, "debug", NAMESPACE, grace_seconds=30)

    def _scale(self, name: str, replicas: int) -> None:
        self._store.patch(DEPLOYMENTS, name, NAMESPACE, {"spec": {"replicas": replicas}})

    def _move_tag(self, number: int) -> None:
        """The tag stands for something new, and the containers that run it crash."""
        self._workloads.registry.move_tag(STABLE_IMAGE, f"{STABLE_IMAGE} {number}")
        for pod in staying(self._store.list(PODS, NAMESPACE, label_selector="app=edge-cache")):
            statuses = (pod.get("status") or {}).get("containerStatuses") or ()
            if any(status["imageID"] and "running" in status["state"] for status in statuses):
                self._workloads.kubelet.restart(NAMESPACE, pod["metadata"]["name"], "cache")

    def _abort_canary(self) -> None:
        self._truth.note("people", cluster=self._cluster, deed="abort checkout")
        status = self._store.get(ROLLOUTS, "checkout", NAMESPACE).get("status") or {}
        if status.get("stableRS") != status.get("currentPodHash"):
            self._store.patch_status(ROLLOUTS, "checkout", NAMESPACE, {"abort": True})

    async def _late_attestation(self, number: int) -> None:
        digest = image_digest(image("search", f"1.{number}"))
        self._attestations.unattested.add(digest)
        await self._roll("search", DEPLOYMENTS, f"1.{number}", pause_seconds=_LATE_SECONDS)
        self._attestations.attest([digest])
        self._truth.note("people", cluster=self._cluster, deed=f"attest search 1.{number}")

    async def _until_settled(self) -> None:
        while not self._workloads.is_settled():
            await self._clock.sleep(0.2)
