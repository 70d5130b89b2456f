"""Projections of Flux objects: what Kubernetes may send, and what is kept of it."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model import wire
from fluxtrail.model.flux import KUSTOMIZE_GROUP, SOURCE_GROUP, Kustomization, project_kustomization
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.sources import GitRef, GitRepository, project_git_repository

SHA = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738"
REVISION = f"main@sha1:{SHA}"

KUSTOMIZATION: dict[str, Any] = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {
        "name": "apps",
        "namespace": "flux-system",
        "uid": "u1",
        "generation": 3,
        "resourceVersion": "42",
        "creationTimestamp": "2026-03-01T12:00:00Z",
        "managedFields": [{"manager": "x"}],
    },
    "spec": {
        "path": "./apps/prod",
        "interval": "5m",
        "components": ["../one", "../two"],
        "sourceRef": {"kind": "GitRepository", "name": "fleet"},
        "dependsOn": [{"name": "infra"}, {"name": "crds", "namespace": "other", "readyExpr": "true"}],
        "wait": True,
        "prune": True,
        "suspend": False,
        "healthChecks": [{"kind": "Deployment", "name": "d"}],
        "kubeConfig": {"secretRef": {"name": "prod-kubeconfig", "key": "value"}},
        "targetNamespace": "prod",
    },
    "status": {
        "observedGeneration": 2,
        "lastAppliedRevision": REVISION,
        "lastAppliedOriginRevision": "main@sha1:" + "a" * 40,
        "lastAttemptedRevision": "main@sha1:" + "b" * 40,
        "inventory": {"entries": [{"id": "x", "v": "v1"}]},
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "BuildFailed",
                "message": "https://user:pw@host/x?token=1 refused",
                "lastTransitionTime": "2026-03-01T12:00:05Z",
                "observedGeneration": 2,
            }
        ],
        "history": [
            {
                "digest": "sha256:d1",
                "firstReconciled": "2026-03-01T12:00:00Z",
                "lastReconciled": "2026-03-01T12:00:04Z",
                "lastReconciledDuration": "133.902327ms",
                "lastReconciledStatus": "ReconciliationSucceeded",
                "totalReconciliations": 7,
                "metadata": {"revision": REVISION},
            }
        ],
    },
}

GIT_REPOSITORY: dict[str, Any] = {
    "metadata": {"name": "fleet", "namespace": "flux-system", "uid": "u2", "generation": 1},
    "spec": {
        "url": "https://user:pw@github.com/acme/fleet.git?x=1",
        "ref": {"branch": "main"},
        "suspend": True,
        "ignore": "/docs\n",
        "include": [{"repository": {"name": "other"}, "fromPath": "a", "toPath": "b"}],
        "sparseCheckout": ["apps", ""],
    },
    "status": {
        "observedGeneration": 1,
        "artifact": {"revision": REVISION, "digest": "sha256:a", "lastUpdateTime": "2026-03-01T12:00:01Z"},
        "conditions": [{"type": "FetchFailed", "status": "True", "reason": "GitOperationFailed", "message": "no"}],
    },
}


def kustomization(document: object) -> Kustomization:
    return project_kustomization(msgspec.json.decode(msgspec.json.encode(document), type=wire.WireKustomization))


def git_repository(document: object) -> GitRepository:
    return project_git_repository(msgspec.json.decode(msgspec.json.encode(document), type=wire.WireGitRepository))


def test_a_kustomization_keeps_what_is_read() -> None:
    item = kustomization(KUSTOMIZATION)
    assert item.key == ObjectKey(KUSTOMIZE_GROUP, "Kustomization", "flux-system", "apps")
    assert (item.uid, item.generation, item.observed_generation) == ("u1", 3, 2)
    assert (item.path, item.components) == ("./apps/prod", ("../one", "../two"))
    assert item.source == ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "fleet")
    assert item.kube_config == "flux-system/prod-kubeconfig"
    assert item.depends_on == ("flux-system/infra", "other/crds")
    assert (item.is_suspended, item.is_deleting, item.has_checks) == (False, False, True)
    assert (item.last_applied, item.last_applied_origin) == (REVISION, "main@sha1:" + "a" * 40)
    assert item.last_attempted == "main@sha1:" + "b" * 40
    ready = item.find_condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == ("False", "BuildFailed", "https://host/x refused")
    assert ready.changed_at is not None
    assert item.find_condition("Healthy") is None
    (snapshot,) = item.history
    assert (snapshot.digest, snapshot.status, snapshot.total) == ("sha256:d1", "ReconciliationSucceeded", 7)
    assert snapshot.revision == REVISION
    assert snapshot.took_seconds == pytest.approx(0.133902327)


def test_a_git_repository_keeps_what_is_read() -> None:
    item = git_repository(GIT_REPOSITORY)
    assert item.key == ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "fleet")
    assert item.url == "https://github.com/acme/fleet.git"
    assert item.ref == GitRef(branch="main")
    assert (item.is_suspended, item.ignore, item.sparse_checkout, bool(item.includes)) == (
        True,
        "/docs\n",
        ("apps",),
        True,
    )
    assert (item.revision, item.digest) == (REVISION, "sha256:a")
    assert item.updated_at is not None
    failed = item.find_condition("FetchFailed")
    assert failed is not None
    assert failed.changed_at is None
    assert item.find_condition("Ready") is None


@pytest.mark.parametrize("document", [{}, {"spec": None, "status": None}, {"spec": {}, "status": {}}], ids=str)
def test_an_object_without_spec_and_status_has_the_defaults(document: dict[str, Any]) -> None:
    meta = {"metadata": {"name": "apps"}}
    item = kustomization(document | meta)
    assert (item.path, item.components, item.depends_on, item.kube_config) == ("./", (), (), None)
    assert item.source == ObjectKey(SOURCE_GROUP, "GitRepository", "", "")
    assert (item.generation, item.observed_generation, item.has_checks, item.is_suspended) == (0, -1, False, False)
    assert (item.last_applied, item.last_attempted, item.conditions, item.history) == (None, None, (), ())
    source = git_repository(document | meta)
    assert (source.url, source.ref, source.revision, source.updated_at) == ("", GitRef(), None, None)
    assert (source.sparse_checkout, source.conditions, source.includes) == ((), (), ())


def paths_of(kind: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every optional field of a wire shape, through lists and maps."""
    found: list[tuple[str | int, ...]] = []
    for item in msgspec.structs.fields(kind):
        path = (*prefix, item.encode_name)
        if item.required and item.encode_name == "metadata":
            found += paths_of(item.type, path)
            continue
        if item.required:
            continue
        found.append(path)
        for inner in typing.get_args(item.type):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found += paths_of(inner, path)
            elif typing.get_origin(inner) is list:
                found.append((*path, 0))
                for element in typing.get_args(typing.get_args(inner)[0]) or typing.get_args(inner):
                    if isinstance(element, type) and issubclass(element, msgspec.Struct):
                        found += paths_of(element, (*path, 0))
    return found


def planted(kind: Any, path: tuple[str | int, ...], value: object) -> Any:
    """Return a document with `value` at `path`, and nothing else that is not needed to get there."""
    document: Any = value
    for step in reversed(path):
        document = [document] if step == 0 else {step: document}
    document.setdefault("metadata", {}).setdefault("name", "x")
    return document


@pytest.mark.parametrize("path", paths_of(wire.WireKustomization), ids=lambda path: ".".join(map(str, path)))
def test_null_stops_no_kustomization(path: tuple[str | int, ...]) -> None:
    assert kustomization(planted(wire.WireKustomization, path, None)).key.name == "x"


@pytest.mark.parametrize("path", paths_of(wire.WireGitRepository), ids=lambda path: ".".join(map(str, path)))
def test_null_stops_no_git_repository(path: tuple[str | int, ...]) -> None:
    assert git_repository(planted(wire.WireGitRepository, path, None)).key.name == "x"


def test_the_table_of_nulls_reaches_the_depths() -> None:
    paths = paths_of(wire.WireKustomization)
    assert ("status", "conditions", 0, "lastTransitionTime") in paths
    assert ("spec", "dependsOn", 0, "name") in paths
    assert ("spec", "components", 0) in paths
    assert ("status", "artifact", "lastUpdateTime") in paths_of(wire.WireGitRepository)


@pytest.mark.parametrize("written", ["", "yesterday", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00"])
def test_an_unreadable_time_is_an_absent_one(written: str) -> None:
    status = {
        "conditions": [{"type": "Ready", "lastTransitionTime": written}],
        "history": [{"firstReconciled": written, "lastReconciled": written}],
        "artifact": {"lastUpdateTime": written},
    }
    document = {"metadata": {"name": "x"}, "status": status}
    item = kustomization(document)
    assert item.conditions[0].changed_at is None
    assert (item.history[0].first_reconciled, item.history[0].last_reconciled) == (None, None)
    assert git_repository(document).updated_at is None


def test_lists_are_bounded() -> None:
    status = {"conditions": [{"type": str(n)} for n in range(99)], "history": [{"digest": str(n)} for n in range(99)]}
    item = kustomization({"metadata": {"name": "x"}, "status": status})
    assert (len(item.conditions), len(item.history)) == (wire.MAX_CONDITIONS, wire.MAX_HISTORY)


def test_empty_revisions_are_absent_ones() -> None:
    status = {"lastAppliedRevision": "", "lastAttemptedRevision": "", "lastAppliedOriginRevision": ""}
    item = kustomization({"metadata": {"name": "x"}, "status": status})
    assert (item.last_applied, item.last_attempted, item.last_applied_origin) == (None, None, None)


def test_a_dependency_without_a_name_is_none() -> None:
    spec = {"dependsOn": [None, {}, {"namespace": "a"}, {"name": "b"}]}
    assert kustomization({"metadata": {"name": "x", "namespace": "n"}, "spec": spec}).depends_on == ("n/b",)


def test_namespaces_default_to_the_objects_own() -> None:
    spec = {"sourceRef": {"kind": "OCIRepository", "name": "s", "namespace": "shared"}}
    item = kustomization({"metadata": {"name": "x", "namespace": "n"}, "spec": spec})
    assert item.source == ObjectKey(SOURCE_GROUP, "OCIRepository", "shared", "s")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, None),
        ({"kubeConfig": {}}, None),
        ({"kubeConfig": {"secretRef": {}}}, None),
        ({"kubeConfig": {"secretRef": {"name": "s"}}}, "n/s"),
        ({"kubeConfig": {"configMapRef": {"name": "c"}}}, "n/c"),
        ({"kubeConfig": {"secretRef": None, "configMapRef": {"name": "c"}}}, "n/c"),
    ],
    ids=str,
)
def test_remote_cluster(spec: dict[str, Any], expected: str | None) -> None:
    assert kustomization({"metadata": {"name": "x", "namespace": "n"}, "spec": spec}).kube_config == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, False), ({"wait": False, "healthChecks": []}, False), ({"wait": True}, True), ({"healthChecks": [{}]}, True)],
    ids=str,
)
def test_checks(spec: dict[str, Any], expected: bool) -> None:
    assert kustomization({"metadata": {"name": "x"}, "spec": spec}).has_checks is expected


def test_an_object_under_deletion_says_so() -> None:
    meta = {"metadata": {"name": "x", "deletionTimestamp": "2026-03-01T12:00:00Z"}}
    assert kustomization(meta).is_deleting
    assert git_repository(meta).is_deleting


@pytest.mark.parametrize(
    ("ref", "branch", "follows_tags", "is_pinned"),
    [
        (GitRef(), "master", False, False),
        (GitRef(branch=""), "master", False, False),
        (GitRef(branch="main"), "main", False, False),
        (GitRef(branch="main", tag="v1"), None, True, False),
        (GitRef(semver=">=1"), None, True, False),
        (GitRef(name="refs/heads/feature/x"), "feature/x", False, False),
        (GitRef(branch="main", name="refs/tags/v1"), None, True, False),
        (GitRef(name="refs/pull/1/head"), None, False, False),
        (GitRef(commit=SHA), None, False, True),
        (GitRef(branch="main", commit=SHA), "main", False, True),
        (GitRef(tag="v1", commit=SHA), None, False, True),
    ],
    ids=str,
)
def test_what_a_ref_follows(ref: GitRef, branch: str | None, follows_tags: bool, is_pinned: bool) -> None:
    assert (ref.followed_branch, ref.follows_tags, ref.is_pinned) == (branch, follows_tags, is_pinned)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=10).filter(lambda key: key not in ("metadata", "spec", "status")), JSON))
def test_unknown_fields_change_nothing(extra: dict[str, Any]) -> None:
    extra = {f"x{key}": value for key, value in extra.items()}
    widened = {
        key: value | extra if isinstance(value, dict) else value for key, value in (KUSTOMIZATION | extra).items()
    }
    assert kustomization(widened) == kustomization(KUSTOMIZATION)
    assert git_repository(GIT_REPOSITORY | extra) == git_repository(GIT_REPOSITORY)
