"""What a `CustomResourceStateMetrics` may say, what is refused, and Flux's own configurations written as one."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.reports.resource_metrics.objects import make, ready, render
from tests.reports.resource_metrics.test_user_samples import lines_of, renderer_of
from tests.reports.resource_metrics.user_cases import gauge, info, state_set

from fluxtrail.model.errors import ConfigError
from fluxtrail.reports.resource_metrics.configuration import Label, Metric, Resource
from fluxtrail.reports.resource_metrics.flux import LabelSet, flux_resources
from fluxtrail.reports.resource_metrics.rendering import Renderer
from fluxtrail.reports.resource_metrics.user_document import SHOWN, SIZE_LIMIT
from fluxtrail.reports.resource_metrics.user_file import Kinds, UserResource, parse_configuration

LANES = {"name": "lanes", "each": gauge("spec", "lanes")}
GATE = {"group": "parks.example.com", "version": "v1", "kind": "Gate"}


def parse(source: Any) -> tuple[UserResource, ...]:
    return parse_configuration(source, subject="metrics.yaml")


def document(*metrics: Any, **entry: Any) -> dict[str, Any]:
    return {"spec": {"resources": [{"groupVersionKind": GATE, "metrics": list(metrics), **entry}]}}


def problems_of(source: Any) -> list[str]:
    with pytest.raises(ConfigError) as failure:
        parse(source)
    assert failure.value.subject == "metrics.yaml"
    return [line.strip() for line in failure.value.message.splitlines() if line.strip()]


def deep(metric: dict[str, Any], **each: Any) -> dict[str, Any]:
    return {**metric, "each": {**metric["each"], **each}}


METRIC = "spec.resources[0].metrics[0]"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"kind": "ConfigMap"}, "kind: must be CustomResourceStateMetrics (given: 'ConfigMap')"),
        ({"spec": []}, "spec: must be a mapping of resources, not a list"),
        ({"spec": {"resources": {}}}, "spec.resources: must be a list, not a mapping"),
        ({"spec": {"resources": ["a"]}}, "spec.resources[0]: must be a mapping of groupVersionKind"),
        (document(LANES, groupVersionKind={"version": "v1"}), "spec.resources[0].groupVersionKind.group: is needed"),
        (document(LANES, groupVersionKind={"group": "*"}), "spec.resources[0].groupVersionKind.group: no wildcard"),
        (document(LANES, errorLogV="high"), "spec.resources[0].errorLogV: must be a whole number (given: 'high')"),
        (document(LANES, commonLabels={"a-b": "c"}), 'spec.resources[0].commonLabels."a-b": is no name of a label'),
        (document(LANES, commonLabels={"a": True}), "commonLabels.a: must be text (given: 'True'); put it in quotes"),
        (
            document(LANES, labelsFromPath={"a": "spec"}),
            "spec.resources[0].labelsFromPath.a: must be a list (given: 'spec')",
        ),
        (document({"each": gauge()}), f"{METRIC}.name: is needed"),
        (
            document({"name": "a-b", "each": gauge()}),
            f"{METRIC}.name: 'kube_customresource_a-b' is no name of a metric",
        ),
        (
            document({**LANES, "name": "x"}, metricNamePrefix="fluxtrail"),
            f"{METRIC}.name: 'fluxtrail_x' could be one of",
        ),
        (document({"name": "n"}), f"{METRIC}.each.type: must be Info, Gauge or StateSet"),
        (
            document({"name": "n", "each": {"type": "Counter"}}),
            f"{METRIC}.each.type: must be Info, Gauge or StateSet (given: 'Counter')",
        ),
        (
            document({"name": "n", "each": {"type": "Gauge"}}),
            f"{METRIC}.each.gauge: is needed where each.type is Gauge",
        ),
        (
            document({"name": "n", "each": gauge("a", "[Ready]")}),
            f"{METRIC}.each.gauge.path[1]: '[Ready]' finds no element: write [key=value]",
        ),
        (
            document({"name": "n", "each": info(labelsFromPath={"c": ["[x]"]})}),
            f"{METRIC}.each.info.labelsFromPath.c[0]: '[x]' finds",
        ),
        (
            document({"name": "n", "each": gauge(path=["a", ["b"]])}),
            f"{METRIC}.each.gauge.path[1]: must be text, not a list",
        ),
        (
            document({"name": "n", "each": gauge(nilIsZero="maybe")}),
            f"{METRIC}.each.gauge.nilIsZero: must be true or false (given: 'maybe')",
        ),
        (
            document({"name": "n", "each": gauge(labelFromKey="a.b")}),
            f"{METRIC}.each.gauge.labelFromKey: 'a.b' is no name of a label",
        ),
        (document({"name": "n", "each": state_set(labelName="")}), f"{METRIC}.each.stateSet.labelName: is needed"),
        ({"kube-state-metrics": {}}, "values of a Helm chart (kube-state-metrics): state what is below"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(source: Any, problem: str) -> None:
    assert any(problem in said for said in problems_of(source))


def test_all_that_is_wrong_is_said_at_once() -> None:
    metric = {"name": "a b", "each": gauge("[x]", valuefrom=["a"]), "helpp": "x"}
    said = problems_of(document(metric, {"name": "n", "each": {}}, metricPrefix="x"))
    assert len(said) == 6
    many = [{"name": f"n{number}"} for number in range(SHOWN + 5)]
    assert problems_of(document(*many))[-1] == "and 5 more"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML: .*line 1"),
        ("spec: {}\nspec: {}", "'spec' stands twice in one mapping, line 2, column 1"),
        ("a: 1\n---\nb: 2", "is not YAML: .*document"),
        ("!!python/object:os.system {}", "is not YAML"),
        ("[" * 2000, "nested too deeply|is not YAML"),
        (" " * (SIZE_LIMIT + 1), "is larger than 8 MiB"),
        ("- a", "must be a mapping of apiVersion, kind"),
    ],
    ids=range(7),
)
def test_what_is_no_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(text)


def test_entries_of_one_kind_are_one_with_the_metrics_of_all() -> None:
    first, second = (
        {"groupVersionKind": GATE, "commonLabels": {"entry": entry}, "metrics": [{**LANES, "name": entry}]}
        for entry in ("one", "two")
    )
    (found,) = parse({"spec": {"resources": [first, second]}})
    assert [(metric.family.name, metric.given) for metric in found.metrics] == [
        ("kube_customresource_one", {"entry": "one"}),
        ("kube_customresource_two", {"entry": "two"}),
    ]
    other = {"groupVersionKind": {**GATE, "version": "v2"}, "metrics": [LANES]}
    assert len(parse({"spec": {"resources": [*document(LANES)["spec"]["resources"], other]}})) == 2


@pytest.mark.parametrize(
    ("source", "plain", "said"),
    [
        ({"specs": {}}, {}, "specs: there is no such field; is spec meant?"),
        (
            document(LANES, groupVersionKind={**GATE, "plural": "x"}),
            document(LANES),
            "spec.resources[0].groupVersionKind.plural: there is no such field; known are group, version, kind",
        ),
        (
            document({**LANES, "helpp": "x"}),
            document(LANES),
            f"{METRIC}.helpp: there is no such field; is help meant?",
        ),
        (
            document({"name": "n", "each": gauge(paht=[])}),
            document({"name": "n", "each": gauge()}),
            f"{METRIC}.each.gauge.paht: there is no such field; is path meant?",
        ),
        (
            document({"name": "n", "each": gauge(value=["a"])}),
            document({"name": "n", "each": gauge()}),
            f"{METRIC}.each.gauge.value: there is no such field; is valueFrom meant?",
        ),
    ],
)
def test_a_field_that_does_not_exist_is_passed_over_and_said(source: Any, plain: Any, said: str) -> None:
    with structlog.testing.capture_logs() as logged:
        assert parse(source) == parse(plain)
    assert [entry["field"] for entry in logged] == [said]


def test_scalars_are_what_is_written() -> None:
    text = """
kind: CustomResourceStateMetrics
apiVersion: example.com/v1
spec:
  resources:
    - groupVersionKind: {group: "", version: 1, kind: No}
      metricNamePrefix: ~
      errorLogV: 5
      resourcePlural: noes
      commonLabels: &common {on: off, year: 2024-01-01}
      metrics:
        - name: x
          commonLabels: {<<: *common, on: 0x10}
          each: {type: StateSet, stateSet: {path: [a, 0, -1], labelName: l, list: [True, 1.0, null, "~"]}}
"""
    (found,) = parse(text)
    (metric,) = found.metrics
    assert found.kinds == Kinds("", "1", "No")
    assert metric.given == {"on": "off", "year": "2024-01-01"}
    assert metric.common == {"on": "0x10", "year": "2024-01-01"}
    assert metric.family.name == "kube_customresource_x"
    assert metric.each.path == ("a", "0", "-1")
    assert metric.each.states == ("True", "1.0", "", "~")
    assert metric.verbosity == 5


@pytest.mark.parametrize("text", ["{}", "spec: {}", "spec: {resources: }", "kind: CustomResourceStateMetrics"])
def test_nothing_is_a_configuration_too(text: str) -> None:
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "kube_customresource_lanes"),
        ({"metricNamePrefix": ""}, "lanes"),
        ({"metricNamePrefix": "a_b"}, "a_b_lanes"),
    ],
)
def test_names_have_a_prefix(more: dict[str, Any], name: str) -> None:
    (found,) = parse(document(LANES, **more))
    assert found.metrics[0].family.name == name


def test_kinds_match_by_wildcards() -> None:
    assert Kinds("g").match("v1", "A")
    assert Kinds("g", "v1").match("v1", "A")
    assert not Kinds("g", "v1").match("v2", "A")
    assert Kinds("g", kind="A").match("v2", "A")
    assert not Kinds("g", kind="A").match("v2", "B")


def test_families_are_of_a_type_that_strict_parsers_take() -> None:
    state = state_set("status", "phase", labelName="kube_customresource_state")
    renderer = renderer_of(
        {"name": "a_info", "help": "A.", "each": info(labelsFromPath={"v": ["spec", "version"]})},
        {"name": "b", "help": 'B "b".', "each": info(labelsFromPath={"v": ["spec", "version"]})},
        {"name": "state", "each": state},
        {"name": "phase", "each": state_set("status", "phase")},
        {"name": "c", "help": "C\\n\nc", "each": gauge("spec", "lanes")},
        {"name": "c_info", "each": info(labelsFromPath={"v": ["spec", "version"]})},
        {"name": "d_info", "each": info(labelsFromPath={"v": ["spec", "version"]})},
        {"name": "d_info", "each": gauge("spec", "lanes")},
    )
    lines = lines_of(renderer)

    def expose(*, is_openmetrics: bool) -> str:
        heads = {family.name: family.head(is_openmetrics=is_openmetrics).decode() for family in renderer.families}
        parts = [
            head + "".join(f"{line}\n" for line in lines if line.startswith(name + "{")) for name, head in heads.items()
        ]
        return "".join(parts) + ("# EOF\n" if is_openmetrics else "")

    found = {family.name: family for family in parse_openmetrics(expose(is_openmetrics=True))}  # type: ignore[no-untyped-call]
    assert {name.removeprefix("kube_customresource_"): family.type for name, family in found.items()} == {
        "a": "info",
        "state": "stateset",
        **dict.fromkeys(("b", "phase", "c", "c_info", "d_info"), "gauge"),
    }
    plain = {family.name: family.type for family in parse_text(expose(is_openmetrics=False))}
    assert set(plain.values()) == {"gauge"}
    assert len(plain) == len(found)


# -- Flux's own configurations --------------------------------------------------------------------------------------

VERSIONS_OF_2023 = {
    "GitRepository": "v1", "Kustomization": "v1", "Receiver": "v1", "HelmRelease": "v2beta1",
    "ImageUpdateAutomation": "v1beta1",
}  # fmt: skip
"""All others were at v1beta2."""


SPEC: dict[str, Any] = {
    "url": "https://example.com/fleet",
    "suspend": True,
    "type": "oci",
    "sourceRef": {"name": "fleet"},
    "imageRepositoryRef": {"name": "web"},
    **{name: name for name in ("chart", "version", "image", "endpoint", "bucketName")},
}
STATUS: dict[str, Any] = {
    "conditions": ready("False"),
    "artifact": {"revision": "main@sha1:1"},
    "lastAppliedRevision": "main@sha1:2",
    "history": [{"chartVersion": "1.0", "chartName": "web", "appVersion": "2"}],
}


def entry_of(resource: Resource, version: str) -> dict[str, Any]:
    """A kind of ours as Flux's example writes it: `name` is each's own label, the others are the family's."""
    (metric,) = resource.metrics
    assert isinstance(metric, Metric)
    labels = {label.name: list(_path(label)) for label in metric.labels}
    return {
        "groupVersionKind": {"group": resource.group, "version": version, "kind": resource.kind},
        "metricNamePrefix": "gotk",
        "metrics": [
            {
                "name": "resource_info",
                "help": "The current state of a Flux resource.",
                "each": {"type": "Info", "info": {"labelsFromPath": {"name": labels.pop("name")}}},
                "labelsFromPath": labels,
            }
        ],
    }


def _path(label: Label) -> tuple[str, ...]:
    return label.paths[0]


@pytest.mark.parametrize("labels", [LabelSet.FULL, LabelSet.BASIC])
def test_flux_configuration_as_a_file_gives_the_same_lines(labels: LabelSet) -> None:
    ours = flux_resources(labels=labels)
    ours = tuple(item for item in ours if all(label.only_if is None for label in item.metrics[0].labels))  # type: ignore[union-attr]
    versions = {
        item.kind: VERSIONS_OF_2023.get(item.kind, "v1beta2") if labels is LabelSet.BASIC else "v1" for item in ours
    }
    text = yaml.safe_dump({"spec": {"resources": [entry_of(item, versions[item.kind]) for item in ours]}})
    entries = parse(text)
    assert [entry.kinds.kind for entry in entries] == [item.kind for item in ours]
    for resource, entry in zip(ours, entries, strict=True):
        version = versions[resource.kind]
        obj = make(
            resource.kind,
            version,
            spec=SPEC,
            status=STATUS,
        )
        user = Renderer(entry.resource(version=version, kind=resource.kind, plural=resource.plural))
        assert render(user, obj) == render(Renderer(resource), obj)
