from __future__ import annotations

import pytest

from fluxtrail.simulator.building import BuildError, build, is_reached, reached_folders

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\ndata:\n  level: '{level}'\n"


def config(name: str, level: int = 1) -> str:
    return MAP.format(name=name, level=level)


TREE = {
    "README.md": "hello",
    "base/kustomization.yaml": "resources:\n- common.yaml\n",
    "base/common.yaml": config("common"),
    "apps/kustomization.yaml": "resources:\n- ../base\n- one.yaml\n",
    "apps/one.yaml": config("one"),
    "apps/unlisted.yaml": config("unlisted"),
    "apps/NOTES.md": "note",
    "plain/one.yaml": config("one"),
    "plain/deep/two.yaml": config("two"),
    "plain/NOTES.md": "note",
}


def test_a_kustomization_file_says_what_is_built() -> None:
    built = build(TREE, "./apps")
    assert built.inventory == (("shop_common__ConfigMap", "v1"), ("shop_one__ConfigMap", "v1"))


def test_without_a_kustomization_file_all_yaml_below_is_built() -> None:
    assert build(TREE, "plain").inventory == (("shop_one__ConfigMap", "v1"), ("shop_two__ConfigMap", "v1"))


@pytest.mark.parametrize(
    ("path", "changed", "matters"),
    [
        ("apps", {"apps/one.yaml": config("one", 2)}, True),
        ("apps", {"base/common.yaml": config("common", 2)}, True),
        ("apps", {"apps/unlisted.yaml": config("unlisted", 2)}, False),
        ("apps", {"apps/NOTES.md": "another"}, False),
        ("plain", {"plain/NOTES.md": "another"}, False),
        ("plain", {"base/common.yaml": config("common", 2)}, False),
    ],
)
def test_the_digest_changes_with_what_is_built_only(path: str, changed: dict[str, str], matters: bool) -> None:
    assert (build(TREE | changed, path).digest != build(TREE, path).digest) is matters


def test_scope_reaches_bases_outside_the_path() -> None:
    folders = reached_folders(TREE, "./apps")
    assert folders == {"apps", "base"}
    assert is_reached("base/common.yaml", folders)
    assert is_reached("apps/NOTES.md", folders)
    assert not is_reached("plain/one.yaml", folders)


@pytest.mark.parametrize(
    ("path", "change", "reason", "message"),
    [
        ("nowhere", {}, "ArtifactFailed", "path not found"),
        ("plain", {"plain/bad.yaml": "kind: [\n"}, "BuildFailed", "failed to decode Kubernetes YAML .*plain/bad.yaml"),
        ("apps", {"apps/kustomization.yaml": "resources: [gone.yaml]\n"}, "BuildFailed", "no such file 'apps/gone"),
    ],
)
def test_what_cannot_be_built_says_why(path: str, change: dict[str, str], reason: str, message: str) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        build(TREE | change, path)
    assert caught.value.reason == reason


def test_a_target_namespace_is_where_all_of_it_goes() -> None:
    built, moved = build(TREE, "plain"), build(TREE, "plain", namespace="canary")
    assert moved.inventory == (("canary_one__ConfigMap", "v1"), ("canary_two__ConfigMap", "v1"))
    assert moved.digest != built.digest
