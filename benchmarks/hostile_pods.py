"""Workloads and pods on any API server, and what is done to them: every status that a node may ever write, and more.

Nothing runs these pods: they are as they were written last. Objects of one seed are the same, so are the deeds.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from fluxtrail.clusters.connection import Connection

AT_ONCE = 24
PODS_EACH = 10
VERSIONS = 5
TRIES = 5
REVISION = "deployment.kubernetes.io/revision"
GENERATION = "pod-template-generation"
HASH = "controller-revision-hash"
MERGE = "application/merge-patch+json"
_APPS = "/apis/apps/v1/namespaces"
_PATHS = {
    "Pod": ("/api/v1/namespaces", "pods"),
    "Deployment": (_APPS, "deployments"),
    "ReplicaSet": (_APPS, "replicasets"),
    "StatefulSet": (_APPS, "statefulsets"),
    "DaemonSet": (_APPS, "daemonsets"),
}
KINDS = tuple(_PATHS)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Json = dict[str, Any]


class Api:
    """Plain requests to an API server, in one namespace of its own."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.namespace = namespace
        self._connection = connection
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE), timeout=aiohttp.ClientTimeout(total=120)
        )

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[Api]:
        """Make the namespace, and delete it with all that is in it."""
        async with self._session:
            await self.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
            try:
                yield self
            finally:
                for kind in KINDS:
                    await self.call("DELETE", self.path(kind), {"gracePeriodSeconds": 0})
                await self.call("DELETE", f"/api/v1/namespaces/{self.namespace}")

    def path(self, kind: str, name: str = "", subresource: str = "") -> str:
        base, plural = _PATHS[kind]
        return "/".join(part for part in (base, self.namespace, plural, name, subresource) if part)

    async def call(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """Raises RuntimeError: it is refused, or does not answer."""
        credential = await self._connection._credentials.current()
        headers = {"Content-Type": content_type}
        if credential.authorization is not None:
            headers["Authorization"] = credential.authorization.reveal()
        tls = self._connection._tls
        ssl = tls.context(None) if tls is not None else True
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        url = self._connection.server + path
        for attempt in range(TRIES):
            async with self._session.request(method, url, data=data, headers=headers, ssl=ssl) as answer:
                raw = await answer.read()
                if answer.status < 300:
                    return json.loads(raw)
                if answer.status not in (409, 429, 500, 503, 504) or attempt + 1 == TRIES:
                    raise RuntimeError(f"{method} {path} answered {answer.status}: {raw[:300]!r}")
            await asyncio.sleep(0.2 * 2**attempt)
        raise AssertionError

    async def create(self, kind: str, body: Json) -> Json:
        version = "v1" if kind == "Pod" else "apps/v1"
        made: Json = await self.call("POST", self.path(kind), {"apiVersion": version, "kind": kind} | body)
        return made

    async def patch(self, kind: str, name: str, body: Json, subresource: str = "") -> None:
        await self.call("PATCH", self.path(kind, name, subresource), body, content_type=MERGE)

    async def list(self, kind: str) -> list[Json]:
        items: list[Json] = (await self.call("GET", self.path(kind)))["items"]
        return items


@dataclass(slots=True)
class Group:
    """Pods of one workload; of none where `kind` is Pod."""

    kind: str
    name: str
    containers: list[str]
    """`init` is an init container."""
    pods: list[Json] = field(default_factory=list)
    """As they were created, to be created again."""
    replica_sets: list[str] = field(default_factory=list)


@dataclass
class Hostility:
    """Fills a namespace, then patches it for a while.

    Attributes:
        digests: name -> every digest that was ever written for it.
        writes: how many requests changed something.
    """

    api: Api
    seed: int
    groups: list[Group] = field(default_factory=list)
    digests: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    writes: int = 0
    _newest: int = 2
    _busy: set[str] = field(default_factory=set)

    async def fill(self, pods: int) -> None:
        kinds = ["Deployment"] * 7 + ["StatefulSet", "DaemonSet", "Pod"]
        for number in range(max(1, pods // PODS_EACH)):
            containers = ["app", *(["proxy"] if number % 2 else []), *(["init"] if number % 3 == 0 else [])]
            self.groups.append(Group(kinds[number % len(kinds)], f"shop-{number:04d}", containers))
        dice = random.Random(self.seed)
        await _all(AT_ONCE, [self._make(group, random.Random(dice.random())) for group in self.groups])

    async def _make(self, group: Group, dice: random.Random) -> None:
        owners: list[Json] = [{}] * PODS_EACH
        if group.kind == "Deployment":
            top = await self._workload("Deployment", group, group.name)
            group.replica_sets = [f"{group.name}-{suffix}" for suffix in "ab"]
            made = [
                await self._workload("ReplicaSet", group, name, owner=top, revision=number)
                for number, name in enumerate(group.replica_sets, start=1)
            ]
            owners = [made[number % 2] for number in range(PODS_EACH)]
        elif group.kind != "Pod":
            owners = [await self._workload(group.kind, group, group.name)] * PODS_EACH
        if group.kind == "StatefulSet":
            await self.api.patch(group.kind, group.name, {"status": {"replicas": 1, "updateRevision": "two"}}, "status")
        group.pods = [_pod(group, number, owners[number]) for number in range(PODS_EACH)]
        for pod in group.pods:
            await self.api.create("Pod", pod)
            await self._write(group, pod, self._status(group, pod, dice, dice.randint(1, VERSIONS)))

    async def _workload(
        self, kind: str, group: Group, name: str, *, owner: Json | None = None, revision: int = 0
    ) -> Json:
        labels = {"app": name}
        spec: Json = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
        spec["template"]["spec"] = _pod_spec(group)
        spec |= {"replicas": PODS_EACH} if kind != "DaemonSet" else {}
        spec |= {"serviceName": name} if kind == "StatefulSet" else {}
        metadata: Json = {"name": name}
        if owner is not None:
            metadata |= {"ownerReferences": [_reference(owner)], "annotations": {REVISION: str(revision)}}
        return await self.api.create(kind, {"metadata": metadata, "spec": spec})

    # -- deeds -------------------------------------------------------------------------------------------------

    async def rage(self, seconds: float) -> None:
        """Patch at full speed for so long. No pod is written by two at once."""
        ends = asyncio.get_running_loop().time() + seconds
        dice = random.Random(self.seed + 1)

        async def write() -> None:
            while asyncio.get_running_loop().time() < ends:
                group = dice.choice(self.groups)
                pod = dice.choice(group.pods)
                name = pod["metadata"]["name"]
                if name in self._busy:
                    await asyncio.sleep(0)
                    continue
                self._busy.add(name)
                try:
                    await self._do(group, pod, random.Random(dice.random()))
                finally:
                    self._busy.discard(name)

        await asyncio.gather(*(write() for _ in range(AT_ONCE)))

    async def _do(self, group: Group, pod: Json, dice: random.Random) -> None:
        version, chance = dice.randint(1, VERSIONS), dice.random()
        if chance < 0.03 and group.replica_sets:
            self._newest += 1
            notes = {"annotations": {REVISION: str(self._newest)}}
            await self.api.patch("ReplicaSet", dice.choice(group.replica_sets), {"metadata": notes})
            self.writes += 1
        elif chance < 0.05:
            await self.api.call("DELETE", self.api.path("Pod", pod["metadata"]["name"]), {"gracePeriodSeconds": 0})
            await self.api.create("Pod", pod)
            self.writes += 2
        elif chance < 0.12:
            for step in (version, version % VERSIONS + 1, version):
                await self._write(group, pod, self._status(group, pod, dice, step))
        else:
            await self._write(group, pod, self._hostile(group, pod, dice, version, (chance - 0.12) / 0.88))

    async def _write(self, group: Group, pod: Json, status: Json) -> None:
        for key in ("containerStatuses", "initContainerStatuses"):
            for item in status.get(key) or ():
                found = _DIGEST.search(item.get("imageID") or "")
                if found:
                    self.digests[f"{self.api.namespace}/{workload_name(group, pod)}/{item['name']}"].add(found.group())
        await self.api.patch("Pod", pod["metadata"]["name"], {"status": status}, "status")
        self.writes += 1

    def _hostile(self, group: Group, pod: Json, dice: random.Random, version: int, chance: float) -> Json:
        status = self._status(group, pod, dice, version)
        if chance < 0.06:
            return {"containerStatuses": None, "initContainerStatuses": None}
        if chance < 0.14:  # the image id comes late, if ever
            late = {"imageID": "", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
            status["containerStatuses"] = [item | late for item in status["containerStatuses"]]
        elif chance < 0.18:
            return {"phase": "Pending", "containerStatuses": None, "initContainerStatuses": None, "conditions": None}
        elif chance < 0.22:
            status["phase"] = dice.choice(("Failed", "Succeeded", "Unknown"))
        elif chance < 0.24:
            status["containerStatuses"] = [item | {"imageID": "sha512:00ff"} for item in status["containerStatuses"]]
        elif chance < 0.30:
            status |= {"conditions": None, "podIP": None, "podIPs": None}
        return status

    def _status(self, group: Group, pod: Json, dice: random.Random, version: int) -> Json:
        """Return the status of a pod that runs its workload's images of a version."""
        started = _wire(datetime.now(UTC) - timedelta(seconds=dice.randint(0, 3600)))
        runs = [_run(group, each, version, started, dice) for each in group.containers]
        return {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": dice.choice(("True", "False"))}],
            "containerStatuses": [run for run in runs if run["name"] != "init"],
            "initContainerStatuses": [run for run in runs if run["name"] == "init"],
        }


def workload_name(group: Group, pod: Json) -> str:
    name: str = pod["metadata"]["name"] if group.kind == "Pod" else group.name
    return name


def _pod(group: Group, number: int, owner: Json) -> Json:
    labels = {"app": group.name}
    if group.kind == "StatefulSet":
        labels[HASH] = "two" if number % 2 else "one"
    elif group.kind == "DaemonSet":
        labels[GENERATION] = str(1 + number % 3)
    metadata: Json = {"name": f"{group.name}-{number}", "labels": labels}
    if owner:
        metadata["ownerReferences"] = [_reference(owner)]
    return {"metadata": metadata, "spec": _pod_spec(group) | {"nodeName": f"node-{number}"}}


def _pod_spec(group: Group) -> Json:
    settings = [{"name": f"SETTING_{index}", "value": f"value of setting {index}"} for index in range(12)]
    containers = [
        {"name": each, "image": _image(group, each), "env": settings} for each in group.containers if each != "init"
    ]
    return {
        "containers": containers,
        "initContainers": [{"name": "init", "image": _image(group, "init")}] if "init" in group.containers else [],
    }


def _run(group: Group, container: str, version: int, started: str, dice: random.Random) -> Json:
    image = _image(group, container)
    digest = "sha256:" + hashlib.sha256(f"{group.name} {container} {version}".encode()).hexdigest()
    name = image.rpartition(":")[0]
    image_id = dice.choice((f"{name}@{digest}", f"docker-pullable://{name}@{digest}", digest))
    state: Json = {"running": {"startedAt": started}}
    if container == "init":
        state = {"terminated": {"exitCode": 0, "startedAt": started, "finishedAt": started}}
    return {
        "name": container,
        "image": image,
        "imageID": image_id,
        "ready": dice.random() < 0.7,
        "restartCount": dice.randint(0, 9),
        "state": state,
    }


def _image(group: Group, container: str) -> str:
    return f"registry.example/acme/{group.name}-{container}:1.4"


def _reference(owner: Json) -> Json:
    metadata = owner["metadata"]
    return {
        "apiVersion": owner.get("apiVersion") or "apps/v1",
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }


def _wire(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def _all(at_once: int, deeds: Sequence[Any]) -> None:
    gate = asyncio.Semaphore(at_once)

    async def one(deed: Any) -> None:
        async with gate:
            await deed

    async with asyncio.TaskGroup() as tasks:
        for deed in deeds:
            tasks.create_task(one(deed))
