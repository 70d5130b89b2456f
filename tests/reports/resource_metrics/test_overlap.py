"""Series of different objects that have the same labels are counted, and only where that can be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.reports.resource_metrics.test_user_samples import renderer_of
from tests.reports.resource_metrics.user_cases import gauge, info

from fluxtrail.model.observation import Gone, Listed, ObjectKey, ObjectUid, Seen
from fluxtrail.reports.resource_metrics.overlap import Overlap
from fluxtrail.reports.resource_metrics.rendering import Lines

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LISTED = Listed(group="g", kind="Gate", observed_at=NOW)
NAMES = {"name": ["metadata", "name"], "namespace": ["metadata", "namespace"]}


def key(name: str) -> ObjectKey:
    return ObjectKey("g", "Gate", "city", name)


def seen(name: str, *lines: bytes) -> Seen[Lines]:
    return Seen(key=key(name), object=lines, observed_at=NOW, was_held=False)


def gone(name: str) -> Gone:
    return Gone(key=key(name), uid=ObjectUid(name), observed_at=NOW)


def overlap_of(*metrics: dict[str, Any], **entry: Any) -> Overlap:
    return Overlap(renderer_of(*metrics, **entry).resource)


@pytest.mark.parametrize(
    ("batches", "count"),
    [
        ([[seen("a", b'n{a="1"} 1\n'), seen("b", b'n{a="1"} 2\n')]], 1),
        ([[seen("a", b'n{a="1"} 1\n'), seen("b", b'n{a="2"} 1\n')]], 0),
        ([[seen("a", b'n{a="1"} 1\n'), seen("b", b'n{a="1"} 1\n'), seen("c", b'n{a="1"} 1\n')]], 2),
        ([[seen("a", b'n{a="1"} 1\n'), seen("b", b'n{a="1"} 1\n')], [gone("a")]], 0),
        ([[seen("a", b'n{a="1"} 1\n'), seen("b", b'n{a="1"} 1\n')], [seen("b", b'n{a="2"} 1\nn{a="3"} 1\n')]], 0),
        ([[seen("a", b'n{a="1"} 1\n'), seen("b", b'n{a="1"} 1\n')], [seen("b", b"")]], 0),
        ([[seen("a", b""), gone("b")]], 0),
    ],
)
def test_labels_are_compared(batches: Sequence[Sequence[Any]], count: int) -> None:
    overlap = overlap_of({"name": "n", "each": gauge("spec", "lanes")})
    for batch in batches:
        overlap.observe(batch)
    assert overlap.count == count


def test_what_is_not_listed_again_does_not_count() -> None:
    overlap = overlap_of({"name": "n", "each": gauge("spec", "lanes")})
    overlap.observe([seen("a", b"n{} 1\n"), seen("b", b"n{} 1\n"), LISTED])
    assert overlap.count == 1
    overlap.begin()
    overlap.observe([seen("b", b"n{} 1\n"), LISTED])
    assert overlap.count == 0


def test_families_are_told_apart() -> None:
    each = gauge("spec", "lanes")
    overlap = overlap_of(
        {"name": "n", "each": each}, {"name": "m", "each": each}, {"name": "o", "each": each, "labelsFromPath": NAMES}
    )
    overlap.observe([seen("a", b"x{} 1\n", b"", b"x{} 1\n"), seen("b", b"", b"x{} 1\n", b"x{} 1\n")])
    assert overlap.count == 0


@pytest.mark.parametrize(
    ("each", "entry"),
    [
        (gauge("spec", "lanes"), {"labelsFromPath": NAMES}),
        (gauge("spec", "lanes"), {"labelsFromPath": {"id": ["metadata", "uid"]}}),
        (info("metadata", labelsFromPath={"a": ["name"], "b": ["namespace"]}), {}),
        (info(labelsFromPath={"name": ["metadata", "name"]}), {"labelsFromPath": {"ns": ["metadata", "namespace"]}}),
    ],
)
def test_series_that_name_their_object_are_not_looked_at(each: dict[str, Any], entry: dict[str, Any]) -> None:
    overlap = overlap_of({"name": "n", "each": each}, **entry)
    overlap.observe([seen("a", b"n{} 1\n"), seen("b", b"n{} 1\n")])
    assert overlap.count == 0


@pytest.mark.parametrize(
    "each",
    [
        gauge("spec", "lanes", labelsFromPath={"name": ["x"]}),
        gauge("spec", "lanes", labelFromKey="name"),
        gauge("spec", "lanes", labelsFromPath={"*": []}),
    ],
)
def test_a_name_that_each_series_may_take_names_nothing(each: dict[str, Any]) -> None:
    overlap = overlap_of({"name": "n", "each": each}, labelsFromPath=NAMES)
    overlap.observe([seen("a", b"n{} 1\n"), seen("b", b"n{} 1\n")])
    assert overlap.count == 1
