"""Given commits of a branch, oldest first: which targets each may change."""

from __future__ import annotations

from typing import cast

import pytest
from tests.trail.trees import FakeTrees, changed, reader

from fluxtrail.trail.artifact_paths import ArtifactPaths
from fluxtrail.trail.ports import RepositoryReader
from fluxtrail.trail.scopes import SOURCE_IGNORE_LIMIT_BYTES, ScopeKey, Scopes

APPS = ScopeKey("./apps", (), None, ())
INFRA = ScopeKey("./infra", (), None, ())


async def test_a_commit_affects_those_whose_scope_it_touches() -> None:
    tree = reader({"c1": {"apps/a.yaml": "", "infra/b.yaml": "", "README.md": ""}})
    scopes = Scopes()
    assert await scopes.affected(tree, changed("c1", "apps/a.yaml"), [APPS, INFRA]) == {APPS}
    assert await scopes.affected(tree, changed("c1", "apps/a.yaml", "infra/b.yaml"), [APPS, INFRA]) == {APPS, INFRA}
    assert await scopes.affected(tree, changed("c1", "README.md"), [APPS, INFRA]) == set()
    assert await scopes.affected(tree, changed("c1"), [APPS, INFRA]) == set()
    assert await scopes.affected(tree, changed("c1", "apps/a.yaml"), []) == set()


async def test_a_scope_is_read_again_where_a_kustomization_changed() -> None:
    before = {"apps/kustomization.yaml": "resources: [../base]", "base/x.yaml": "", "other/y.yaml": ""}
    after = before | {"apps/kustomization.yaml": "resources: [../other]"}
    tree = reader({"c1": before, "c2": after})
    scopes = Scopes()
    assert await scopes.affected(tree, changed("c1", "base/x.yaml"), [APPS]) == {APPS}
    assert await scopes.affected(tree, changed("c1", "other/y.yaml"), [APPS]) == set()
    assert await scopes.affected(tree, changed("c2", "apps/kustomization.yaml"), [APPS]) == {APPS}
    assert await scopes.affected(tree, changed("c2", "base/x.yaml"), [APPS]) == set()
    assert await scopes.affected(tree, changed("c2", "other/y.yaml"), [APPS]) == {APPS}


async def test_a_scope_is_not_read_again_for_other_files() -> None:
    fake = FakeTrees({"c1": {"apps/kustomization.yaml": "", "apps/a.yaml": ""}, "c2": {}})
    tree = cast("RepositoryReader", fake)
    scopes = Scopes()
    await scopes.affected(tree, changed("c1", "apps/a.yaml"), [APPS])
    await scopes.affected(tree, changed("c2", "apps/a.yaml"), [APPS])
    assert [sha for sha, _ in fake.reads] == ["c1", "c1"]


async def test_a_base_that_is_dropped_by_the_commit_that_changed_it_counts() -> None:
    before = {"apps/kustomization.yaml": "resources: [../base]", "base/kustomization.yaml": "resources: [../deep]"}
    after = {"apps/kustomization.yaml": "resources: [../base]", "base/kustomization.yaml": "", "deep/x.yaml": ""}
    tree = reader({"c1": before | {"deep/x.yaml": ""}, "c2": after})
    scopes = Scopes()
    assert await scopes.affected(tree, changed("c1", "deep/x.yaml"), [APPS]) == {APPS}
    assert await scopes.affected(tree, changed("c2", "base/kustomization.yaml", "deep/x.yaml"), [APPS]) == {APPS}
    assert await scopes.affected(tree, changed("c2", "deep/x.yaml"), [APPS]) == set()


async def test_a_component_that_comes_after_it_was_named() -> None:
    named = {"apps/kustomization.yaml": "components: [../part]"}
    tree = reader({"c1": named, "c2": named | {"part/kustomization.yaml": "resources: [../far]", "far/x": ""}})
    scopes = Scopes()
    assert await scopes.affected(tree, changed("c1", "far/x"), [APPS]) == set()
    assert await scopes.affected(tree, changed("c2", "part/kustomization.yaml"), [APPS]) == {APPS}
    assert await scopes.affected(tree, changed("c2", "far/x"), [APPS]) == {APPS}


async def test_a_commit_whose_paths_are_not_all_known_counts_everywhere() -> None:
    scopes = Scopes()
    assert await scopes.affected(reader({"c1": {}}), changed("c1", "x", truncated=True), [APPS, INFRA]) == {
        APPS,
        INFRA,
    }


async def test_source_ignore_is_read_and_read_again() -> None:
    files = {"apps/doc.md": "", "apps/a.yaml": ""}
    tree = reader({"c1": files | {".sourceignore": "*.md\n"}, "c2": files | {".sourceignore": ""}, "c3": files})
    scopes = Scopes()
    assert await scopes.affected(tree, changed("c1", "apps/doc.md"), [APPS]) == set()
    assert await scopes.affected(tree, changed("c1", "apps/doc.md", "apps/a.yaml"), [APPS]) == {APPS}
    assert await scopes.affected(tree, changed("c2", "apps/doc.md"), [APPS]) == set()  # still as it was read
    assert await scopes.affected(tree, changed("c2", ".sourceignore", "apps/doc.md"), [APPS]) == {APPS}
    assert await scopes.affected(tree, changed("c3", ".sourceignore"), [APPS]) == set()


async def test_an_endless_source_ignore_ignores_nothing() -> None:
    files = {".sourceignore": "*.md\n" * SOURCE_IGNORE_LIMIT_BYTES, "apps/doc.md": ""}
    assert await Scopes().affected(reader({"c1": files}), changed("c1", "apps/doc.md"), [APPS]) == {APPS}


async def test_targets_with_their_own_ignore_are_told_apart() -> None:
    tree = reader({"c1": {"apps/doc.md": "", "apps/pic.png": "", ".sourceignore": "*.md"}})
    ignoring = APPS._replace(ignore="*.md\n")
    again = APPS._replace(ignore="!*.md\n!*.png")
    keys = [APPS, ignoring, again]
    assert await Scopes().affected(tree, changed("c1", "apps/doc.md"), keys) == {again}
    assert await Scopes().affected(tree, changed("c1", "apps/pic.png"), keys) == {again}


async def test_sparse_checkout_leaves_out_other_directories() -> None:
    tree = reader({"c1": {"apps/kustomization.yaml": "resources: [../base]", "base/x.yaml": ""}})
    sparse = APPS._replace(sparse_checkout=("./apps", "root/"))
    assert await Scopes().affected(tree, changed("c1", "base/x.yaml"), [APPS, sparse]) == {APPS}
    assert await Scopes().affected(tree, changed("c1", "apps/x.yaml"), [APPS, sparse]) == {APPS, sparse}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("apps/a.yaml", True),
        (".git/config", False),
        ("apps/.gitignore", False),
        (".github/workflows/ci.yaml", False),
        ("docs/a.png", False),
        ("apps/x.tar.gz", False),
        ("apps/.sops.yaml", False),
        (".travis.yml", False),
        ("a b/ö.yaml", True),
    ],
)
def test_flux_leaves_some_files_out_by_itself(path: str, expected: bool) -> None:
    assert ArtifactPaths().has(path) is expected


@pytest.mark.parametrize(
    ("ignore", "source_ignore", "path", "expected"),
    [
        ("/*\n!/apps\n", None, "apps/a.yaml", True),
        ("/*\n!/apps\n", None, "base/a.yaml", False),
        ("# comment\n\n*.md", None, "apps/x.md", False),
        ("!*.png", None, "apps/x.png", True),
        ("!keep.md", "*.md", "apps/keep.md", True),
        (None, "*.md\n!keep.md", "apps/keep.md", True),
        (None, "*.md\n!keep.md", "apps/x.md", False),
    ],
)
def test_later_patterns_win(ignore: str | None, source_ignore: str | None, path: str, expected: bool) -> None:
    assert ArtifactPaths(ignore=ignore, source_ignore=source_ignore).has(path) is expected


@pytest.mark.parametrize(
    ("sparse", "path", "expected"),
    [
        (("apps",), "apps/a.yaml", True),
        (("apps",), "apps2/a.yaml", False),
        (("apps",), "base/a.yaml", False),
        (("apps",), "README.md", True),
        (("./apps/",), "apps/a.yaml", True),
        (("apps/prod",), "apps/test/a.yaml", False),
        (("./",), "base/a.yaml", True),
        ((".",), "base/a.yaml", True),
        (("/",), "base/a.yaml", True),
        (("../x", "apps"), "apps/a.yaml", True),
        ((), "base/a.yaml", True),
    ],
)
def test_sparse_checkout(sparse: tuple[str, ...], path: str, expected: bool) -> None:
    assert ArtifactPaths(sparse_checkout=sparse).has(path) is expected


def test_a_pattern_that_is_none_ignores_nothing() -> None:
    assert ArtifactPaths(ignore="[z-a]\n!\n\\").has("apps/a.yaml")
