"""Projections of pods and workloads: what Kubernetes may send, and what is kept of it."""

from __future__ import annotations

import typing
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model import projecting as p
from fluxtrail.model import wire_workloads as wire
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.workloads import (
    ContainerKind,
    ContainerRun,
    ContainerSpec,
    ContainerTrouble,
    Owner,
    Pod,
    Progress,
    Workload,
)

DIGEST = "sha256:" + "3b6cdcc7" * 8
OTHER_DIGEST = "sha256:" + "9f2c1e07" * 8
CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
STARTED = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web-7c9d5b8f4-x2x4z",
        "namespace": "shop",
        "uid": "u1",
        "resourceVersion": "42",
        "creationTimestamp": "2026-03-01T12:00:00Z",
        "labels": {"app": "web", "controller-revision-hash": "web-5f7", "pod-template-generation": "3"},
        "annotations": {
            "metadata.github.com/team": "shop",
            "metadata.github.com/runtime-risks": "internet-exposed",
            "app.kubernetes.io/name": "web",
        },
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7c9d5b8f4", "uid": "o1", "controller": True},
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "seal", "uid": "o2"},
        ],
        "managedFields": [{"manager": "kubelet"}],
    },
    "spec": {
        "nodeName": "node-1",
        "containers": [
            {"name": "app", "image": "ghcr.io/acme/web:1.2", "env": [{"name": "A", "value": "b"}]},
            {"name": "late", "image": "ghcr.io/acme/late"},
        ],
        "initContainers": [
            {"name": "migrate", "image": "ghcr.io/acme/migrate:1"},
            {"name": "proxy", "image": "envoy:2", "restartPolicy": "Always"},
        ],
        "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "app",
                "image": "ghcr.io/acme/web:1.2",
                "imageID": f"docker-pullable://ghcr.io/acme/web@{DIGEST}",
                "ready": True,
                "state": {"running": {"startedAt": "2026-03-01T12:00:05Z"}},
            },
            {"name": "late", "imageID": "", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}},
        ],
        "initContainerStatuses": [
            {
                "name": "migrate",
                "imageID": OTHER_DIGEST,
                "state": {"terminated": {"startedAt": "2026-03-01T12:00:00Z", "exitCode": 0}},
            },
            {
                "name": "proxy",
                "imageID": "id",
                "ready": True,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"startedAt": "2026-03-01T12:00:05Z"}},
            },
        ],
        "ephemeralContainerStatuses": [{"name": "debug", "imageID": DIGEST}],
    },
}
TEMPLATE = {"spec": {"containers": [{"name": "app", "image": "a:1"}], "initContainers": [{"name": "i", "image": "b"}]}}
SPECS = (
    ContainerSpec(name="app", image="a:1", kind=ContainerKind.MAIN),
    ContainerSpec(name="i", image="b", kind=ContainerKind.INIT),
)
DEPLOYMENT_REFERENCE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d1", "controller": True}

Project = typing.Callable[[Any], Workload]
TEMPLATED: list[tuple[str, str, Project]] = [
    ("apps", "ReplicaSet", p.project_replica_set),
    ("apps", "Deployment", p.project_deployment),
    ("apps", "StatefulSet", p.project_stateful_set),
    ("apps", "DaemonSet", p.project_daemon_set),
    ("batch", "Job", p.project_job),
]


def decoded(document: object, kind: type[Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document), type=kind)


def pod(document: object) -> Pod:
    return p.project_pod(decoded(document, wire.WirePod))


def templated(document: object, project: Project = p.project_deployment) -> Workload:
    return project(decoded(document, wire.WireTemplated))


def pod_of(container: dict[str, Any], status: dict[str, Any]) -> ContainerRun:
    spec, found = {"containers": [{"name": "c"} | container]}, {"containerStatuses": [{"name": "c"} | status]}
    (run,) = pod({"metadata": {"name": "x"}, "spec": spec, "status": found}).containers
    return run


def test_a_pod_keeps_what_is_read() -> None:
    assert pod(POD) == Pod(
        uid=ObjectUid("u1"),
        namespace="shop",
        name="web-7c9d5b8f4-x2x4z",
        owners=(
            Owner("apps", "ReplicaSet", "web-7c9d5b8f4", ObjectUid("o1"), is_controller=True),
            Owner("", "ConfigMap", "seal", ObjectUid("o2"), is_controller=False),
        ),
        containers=(
            ContainerRun("app", "ghcr.io/acme/web:1.2", ContainerKind.MAIN, DIGEST, is_ready=True, started_at=STARTED),
            ContainerRun(
                "late",
                "ghcr.io/acme/late",
                ContainerKind.MAIN,
                "",
                is_ready=False,
                started_at=None,
                trouble=ContainerTrouble(waiting="ContainerCreating"),
            ),
            ContainerRun(
                "migrate",
                "ghcr.io/acme/migrate:1",
                ContainerKind.INIT,
                OTHER_DIGEST,
                is_ready=False,
                started_at=CREATED,
                trouble=ContainerTrouble(exit_code=0),
            ),
            ContainerRun("proxy", "envoy:2", ContainerKind.SIDECAR, "id", is_ready=True, started_at=STARTED),
        ),
        phase="Running",
        created_at=CREATED,
        is_deleting=False,
        is_ready=True,
        is_static=False,
        node="node-1",
        revision="web-5f7",
        generation=3,
        notes=(("runtime-risks", "internet-exposed"), ("team", "shop")),
    )


@pytest.mark.parametrize("document", [{}, {"spec": None, "status": None}, {"spec": {}, "status": {}}], ids=str)
def test_a_pod_without_spec_and_status_has_the_defaults(document: dict[str, Any]) -> None:
    item = pod(document | {"metadata": {"name": "x"}})
    assert (item.uid, item.namespace, item.owners, item.containers, item.notes) == ("", "", (), (), ())
    assert (item.phase, item.node, item.revision, item.generation, item.created_at) == ("Unknown", "", "", 0, None)
    assert [item.is_deleting, item.is_ready, item.is_static, item.is_over] == [False] * 4


@pytest.mark.parametrize(
    ("phase", "is_over"),
    [("Pending", False), ("Running", False), ("Unknown", False), ("Succeeded", True), ("Failed", True)],
)
def test_a_pod_is_over_when_all_its_containers_ended(phase: str, is_over: bool) -> None:
    item = pod({"metadata": {"name": "x"}, "status": {"phase": phase}})
    assert (item.phase, item.is_over) == (phase, is_over)


@pytest.mark.parametrize("status", ["False", "Unknown", "", None])
def test_a_pod_is_ready_only_where_its_condition_says_so(status: str | None) -> None:
    conditions = [None, {"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": status}]
    assert not pod({"metadata": {"name": "x"}, "status": {"conditions": conditions}}).is_ready


def test_a_static_pod_is_known_by_its_mirror() -> None:
    assert pod({"metadata": {"name": "x", "annotations": {"kubernetes.io/config.mirror": ""}}}).is_static


def test_what_is_deleted_says_so() -> None:
    meta = {"metadata": {"name": "x", "deletionTimestamp": "2026-03-01T12:00:00Z"}}
    assert pod(meta).is_deleting
    assert templated(meta).is_deleting


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, None),
        ({"state": None, "lastState": None}, None),
        ({"state": {"running": {"startedAt": None}}}, None),
        ({"state": {"running": {"startedAt": "soon"}}}, None),
        ({"state": {"running": {"startedAt": "2026-03-01T12:00:05Z"}, "terminated": {"startedAt": "x"}}}, STARTED),
        ({"state": {"terminated": {"startedAt": "2026-03-01T12:00:05Z"}}, "lastState": {}}, STARTED),
        (
            {
                "state": {"running": {"startedAt": "2026-03-01T12:00:05Z"}},
                "lastState": {"terminated": {"startedAt": "2026-03-01T12:00:00Z"}},
            },
            STARTED,
        ),
        ({"state": {"waiting": {}}, "lastState": {"terminated": {"startedAt": "2026-03-01T12:00:05Z"}}}, STARTED),
        ({"state": {"running": {"startedAt": "2026-03-01T12:00:05" + "0" * 9000}}}, None),
    ],
    ids=lambda value: str(value)[:90],
)
def test_when_a_container_started(states: dict[str, Any], expected: datetime | None) -> None:
    assert pod_of({}, states).started_at == expected


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [(None, ""), ("", ""), (f"docker://{DIGEST}", DIGEST), ("docker-pullable://a/b", "docker-pullable://a/b")],
)
def test_the_image_that_runs(image_id: str | None, expected: str) -> None:
    assert pod_of({}, {"imageID": image_id}).image_id == expected


def test_the_image_is_the_specs_not_the_nodes() -> None:
    assert pod_of({"image": "a:2"}, {"image": "a:1", "imageID": DIGEST}).image == "a:2"


def test_a_login_in_an_image_is_not_kept() -> None:
    assert pod_of({"image": "joe:hunter2@ghcr.io/a:2"}, {}).image == "ghcr.io/a:2"


def test_a_container_without_a_name_is_left_out() -> None:
    spec = {"containers": [None, {}, {"name": ""}, {"image": "a"}, {"name": "b"}], "initContainers": [{"image": "c"}]}
    status = {"containerStatuses": [None, {}, {"imageID": DIGEST}]}
    (run,) = pod({"metadata": {"name": "x"}, "spec": spec, "status": status}).containers
    assert (run.name, run.image, run.image_id) == ("b", "", "")


@pytest.mark.parametrize("written", ["", "-1", "x", "1.5", "٣", "9" * 19, "9" * 9000, None])
def test_a_generation_that_is_no_number_is_none(written: str | None) -> None:
    assert pod({"metadata": {"name": "x", "labels": {"pod-template-generation": written}}}).generation == 0


@pytest.mark.parametrize(
    ("version", "group"),
    [("apps/v1", "apps"), ("v1", ""), ("argoproj.io/v1alpha1", "argoproj.io"), ("", ""), (None, ""), ("/", "")],
)
def test_the_group_of_an_owner(version: str | None, group: str) -> None:
    item = pod({"metadata": {"name": "x", "ownerReferences": [None, {"apiVersion": version}, {"kind": "K"}]}})
    assert [owner.group for owner in item.owners] == [group, ""]
    assert item.owners[1] == Owner("", "K", "", ObjectUid(""), is_controller=False)


def test_what_a_pod_keeps_is_bounded() -> None:
    containers = [{"name": f"c{n}", "image": "i" * 5000} for n in range(99)]
    statuses = [{"name": f"c{n}", "imageID": "d" * 5000} for n in range(99)]
    notes = {f"metadata.github.com/{n:03d}": "v" * 5000 for n in range(99)}
    meta = {"name": "n" * 300, "annotations": notes, "ownerReferences": [{"kind": str(n)} for n in range(99)]}
    spec = {"containers": containers, "initContainers": containers}
    status = {"containerStatuses": statuses, "initContainerStatuses": statuses * 100}
    item = pod({"metadata": meta, "spec": spec, "status": status})
    assert (len(item.containers), len(item.owners), len(item.notes)) == (p.MAX_CONTAINERS, p.MAX_OWNERS, p.MAX_NOTES)
    assert (len(item.containers[0].image), len(item.containers[0].image_id)) == (p.MAX_TEXT, p.MAX_TEXT)
    assert (item.notes[0], item.name) == (("000", "v" * p.MAX_TEXT), "n" * 300)


RELEASED = {"helm.toolkit.fluxcd.io/name": "cart", "helm.toolkit.fluxcd.io/namespace": "shop"}
BUILT = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}


@pytest.mark.parametrize(
    ("labels", "annotations", "applied_by"),
    [
        (RELEASED, {}, "HelmRelease/shop/cart"),
        (RELEASED, {"helm.sh/hook": "test"}, "None"),
        (RELEASED, {"helm.sh/hook": "pre-upgrade", "helm.sh/hook-weight": "1"}, "None"),
        (BUILT, {"helm.sh/hook": "test"}, "Kustomization/flux-system/apps"),
        ({}, {}, "None"),
    ],
    ids=["of a release", "a test of it", "another hook", "of a Kustomization that knows no hooks", "of nobody"],
)
def test_who_applied_an_object(labels: dict[str, str], annotations: dict[str, str], applied_by: str) -> None:
    document = {"metadata": {"name": "web", "namespace": "shop", "labels": labels, "annotations": annotations}}
    assert str(pod(document).applied_by) == str(templated(document).applied_by) == applied_by


def test_notes_are_sorted_and_bare() -> None:
    written = {"metadata.github.com/b": None, "metadata.github.com/": "x", "metadata.github.com/a": "1", "other/a": "2"}
    meta = {"metadata": {"name": "x", "annotations": written}}
    assert pod(meta).notes == templated(meta).notes == (("", "x"), ("a", "1"), ("b", ""))


def test_pods_of_one_owner_share_what_they_have_in_common() -> None:
    one, other = pod(POD), pod(POD)
    assert one.owners is other.owners
    for name in ("namespace", "phase", "node", "revision"):
        assert getattr(one, name) is getattr(other, name)
    for name in ("name", "image", "image_id", "started_at"):
        assert getattr(one.containers[0], name) is getattr(other.containers[0], name)


# -- workloads ----------------------------------------------------------------------------------------------------


def test_a_deployment_keeps_what_is_read() -> None:
    meta = POD["metadata"] | {"name": "web", "ownerReferences": None}
    assert templated({"metadata": meta, "spec": {"replicas": 3, "template": TEMPLATE}}) == Workload(
        uid=ObjectUid("u1"),
        key=ObjectKey("apps", "Deployment", "shop", "web"),
        owners=(),
        notes=(("runtime-risks", "internet-exposed"), ("team", "shop")),
        containers=SPECS,
        replicas=3,
        revision=0,
        update_revision="",
        created_at=CREATED,
        is_deleting=False,
        progress=Progress(wanted=3, strategy="RollingUpdate"),
    )


@pytest.mark.parametrize(("group", "kind", "project"), TEMPLATED, ids=lambda value: value if type(value) is str else "")
def test_the_kind_of_a_workload_is_its_functions(group: str, kind: str, project: Project) -> None:
    item = templated({"metadata": {"name": "x"}, "spec": {"template": TEMPLATE}}, project)
    assert (item.key, item.containers) == (ObjectKey(group, kind, "", "x"), SPECS)
    assert item.replicas == (1 if kind in ("ReplicaSet", "Deployment", "StatefulSet") else None)


@pytest.mark.parametrize(
    "document", [{}, {"spec": None}, {"spec": {}}, {"spec": {"template": None}}, {"spec": {"template": {}}}], ids=str
)
def test_without_a_template_the_containers_are_unknown(document: dict[str, Any]) -> None:
    document = document | {"metadata": {"name": "x"}}
    assert [templated(document, project).containers for _, _, project in TEMPLATED] == [None] * len(TEMPLATED)
    specs: list[Any] = [None, {}, {"jobTemplate": None}, {"jobTemplate": {}}]
    jobs = [document | {"spec": spec} for spec in specs]
    jobs.append(document | {"spec": {"jobTemplate": {"spec": document.get("spec")}}})
    assert {p.project_cron_job(decoded(job, wire.WireCronJob)).containers for job in jobs} == {None}


@pytest.mark.parametrize(
    ("spec", "expected"), [(None, None), ({}, 1), ({"replicas": None}, 1), ({"replicas": 0}, 0), ({"replicas": 7}, 7)]
)
def test_how_many_are_wanted(spec: dict[str, Any] | None, expected: int | None) -> None:
    assert templated({"metadata": {"name": "x"}, "spec": spec}).replicas == expected


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        (None, SPECS),
        ([DEPLOYMENT_REFERENCE | {"controller": False}], SPECS),
        ([DEPLOYMENT_REFERENCE | {"controller": None}], SPECS),
        ([{}, DEPLOYMENT_REFERENCE], None),
    ],
    ids=["bare", "owned", "null", "controlled"],
)
def test_a_replica_set_has_containers_only_where_nobody_else_has(owners: Any, expected: Any) -> None:
    document = {"metadata": {"name": "x", "ownerReferences": owners}, "spec": {"replicas": 0, "template": TEMPLATE}}
    item = templated(document, p.project_replica_set)
    assert (item.containers, item.replicas) == (expected, 0)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (None, 0),
        ({}, 0),
        ({"deployment.kubernetes.io/revision": "12"}, 12),
        ({"rollout.argoproj.io/revision": "7"}, 7),
        ({"deployment.kubernetes.io/revision": "x", "rollout.argoproj.io/revision": "7"}, 7),
        ({"deployment.kubernetes.io/revision": None}, 0),
        ({"deployment.kubernetes.io/revision": "-1"}, 0),
    ],
    ids=str,
)
def test_the_revision_of_a_replica_set(annotations: Any, expected: int) -> None:
    document = {"metadata": {"name": "x", "annotations": annotations}}
    assert templated(document, p.project_replica_set).revision == expected
    assert templated(document, p.project_deployment).revision == 0  # its own annotation says how often it rolled out


def test_a_stateful_set_says_which_revision_its_pods_should_have() -> None:
    document = {"metadata": {"name": "x"}, "status": {"updateRevision": "db-5f7", "currentRevision": "db-1"}}
    assert templated(document, p.project_stateful_set).update_revision == "db-5f7"


def test_a_cron_job_has_the_containers_of_its_jobs() -> None:
    document = {"metadata": {"name": "x"}, "spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}}
    item = p.project_cron_job(decoded(document, wire.WireCronJob))
    assert (item.key, item.containers, item.replicas) == (ObjectKey("batch", "CronJob", "", "x"), SPECS, None)


def test_of_an_unknown_kind_the_metadata_is_known() -> None:
    document = {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": {"name": "web", "namespace": "shop", "uid": "r1", "ownerReferences": [DEPLOYMENT_REFERENCE]},
    }
    item = p.project_owner(decoded(document, wire.WireOwned), group="argoproj.io", kind="Rollout")
    assert item.key == ObjectKey("argoproj.io", "Rollout", "shop", "web")
    assert (item.containers, item.replicas, item.owners[0].name) == (None, None, "web")


# -- whatever comes -----------------------------------------------------------------------------------------------


def paths_of(kind: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every optional field of a wire shape, through lists."""
    found: list[tuple[str | int, ...]] = []
    for item in msgspec.structs.fields(kind):
        path = (*prefix, item.encode_name)
        if not item.required:
            found.append(path)
        for inner in (item.type, *typing.get_args(item.type)):
            if typing.get_origin(inner) is list:
                found.append((*path, 0))
                inner, path = typing.get_args(typing.get_args(inner)[0])[0], (*path, 0)  # noqa: PLW2901
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found += paths_of(inner, path)
    return found


def planted(path: tuple[str | int, ...], value: object) -> Any:
    """Return a document with `value` at `path`, and nothing else that is not needed to get there."""
    document: Any = value
    for step in reversed(path):
        document = [document] if step == 0 else {step: document}
    document.setdefault("metadata", {}).setdefault("name", "x")
    return document


SHAPES: list[tuple[type[Any], Project]] = [
    (wire.WirePod, typing.cast("Project", p.project_pod)),
    (wire.WireTemplated, p.project_replica_set),
    (wire.WireTemplated, p.project_stateful_set),
    (wire.WireCronJob, p.project_cron_job),
    (wire.WireTemplated, p.project_deployment),
    (wire.WireTemplated, p.project_daemon_set),
    (wire.WireTemplated, p.project_job),
    (wire.WireOwned, lambda found: p.project_owner(found, group="g", kind="K")),
    (wire.WireCustom, lambda found: p.project_custom(found, group="g", kind="K")),
]


@pytest.mark.parametrize(("kind", "project"), SHAPES, ids=lambda value: getattr(value, "__name__", ""))
def test_null_stops_nothing(kind: type[Any], project: Project) -> None:
    for path in paths_of(kind):
        assert project(decoded(planted(path, None), kind)) is not None, path


def test_the_table_of_nulls_reaches_the_depths() -> None:
    paths = paths_of(wire.WirePod)
    assert ("status", "initContainerStatuses", 0, "lastState", "terminated", "startedAt") in paths
    assert ("metadata", "ownerReferences", 0) in paths
    assert ("metadata", "labels", "pod-template-generation") in paths
    assert ("spec", "jobTemplate", "spec", "template", "spec", "containers", 0, "image") in paths_of(wire.WireCronJob)


TEXT = st.text(max_size=8) | st.sampled_from(["Always", "Ready", "True", "2026-03-01T12:00:00Z", DIGEST, "7", "app"])
NOTES = st.dictionaries(TEXT.map("metadata.github.com/{}".format) | TEXT, st.none() | TEXT, max_size=4)


def documents(kind: Any) -> st.SearchStrategy[Any]:
    """Return documents that an API server could send: every field there, null or absent."""
    fields = msgspec.structs.fields(kind)
    required = {item.encode_name: values(item.type) for item in fields if item.required}
    return st.fixed_dictionaries(
        required, optional={item.encode_name: values(item.type) for item in fields if not item.required}
    )


CONDITIONS = st.fixed_dictionaries({}, optional={"type": st.sampled_from(["Ready", 7]), "reason": TEXT | st.none()})
STATUSES = st.fixed_dictionaries(
    {}, optional={"observedGeneration": TEXT | st.integers(-5, 99), "conditions": st.lists(CONDITIONS) | NOTES}
)


def values(kind: Any) -> st.SearchStrategy[Any]:
    if kind is Any:
        return STATUSES | NOTES | TEXT | st.none()
    if typing.get_origin(kind) is dict:
        return NOTES
    if typing.get_origin(kind) is list:
        return st.lists(values(typing.get_args(kind)[0]), max_size=3)
    if found := typing.get_args(kind):
        return st.one_of([values(inner) for inner in found])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.deferred(lambda: documents(kind))
    return {str: TEXT, int: st.integers(-5, 2**63), bool: st.booleans(), type(None): st.none()}[kind]


@pytest.mark.parametrize(("kind", "project"), SHAPES, ids=lambda value: getattr(value, "__name__", ""))
def test_whatever_has_the_shape_is_projected(kind: type[Any], project: Project) -> None:
    @given(documents(kind))
    def check(document: Any) -> None:
        item = project(decoded(document, kind))
        assert item == project(decoded(document, kind))
        assert list(item.notes) == sorted(item.notes)
        for container in item.containers or ():
            assert container.name
        assert item.created_at is None or item.created_at.utcoffset() is not None

    check()
