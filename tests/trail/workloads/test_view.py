"""What a view knows of a cluster, and tells to whoever listens."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest
from tests.trail.workloads.cluster import (
    CRON_JOB,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    ROLLOUT,
    Cluster,
    Json,
    Kind,
    key_of,
    project,
)

from fluxtrail.model.observation import Listed, ObjectKey, ObjectUid, Seen, Unavailable
from fluxtrail.trail.workloads.anchors import FAMILIAR, Anchor
from fluxtrail.trail.workloads.view import OWNER_SECONDS, WorkloadListener, WorkloadView

WEB = Anchor("prod", "Deployment", "web")
SHOP = ObjectKey("kustomize.toolkit.fluxcd.io", "Kustomization", "flux-system", "shop")


class Ear(WorkloadListener):
    def __init__(self) -> None:
        self.heard: set[Anchor] = set()
        self.lost: list[tuple[ObjectKey, str]] = []
        self.kinds: list[tuple[str, str]] = []

    def changed(self, anchors: set[Anchor]) -> None:
        self.heard |= anchors

    def gone(self, key: ObjectKey, uid: ObjectUid, seen_at: datetime) -> None:
        self.lost.append((key, uid))

    def noted(self, group: str, kind: str) -> None:
        self.kinds.append((group, kind))

    def take(self) -> set[Anchor]:
        taken, self.heard = self.heard, set()
        return taken


@pytest.fixture
def view(cluster: Cluster) -> WorkloadView:
    view = WorkloadView(cluster.uid, clock=cluster.clock, on_kind=lambda group, kind: cluster.watch((group, kind)))
    for kind in sorted(FAMILIAR):
        cluster.watch(kind)
    return view


async def hear_all(cluster: Cluster, view: WorkloadView) -> None:
    while waiting := [kind for kind, stream in cluster.streams.items() if stream]:
        await hear(cluster, view, *sorted(waiting))


async def hear(cluster: Cluster, view: WorkloadView, *kinds: Kind) -> None:
    for kind in kinds:
        stream = cluster.streams[kind]
        await view.observe([stream.popleft() for _ in range(len(stream))])


def uid(doc: Json) -> ObjectUid:
    return ObjectUid(doc["metadata"]["uid"])


# -- listeners ------------------------------------------------------------------------------------------------------


async def test_all_who_listen_hear_of_the_same_changes(cluster: Cluster, view: WorkloadView) -> None:
    ears = [Ear(), Ear()]
    for listener in ears:
        view.listen(listener)
    await hear_all(cluster, view)
    assert [sorted(ear.kinds) for ear in ears] == [sorted(FAMILIAR)] * 2
    made = cluster.roll_out(cluster.make(DEPLOYMENT, "web"), 1, revision=1)
    await hear_all(cluster, view)
    assert ears[0].take() == ears[1].take() == {WEB, Anchor("prod", "ReplicaSet", "web-1c9d")}
    (pod,) = cluster.pods_of(made)
    cluster.delete(pod)
    await hear_all(cluster, view)
    for ear in ears:
        assert (ear.take(), ear.lost) == ({WEB}, [(key_of(pod), uid(pod))])


async def test_what_is_seen_again_as_it_was_is_no_change(cluster: Cluster, view: WorkloadView) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    await hear_all(cluster, view)
    ear = Ear()
    view.listen(ear)
    cluster.put(web)
    await hear_all(cluster, view)
    assert ear.take() == set()


async def test_whose_a_pod_is_is_told_when_it_is_given_up_to_wait(cluster: Cluster, view: WorkloadView) -> None:
    await hear_all(cluster, view)
    ear = Ear()
    view.listen(ear)
    cluster.add_pod(cluster.make(REPLICA_SET, "web-7c9d"), 1)
    await hear(cluster, view, POD)
    assert view.is_ready()
    for is_over in (False, True):
        assert view.is_waiting
        view.give_up_waiting()
        assert ear.take() == ({WEB} if is_over else set())
        cluster.clock.turn(OWNER_SECONDS)
    assert not view.is_waiting


# -- questions ------------------------------------------------------------------------------------------------------


async def test_what_is_below_a_workload_is_found_however_deep(cluster: Cluster, view: WorkloadView) -> None:
    farm = cluster.make(("acme.io", "Farm"), "farm")
    web = cluster.make(DEPLOYMENT, "web", owner=farm)
    made = cluster.roll_out(web, 1, revision=1, pods=2)
    cluster.pod("web-alone")
    await hear_all(cluster, view)
    index = view.index
    assert [item.key for item in index.owned_by(uid(farm))] == [key_of(web)]
    pods, between = index.beneath(uid(farm))
    assert {pod.uid for pod in pods} == {uid(pod) for pod in cluster.pods_of(made)}
    assert {item.key for item in between} == {key_of(web), key_of(made)}
    assert index.anchors() >= {WEB, Anchor("prod", "Farm.acme.io", "farm"), Anchor("prod", "Pod", "web-alone")}
    assert (index.anchors_of(uid(web)), index.anchors_of(pods[0].uid)) == ({WEB}, {WEB})
    found = index.get(uid(web))
    assert found is not None
    assert (found.key, found.uid) == (key_of(web), uid(web))
    cluster.delete(web)
    await hear_all(cluster, view)
    assert (index.get(uid(web)), index.owned_by(uid(farm))) == (None, [])
    assert index.beneath(uid(web))[1] != []  # what it leaves behind goes later


@pytest.mark.parametrize("made", [REPLICA_SET, JOB], ids=lambda kind: kind[1])
async def test_pods_below_what_may_not_be_read_are_their_workloads_by_name(
    cluster: Cluster, view: WorkloadView, made: Kind
) -> None:
    cluster.forbid(made)
    top = cluster.make(DEPLOYMENT if made == REPLICA_SET else CRON_JOB, "web")
    pod = cluster.add_pod(cluster.make(made, "web-28511220", owner=top), 1)
    await hear_all(cluster, view)
    pods, between = view.index.beneath(uid(top))
    assert ([found.uid for found in pods], between) == ([uid(pod)], [])


async def test_a_namesake_does_not_get_the_pods_of_what_was_there_before(cluster: Cluster, view: WorkloadView) -> None:
    old = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(old, 1, revision=1)
    cluster.delete(old)
    new = cluster.make(DEPLOYMENT, "web")
    await hear_all(cluster, view)
    assert len(list(view.index.pods_of(WEB))) == 1
    assert view.index.beneath(uid(new)) == ([], [])


async def test_workloads_of_one_applier_are_found_by_its_labels(cluster: Cluster, view: WorkloadView) -> None:
    names = {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    docs = [cluster.make(DEPLOYMENT, "web"), cluster.make(ROLLOUT, "api")]
    for doc in docs:
        doc["metadata"]["labels"] = names
        cluster.put(doc)
    cluster.roll_out(docs[1], 1, revision=1)
    cluster.make(DEPLOYMENT, "other")
    await hear_all(cluster, view)
    assert {item.key for item in view.index.workloads_of(SHOP)} == {key_of(doc) for doc in docs}
    docs[0]["metadata"]["labels"] = {**names, "kustomize.toolkit.fluxcd.io/name": "till"}
    cluster.put(docs[0])
    cluster.delete(docs[1])
    await hear_all(cluster, view)
    assert view.index.workloads_of(SHOP) == []
    other = msgspec.structs.replace(SHOP, name="till")
    assert [item.uid for item in view.index.workloads_of(other)] == [uid(docs[0])]


# -- how it was seen ------------------------------------------------------------------------------------------------


def _seen(cluster: Cluster, doc: Json, *, was_held: bool) -> Seen[object]:
    return Seen(key=key_of(doc), object=project(doc), observed_at=cluster.now, was_held=was_held)


async def test_how_a_workload_was_seen_is_that_of_its_last_change(cluster: Cluster, view: WorkloadView) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    cluster.watch(DEPLOYMENT)
    began = cluster.now
    await hear_all(cluster, view)
    assert view.index.look_of(uid(web)) == (began, False, None)
    cluster.clock.turn(10)
    await view.observe([_seen(cluster, web, was_held=True)])
    assert view.index.look_of(uid(web)) == (began, False, None)  # nothing changed
    web["metadata"]["generation"] = 2
    await view.observe([_seen(cluster, web, was_held=True)])
    changed = cluster.now
    assert view.index.look_of(uid(web)) == (changed, True, began)
    cluster.clock.turn(10)
    gone = Unavailable(group="apps", kind="Deployment", observed_at=cluster.now, reason="unreachable", message="")
    web["metadata"]["generation"] = 3
    await view.observe([gone, _seen(cluster, web, was_held=False)])
    assert view.index.look_of(uid(web)) == (cluster.now, False, changed)
    await view.observe([Listed(group="apps", kind="Deployment", observed_at=cluster.now)])
    relisted = cluster.now
    cluster.clock.turn(10)
    new = cluster.make(DEPLOYMENT, "api")
    await hear_all(cluster, view)
    assert view.index.look_of(uid(new)) == (cluster.now, False, relisted)


async def test_pods_and_what_is_gone_have_no_look(cluster: Cluster, view: WorkloadView) -> None:
    web, pod = cluster.make(DEPLOYMENT, "web"), cluster.pod("bare")
    cluster.delete(web)
    await hear_all(cluster, view)
    assert (view.index.look_of(uid(web)), view.index.look_of(uid(pod))) == (None, None)
    assert view.index.pod(uid(pod)) is not None
