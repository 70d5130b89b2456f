"""Sources on the wire become what is kept of them; nothing that a decoder let through stops a projection."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.flux import SOURCE_GROUP, project_kustomization
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.sources import (
    GENERATOR_GROUP,
    IMAGE_GROUP,
    MAX_INPUTS,
    PINNED,
    ArtifactGenerator,
    ArtifactSource,
    GitRef,
    GitRepository,
    ImageUpdateAutomation,
    SourceInput,
    canonical_place,
    is_place,
    project_artifact_generator,
    project_artifact_source,
    project_git_repository,
    project_image_update_automation,
    url_to_ask,
)
from fluxtrail.model.wire import (
    WireArtifactGenerator,
    WireArtifactSource,
    WireGitRepository,
    WireImageUpdateAutomation,
    WireKustomization,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHA = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738"
DIGEST = "sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de"
META = {"name": "fleet", "namespace": "apps", "uid": "u1", "generation": 3}


def key(name: str, kind: str = "GitRepository", namespace: str = "apps") -> ObjectKey:
    return ObjectKey(SOURCE_GROUP, kind, namespace, name)


def read(shape: type[Any], document: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document), type=shape)


def git(spec: object = None, status: object = None, **meta: Any) -> GitRepository:
    document = {"metadata": META | meta, "spec": spec, "status": status}
    return project_git_repository(read(WireGitRepository, document))


def artifact(spec: object = None, status: object = None, kind: str = "OCIRepository", **meta: Any) -> ArtifactSource:
    document = {"metadata": META | meta, "spec": spec, "status": status}
    return project_artifact_source(read(WireArtifactSource, document), kind=kind)


def generator(spec: object) -> ArtifactGenerator:
    return project_artifact_generator(read(WireArtifactGenerator, {"metadata": META, "spec": spec}))


def automation(spec: object = None, status: object = None) -> ImageUpdateAutomation:
    document = {"metadata": META, "spec": spec, "status": status}
    return project_image_update_automation(read(WireImageUpdateAutomation, document))


# -- git repositories ---------------------------------------------------------------------------------------------


def test_a_git_repository_with_everything() -> None:
    item = git(
        {
            "url": "https://user:token@github.com/acme/fleet?x=1",
            "ref": {"branch": "main"},
            "suspend": True,
            "ignore": "/*",
            "sparseCheckout": ["apps", None, ""],
            "include": [{"repository": {"name": "shared"}, "fromPath": "./lib//x", "toPath": "y"}],
        },
        {
            "artifact": {"revision": f"main@sha1:{SHA}", "digest": DIGEST, "lastUpdateTime": "2026-03-01T12:00:00Z"},
            "includedArtifacts": [{"revision": "main@sha1:1"}, None, {"revision": None}],
            "conditions": [{"type": "Ready", "status": "True", "message": "password=hunter22"}],
        },
        deletionTimestamp="2026-03-01T12:00:00Z",
    )
    assert (item.key, item.uid, item.generation) == (key("fleet"), "u1", 3)
    assert (item.is_deleting, item.is_suspended) == (True, True)
    assert item.url == "https://github.com/acme/fleet"
    assert (item.ignore, item.sparse_checkout) == ("/*", ("apps",))
    assert item.includes == (SourceInput(key("shared"), ("lib/x",)),)
    assert item.included == ("main@sha1:1", "")
    assert (item.revision, item.digest, item.updated_at) == (f"main@sha1:{SHA}", DIGEST, NOON)
    ready = item.find_condition("Ready")
    assert ready is not None
    assert "hunter22" not in ready.message
    assert item.find_condition("FetchFailed") is None


def test_includes_stand_in_the_namespace_of_their_repository() -> None:
    """GitRepositoryInclude has no namespace of its own; one that somebody writes there says nothing."""
    found = git({"include": [{"repository": {"name": "a", "namespace": "other"}}, {"repository": {}}, {}, None]})
    assert found.includes == (SourceInput(key("a")),)


@pytest.mark.parametrize(
    ("ref", "branch", "follows_tags", "is_pinned"),
    [
        (None, "master", False, False),
        ({}, "master", False, False),
        ({"branch": None}, "master", False, False),
        ({"branch": "main"}, "main", False, False),
        ({"branch": "main", "tag": "v1"}, None, True, False),
        ({"semver": ">=1"}, None, True, False),
        ({"branch": "main", "name": "refs/heads/x/y"}, "x/y", False, False),
        ({"tag": "v1", "name": "refs/heads/x"}, "x", True, False),
        ({"name": "refs/tags/v1"}, None, True, False),
        ({"name": "refs/pull/1/head"}, None, False, False),
        ({"branch": "main", "commit": SHA}, "main", False, True),
        ({"commit": SHA}, None, False, True),
        ({"tag": "v1", "commit": SHA}, None, False, True),
    ],
)
def test_what_a_git_repository_checks_out(ref: Any, branch: str | None, follows_tags: bool, is_pinned: bool) -> None:
    found = git({"ref": ref}).ref
    assert (found.followed_branch, found.follows_tags, found.is_pinned) == (branch, follows_tags, is_pinned)


# -- artifacts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "spec", "url", "pointer", "made_from"),
    [
        ("OCIRepository", {"url": "oci://u:p@ghcr.io/acme/x?q=1"}, "oci://ghcr.io/acme/x", "latest", None),
        ("OCIRepository", {"url": "oci://h/x", "ref": {}}, "oci://h/x", "latest", None),
        ("OCIRepository", {"url": "oci://h/x", "ref": {"tag": "v1"}}, "oci://h/x", "v1", None),
        ("OCIRepository", {"url": "oci://h/x", "ref": {"tag": "v1", "semver": ">=1"}}, "oci://h/x", ">=1", None),
        (
            "OCIRepository",
            {"url": "oci://h/x", "ref": {"tag": "v1", "semver": ">=1", "digest": DIGEST}},
            "oci://h/x",
            PINNED,
            None,
        ),
        ("Bucket", {"bucketName": "b", "endpoint": "minio:9000"}, "bucket://minio:9000/b", "latest", None),
        (
            "Bucket",
            {"bucketName": "b", "endpoint": "https://s3.example.com/"},
            "bucket://s3.example.com/b",
            "latest",
            None,
        ),
        ("Bucket", {"bucketName": "b", "endpoint": None}, "bucket:///b", "latest", None),
        (
            "HelmChart",
            {"chart": "podinfo", "version": ">=6", "sourceRef": {"kind": "HelmRepository", "name": "charts"}},
            "",
            ">=6",
            key("charts", "HelmRepository"),
        ),
        (
            "ExternalArtifact",
            {"sourceRef": {"kind": "ArtifactGenerator", "name": "g", "namespace": "other"}},
            "",
            "latest",
            ObjectKey(GENERATOR_GROUP, "ArtifactGenerator", "other", "g"),
        ),
        ("ExternalArtifact", {"sourceRef": {"kind": "ArtifactGenerator"}}, "", "latest", None),
        ("ExternalArtifact", {"sourceRef": {"name": "g"}}, "", "latest", key("g", "")),
        ("ExternalArtifact", None, "", "latest", None),
    ],
)
def test_where_an_artifact_is_and_what_it_is_made_from(
    kind: str, spec: Any, url: str, pointer: str, made_from: ObjectKey | None
) -> None:
    item = artifact(spec, kind=kind)
    assert item.key == key("fleet", kind)
    assert (item.url, item.pointer, item.made_from) == (url, pointer, made_from)


def test_origin_comes_from_the_annotations_of_the_artifact() -> None:
    annotations = {
        "org.opencontainers.image.revision": f"main@sha1:{SHA}",
        "org.opencontainers.image.source": "https://u:p@github.com/acme/app",
        "org.opencontainers.image.created": "2026-03-01T12:00:00Z",
        "else": None,
    }
    item = artifact({"insecure": True}, {"artifact": {"revision": DIGEST, "metadata": annotations}})
    assert (item.origin, item.origin_url) == (f"main@sha1:{SHA}", "https://github.com/acme/app")
    assert (item.created_at, item.is_insecure, item.revision) == (NOON, True, DIGEST)


def test_an_origin_without_a_branch_is_its_commit() -> None:
    item = artifact(None, {"artifact": {"metadata": {"org.opencontainers.image.revision": f"@sha1:{SHA}"}}})
    assert item.origin == f"sha1:{SHA}"


@pytest.mark.parametrize("metadata", [None, {}, {"org.opencontainers.image.revision": None}, {"x": "y"}])
def test_without_annotations_there_is_no_origin(metadata: Any) -> None:
    item = artifact(None, {"artifact": {"metadata": metadata}})
    assert (item.origin, item.origin_url, item.created_at) == (None, None, None)


# -- generators ---------------------------------------------------------------------------------------------------

SOURCES = [
    {"alias": "git", "kind": "GitRepository", "name": "fleet"},
    {"alias": "oci", "kind": "OCIRepository", "name": "charts", "namespace": "other"},
    {"alias": "bare", "name": "shared"},
    {"alias": None, "name": "nobody"},
    {"alias": "nameless", "kind": "Bucket"},
    None,
]
GIT, OCI, BARE = key("fleet"), key("charts", "OCIRepository", "other"), key("shared")


@pytest.mark.parametrize(
    ("copies", "inputs"),
    [
        (["@git/deploy/**"], (SourceInput(GIT, ("deploy",)),)),
        (["@git/deploy/app.yaml"], (SourceInput(GIT, ("deploy/app.yaml",)),)),
        (["@git/./a//b/*.yaml", "@git/c/[xy]/z"], (SourceInput(GIT, ("a/b", "c")),)),
        (["@git/a", "@oci/b/**", "@git/c"], (SourceInput(GIT, ("a", "c")), SourceInput(OCI, ("b",)))),
        (["@git/a", "@git/a/**"], (SourceInput(GIT, ("a",)),)),
        (["@git/**"], (SourceInput(GIT),)),
        (["@git/a", "@git/**"], (SourceInput(GIT),)),
        (["@bare"], (SourceInput(BARE),)),
        (["@bare/"], (SourceInput(BARE),)),
        (["git/a"], (SourceInput(GIT, ("a",)),)),
        (["@unknown/a", "@oci/a"], (SourceInput(OCI, ("a",)),)),
        (["@unknown/a", None, "", "@"], (SourceInput(GIT), SourceInput(OCI), SourceInput(BARE))),
        ([], (SourceInput(GIT), SourceInput(OCI), SourceInput(BARE))),
    ],
    ids=lambda value: ",".join(map(str, value)) if isinstance(value, list) else "",
)
def test_what_an_artifact_of_a_generator_copies(copies: list[str | None], inputs: tuple[SourceInput, ...]) -> None:
    item = generator({"sources": SOURCES, "artifacts": [{"name": "a", "copy": [{"from": text} for text in copies]}]})
    assert item.key == ObjectKey(GENERATOR_GROUP, "ArtifactGenerator", "apps", "fleet")
    assert item.inputs == {"a": inputs}


def test_artifacts_without_a_name_or_a_copy() -> None:
    sources = SOURCES[:1]
    found = generator({"sources": sources, "artifacts": [None, {}, {"name": None}, {"name": "a", "copy": [None]}]})
    assert found.inputs == {"a": (SourceInput(GIT),)}
    assert generator({"sources": None, "artifacts": [{"name": "a"}]}).inputs == {"a": ()}
    assert generator({"sources": sources, "artifacts": None}).inputs == {}
    assert generator(None).inputs == {}


def test_a_generator_of_many_artifacts_keeps_its_sources_once() -> None:
    sources = [{"alias": f"s{number}", "name": f"n{number}"} for number in range(2 * MAX_INPUTS)]
    found = generator({"sources": sources, "artifacts": [{"name": f"a{number}"} for number in range(1000)]}).inputs
    assert len(found) == 1000
    assert len({id(inputs) for inputs in found.values()}) == 1
    assert len(found["a0"]) == MAX_INPUTS


# -- image automation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "source"),
    [
        ({"sourceRef": {"kind": "GitRepository", "name": "x", "namespace": "other"}}, key("x", namespace="other")),
        ({"sourceRef": {"name": "x"}}, key("x")),
        ({"sourceRef": {"name": "x", "kind": None, "namespace": None}}, key("x")),
        ({"sourceRef": None}, key("")),
        (None, key("")),
    ],
)
def test_what_image_automation_pushes_to(spec: Any, source: ObjectKey) -> None:
    item = automation(spec, {"lastPushCommit": SHA})
    assert item.key == ObjectKey(IMAGE_GROUP, "ImageUpdateAutomation", "apps", "fleet")
    assert (item.source, item.last_push) == (source, SHA)


@pytest.mark.parametrize(
    ("git", "email"),
    [
        ({"commit": {"author": {"email": "Flux@Example.com ", "name": "flux"}}}, "flux@example.com"),
        ({"commit": {"author": {"email": None}}}, None),
        ({"commit": {"author": None}}, None),
        ({"commit": None}, None),
        (None, None),
    ],
)
def test_as_whom_image_automation_commits(git: Any, email: str | None) -> None:
    assert automation({"sourceRef": {"name": "x"}, "git": git}).author_email == email


@pytest.mark.parametrize("status", [None, {}, {"lastPushCommit": None}, {"lastPushCommit": ""}])
def test_no_push_yet(status: Any) -> None:
    assert automation(None, status).last_push is None


# -- places -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "place", "asked", "asked_insecure"),
    [
        ("oci://ghcr.io/acme/x", True, "https://ghcr.io/acme/x", "http://ghcr.io/acme/x"),
        ("bucket://minio:9000/b", True, None, None),
        ("artifact://c1/ns/name", True, None, None),
        ("https://github.com/acme/x", False, "https://github.com/acme/x", "https://github.com/acme/x"),
        ("ssh://git@github.com/acme/x", False, "ssh://git@github.com/acme/x", "ssh://git@github.com/acme/x"),
        ("OCI://ghcr.io/x", False, "OCI://ghcr.io/x", "OCI://ghcr.io/x"),
        ("", False, None, None),
    ],
)
def test_places_and_how_they_are_asked(url: str, place: bool, asked: str | None, asked_insecure: str | None) -> None:
    assert is_place(url) is place
    assert url_to_ask(url) == asked
    assert url_to_ask(url, is_insecure=True) == asked_insecure


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("oci://GHCR.io/Acme/X", "oci://ghcr.io/Acme/X"),
        ("oci://ghcr.io/acme/x//", "oci://ghcr.io/acme/x"),
        ("oci://Registry:5000", "oci://registry:5000"),
        ("bucket://S3.Example.com/B", "bucket://s3.example.com/B"),
        ("artifact://c1/ns/name", "artifact://c1/ns/name"),
    ],
)
def test_the_one_name_of_a_place(url: str, canonical: str) -> None:
    assert canonical_place(url) == canonical
    assert canonical_place(canonical) == canonical


# -- whatever was decoded -----------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "git": (WireGitRepository, project_git_repository),
    "artifact": (WireArtifactSource, lambda wire: project_artifact_source(wire, kind="OCIRepository")),
    "generator": (WireArtifactGenerator, project_artifact_generator),
    "automation": (WireImageUpdateAutomation, project_image_update_automation),
    "kustomization": (WireKustomization, project_kustomization),
}
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "@git/a/**",
        "git",
        "https://u:p@[::1",
        "oci://x",
        f"main@sha1:{SHA}",
        "2026-03-01T12:00:00Z",
        "://",
        "\0",
        "\ud7ff",
    ]
)
LEAVES: dict[type, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(-(2**63), 2**64 - 1),
    bool: st.booleans(),
}


def _is_struct(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, msgspec.Struct)


def documents(shape: Any) -> st.SearchStrategy[Any]:
    """JSON of a declared type: every optional field is left out, null, or of its kind."""
    if _is_struct(shape):
        fields = {item.encode_name: item for item in msgspec.structs.fields(shape)}
        required = {name: documents(item.type) for name, item in fields.items() if item.required}
        optional = {name: documents(item.type) for name, item in fields.items() if not item.required}
        return st.fixed_dictionaries(required, optional=optional)
    if shape in LEAVES:
        return LEAVES[shape]
    if shape is type(None):
        return st.none()
    arguments: Any = getattr(shape, "__args__", ())
    origin = getattr(shape, "__origin__", None)
    if origin is list:
        return st.lists(documents(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXTS, documents(arguments[1]), max_size=3)
    if arguments:
        return st.one_of([documents(part) for part in arguments])
    return st.none() | TEXTS | st.integers()  # Any


@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data())
def test_a_projection_never_stops(name: str, data: st.DataObject) -> None:
    shape, project = SHAPES[name]
    document = data.draw(documents(shape))
    made = project(read(shape, document))
    assert made.key.name == document["metadata"]["name"]
    assert made.uid == (document["metadata"].get("uid") or "")
    assert msgspec.json.encode(made) == msgspec.json.encode(project(read(shape, document)))


@pytest.mark.parametrize("name", SHAPES)
def test_explicit_nulls_are_what_is_left_out(name: str) -> None:
    shape, project = SHAPES[name]
    bare: dict[str, Any] = {"metadata": {"name": "fleet"}}
    nulls = {item.encode_name: None for item in msgspec.structs.fields(shape) if not item.required}
    inner = {}
    for item in msgspec.structs.fields(shape):
        for part in getattr(item.type, "__args__", (item.type,)):
            if _is_struct(part):
                inner[item.encode_name] = {
                    field.encode_name: None for field in msgspec.structs.fields(part) if not field.required
                }
    full = inner | {"metadata": inner["metadata"] | {"name": "fleet"}}
    for document in (bare | nulls, full):
        assert project(read(shape, document)) == project(read(shape, bare))


def test_a_ref_without_anything_follows_the_default_branch() -> None:
    assert GitRef() == git({"url": None, "ref": None}).ref
