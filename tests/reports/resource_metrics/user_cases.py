"""What a configuration's metric makes of one object: rows of configuration and samples, as kube-state-metrics has them.

The cases are those of kube-state-metrics' own tests and page, and those that its code adds; the objects are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

OBJECT: dict[str, Any] = {
    "apiVersion": "parks.example.com/v1",
    "kind": "Gate",
    "metadata": {
        "name": "north",
        "namespace": "city",
        "uid": "uid-north",
        "resourceVersion": "7",
        "creationTimestamp": "2024-02-29T12:00:00Z",
        "labels": {"team": "green"},
        "annotations": {"b.example.com/x": "1", "team": "blue", "2nd": "two"},
    },
    "spec": {
        "lanes": 3,
        "version": "v1.2.0",
        "open": True,
        "owners": ["ada", "bob"],
        "steps": [{"id": 1, "done": True}, {"id": 3, "done": False}],
        "metadata": {"name": "inner"},
        "nothing": None,
        "a=b=c": "itself",
    },
    "status": {
        "phase": "Opening",
        "uptime": 43.21,
        "load": "250m",
        "memory": "5Gi",
        "share": "28%",
        "text": "soon",
        "counts": {"in": 1, "out": 3},
        "sides": {"left": {"active": 1, "ready": 2}, "right": {"active": 3, "ready": 4}},
        "values": [{"name": "a", "value": 45}, {"name": "b", "value": 66}, {"name": "c"}],
        "mixed": [1, "x", None, {"a": 1}],
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Stuck", "status": "Unknown"}],
    },
}


class Case(NamedTuple):
    id: str
    each: dict[str, Any]
    samples: dict[str, float]
    """Labels beside those of the kind, as they stand in the line, and the value."""
    more: Mapping[str, Any] = MappingProxyType({})
    """Fields of the metric beside `each`."""
    refused: tuple[str, ...] = ()


def gauge(*path: str, **more: Any) -> dict[str, Any]:
    return {"type": "Gauge", "gauge": {"path": list(path), **more}}


def info(*path: str, **more: Any) -> dict[str, Any]:
    return {"type": "Info", "info": {"path": list(path), **more}}


def state_set(*path: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "StateSet",
        "stateSet": {"path": list(path), "labelName": "state", "list": ["Open", "Opening"], **more},
    }


ACTIVE = {"active": ["active"]}

GAUGES = [
    Case("one value", gauge("spec", "lanes"), {"": 3}),
    Case("a fraction", gauge("status", "uptime"), {"": 43.21}),
    Case("a truth value", gauge("spec", "open"), {"": 1}),
    Case("a moment", gauge("metadata", "creationTimestamp"), {"": 1709208000}),
    Case("a small quantity", gauge("status", "load"), {"": 0.25}),
    Case("a large quantity", gauge("status", "memory"), {"": 5 * 2**30}),
    Case("a percentage", gauge("status", "share"), {"": 0.28}),
    Case("a condition", gauge("status", "conditions", "[type=Ready]", "status"), {"": 1}),
    Case("text that is no number", gauge("status", "text"), {}, refused=("no_number",)),
    Case("a path that misses", gauge("status", "missing"), {}, refused=("missing",)),
    Case("null", gauge("spec", "nothing"), {}, refused=("missing",)),
    Case("a path that misses is zero", gauge("status", "missing", nilIsZero=True), {"": 0}),
    Case("null is zero", gauge("spec", "nothing", nilIsZero=True), {"": 0}),
    Case("below one value is nothing", gauge("spec", "lanes", valueFrom=["deeper"]), {}),
    Case("a map by its keys", gauge("status", "counts", labelFromKey="way"), {'way="in"': 1, 'way="out"': 3}),
    Case(
        "a map of maps",
        gauge("status", "sides", labelFromKey="side", valueFrom=["ready"], labelsFromPath=ACTIVE),
        {'active="1",side="left"': 2, 'active="3",side="right"': 4},
    ),
    Case(
        "a label of the map itself wins",
        gauge(
            "status", "sides", labelFromKey="side", valueFrom=["ready"], labelsFromPath={"active": ["left", "active"]}
        ),
        {'active="1",side="left"': 2, 'active="1",side="right"': 4},
    ),
    Case(
        "the value that valueFrom names in the map",
        gauge("metadata", valueFrom=["creationTimestamp"], labelsFromPath={"who": ["name"]}),
        {'who="north"': 1709208000},
    ),
    Case("a map without keys is one series too many", gauge("status", "counts"), {"": 1}, refused=("duplicate",)),
    Case(
        "what is no number in a map is passed over",
        gauge("status", "sides", labelFromKey="side"),
        {},
    ),
    Case(
        "every key of a map is zero",
        gauge("status", "counts", labelFromKey="way", valueFrom=["missing"], nilIsZero=True),
        {'way="in"': 0, 'way="out"': 0},
    ),
    Case(
        "a list of maps",
        gauge("status", "values", valueFrom=["value"], labelsFromPath={"name": ["name"]}),
        {'name="a"': 45, 'name="b"': 66},
    ),
    Case(
        "a list, and what is not there is zero",
        gauge("status", "values", valueFrom=["value"], labelsFromPath={"name": ["name"]}, nilIsZero=True),
        {'name="a"': 45, 'name="b"': 66, 'name="c"': 0},
    ),
    Case(
        "nothing in any element",
        gauge("status", "values", valueFrom=["missing"], labelsFromPath={"name": ["name"]}),
        {},
    ),
    Case(
        "a list of values",
        gauge("status", "mixed", labelsFromPath={"is": []}),
        {'is="1"': 1},
        refused=("no_number", "missing", "no_number"),
    ),
    Case(
        "all conditions",
        gauge("status", "conditions", valueFrom=["status"], labelsFromPath={"type": ["type"]}),
        {'type="Ready"': 1, 'type="Stuck"': 0},
    ),
    Case("the whole object", gauge(valueFrom=["lanes"], labelFromKey="part"), {'part="spec"': 3}),
]
INFOS = [
    Case("the whole object", info(labelsFromPath={"version": ["spec", "version"]}), {'version="v1.2.0"': 1}),
    Case(
        "a value of the object that has the label as well",
        info(labelsFromPath={"who": ["metadata", "name"]}),
        {'who="inner"': 1, 'who="north"': 1},
    ),
    Case("a path that misses", info("status", "missing", labelsFromPath={"a": ["a"]}), {}),
    Case("no label, no series", info("status", "values"), {}),
    Case("no label, whatever is common", info("spec"), {}, {"commonLabels": {"a": "b"}}),
    Case("the keys of a map", info("status", "counts", labelFromKey="way"), {'way="in"': 1, 'way="out"': 1}),
    Case(
        "labels of the values of a map",
        info("status", "sides", labelsFromPath=ACTIVE),
        {'active="1"': 1, 'active="3"': 1},
    ),
    Case("a list of texts", info("spec", "owners", labelsFromPath={"owner": []}), {'owner="ada"': 1, 'owner="bob"': 1}),
    Case(
        "a list of maps",
        info("status", "conditions", labelsFromPath={"type": ["type"]}),
        {'type="Ready"': 1, 'type="Stuck"': 1},
    ),
    Case("one text", info("spec", "version", labelsFromPath={"version": []}), {'version="v1.2.0"': 1}),
    Case(
        "a key that is a value",
        info(labelsFromPath={"team": ["metadata", "annotations", "team=blue"]}),
        {'team="blue"': 1},
    ),
    Case("a key that is another value", info(labelsFromPath={"team": ["metadata", "annotations", "team=red"]}), {}),
    Case("a key with two signs", info(labelsFromPath={"odd": ["spec", "a=b=c"]}), {'odd="itself"': 1}),
    Case("a list's lookup in a map", info(labelsFromPath={"odd": ["spec", "[version=v1.2.0]"]}), {}),
    Case("an element from behind", info(labelsFromPath={"done": ["spec", "steps", "-1", "done"]}), {'done="false"': 1}),
    Case("an element beyond the end", info(labelsFromPath={"done": ["spec", "steps", "5", "done"]}), {}),
    Case(
        "an element by a number",
        info(labelsFromPath={"done": ["spec", "steps", "[id=3]", "done"]}),
        {'done="false"': 1},
    ),
    Case(
        "an element by a truth value",
        info(labelsFromPath={"id": ["spec", "steps", "[done=false]", "id"]}),
        {'id="3"': 1},
    ),
    Case(
        "an element by what counts as the same number",
        info(labelsFromPath={"type": ["status", "conditions", "[status=0]", "type"]}),
        {'type="Stuck"': 1},
    ),
    Case("a map as text", info(labelsFromPath={"counts": ["status", "counts"]}), {'counts="map[in:1 out:3]"': 1}),
    Case("a list as text", info(labelsFromPath={"mixed": ["status", "mixed"]}), {'mixed="[1 x <nil> map[a:1]]"': 1}),
    Case("null is no label", info(labelsFromPath={"a": ["spec", "nothing"], "b": ["spec", "open"]}), {'b="true"': 1}),
    Case(
        "the same labels twice",
        info("status", "values", labelsFromPath={"it": ["missing"], "a": []}),
        {
            'a="map[name:a value:45]"': 1,
            'a="map[name:b value:66]"': 1,
            'a="map[name:c]"': 1,
        },
    ),
]
STATES = [
    Case("one series a state", state_set("status", "phase"), {'state="Open"': 0, 'state="Opening"': 1}),
    Case("a value below", state_set("status", valueFrom=["phase"]), {'state="Open"': 0, 'state="Opening"': 1}),
    Case("a state that is not listed", state_set("spec", "version"), {'state="Open"': 0, 'state="Opening"': 0}),
    Case("a path that misses", state_set("status", "missing"), {}),
    Case("a value that misses", state_set("status", valueFrom=["missing"]), {}),
    Case("a number is no state", state_set("spec", "lanes"), {}, refused=("no_text",)),
    Case("a number below is no state", state_set("status", valueFrom=["uptime"]), {}, refused=("no_text",)),
    Case("a map is no state", state_set("status", "counts"), {}, refused=("no_text",)),
    Case(
        "a list",
        state_set("status", "conditions", valueFrom=["status"], labelsFromPath={"type": ["type"]}, list=["True"]),
        {'state="True",type="Ready"': 1, 'state="True",type="Stuck"': 0},
    ),
]
LABELS = [
    Case(
        "a map is copied, a name of its own wins",
        gauge("spec", "lanes"),
        {'_2nd="two",b_example_com_x="1",team="green"': 3},
        {"labelsFromPath": {"*": ["metadata", "annotations"], "team": ["metadata", "labels", "team"]}},
    ),
    Case(
        "a map is copied behind a prefix",
        gauge("spec", "lanes"),
        {'annotation_2nd="two",annotation_b_example_com_x="1",annotation_team="blue"': 3},
        {"labelsFromPath": {"annotation_*": ["metadata", "annotations"]}},
    ),
    Case(
        "the last of two copies wins",
        gauge("spec", "lanes"),
        {'_team="green",team="green"': 3},
        {"labelsFromPath": {"*1": ["metadata", "labels"], "**": ["metadata", "labels"]}},
    ),
    Case(
        "what is no map is not copied", gauge("spec", "lanes"), {"": 3}, {"labelsFromPath": {"*": ["spec", "owners"]}}
    ),
    Case(
        "a null that is copied is text",
        gauge("spec", "lanes"),
        {'x_nothing="<nil>"': 3},
        {"labelsFromPath": {"x_*": ["status", "only"]}},
    ),
    Case(
        "names are cleaned",
        gauge("spec", "lanes"),
        {'a_b_c="v1.2.0"': 3},
        {"labelsFromPath": {"a.b/c": ["spec", "version"]}},
    ),
    Case(
        "what is common, what is found, what is each's own",
        gauge("status", "sides", labelFromKey="side", valueFrom=["ready"], labelsFromPath={"c": ["active"]}),
        {'a="common",b="v1.2.0",c="1",side="left"': 2, 'a="common",b="v1.2.0",c="3",side="right"': 4},
        {
            "commonLabels": {"a": "common", "b": "common", "c": "common"},
            "labelsFromPath": {"b": ["spec", "version"], "c": ["spec", "version"]},
        },
    ),
    Case("its type in any letter case", {"type": "gAUGE", "gauge": {"path": ["spec", "lanes"]}}, {"": 3}),
]
