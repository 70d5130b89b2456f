"""Every row of what kube-state-metrics' configuration means, on one object."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.resource_metrics.objects import render
from tests.reports.resource_metrics.user_cases import (
    GAUGES,
    INFOS,
    LABELS,
    OBJECT,
    STATES,
    Case,
    gauge,
    info,
    state_set,
)

from fluxtrail.clusters.deep import decode_deep
from fluxtrail.reports.resource_metrics.configuration import SampledMetric
from fluxtrail.reports.resource_metrics.reading import WholeReading
from fluxtrail.reports.resource_metrics.rendering import Renderer
from fluxtrail.reports.resource_metrics.sampling import Refusal
from fluxtrail.reports.resource_metrics.text import go_float
from fluxtrail.reports.resource_metrics.user_file import parse_configuration

KIND = 'customresource_group="parks.example.com",customresource_kind="Gate",customresource_version="v1"'


def renderer_of(*metrics: dict[str, Any], refused: list[str] | None = None, **entry: Any) -> Renderer:
    kinds = {"group": "parks.example.com", "version": "v1", "kind": "Gate"}
    document = {"spec": {"resources": [{"groupVersionKind": kinds, "metrics": list(metrics), **entry}]}}
    (found,) = parse_configuration(document, subject="test")

    def refuse(_metric: SampledMetric, refusal: Refusal, name: str) -> None:
        assert name == "city/north"
        if refused is not None:
            refused.append(refusal.value)

    resource = found.resource(version="v1", kind="Gate", plural="gates")
    return Renderer(resource, on_refusal=refuse)


def lines_of(renderer: Renderer, obj: dict[str, Any] = OBJECT) -> list[str]:
    found = render(renderer, obj)
    assert found is not None
    return [line for lines in found for line in lines.decode().splitlines()]


def expected_lines(name: str, samples: dict[str, float]) -> list[str]:
    """Labels stand in the order of their names."""
    kind = KIND.split(",")
    return [
        f"{name}{{{','.join(sorted([*kind, *filter(None, labels.split(chr(10)))]))}}} {go_float(float(value))}"
        for labels, value in ((_split(labels), value) for labels, value in samples.items())
    ]


def _split(labels: str) -> str:
    """Labels of a row, one a line: a value may hold a comma."""
    return labels.replace('",', '"\n')


@pytest.mark.parametrize(
    "case", [*GAUGES, *INFOS, *STATES, *LABELS], ids=lambda case: f"{case.each['type']}: {case.id}"
)
def test_samples_are_those_of_kube_state_metrics(case: Case) -> None:
    refused: list[str] = []
    obj = deepcopy(OBJECT)
    obj["status"]["only"] = {"nothing": None}
    renderer = renderer_of({"name": "n", "each": case.each, **case.more}, refused=refused)
    assert sorted(lines_of(renderer, obj)) == sorted(expected_lines("kube_customresource_n", case.samples))
    assert tuple(refused) == case.refused


@pytest.mark.parametrize(
    "case", [*GAUGES, *INFOS, *STATES, *LABELS], ids=lambda case: f"{case.each['type']}: {case.id}"
)
def test_reading_only_what_is_asked_changes_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = {"name": "n", "each": case.each, **case.more}
    found = lines_of(renderer_of(metric))
    monkeypatch.setattr("fluxtrail.reports.resource_metrics.rendering.reading_of", lambda _paths: WholeReading())
    assert found == lines_of(renderer_of(metric))


_STEP = st.sampled_from(["a", "b", "0", "-1", "[a=1]", "a=1", "metadata", "name", "spec"])
_PATH = st.lists(_STEP, max_size=3)
_LABELS = st.dictionaries(st.sampled_from(["x", "y", "*", "z_*"]), _PATH, max_size=3)
_EACH = st.one_of(
    st.builds(
        lambda path, labels, key, value, zero: gauge(
            *path, labelsFromPath=labels, labelFromKey=key, valueFrom=value, nilIsZero=zero
        ),
        _PATH,
        _LABELS,
        st.sampled_from(["", "k"]),
        _PATH,
        st.booleans(),
    ),
    st.builds(
        lambda path, labels, key: info(*path, labelsFromPath=labels, labelFromKey=key),
        _PATH,
        _LABELS,
        st.sampled_from(["", "k"]),
    ),
    st.builds(
        lambda path, labels, value: state_set(*path, labelsFromPath=labels, valueFrom=value), _PATH, _LABELS, _PATH
    ),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "1", "Open"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "name", "metadata"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(each=_EACH, labels=_LABELS, spec=_JSON, other=_JSON)
def test_whatever_is_asked_of_whatever_there_is(each: dict[str, Any], labels: Any, spec: Any, other: Any) -> None:
    """As much is read as is needed, no series comes twice, and nothing fails."""
    refused: list[str] = []
    renderer = renderer_of({"name": "n", "each": each, "labelsFromPath": labels}, refused=refused)
    obj = {**OBJECT, "spec": spec, "b": other}
    found = lines_of(renderer, obj)
    assert "failed" not in refused
    assert len({line.rpartition(" ")[0] for line in found}) == len(found)
    assert found == [line for lines in _whole(renderer, obj) for line in lines.decode().splitlines()]


def _whole(renderer: Renderer, obj: dict[str, Any]) -> tuple[bytes, ...]:
    whole = Renderer(renderer.resource)
    whole._reading = WholeReading()
    lines = render(whole, obj)
    assert lines is not None
    return lines


def test_families_of_one_name_share_what_is_there_already() -> None:
    refused: list[str] = []
    each = gauge("spec", "lanes")
    metrics = [
        {"name": "n", "each": each},
        {"name": "n", "each": each},
        {"name": "n", "each": each, "commonLabels": {"a": "b"}},
    ]
    renderer = renderer_of(*metrics, refused=refused)
    assert len(lines_of(renderer)) == 2
    assert refused == ["duplicate"]


def test_labels_of_the_resource_and_of_the_metric() -> None:
    metric = {
        "name": "n",
        "each": gauge("spec", "lanes"),
        "commonLabels": {"a": "metric", "customresource_kind": "mine"},
    }
    entry: dict[str, Any] = {
        "commonLabels": {"a": "resource", "b": "resource", "customresource_group": "never"},
        "labelsFromPath": {"v": ["spec", "version"]},
        "metricNamePrefix": "",
    }
    (line,) = lines_of(renderer_of(metric, **entry))
    assert line == (
        'n{a="metric",b="resource",customresource_group="parks.example.com",customresource_kind="mine",'
        'customresource_version="v1",v="v1.2.0"} 3'
    )


def test_what_cannot_be_made_sense_of_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    metrics = [
        {"name": "bad", "each": gauge("spec", "lanes")},
        {"name": "good", "each": info(labelsFromPath={"kind": ["kind"]})},
    ]
    renderer = renderer_of(*metrics, refused=refused)
    monkeypatch.setattr("fluxtrail.reports.resource_metrics.sampling.to_number", lambda _value: 1 / 0)
    (line,) = lines_of(renderer)
    assert line.startswith("kube_customresource_good{")
    assert refused == ["failed"]


@pytest.mark.parametrize("path", [[], ["spec"]])
@pytest.mark.parametrize("whole", [{}, {"whole": []}])
def test_an_object_of_many_levels_is_read(path: list[str], whole: dict[str, list[str]]) -> None:
    """Users may write what they like; what lies deeper than anybody looks is left out."""
    levels = 3000
    deep = '{"a":' * levels + "1" + "}" * levels
    body = f'{{"metadata":{{"name":"north"}},"spec":{{"version":"1","deep":{deep}}}}}'.encode()
    each = info(*path, labelsFromPath={"v": ["version"]})
    renderer = renderer_of({"name": "n", "each": each, "labelsFromPath": {"who": ["metadata", "name"], **whole}})
    (lines,) = renderer.project(decode_deep(msgspec.json.Decoder(renderer.wire), body)) or ()
    (line,) = lines.decode().splitlines()
    assert 'v="1",' in line
    assert 'who="north"' in line
