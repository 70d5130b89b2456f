"""A cluster as its API server has it; what is heard of it, and when, is up to the test.

Objects are Kubernetes' own JSON and go through the same projections as those of a real cluster. Each kind's stream
keeps its order; between the streams there is none, so a test may let one run ahead of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from tests.ledger.world import StillClock

from fluxtrail.model import projecting, wire_workloads
from fluxtrail.model.observation import (
    ClusterUid,
    Current,
    Gone,
    Listed,
    ObjectKey,
    ObjectUid,
    Observation,
    Seen,
    Unavailable,
)
from fluxtrail.model.workloads import Pod, Workload

Json = dict[str, Any]
Kind = tuple[str, str]
"""(group, kind)"""
Runs = Mapping[str, int | str | None]
"""Containers and which version's image each runs; as text an image id; None where it has none yet."""

POD: Kind = ("", "Pod")
REPLICA_SET: Kind = ("apps", "ReplicaSet")
DEPLOYMENT: Kind = ("apps", "Deployment")
DAEMON_SET: Kind = ("apps", "DaemonSet")
STATEFUL_SET: Kind = ("apps", "StatefulSet")
JOB: Kind = ("batch", "Job")
CRON_JOB: Kind = ("batch", "CronJob")
ROLLOUT: Kind = ("argoproj.io", "Rollout")
NOTE = "metadata.github.com/"

_TEMPLATED: dict[Kind, Callable[[wire_workloads.WireTemplated], Workload]] = {
    REPLICA_SET: projecting.project_replica_set,
    DEPLOYMENT: projecting.project_deployment,
    DAEMON_SET: projecting.project_daemon_set,
    STATEFUL_SET: projecting.project_stateful_set,
    JOB: projecting.project_job,
}


def digest(version: int) -> str:
    return f"sha256:{version:064x}"


def image_id(version: int) -> str:
    return f"ghcr.io/acme/app@{digest(version)}"


def project(doc: Json) -> Pod | Workload:
    """Return what a watcher would make of an object."""
    kind, body = kind_of(doc), msgspec.json.encode(doc)
    if kind == POD:
        return projecting.project_pod(msgspec.json.decode(body, type=wire_workloads.WirePod))
    if kind == CRON_JOB:
        return projecting.project_cron_job(msgspec.json.decode(body, type=wire_workloads.WireCronJob))
    if kind in _TEMPLATED:
        return _TEMPLATED[kind](msgspec.json.decode(body, type=wire_workloads.WireTemplated))
    owned = msgspec.json.decode(body, type=wire_workloads.WireOwned)
    return projecting.project_owner(owned, group=kind[0], kind=kind[1])


def kind_of(doc: Json) -> Kind:
    group, _, _ = str(doc["apiVersion"]).rpartition("/")
    return group, str(doc["kind"])


def key_of(doc: Json) -> ObjectKey:
    return ObjectKey(*kind_of(doc), doc["metadata"]["namespace"], doc["metadata"]["name"])


class TurnedClock(StillClock):
    """Stands still until it is turned; who sleeps on it turns it."""

    def monotonic(self) -> float:
        return self.time.timestamp()

    def turn(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.turn(seconds)
        await asyncio.sleep(0)


class Cluster:
    """The truth, and what of it is on its way to whom watches.

    Attributes:
        streams: what each watched kind's stream has brought and nobody has heard yet.
        unreadable: kinds that cannot be watched, with the reason.
    """

    def __init__(self, uid: str = "c1", clock: TurnedClock | None = None) -> None:
        self.uid = ClusterUid(uid)
        self.clock = clock or TurnedClock()
        self.objects: dict[str, Json] = {}
        self.streams: dict[Kind, deque[Observation[Any]]] = {}
        self.unreadable: dict[Kind, str] = {}
        self._made = 0

    # -- what is watched -------------------------------------------------------------------------------------------

    def watch(self, kind: Kind) -> None:
        """Open a stream: it lists what there is. One that was open before is given up."""
        stream = self.streams[kind] = deque()
        if kind in self.unreadable:
            stream.append(self._unavailable(kind, self.unreadable[kind]))
            return
        stream.extend(self._seen(doc) for doc in self.objects.values() if kind_of(doc) == kind)
        stream.append(Listed(group=kind[0], kind=kind[1], observed_at=self.now))

    def forbid(self, kind: Kind, reason: str = "forbidden") -> None:
        """From now on the kind cannot be watched; who watches it hears that."""
        self.unreadable[kind] = reason
        if kind in self.streams:
            self.streams[kind].append(self._unavailable(kind, reason))

    def allow(self, kind: Kind, *, known: Sequence[Json] = ()) -> None:
        """The kind can be watched again: it is listed.

        Args:
            known: what the watcher held of it before; what of that is not there any more is told to be gone.
        """
        del self.unreadable[kind]
        self.watch(kind)
        gone = [self._gone(doc) for doc in known if doc["metadata"]["uid"] not in self.objects]
        self.streams[kind].extendleft(gone)

    def bookmark(self, *kinds: Kind) -> None:
        """Tell that streams are complete up to now; all of them where none is named."""
        for kind in kinds or tuple(self.streams):
            if kind not in self.unreadable:
                self.streams[kind].append(Current(group=kind[0], kind=kind[1], observed_at=self.now))

    # -- what there is ---------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def make(
        self,
        kind: Kind,
        name: str,
        *,
        owner: Json | Sequence[Json] = (),
        namespace: str = "prod",
        notes: Mapping[str, str] | None = None,
        containers: Sequence[str] = ("app",),
        replicas: int | None = None,
        revision: int = 0,
        update_revision: str = "",
    ) -> Json:
        """Make an object that owns pods, directly or by another."""
        template = {"spec": {"containers": [{"name": each, "image": "i"} for each in containers]}}
        annotations = {NOTE + note: value for note, value in (notes or {}).items()}
        if revision:
            annotations["deployment.kubernetes.io/revision"] = str(revision)
        spec: Json = {"template": template} if kind != CRON_JOB else {"jobTemplate": {"spec": {"template": template}}}
        if replicas is not None:
            spec["replicas"] = replicas
        doc = self._doc(kind, name, namespace, owner, annotations) | {"spec": spec}
        if update_revision:
            doc["status"] = {"updateRevision": update_revision}
        return self.put(doc)

    def pod(
        self,
        name: str,
        *,
        owner: Json | Sequence[Json] = (),
        runs: Runs | None = None,
        init: Runs | None = None,
        phase: str = "Running",
        namespace: str = "prod",
        notes: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        node: str = "node-1",
    ) -> Json:
        """Make a pod; each is a second younger than whatever was made before."""
        annotations = {NOTE + note: value for note, value in (notes or {}).items()}
        doc = self._doc(POD, name, namespace, owner, annotations)
        doc["metadata"]["labels"] = dict(labels or {})
        doc |= {"spec": {"nodeName": node}, "status": {"phase": phase}}
        self.run(doc, {"app": 1} if runs is None else runs, init=init or {})
        return self.put(doc)

    def run(self, pod: Json, runs: Runs, *, init: Runs | None = None) -> None:
        """Let a pod's containers run these versions; to be told with `put`."""
        for field, found in (("containers", runs), ("initContainers", init)):
            if found is None:
                continue
            pod["spec"][field] = [{"name": name, "image": _image(version)} for name, version in found.items()]
            status = "containerStatuses" if field == "containers" else "initContainerStatuses"
            pod["status"][status] = [self._status(name, version) for name, version in found.items()]

    def put(self, doc: Json) -> Json:
        """Tell of an object as it is now."""
        self.objects[doc["metadata"]["uid"]] = doc
        if (stream := self.streams.get(kind_of(doc))) is not None and kind_of(doc) not in self.unreadable:
            stream.append(self._seen(doc))
        return doc

    def annotate(self, doc: Json, notes: Mapping[str, str]) -> None:
        doc["metadata"]["annotations"] = {NOTE + name: value for name, value in notes.items()}
        self.put(doc)

    def terminate(self, *docs: Json) -> None:
        """Begin to delete: it is still there, on its way out."""
        for doc in docs:
            doc["metadata"]["deletionTimestamp"] = _text(self.now)
            self.put(doc)

    def delete(self, *docs: Json) -> None:
        for doc in docs:
            del self.objects[doc["metadata"]["uid"]]
            if (stream := self.streams.get(kind_of(doc))) is not None and kind_of(doc) not in self.unreadable:
                stream.append(self._gone(doc))

    def find(self, kind: Kind, name: str) -> Json:
        return next(doc for doc in self.objects.values() if kind_of(doc) == kind and doc["metadata"]["name"] == name)

    # -- several at once -------------------------------------------------------------------------------------------

    def roll_out(self, owner: Json, version: int, *, revision: int, pods: int = 1) -> Json:
        """Make a Deployment's (or a Rollout's) ReplicaSet with its pods; returns the ReplicaSet."""
        name = f"{owner['metadata']['name']}-{version:x}c9d"
        made = self.make(
            REPLICA_SET, name, owner=owner, revision=revision, replicas=pods, namespace=owner["metadata"]["namespace"]
        )
        for _ in range(pods):
            self.add_pod(made, version)
        return made

    def add_pod(self, owner: Json, version: int, **given: Any) -> Json:
        name = f"{owner['metadata']['name']}-p{self._made}"
        return self.pod(name, owner=owner, runs={"app": version}, namespace=owner["metadata"]["namespace"], **given)

    def pods_of(self, owner: Json) -> list[Json]:
        uid = owner["metadata"]["uid"]
        return [
            doc
            for doc in self.objects.values()
            if kind_of(doc) == POD and any(each["uid"] == uid for each in doc["metadata"]["ownerReferences"])
        ]

    # -- JSON ------------------------------------------------------------------------------------------------------

    def _doc(
        self, kind: Kind, name: str, namespace: str, owner: Json | Sequence[Json], annotations: Mapping[str, str]
    ) -> Json:
        self.clock.turn(1)
        self._made += 1
        owners = [owner] if isinstance(owner, dict) else list(owner)
        return {
            "apiVersion": f"{kind[0]}/v1" if kind[0] else "v1",
            "kind": kind[1],
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"{self.uid}-{self._made}",
                "creationTimestamp": _text(self.now),
                "annotations": dict(annotations),
                "ownerReferences": [_reference(each, is_controller=each is owners[0]) for each in owners],
            },
        }

    def _status(self, name: str, version: int | str | None) -> Json:
        found = image_id(version) if isinstance(version, int) else version or ""
        return {"name": name, "imageID": found, "state": {"running": {"startedAt": _text(self.now)}}}

    def _seen(self, doc: Json) -> Seen[Pod | Workload]:
        return Seen(key=key_of(doc), object=project(doc), observed_at=self.now, was_held=False)

    def _gone(self, doc: Json) -> Gone:
        return Gone(key=key_of(doc), uid=ObjectUid(doc["metadata"]["uid"]), observed_at=self.now)

    def _unavailable(self, kind: Kind, reason: str) -> Unavailable:
        return Unavailable(group=kind[0], kind=kind[1], observed_at=self.now, reason=reason, message="")


def _reference(owner: Json, *, is_controller: bool) -> Json:
    meta = owner["metadata"]
    named = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return named | {"controller": is_controller}


def _image(version: int | str | None) -> str:
    return f"ghcr.io/acme/app:v{version}" if isinstance(version, int) else "ghcr.io/acme/app"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
