"""How one Deployment rolls out, in statuses that a controller may write in any order, and some that it hardly would.

Every write is one that the API server takes: its validation of counts is kept to.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.hostile_pods import REVISION, Api
from benchmarks.rollouts_truth import Followed, has_rolled_out

IMAGE = "registry.example/acme/shop"
FLICKER_SECONDS = 3.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a Deployment behaves each time that it rolls out."""

    has_replica_sets: bool = False
    has_pods: bool = False
    is_scaled: bool = False
    """By an autoscaler, in the middle of it."""
    is_scaled_late: bool = False
    """By an autoscaler, soon after it was done."""
    flickers: bool = False
    """Had rolled out for an instant, then not for seconds."""
    is_held: bool = False
    """Its first roll-out never ends: it waits for the next."""
    is_stuck: bool = False


class Rolling:
    """Writes the statuses of one Deployment, and takes note of what each made true."""

    def __init__(self, api: Api, item: Followed, manner: Manner, dice: random.Random, *, is_simulated: bool) -> None:
        self.item = item
        self.manner = manner
        self._api = api
        self._dice = dice
        self._is_simulated = is_simulated
        self._revision = 0
        self._replica_set = ""
        self._filled = 0
        """Pods of which the newest ReplicaSet's status says that they are available."""

    # -- what a controller does --------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Be rolled out, as it was for days."""
        await self._template(1)
        wanted = self.item.wanted
        await self._write(_counts(wanted, wanted, wanted, wanted), observed=self.item.generation)

    async def roll(self, *, is_to_end: bool) -> None:
        """Go from one template to the next in hostile steps; without `is_to_end` never get there."""
        item, dice = self.item, self._dice
        old = item.generation - 1
        await asyncio.sleep(dice.uniform(0, 3))
        is_late, scale_at = dice.random() < 0.4, dice.randint(1, 3) if self.manner.is_scaled else 0
        await self._template(self._revision + 1)
        if is_late:
            await self._write(item.status, observed=old)
        for step in range(dice.randint(2, 6)):
            await self._write(self._hostile(), observed=old if is_late else item.generation)
            await asyncio.sleep(dice.uniform(0, 0.8))
            if step + 1 == scale_at:
                await self.scale(item.wanted + dice.randint(1, 3))
        if is_to_end:
            await self._end(is_late=is_late, old=old)

    async def _end(self, *, is_late: bool, old: int) -> None:
        item, dice = self.item, self._dice
        wanted, spare = item.wanted, item.wanted // 4
        if is_late:
            await self._write(_counts(wanted, wanted, wanted, wanted), observed=old)
            await asyncio.sleep(dice.uniform(0, 0.6))
        if self.manner.has_pods:
            await self._ready_pods()
        if self.manner.has_replica_sets and not is_late and dice.random() < 0.5:
            await self._write(_counts(wanted + 1, wanted, wanted, max(wanted - spare - 1, 0)), observed=item.generation)
            await self._write_newest(wanted)  # before the Deployment says so
            await asyncio.sleep(dice.uniform(0.2, 1.5))
        extra = dice.randint(0, 2)
        await self._write(
            _counts(wanted + extra, wanted, wanted + extra, wanted + extra - dice.randint(0, spare)),
            observed=item.generation,
        )
        if self.manner.flickers:
            await self._write(_counts(wanted, wanted, 0, 0), observed=item.generation)
            await asyncio.sleep(FLICKER_SECONDS)
        elif self.manner.is_scaled_late:
            await asyncio.sleep(dice.uniform(0, 4))
            await self.scale(wanted + dice.randint(1, 3))
            await self._write(_counts(wanted, wanted, wanted, wanted), observed=item.generation)
            await asyncio.sleep(dice.uniform(0, 3))
        wanted = item.wanted
        await self._write(_counts(wanted, wanted, wanted, wanted), observed=item.generation)
        if self._newest_is_behind():
            await self._write_newest(wanted)
        await self._afterwards()

    async def _afterwards(self) -> None:
        """Crash and come back, for some: what is reached stays so."""
        item, dice = self.item, self._dice
        if dice.random() < 0.3:
            await asyncio.sleep(dice.uniform(0.5, 2))
            await self._write(_counts(item.wanted, item.wanted, 0, 0), observed=item.generation)
            await asyncio.sleep(dice.uniform(0, 1))
            await self._write(_counts(item.wanted, item.wanted, item.wanted, item.wanted), observed=item.generation)

    def _hostile(self) -> Json:
        """Return counts by which it has not rolled out, whatever it observed."""
        item, dice = self.item, self._dice
        seen = Followed(item.name, item.wanted, generation=item.generation)
        while True:
            total = dice.randint(0, item.wanted + 2)
            ready = dice.randint(0, total)
            counts = _counts(total, dice.randint(0, min(total, item.wanted)), ready, dice.randint(0, ready))
            seen.status = counts | {"observedGeneration": item.generation}
            if not has_rolled_out(seen):
                return counts

    # -- requests -----------------------------------------------------------------------------------------------

    async def _write(self, counts: Json, *, observed: int) -> None:
        item = self.item
        async with item.lock:
            sent = datetime.now(UTC)
            status = _full(counts) | {"observedGeneration": observed}
            await self._api.patch("Deployment", item.name, {"status": status}, "status")
            item.status = status
            item.note(sent)

    async def scale(self, replicas: int) -> None:
        """As an autoscaler does: by the subresource, in its own name."""
        item = self.item
        async with item.lock:
            sent = datetime.now(UTC)
            if self._is_simulated:
                found = await self._api.call("GET", self._api.path("Deployment", item.name))
                body = {"metadata": {"managedFields": signed(found, "autoscaler", "scale")}}
                await self._api.patch("Deployment", item.name, body | {"spec": {"replicas": replicas}})
            else:
                await self._api.patch("Deployment", item.name, {"spec": {"replicas": replicas}}, "scale")
            found = await self._api.call("GET", self._api.path("Deployment", item.name))
            item.wanted, item.generation = replicas, found["metadata"]["generation"]
            item.note(sent)

    async def _template(self, revision: int) -> None:
        """Make the ReplicaSet of a new template, and its pods, none of which is ready."""
        self._revision = revision
        if not self.manner.has_replica_sets:
            return
        item = self.item
        owner = {"kind": "Deployment", "metadata": {"name": item.name, "uid": item.uid}}
        labels = {"app": item.name, "pod-template-hash": f"t{revision}"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": IMAGE}]}}
        metadata: Json = {
            "name": f"{item.name}-t{revision}",
            "annotations": {REVISION: str(revision)},
            "labels": labels,
            "ownerReferences": [_reference(owner)],
        }
        spec = {"replicas": item.wanted, "selector": {"matchLabels": labels}, "template": template}
        async with item.lock:
            made = await self._api.create("ReplicaSet", {"metadata": metadata, "spec": spec})
            self._replica_set, self._filled, item.pods_at = metadata["name"], 0, None
        if self.manner.has_pods and revision > 1:
            for number in range(item.wanted):
                await self._api.create("Pod", _pod(item, made, number, labels))

    async def _write_newest(self, count: int) -> None:
        status = {"replicas": count, "fullyLabeledReplicas": count, "readyReplicas": count}
        status |= {"availableReplicas": count, "observedGeneration": 1}
        await self._api.patch("ReplicaSet", self._replica_set, {"status": status}, "status")
        self._filled = count

    def _newest_is_behind(self) -> bool:
        return self.manner.has_replica_sets and self._filled < self.item.wanted

    async def _ready_pods(self) -> None:
        """Let pods become ready one after the other, as nodes say it; the last of those needed is the truth."""
        item, dice = self.item, self._dice
        needed = max(item.wanted - item.wanted // 4, 1)
        for number in range(item.wanted):
            name = f"{self._replica_set}-{number}"
            if dice.random() < 0.3:
                await self._api.patch("Pod", name, {"status": _pod_status(is_ready=False)}, "status")
            at = datetime.now(UTC)
            await self._api.patch("Pod", name, {"status": _pod_status(is_ready=True)}, "status")
            if number + 1 == needed:
                item.pods_at = at
            await asyncio.sleep(dice.uniform(0, 0.1))


def _counts(total: int, updated: int, ready: int, available: int) -> Json:
    return {
        "replicas": total,
        "updatedReplicas": min(updated, total),
        "readyReplicas": min(ready, total),
        "availableReplicas": min(available, ready, total),
    }


def _full(counts: Json) -> Json:
    """Nothing of the status before is left over, as when a controller writes all of it."""
    unavailable = max(counts.get("replicas", 0) - counts.get("availableReplicas", 0), 0)
    return counts | {"unavailableReplicas": unavailable or None}


def _reference(owner: Json) -> Json:
    metadata = owner["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }


def signed(found: Json, manager: str, subresource: str = "") -> list[Json]:
    """Return `managedFields` with a new entry, as a server that keeps them would."""
    entry: Json = {
        "manager": manager,
        "operation": "Update" if subresource else "Apply",
        "apiVersion": "apps/v1",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {}},
    }
    others = [item for item in found["metadata"].get("managedFields") or () if item["manager"] != manager]
    return [*others, entry | ({"subresource": subresource} if subresource else {})]


def _pod(item: Followed, owner: Json, number: int, labels: Json) -> Json:
    made = owner | {"kind": "ReplicaSet"}
    name = f"{made['metadata']['name']}-{number}"
    return {
        "metadata": {"name": name, "labels": labels, "ownerReferences": [_reference(made)]},
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": f"{IMAGE}-{item.name}:1"}]},
    }


def _pod_status(*, is_ready: bool) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    state: Json = {"running": {"startedAt": now}} if is_ready else {"waiting": {"reason": "ContainerCreating"}}
    run = {"name": "app", "image": IMAGE, "imageID": "", "ready": is_ready, "restartCount": 0, "state": state}
    condition = {"type": "Ready", "status": "True" if is_ready else "False", "lastTransitionTime": now}
    return {"phase": "Running" if is_ready else "Pending", "conditions": [condition], "containerStatuses": [run]}
