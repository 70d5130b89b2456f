"""Given the files of a repository: which of them may change a target."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trail.trees import FakeTrees

from fluxtrail.trail.scope import (
    FILE_LIMIT_BYTES,
    KUSTOMIZATION_LIMIT,
    WHOLE,
    Scope,
    ancestors,
    is_remote,
    named_paths,
    normal_path,
    read_scope,
)


async def scope_of(files: Mapping[str, str | bytes], path: str = "./apps", components: tuple[str, ...] = ()) -> Scope:
    return await read_scope(FakeTrees({"c1": files}), "c1", path, components)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        (".", ""),
        ("./", ""),
        ("/", ""),
        ("./apps", "apps"),
        ("apps/", "apps"),
        ("/apps/prod/", "apps/prod"),
        ("apps//prod/./x", "apps/prod/x"),
        ("apps/../infra", "infra"),
        ("apps/..", ""),
        (" apps ", "apps"),
        ("..", None),
        ("../x", None),
        ("apps/../../x", None),
    ],
)
def test_normal_path(path: str, expected: str | None) -> None:
    assert normal_path(path) == expected


def test_ancestors_end_with_the_root() -> None:
    assert ancestors("a/b/c.yaml") == ["a/b", "a", ""]
    assert ancestors("c.yaml") == [""]
    assert ancestors("") == [""]


FILES: dict[str, dict[str, str | bytes]] = {
    "overlay": {
        "apps/kustomization.yaml": "resources: [../base, cm.yaml, https://example.com/x.yaml]",
        "apps/cm.yaml": "x",
        "base/kustomization.yml": "resources: [./deploy.yaml, ../shared/one.yaml]\ncomponents: [../part]",
        "base/deploy.yaml": "x",
        "shared/one.yaml": "x",
        "shared/two.yaml": "x",
        "part/Kustomization": "kind: Component",
        "other/x.yaml": "x",
    },
    "patches and generators": {
        "apps/kustomization.yaml": """
            patches: [{path: ../p/a.yaml}, {patch: inline}]
            patchesStrategicMerge: [../p/b.yaml, "inline:\\n  x: 1"]
            patchesJson6902: [{path: ../p/c.yaml}]
            replacements: [{path: ../p/d.yaml}]
            configMapGenerator: [{files: [../g/a.txt, key=../g/b.txt], envs: [../g/c.env], env: ../g/d.env}]
            secretGenerator: [{files: ../not-a-list}, not-a-map]
            helmCharts: [{valuesFile: ../h/v.yaml, additionalValuesFiles: [../h/w.yaml]}, null]
            generators: [../gen]
            transformers: [../t.yaml]
            openapi: {path: ../o.json}
            crds: [../crd.yaml]
            configurations: [../conf.yaml]
        """,
        "gen/kustomization.yaml": "",
    },
    "no kustomization anywhere": {
        "apps/a.yaml": "x",
        "apps/deep/b.yaml": "x",
        "apps/deep/er/kustomization.yaml": "resources: [../../../base]",
        "base/c.yaml": "x",
    },
    "cycle": {
        "apps/kustomization.yaml": "resources: [../base, .]",
        "base/kustomization.yaml": "resources: [../apps]",
    },
    "leaves the repository": {
        "apps/kustomization.yaml": "resources: [../../outside, ../base]\nbases: [/../../x]",
        "base/a.yaml": "x",
    },
    "malformed": {"apps/kustomization.yaml": "resources: [unclosed", "base/a.yaml": "x"},
    "bytes": {"apps/kustomization.yaml": b"\xff\xfe\x00", "base/a.yaml": "x"},
    "deep": {"apps/kustomization.yaml": "[" * 20_000, "base/a.yaml": "x"},
    "bad date": {"apps/kustomization.yaml": "resources: 2026-99-99", "base/a.yaml": "x"},
    "several documents": {"apps/kustomization.yaml": "a: 1\n---\nb: 2\n", "base/a.yaml": "x"},
    "not a map": {"apps/kustomization.yaml": "[1, 2]", "base/a.yaml": "x"},
    "endless": {"apps/kustomization.yaml": "#" * (FILE_LIMIT_BYTES + 1), "base/a.yaml": "x"},
    "empty": {"apps/kustomization.yaml": "", "base/a.yaml": "x"},
    "foreign shapes": {
        "apps/kustomization.yaml": "resources: {a: 1}\npatches: x\nconfigMapGenerator: 3\nopenapi: [1]\ncrds: [1, null]"
    },
}


@pytest.mark.parametrize(
    ("world", "inside", "outside"),
    [
        (
            "overlay",
            ["apps/new.yaml", "base/deploy.yaml", "part/x.yaml", "shared/one.yaml", "base/deep/er.yaml"],
            ["shared/two.yaml", "other/x.yaml", "app/x.yaml", "apps2/x.yaml", "README.md"],
        ),
        (
            "patches and generators",
            [
                "p/a.yaml",
                "p/b.yaml",
                "p/c.yaml",
                "p/d.yaml",
                "g/a.txt",
                "g/b.txt",
                "g/c.env",
                "g/d.env",
                "h/v.yaml",
                "h/w.yaml",
                "gen/any.yaml",
                "t.yaml",
                "o.json",
                "crd.yaml",
                "conf.yaml",
            ],
            ["p/e.yaml", "not-a-list", "g", "inline"],
        ),
        ("no kustomization anywhere", ["apps/x", "apps/deep/new.yaml", "base/c.yaml"], ["README.md"]),
        ("cycle", ["apps/x", "base/x"], ["x"]),
        ("leaves the repository", ["apps/x", "base/a.yaml"], ["outside/x", "x"]),
        ("malformed", ["apps/x"], ["base/a.yaml"]),
        ("bytes", ["apps/x"], ["base/a.yaml"]),
        ("deep", ["apps/x"], ["base/a.yaml"]),
        ("bad date", ["apps/x"], ["base/a.yaml"]),
        ("several documents", ["apps/x"], ["base/a.yaml"]),
        ("not a map", ["apps/x"], ["base/a.yaml"]),
        ("endless", ["apps/x"], ["base/a.yaml"]),
        ("empty", ["apps/x"], ["base/a.yaml"]),
        ("foreign shapes", ["apps/x"], ["x"]),
    ],
)
async def test_scope(world: str, inside: list[str], outside: list[str]) -> None:
    scope = await scope_of(FILES[world])
    assert [path for path in inside if not scope.has(path)] == []
    assert [path for path in outside if scope.has(path)] == []
    assert scope.has_any([*outside, inside[0]])
    assert not scope.has_any(outside)


async def test_a_path_that_is_not_there_is_its_own_scope() -> None:
    scope = await scope_of({"base/a.yaml": "x"})
    assert scope.has("apps/kustomization.yaml")
    assert not scope.has("base/a.yaml")


async def test_what_is_referenced_but_not_there_yet_is_in_scope_once_it_comes() -> None:
    scope = await scope_of({"apps/kustomization.yaml": "components: [../part]"})
    assert scope.has("part/kustomization.yaml")
    assert scope.is_shaped_by(["part/kustomization.yaml"])
    assert not scope.has("parts/kustomization.yaml")


async def test_the_root_is_everything() -> None:
    scope = await scope_of({"kustomization.yaml": "resources: [a]", "a/x.yaml": "", "b/y.yaml": ""}, path="./")
    assert scope == WHOLE
    assert scope.has("b/y.yaml")


@pytest.mark.parametrize("path", ["..", "../x", "a/../../b"])
async def test_a_path_outside_the_repository_counts_as_everything(path: str) -> None:
    assert await scope_of({}, path=path) == WHOLE


async def test_components_of_the_spec_are_relative_to_its_path() -> None:
    files: dict[str, str | bytes] = {
        "apps/kustomization.yaml": "",
        "parts/one/kustomization.yaml": "resources: [../two.yaml]",
    }
    scope = await scope_of(files, components=("../parts/one", "https://example.com/c", "../../out"))
    assert scope.has_any(["parts/one/x.yaml"])
    assert scope.has("parts/two.yaml")
    assert not scope.has("parts/three.yaml")


@pytest.mark.parametrize(("count", "is_whole"), [(KUSTOMIZATION_LIMIT - 1, False), (KUSTOMIZATION_LIMIT + 5, True)])
async def test_too_many_kustomizations_count_as_everything(count: int, is_whole: bool) -> None:
    files: dict[str, str | bytes] = {f"k{n}/kustomization.yaml": f"resources: [../k{n + 1}]" for n in range(count)}
    reader = FakeTrees({"c1": files | {"apps/kustomization.yaml": "resources: [../k0]"}})
    scope = await read_scope(reader, "c1", "apps")
    assert (scope == WHOLE) is is_whole
    assert len(reader.reads) <= KUSTOMIZATION_LIMIT + 1


async def test_each_kustomization_is_read_once() -> None:
    files: dict[str, str | bytes] = {
        "apps/kustomization.yaml": "resources: [../a, ../b, ../a]",
        "a/kustomization.yaml": "resources: [../b]",
        "b/kustomization.yaml": "resources: [../a]",
    }
    reader = FakeTrees({"c1": files})
    await read_scope(reader, "c1", "apps")
    assert sorted(path for _, path in reader.reads) == sorted(files)


async def test_directories_inside_others_are_not_named_twice() -> None:
    files: dict[str, str | bytes] = {
        "apps/kustomization.yaml": "resources: [sub, ../apps/sub/deep, ../base/one.yaml, ../base]",
        "apps/sub/x.yaml": "",
        "apps/sub/deep/x.yaml": "",
        "base/one.yaml": "",
    }
    assert await scope_of(files) == Scope(frozenset({"apps", "base"}))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["apps/kustomization.yaml"], True),
        (["apps/sub/Kustomization"], True),
        (["apps/a.yaml"], False),
        (["other/kustomization.yaml"], False),
        (["apps/my-kustomization.yaml"], False),
    ],
)
def test_only_kustomizations_within_shape_a_scope(paths: list[str], expected: bool) -> None:
    assert Scope(frozenset({"apps"})).is_shaped_by(paths) is expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("https://example.com/x.yaml", True),
        ("ssh://git@host/x", True),
        ("git@github.com:acme/x", True),
        ("git::https://x", True),
        ("github.com/acme/x//deploy?ref=v1", True),
        ("gitlab.example.com/acme/x?ref=v1", True),
        ("../base", False),
        ("github.community/x", False),
    ],
)
def test_remote_references(reference: str, expected: bool) -> None:
    assert is_remote(reference) is expected


YAML = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["resources", "patches", "path", "files", "openapi", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(YAML)
def test_any_document_names_only_text(document: object) -> None:
    assert "" not in named_paths(document)


@given(st.from_regex(r"[./a-c]{0,12}", fullmatch=True))
def test_a_normal_path_is_its_own(path: str) -> None:
    found = normal_path(path)
    if found is not None:
        assert normal_path(found) == found
        assert ".." not in found.split("/")
        assert not found.startswith("/")
