"""Histories of a cluster: what happens in it, how late each stream tells of it, and when the process starts anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from hypothesis import strategies as st
from tests.trail.records.follower import Follower
from tests.trail.workloads.cluster import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    ROLLOUT,
    STATEFUL_SET,
    Cluster,
    Json,
    Kind,
    kind_of,
)

from fluxtrail.model.deployment import DEFAULT_TEMPLATE, Place
from fluxtrail.trail.records.ports import RecordLedger
from fluxtrail.trail.workloads.anchors import kind_text

Step = tuple[str, int, int]
"""What happens, to the how manieth of those that it may happen to, and how."""

TOPS: tuple[Kind, ...] = (DEPLOYMENT, ROLLOUT, REPLICA_SET, STATEFUL_SET, DAEMON_SET, CRON_JOB, JOB, POD)
PHASES = ("Running", "Running", "Pending", "Succeeded", "Failed")
CONTAINERS = ("app", "proxy")
BEGINNING: list[Step] = [
    *(("make", which, 0) for which in range(len(TOPS))),
    ("make", 0, 1),
    ("make", 3, 1),
    *(("roll out", which, which) for which in range(6)),
    *(("add pod", which, which) for which in range(8)),
]
"""Some of everything; two workloads share a name."""
_number = count(1)


def histories(*extra: str, most: int = 30) -> st.SearchStrategy[list[Step]]:
    """Return histories of at most so many steps, with steps of these names among them."""
    names = st.sampled_from([*sorted(_STEPS), "hear", "hear", "settle", "wait", *extra])
    return st.lists(st.tuples(names, st.integers(0, 11), st.integers(0, 11)), min_size=5, max_size=most)


class History:
    """Plays steps on a cluster of its own that has some of everything.

    Attributes:
        follower: the present life of the process.
    """

    def __init__(self, ledger: RecordLedger, *, template: str = DEFAULT_TEMPLATE) -> None:
        self.cluster = Cluster(f"history-{next(_number)}")
        self._ledger = ledger
        self._template = template
        self.follower = Follower(self.cluster, ledger, template=template)

    async def play(self, steps: Sequence[Step]) -> None:
        await self.follower.keeper.recall()
        for name, which, how in [*BEGINNING, *steps]:
            if name in _STEPS:
                _STEPS[name](self.cluster, which, how)
            else:
                await self._follow(name, which, how)

    async def _follow(self, name: str, which: int, how: int) -> None:
        if name == "hear":
            kinds = sorted(self.cluster.streams)
            await self.follower.hear(kinds[which % len(kinds)], most=1 + how)
        elif name == "settle":
            await self.follower.keeper.settle()
        elif name == "wait":
            self.cluster.clock.turn((1, 6, 61)[how % 3])
        else:
            self.follower = Follower(self.cluster, self._ledger, template=self._template)
            await self.follower.keeper.recall()

    async def end(self) -> None:
        """Let everything come to rest: what has lost its owner goes, and all of it is heard."""
        while lost := [doc for doc in self.cluster.objects.values() if _is_orphan(self.cluster, doc)]:
            self.cluster.delete(*lost)
        await self.follower.settle_in_time()

    async def afresh(self, *, is_reversed: bool = False) -> Follower:
        """Return a follower without a past, of a cluster that has always been like this one is now."""
        cluster = Cluster(f"{self.cluster.uid}-afresh-{next(_number)}", self.cluster.clock)
        found = list(self.cluster.objects.items())
        cluster.objects = dict(reversed(found) if is_reversed else found)
        follower = Follower(cluster, self._ledger, template=self._template)
        await follower.begin()
        return follower


def is_wanted(cluster: Cluster, place: Place) -> bool:
    """Whether there is a workload that means to run such a container; of its template alone where that is known."""
    found = [doc for doc in cluster.objects.values() if _is_at(doc, place)]
    if not found:
        return False
    (doc,) = found
    if kind_of(doc) == ROLLOUT:
        pods = [pod for made in cluster.objects.values() if _owns(doc, made) for pod in cluster.pods_of(made)]
        return not pods or any(place.container in _containers(pod["spec"]) for pod in pods)
    spec = doc["spec"]["jobTemplate"]["spec"] if kind_of(doc) == CRON_JOB else doc["spec"]
    return place.container in _containers(spec if kind_of(doc) == POD else spec["template"]["spec"])


def _is_at(doc: Json, place: Place) -> bool:
    meta = doc["metadata"]
    there = meta["namespace"], kind_text(*kind_of(doc)), meta["name"]
    return there == (place.namespace, place.kind, place.workload)


def _containers(spec: Json) -> set[str]:
    return {container["name"] for container in spec["containers"]}


def _owns(owner: Json, doc: Json) -> bool:
    return any(each["uid"] == owner["metadata"]["uid"] for each in doc["metadata"]["ownerReferences"])


def _is_orphan(cluster: Cluster, doc: Json) -> bool:
    owners = doc["metadata"]["ownerReferences"]
    return bool(owners) and not any(owner["uid"] in cluster.objects for owner in owners)


# -- steps ------------------------------------------------------------------------------------------------------------


def _pick(cluster: Cluster, which: int, *kinds: Kind) -> Json | None:
    found = [doc for doc in cluster.objects.values() if kind_of(doc) in kinds]
    return found[which % len(found)] if found else None


def _make(cluster: Cluster, which: int, how: int) -> None:
    """A workload; where its kind has that name already, nothing."""
    kind = TOPS[which % len(TOPS)]
    name = (kind[1].lower(), "web")[how % 2]
    if any(kind_of(doc) == kind and doc["metadata"]["name"] == name for doc in cluster.objects.values()):
        return
    if kind == POD:
        cluster.pod(name, runs={"app": 1 + how % 3})
    else:
        cluster.make(kind, name, containers=CONTAINERS)


def _roll_out(cluster: Cluster, which: int, how: int) -> None:
    """A ReplicaSet or a Job, with a pod."""
    owner = _pick(cluster, which, DEPLOYMENT, ROLLOUT, CRON_JOB)
    if owner is None:
        return
    number = next(_number)
    kind = JOB if kind_of(owner) == CRON_JOB else REPLICA_SET
    made = cluster.make(kind, f"{owner['metadata']['name']}-{number}", owner=owner, revision=how, containers=CONTAINERS)
    cluster.add_pod(made, 1 + how % 3)


def _roll_back(cluster: Cluster, which: int, how: int) -> None:
    made = _pick(cluster, which, REPLICA_SET)
    if made is not None:
        made["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = str(10 + how)
        cluster.put(made)


def _add_pod(cluster: Cluster, which: int, how: int) -> None:
    owner = _pick(cluster, which, REPLICA_SET, STATEFUL_SET, DAEMON_SET, JOB)
    if owner is not None:
        runs = {CONTAINERS[0]: 1 + how % 3} | ({CONTAINERS[1]: 4} if how % 2 else {})
        cluster.pod(f"p{next(_number)}", owner=owner, runs=runs, phase=PHASES[how % len(PHASES)])


def _change_pod(cluster: Cluster, which: int, how: int) -> None:
    pod = _pick(cluster, which, POD)
    if pod is None:
        return
    if how < len(PHASES):
        pod["status"]["phase"] = PHASES[how]
    elif how < 10:
        cluster.run(pod, {"app": 1 + how % 3 if how < 9 else None})
    else:
        pod["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    cluster.put(pod)


def _delete_pod(cluster: Cluster, which: int, how: int) -> None:
    pod = _pick(cluster, which, POD)
    if pod is not None:
        cluster.delete(pod)


def _delete_workload(cluster: Cluster, which: int, how: int) -> None:
    """What it owns goes later: in the background."""
    doc = _pick(cluster, which, *TOPS)
    if doc is not None:
        cluster.delete(doc)


def _annotate(cluster: Cluster, which: int, how: int) -> None:
    doc = _pick(cluster, which, *TOPS)
    if doc is not None:
        doc["metadata"]["annotations"]["metadata.github.com/team"] = f"team-{how % 3}"
        cluster.put(doc)


def _shorten(cluster: Cluster, which: int, how: int) -> None:
    """The second container leaves the template."""
    doc = _pick(cluster, which, DEPLOYMENT, STATEFUL_SET, DAEMON_SET)
    if doc is not None:
        del doc["spec"]["template"]["spec"]["containers"][1:]
        cluster.put(doc)


_STEPS: dict[str, Callable[[Cluster, int, int], None]] = {
    "make": _make,
    "roll out": _roll_out,
    "roll back": _roll_back,
    "add pod": _add_pod,
    "change pod": _change_pod,
    "delete pod": _delete_pod,
    "delete workload": _delete_workload,
    "annotate": _annotate,
    "shorten": _shorten,
}
