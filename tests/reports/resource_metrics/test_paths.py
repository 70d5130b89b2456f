from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.reports.resource_metrics.objects import make, render

from fluxtrail.reports.resource_metrics.configuration import Family, Label, Metric, Resource
from fluxtrail.reports.resource_metrics.paths import Path, find
from fluxtrail.reports.resource_metrics.rendering import Renderer
from fluxtrail.reports.resource_metrics.text import VALUE_LIMIT, escape, go_text

OBJECT: dict[str, Any] = {
    "spec": {
        "replicas": 3,
        "empty": "",
        "null": None,
        "0": "zero",
        "kind": "web",
        "odd=key": "itself",
        "ratio": 1.0,
        "map": {"b": 1, "a": [True, None]},
    },
    "status": {
        "conditions": [
            None,
            {"status": "odd"},
            {"type": "Ready", "status": "True"},
            {"type": "Ready", "status": "two"},
        ],
        "ports": [{"port": 80, "on": True, "name": "web"}, {"port": 81, "on": False, "name": "admin"}],
        "list": ["a", "b", "c"],
        "nested": [["x"], ["y", "z"]],
    },
}

CASES: list[tuple[Path, str | None]] = [
    (("spec", "replicas"), "3"),
    (("spec", "empty"), ""),
    (("spec", "null"), None),
    (("spec", "missing"), None),
    (("missing", "missing"), None),
    (("spec", "replicas", "more"), None),
    (("spec", "0"), "zero"),
    (("spec", "ratio"), "1"),
    (("spec", "map"), "map[a:[true <nil>] b:1]"),
    (("status", "conditions", "[type=Ready]", "status"), "True"),
    (("status", "conditions", "[type=Stalled]", "status"), None),
    (("status", "conditions", "2", "status"), "True"),
    (("status", "conditions", "0", "status"), None),
    (("status", "ports", "[port=80]", "name"), "web"),
    (("status", "ports", "[port=80.0]", "name"), "web"),
    (("status", "ports", "[on=false]", "name"), "admin"),
    (("status", "ports", "[on=t]", "name"), "web"),
    (("status", "ports", "[name=admin]", "port"), "81"),
    (("status", "list", "0"), "a"),
    (("status", "list", "-1"), "c"),
    (("status", "list", "3"), None),
    (("status", "list", "-4"), None),
    (("status", "list", "x"), None),
    (("status", "list"), "[a b c]"),
    (("status", "nested", "1", "0"), "y"),
    (("spec", "[type=Ready]"), None),
    (("spec", "kind=web"), "web"),
    (("spec", "kind=db"), None),
    (("spec", "odd=key"), "itself"),
]


@pytest.mark.parametrize(("path", "text"), CASES, ids=lambda value: "/".join(value) if isinstance(value, tuple) else "")
def test_paths_lead_where_those_of_kube_state_metrics_lead(path: Path, text: str | None) -> None:
    value = find(OBJECT, path)
    assert (None if value is None else go_text(value)) == text


def renderer_of(*paths: Path) -> Renderer:
    labels = tuple(Label(name=f"label_{number:03}", paths=(path,)) for number, path in enumerate(paths))
    metric = Metric(family=Family(name="things_info", help="Things."), labels=labels)
    return Renderer(Resource(group="example.com", kind="Thing", plural="things", metrics=(metric,)))


def labels_of(renderer: Renderer, obj: dict[str, Any]) -> dict[str, str]:
    lines = render(renderer, obj)
    assert lines is not None
    (family,) = parse_text(lines[0].decode())
    return {name: value for name, value in family.samples[0].labels.items() if name.startswith("label_")}


@pytest.mark.parametrize(("path", "text"), CASES, ids=lambda value: "/".join(value) if isinstance(value, tuple) else "")
def test_reading_only_what_a_path_needs_changes_nothing(path: Path, text: str | None) -> None:
    found = labels_of(renderer_of(path), make("Thing", **OBJECT))
    assert found == ({} if text is None else {"label_000": text})


def test_reading_what_all_paths_need_changes_nothing() -> None:
    found = labels_of(renderer_of(*(path for path, _ in CASES)), make("Thing", **OBJECT))
    assert found == {f"label_{number:03}": text for number, (_, text) in enumerate(CASES) if text is not None}


_KEYS = st.sampled_from(["a", "b", "type", "0"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "Ready"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)
_STEPS = st.sampled_from(["a", "b", "type", "0", "1", "-1", "[type=Ready]", "[a=1]", "a=Ready"])
_PATHS = st.lists(_STEPS, max_size=4).map(lambda steps: ("spec", *steps))


@given(spec=_JSON, paths=st.lists(_PATHS, min_size=1, max_size=5))
def test_whatever_an_object_holds_is_found_as_in_the_whole_object(spec: Any, paths: list[Path]) -> None:
    obj = make("Thing", spec=spec)
    expected = {}
    for number, path in enumerate(paths):
        value = find(obj, path)
        if value is not None:
            expected[f"label_{number:03}"] = go_text(value)
    assert labels_of(renderer_of(*paths), obj) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (1.5, "1.5"), (0.1, "0.1"), (123456789.25, "1.2345678925e+08"),
        (999999.5, "999999.5"), (1e6, "1e+06"), (1e20, "1e+20"),
        (2**63, "9.223372036854776e+18"), (1e21, "1e+21"), (1.25e21, "1.25e+21"), (0.0001, "0.0001"),
        (0.00001, "1e-05"), (-2.5e-7, "-2.5e-07"), (1e100, "1e+100"), (math.inf, "+Inf"), (123456.0, "123456"),
        (9007199254740993, "9007199254740993"), (True, "true"), (False, "false"), (None, "<nil>"), ("x", "x"),
    ],
)  # fmt: skip
def test_values_are_written_as_go_writes_them(value: Any, text: str) -> None:
    assert go_text(value) == text


@given(st.floats(allow_nan=False))
def test_a_number_is_written_with_all_it_is(value: float) -> None:
    assert float(go_text(value)) == value


# Carriage returns and other separators are no line ends here, but the parsers that are asked split on some of them.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))


@given(name=_TEXT, namespace=_TEXT)
def test_any_text_comes_back_from_either_format(name: str, namespace: str) -> None:
    renderer = renderer_of(("spec", "name"), ("spec", "namespace"))
    lines = render(renderer, make("Thing", spec={"name": name, "namespace": namespace}))
    assert lines is not None
    text = lines[0].decode()
    assert text.count("\n") == 1
    expected = {"label_000": name, "label_001": namespace}
    for families in (parse_text(text), parse_openmetrics(text + "# EOF\n")):  # type: ignore[no-untyped-call]
        (family,) = families
        assert {key: value for key, value in family.samples[0].labels.items() if key in expected} == expected


def test_a_value_without_end_is_cut() -> None:
    assert len(escape("x" * 10_000)) == VALUE_LIMIT
