from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from fluxtrail.gitops.objects.manifests import find_manifests, parse_manifests, read_manifests
from fluxtrail.model.errors import ConfigError

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\n"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path = path.with_suffix(".yaml") if not path.suffix else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_objects_come_in_order_with_their_place(tmp_path: Path) -> None:
    write(tmp_path, b=ONE.format("b1") + "---\n" + ONE.format("b2"), a__c=ONE.format("c"))
    (tmp_path / "notes.txt").write_text("no: yaml: at: all")
    (tmp_path / ".hidden").mkdir()
    write(tmp_path / ".hidden", x="nothing")
    found = read_manifests([tmp_path / "b.yaml", tmp_path])
    assert [(each.name, each.place.removeprefix(f"{tmp_path}/")) for each in found] == [
        ("b1", "b.yaml:1"),
        ("b2", "b.yaml:6"),
        ("b1", "b.yaml:1"),
        ("b2", "b.yaml:6"),
        ("c", "a/c.yaml:1"),
    ]
    assert {(each.api_version, each.group, each.kind, each.namespace) for each in found} == {
        ("v1", "", "ConfigMap", None)
    }


def test_a_list_is_its_items() -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: A, metadata: {name: a, namespace: ns}}\n"
        "- {apiVersion: g/v1, kind: B, metadata: {name: b}}\n"
    )
    found = parse_manifests(text, source="s")
    assert [(each.kind, each.line, each.namespace, each.group) for each in found] == [
        ("A", 4, "ns", ""),
        ("B", 5, None, "g"),
    ]


def test_json_is_yaml() -> None:
    (found,) = parse_manifests('{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}', source="s")
    assert found.name == "a"


def test_standard_input_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ONE.format("x").encode())))
    (found,) = read_manifests(["-"])
    assert found.place == "<stdin>:1"


def test_kustomizes_own_files_in_a_folder_are_no_objects(tmp_path: Path) -> None:
    write(
        tmp_path, kustomization="apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", a=ONE.format("a")
    )
    assert [each.name for each in read_manifests([tmp_path])] == ["a"]
    found = find_manifests(tmp_path)
    assert [each.name for each in found.manifests] == ["a"]
    assert found.skipped == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: A\nmetadata: {name: a}\n", "a.yaml:1: has no apiVersion"),
        ("# x\napiVersion: v1\nmetadata: {name: a}\n", "a.yaml:2: has no kind"),
        ("apiVersion: v1\nkind: A\n", "a.yaml:1: has no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata: {generateName: a-}\n", "has no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: 12}\n", "has the metadata.name '12', which is no text"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: 1}\n", "metadata.namespace 1"),
        ("- a\n", "a.yaml:1: is no object"),
    ],
)
def test_what_is_no_object_is_refused_and_in_a_search_told(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, a=text, b=ONE.format("b"))
    with pytest.raises(ConfigError) as caught:
        read_manifests([tmp_path])
    assert said in str(caught.value)
    found = find_manifests(tmp_path)
    assert [each.name for each in found.manifests] == ["b"]
    assert len(found.skipped) == 1


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_manifests([tmp_path / "none.yaml"])
