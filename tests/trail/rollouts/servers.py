"""An API server as a dictionary: what Flux, controllers and nodes make of workloads, told in streams and read by GET.

Objects are Kubernetes' own JSON and go through the real projections. Each kind's stream keeps its order; which stream
is heard when, is up to the test. Timestamps are of whole seconds, as Kubernetes writes them.
"""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from tests.trail.workloads.cluster import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    STATEFUL_SET,
    Json,
    Kind,
    digest,
    project,
)

from fluxtrail.model.errors import AuthError, UpstreamError
from fluxtrail.model.events import Event, WireEvents, project_events
from fluxtrail.model.flux import HELM_GROUP
from fluxtrail.model.observation import Gone, Listed, ObjectKey, ObjectUid, Observation, Seen
from fluxtrail.model.projecting import project_custom
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.wire_workloads import WireCustom
from fluxtrail.model.workloads import Pod, Workload

KINDS: tuple[Kind, ...] = (POD, REPLICA_SET, DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, CRON_JOB)
NAMESPACE = "shop"


class Times(Protocol):
    def now(self) -> datetime: ...


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(kind: Kind, name: str) -> ObjectKey:
    return ObjectKey(*kind, NAMESPACE, name)


class Server:
    """The truth, and what of it is on its way to whom watches.

    Attributes:
        releases: HelmReleases as they are: of them there are no documents.
        forbidden: keys that may not be read; unreachable: whether nothing can be.
        reads: keys that were read, in order.
        secretive: namespaces whose events may not be listed.
        asked: uids whose events were asked for, in order.
    """

    def __init__(self, clock: Times) -> None:
        self.clock = clock
        self.docs: dict[ObjectKey, Json] = {}
        self.releases: dict[ObjectKey, HelmRelease] = {}
        self.streams: defaultdict[Kind, deque[Observation[Any]]] = defaultdict(deque)
        self.kinds: list[Kind] = list(KINDS)
        self.forbidden: set[ObjectKey] = set()
        self.is_unreachable = False
        self.reads: list[ObjectKey] = []
        self.events: list[Json] = []
        self.secretive: set[str] = set()
        self.asked: list[ObjectUid] = []
        self._numbers = 0
        self._told: set[tuple[Kind, str]] = set()

    # -- reading -------------------------------------------------------------------------------------------------

    async def read(self, key: ObjectKey) -> Workload | Pod | HelmRelease | None:
        self.reads.append(key)
        if self.is_unreachable:
            raise UpstreamError("it does not answer", subject="prod", retryable=True)
        if key in self.forbidden:
            raise AuthError("it may not be read", subject=str(key))
        if key.group == HELM_GROUP:
            return self.releases.get(key)
        doc = self.docs.get(key)
        if doc is None:
            return None
        if (key.group, key.kind) in KINDS:
            return project(doc)
        wire = msgspec.json.decode(msgspec.json.encode(doc), type=WireCustom)
        return project_custom(wire, group=key.group, kind=key.kind)

    async def list_events(self, namespace: str, uid: ObjectUid, *, limit: int) -> list[Event]:
        self.asked.append(uid)
        if self.is_unreachable:
            raise UpstreamError("it does not answer", subject="prod", retryable=True)
        if namespace in self.secretive:
            raise AuthError("events may not be listed", status=403, subject=namespace)
        items = [msgspec.Raw(msgspec.json.encode(event)) for event in self.events]
        return project_events(WireEvents(items=items), uid)[:limit]

    def tell(self, doc: Json, reason: str, message: str = "", *, kind: str = "Warning", **about: str) -> None:
        """Write an Event now."""
        involved = {"uid": doc["metadata"]["uid"], **about}
        told = {"reason": reason, "message": message, "type": kind, "lastTimestamp": text(self.clock.now())}
        self.events.append({"involvedObject": involved, **told})

    # -- watching ------------------------------------------------------------------------------------------------

    def list_all(self) -> dict[Kind, list[Observation[Any]]]:
        """Begin to watch anew: returns what the streams bring first. What was on its way is not brought any more."""
        self.streams.clear()
        self._told.clear()
        found: dict[Kind, list[Observation[Any]]] = {}
        for kind in self.kinds:
            docs = [doc for key, doc in self.docs.items() if (key.group, key.kind) == kind]
            seen = [self._seen(kind, doc) for doc in docs]
            found[kind] = [*seen, Listed(group=kind[0], kind=kind[1], observed_at=self.clock.now())]
        return found

    def _seen(self, kind: Kind, doc: Json) -> Seen[Any]:
        uid = doc["metadata"]["uid"]
        was_held = (kind, uid) in self._told
        self._told.add((kind, uid))
        key = ObjectKey(*kind, doc["metadata"]["namespace"], doc["metadata"]["name"])
        return Seen(key=key, object=project(doc), observed_at=self.clock.now(), was_held=was_held)

    def _tell(self, doc: Json) -> None:
        key = _key(doc)
        if (key.group, key.kind) in self.kinds:
            self.streams[key.group, key.kind].append(self._seen((key.group, key.kind), doc))

    # -- writing -------------------------------------------------------------------------------------------------

    def apply(self, kind: Kind, name: str, spec: Json, *, by: ObjectKey, manager: str | None = None) -> Json:
        """Make or change an object as Flux does; nothing is written where nothing would change."""
        label = "helm" if by.group == HELM_GROUP else "kustomize"
        labels = {f"{label}.toolkit.fluxcd.io/name": by.name, f"{label}.toolkit.fluxcd.io/namespace": by.namespace}
        return self._write(kind, name, spec, manager=manager or f"{label}-controller", labels=labels)

    def change(self, kind: Kind, name: str, **spec: Any) -> Json:
        """Change a spec as somebody else does: a person, an autoscaler."""
        before = self.docs[key_of(kind, name)]
        return self._write(kind, name, {**before["spec"], **spec}, manager="kubectl-edit", labels=None)

    def touch(self, doc: Json) -> Json:
        """Change something that is no part of its spec as Flux does: a label."""
        managers = [entry | {"time": text(self.clock.now())} for entry in doc["metadata"]["managedFields"]]
        return self.put(doc | {"metadata": doc["metadata"] | {"managedFields": managers}})

    def _write(self, kind: Kind, name: str, spec: Json, *, manager: str, labels: Json | None) -> Json:
        key = key_of(kind, name)
        before = self.docs.get(key)
        doc = copy.deepcopy(before) if before is not None else self._new(kind, name)
        if before is not None and before["spec"] == spec:
            return before
        doc["spec"] = copy.deepcopy(spec)
        doc["metadata"]["generation"] += 1
        doc["metadata"]["labels"] = doc["metadata"].get("labels", {}) | (labels or {})
        managers = [each for each in doc["metadata"].get("managedFields", []) if each["manager"] != manager]
        managers.append({"manager": manager, "operation": "Apply", "time": text(self.clock.now())})
        doc["metadata"]["managedFields"] = managers
        return self.put(doc)

    def _new(self, kind: Kind, name: str, *, owner: Json | None = None) -> Json:
        self._numbers += 1
        meta: Json = {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{self._numbers}",
            "generation": 0,
            "creationTimestamp": text(self.clock.now()),
        }
        if owner is not None:
            group = owner["apiVersion"]
            named = {"apiVersion": group, "kind": owner["kind"], "name": owner["metadata"]["name"]}
            meta["ownerReferences"] = [named | {"uid": owner["metadata"]["uid"], "controller": True}]
        return {"apiVersion": f"{kind[0]}/v1" if kind[0] else "v1", "kind": kind[1], "metadata": meta}

    def put(self, doc: Json) -> Json:
        self.docs[_key(doc)] = doc
        self._tell(doc)
        return doc

    def status(self, doc: Json, **status: Any) -> Json:
        """Write a status; returns the object as it is then."""
        after = copy.deepcopy(self.docs[_key(doc)])
        after["status"] = {**after.get("status", {}), **status}
        return self.put(after)

    def delete(self, doc: Json) -> None:
        """It goes, and everything that it owns."""
        key, uid = _key(doc), doc["metadata"]["uid"]
        self.docs.pop(key)
        for each in [item for item in self.docs.values() if _owner_of(item) == uid]:
            self.delete(each)
        if (key.group, key.kind) in self.kinds:
            gone = Gone(key=key, uid=ObjectUid(uid), observed_at=self.clock.now())
            self.streams[key.group, key.kind].append(gone)

    def find(self, kind: Kind, name: str) -> Json:
        return self.docs[key_of(kind, name)]

    # -- controllers ---------------------------------------------------------------------------------------------

    def deployment(self, name: str, image: int, *, by: ObjectKey, replicas: int = 1, **spec: Any) -> Json:
        return self.apply(DEPLOYMENT, name, template(image) | {"replicas": replicas} | spec, by=by)

    def observe(self, doc: Json) -> Json:
        """Let a Deployment's controller see it, and make the ReplicaSet and pods of its template; none is ready."""
        doc = self.docs[_key(doc)]
        wanted = doc["spec"]["replicas"]
        mine = self._replica_set(doc)
        if mine is None:
            count = sum(_owner_of(item) == doc["metadata"]["uid"] for item in self.docs.values()) + 1
            mine = self._new(REPLICA_SET, f"{doc['metadata']['name']}-{count}", owner=doc)
            mine["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(count)}
            mine["metadata"]["generation"] = 1
            mine["spec"] = {"replicas": wanted, "template": copy.deepcopy(doc["spec"]["template"])}
            mine = self.put(mine)
        pods = self._pods(mine)
        for _ in range(wanted - len(pods)):
            pods.append(self._pod(mine))
        for pod in pods[wanted:]:
            self.delete(pod)
        return self._count(doc)

    def roll_out(self, doc: Json) -> Json:
        """Let a Deployment roll out now, to the end; returns it."""
        doc = self.observe(doc)
        mine = self._replica_set(doc)
        assert mine is not None
        for pod in self._pods(mine):
            self.ready(pod)
        for old in self._replica_sets(doc):
            if old["metadata"]["uid"] != mine["metadata"]["uid"]:
                for pod in self._pods(old):
                    self.delete(pod)
        return self._count(doc)

    def ready(self, pod: Json) -> None:
        if not _is_ready(pod):
            self.status(pod, phase="Running", **_ready(pod, self.clock.now(), is_ready=True))

    def crash(self, pod: Json) -> None:
        """A container ended with an error, and is waited with before it is started again."""
        after = _ready(pod, self.clock.now(), is_ready=False)
        after["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        self.status(pod, **after)
        above = self._controller(pod)
        if above is not None:
            self._count(above)

    def pods_of(self, doc: Json) -> list[Json]:
        return [pod for each in self._replica_sets(doc) for pod in self._pods(each)]

    def own_pod(self, owner: Json) -> Json:
        """Make a pod as an operator does, without a workload between; it is ready."""
        pod = self._pod(owner)
        self.ready(pod)
        return pod

    def _controller(self, pod: Json) -> Json | None:
        owners = {item["metadata"]["uid"]: item for item in self.docs.values()}
        above = owners.get(_owner_of(pod) or "")
        return owners.get(_owner_of(above) or "") if above is not None else None

    def _count(self, doc: Json) -> Json:
        doc, mine = self.docs[_key(doc)], self._replica_set(doc)
        pods, new = self.pods_of(doc), self._pods(mine) if mine is not None else []
        available = sum(_is_ready(pod) for pod in pods)
        is_done = mine is not None and sum(map(_is_ready, new)) == len(pods) == doc["spec"]["replicas"]
        before = {each["message"]: each for each in doc.get("status", {}).get("conditions", [])}
        reason = "NewReplicaSetAvailable" if is_done else "ReplicaSetUpdated"
        name = mine["metadata"]["name"] if mine is not None else ""
        told = {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": text(self.clock.now())}
        told["message"] = f'ReplicaSet "{name}" has successfully progressed.' if is_done else f'ReplicaSet "{name}" is.'
        return self.status(
            doc,
            observedGeneration=doc["metadata"]["generation"],
            replicas=len(pods),
            updatedReplicas=len(new),
            readyReplicas=available,
            availableReplicas=available,
            conditions=[before.get(told["message"], told)],
        )

    def _replica_sets(self, doc: Json) -> list[Json]:
        return [each for each in self.docs.values() if _owner_of(each) == doc["metadata"]["uid"]]

    def _replica_set(self, doc: Json) -> Json | None:
        found = [each for each in self._replica_sets(doc) if each["spec"]["template"] == doc["spec"]["template"]]
        return found[-1] if found else None

    def _pods(self, owner: Json) -> list[Json]:
        uid = owner["metadata"]["uid"]
        return [each for each in self.docs.values() if _key(each).kind == "Pod" and _owner_of(each) == uid]

    def _pod(self, owner: Json) -> Json:
        pod = self._new(POD, f"{owner['metadata']['name']}-p{self._numbers}", owner=owner)
        pod["spec"] = copy.deepcopy(owner["spec"]["template"]["spec"]) | {"nodeName": "node-1"}
        pod["status"] = {"phase": "Pending", **_ready(pod, self.clock.now(), is_ready=False)}
        return self.put(pod)


def template(image: int | str, **containers: int | str) -> Json:
    """Return a spec whose pods run these images: of the container `app`, and of others."""
    named = {"app": image, **containers}
    found = [{"name": name, "image": f"ghcr.io/acme/{name}:{each}"} for name, each in named.items()]
    return {"template": {"spec": {"containers": found}}}


def inventory(*docs: Json | ObjectKey) -> tuple[ObjectKey, ...]:
    return tuple(doc if isinstance(doc, ObjectKey) else _key(doc) for doc in docs)


def _ready(pod: Json, now: datetime, *, is_ready: bool) -> Json:
    status = "True" if is_ready else "False"
    containers = [
        {
            "name": each["name"],
            "ready": is_ready,
            "started": is_ready,
            "imageID": f"ghcr.io/acme/x@{digest(int(each['image'].rpartition(':')[2]))}" if is_ready else "",
            "state": {"running": {"startedAt": text(now)}}
            if is_ready
            else {"waiting": {"reason": "ContainerCreating"}},
        }
        for each in pod["spec"]["containers"]
    ]
    condition = {"type": "Ready", "status": status, "lastTransitionTime": text(now)}
    return {"conditions": [condition], "containerStatuses": containers}


def _is_ready(pod: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"]["conditions"])


def _owner_of(doc: Json) -> str | None:
    found: Sequence[Json] = doc["metadata"].get("ownerReferences", ())
    return str(found[0]["uid"]) if found else None


def _key(doc: Json) -> ObjectKey:
    group, _, _ = str(doc["apiVersion"]).rpartition("/")
    return ObjectKey(group, doc["kind"], doc["metadata"]["namespace"], doc["metadata"]["name"])
