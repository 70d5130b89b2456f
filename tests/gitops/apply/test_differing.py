from __future__ import annotations

from typing import Any

from fluxtrail.gitops.apply.differing import difference

META = {"name": "a", "namespace": "b"}


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": dict(META), "data": data}


def test_what_the_server_writes_is_no_difference() -> None:
    live = {
        "kind": "Kustomization",
        "metadata": META
        | {
            "uid": "1",
            "resourceVersion": "2",
            "generation": 3,
            "creationTimestamp": "x",
            "managedFields": [{}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {"path": "./a"},
        "status": {"conditions": []},
    }
    wanted = {"kind": "Kustomization", "metadata": META, "spec": {"path": "./a"}}
    assert difference(live, wanted, name="x") == ""


def test_changed_field_is_shown() -> None:
    live, wanted = ({"kind": "K", "metadata": META, "spec": {"path": path}} for path in ("./a", "./b"))
    lines = difference(live, wanted, name="K/b/a").splitlines()
    assert lines[:2] == ["--- live/K/b/a", "+++ declared/K/b/a"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  path: ./a", "+  path: ./b"]


def test_secret_values_are_never_shown() -> None:
    diff = difference(
        secret(same="AAAA", other="BBBB", gone="CCCC"), secret(same="AAAA", other="DDDD", new="EEEE"), name="s"
    )
    assert not {"AAAA", "BBBB", "CCCC", "DDDD", "EEEE"} & set(diff.replace("'", " ").split())
    changed = [line for line in diff.splitlines()[2:] if line[0] in "+-"]
    assert changed == ["-  gone: '***'", "-  other: '*** (before)'", "+  new: '***'", "+  other: '*** (after)'"]
    assert "same: '***'" in diff
    odd = difference(None, {"kind": "Secret", "metadata": META, "stringData": "plain"}, name="s")
    assert "plain" not in odd
    assert "stringData: '***'" in odd


def test_copy_in_the_last_applied_annotation_is_not_shown() -> None:
    live = secret(a="AAAA")
    live["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "BBBB", "k": "v"}
    assert "BBBB" not in difference(live, secret(a="CCCC"), name="s")


def test_endless_difference_is_cut() -> None:
    wanted = {"kind": "ConfigMap", "metadata": META, "data": {f"k{n}": "v" for n in range(5000)}}
    lines = difference(None, wanted, name="c").splitlines()
    assert len(lines) == 2001
    assert lines[-1].endswith("more lines")
