"""What is held of objects, for shapes that say who an object is and for those that leave it to the watcher."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tests.clusters.scripted import WireWidget, widgets

from fluxtrail.clusters.held import HeldObjects
from fluxtrail.clusters.subjects import Problem, WatchStats
from fluxtrail.clusters.wire import Identified, is_identified
from fluxtrail.model.observation import Gone, Seen
from fluxtrail.model.projecting import project_pod
from fluxtrail.model.wire import WireKustomization
from fluxtrail.model.wire_workloads import WireOwned, WirePod

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
META: dict[str, Any] = {"name": "a", "namespace": "shop", "uid": "u1", "resourceVersion": "7"}


class OtherMeta(msgspec.Struct):
    """The names of an identity, read from elsewhere."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class WireOther(msgspec.Struct):
    metadata: OtherMeta


class Held:
    """Held objects of one shape, with all that came of them."""

    def __init__(self, wire: type[Any], project: Any = lambda wire: wire) -> None:
        self.problems: list[Problem] = []
        self.out: list[Any] = []
        subject = widgets(wire=wire, project=project)
        self.objects: HeldObjects[Any] = HeldObjects(subject, WatchStats(), self.problems.append)

    def see(self, document: object) -> str | None:
        raw = msgspec.Raw(msgspec.json.encode(document))
        return self.objects.see(raw, NOW, self.out, is_continuous=True)


SHAPES = pytest.mark.parametrize("wire", [WireWidget, WirePod], ids=["named-only", "identified"])


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (WirePod, True),
        (WireOwned, True),
        (WireKustomization, True),
        (WireWidget, False),
        (WireOther, False),
        (Identified, False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_shape_identifies_its_objects_with_every_name_in_its_place(wire: type[Any], expected: bool) -> None:
    assert is_identified(wire) is expected


@SHAPES
def test_an_object_is_seen_once_a_version(wire: type[Any]) -> None:
    held = Held(wire)
    assert held.see({"metadata": META}) == held.see({"metadata": META}) == "7"
    assert held.see({"metadata": META | {"resourceVersion": "8"}}) == "8"
    assert [(each.key.name, each.key.namespace, each.was_held) for each in held.out] == [
        ("a", "shop", False),
        ("a", "shop", True),
    ]


@SHAPES
def test_a_name_that_belongs_to_another_is_gone_first(wire: type[Any]) -> None:
    held = Held(wire)
    held.see({"metadata": META})
    held.see({"metadata": META | {"uid": "u2", "resourceVersion": "8"}})
    assert [type(each) for each in held.out] == [Seen, Gone, Seen]
    assert held.out[1].uid == "u1"


@SHAPES
@pytest.mark.parametrize("lacking", ["name", "uid", "resourceVersion", "metadata"])
def test_an_object_without_identity_is_a_problem_without_a_key(wire: type[Any], lacking: str) -> None:
    held = Held(wire)
    document = {} if lacking == "metadata" else {"metadata": {key: META[key] for key in META if key != lacking}}
    assert held.see(document) is None
    assert [each.key for each in held.problems] == [None]
    assert held.out == []


@SHAPES
def test_an_unreadable_object_is_a_problem_with_its_key_and_news_when_it_is_read_again(wire: type[Any]) -> None:
    held = Held(wire)
    held.see({"metadata": META})
    assert held.see({"metadata": META | {"resourceVersion": "8"}, "spec": 3}) == "8"
    held.see({"metadata": META | {"resourceVersion": "9"}})
    assert [each.key and each.key.name for each in held.problems] == ["a"]
    assert [each.was_held for each in held.out] == [False, False]


@SHAPES
def test_no_json_is_a_problem_without_a_key(wire: type[Any]) -> None:
    held = Held(wire)
    assert held.objects.see(msgspec.Raw(b'{"metadata":{"name":"\xff"}}'), NOW, held.out, is_continuous=True) is None
    assert [each.key for each in held.problems] == [None]


def test_what_is_held_shares_its_strings_with_what_is_seen() -> None:
    held = Held(WirePod, project_pod)
    held.see({"metadata": META})
    held.see({"metadata": META | {"name": "b"}})
    first, second = held.out
    assert first.key.name is first.object.name
    assert first.key.namespace is first.object.namespace is second.key.namespace
