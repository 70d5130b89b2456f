"""What the schema of a kind says of merging: which lists have keys, which are sets, what is replaced as a whole.

Where a schema says nothing, the API server goes by the values: objects are merged field by field, lists replaced.
Source: kubernetes.io "Server-Side Apply", merge strategy; structured-merge-diff schema/elements.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Object = dict[str, Any]


class Node(NamedTuple):
    """One place of a schema. `kind`: `any`, `scalar`, `object`, `list`, `map list` or `set`."""

    kind: str = "any"
    fields: Mapping[str, Node] = {}
    element: Node | None = None
    """Of a list's items, or of the fields that an object has no declaration of; None: it has no others."""
    is_atomic: bool = False
    keys: tuple[str, ...] = ()
    key_defaults: Mapping[str, Any] = {}
    scalar: str = ""
    """`string`, `numeric`, `boolean`, or empty for any of them."""
    is_open: bool = False
    """An object that has fields we do not know of, rather than keys of a map."""

    def field(self, name: str) -> Node | None:
        """Return the node of a field, or None where there may be none of that name."""
        other = Node(is_open=self.is_open) if self.kind == "any" else self.element
        found: Node | None = self.fields.get(name, other)
        return found

    def is_declared(self, name: str) -> bool:
        """Whether `name` is a field; the keys of a map are not."""
        return name in self.fields or self.is_open


ANY = Node()
SCALAR = Node("scalar")
_SCALARS = {"string": "string", "integer": "numeric", "number": "numeric", "boolean": "boolean"}
_STRING = Node("scalar", scalar="string")


def node_of(schema: Any) -> Node:
    """Return the node of an OpenAPI v3 structural schema."""
    if not isinstance(schema, dict) or schema.get("x-kubernetes-embedded-resource"):
        return ANY
    if schema.get("x-kubernetes-int-or-string"):
        return SCALAR
    kind = schema.get("type")
    if kind in _SCALARS:
        return Node("scalar", scalar=_SCALARS[kind])
    if kind == "array":
        return _list_node(schema)
    return _object_node(schema)


def _list_node(schema: Object) -> Node:
    element = node_of(schema.get("items"))
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return Node("set", element=element)
        case "map":
            keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
            properties = (schema.get("items") or {}).get("properties") or {}
            defaults = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
            return Node("map list", element=element, keys=keys, key_defaults=defaults)
        case _:
            return Node("list", element=element, is_atomic=True)


def _object_node(schema: Object) -> Node:
    is_atomic = schema.get("x-kubernetes-map-type") == "atomic"
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    element = node_of(additional) if isinstance(additional, dict) else None
    if schema.get("x-kubernetes-preserve-unknown-fields") or additional is True or not (properties or element):
        element = ANY
    fields = {name: node_of(below) for name, below in properties.items()}
    if not fields and element is ANY:
        return ANY._replace(is_atomic=is_atomic)
    return Node("object", fields=fields, element=element, is_atomic=is_atomic)


_OPEN = Node("any", is_open=True)


def _keyed(*keys: str, **fields: Node) -> Node:
    return Node("map list", element=_OPEN._replace(fields=fields), keys=keys)


_WHOLE = Node("any", is_atomic=True)
_CONDITIONS = _keyed("type")
_PORTS = Node("map list", element=_OPEN, keys=("containerPort", "protocol"), key_defaults={"protocol": "TCP"})
_VALUE_FROM = _OPEN._replace(
    fields={f"{name}Ref": _WHOLE for name in ("secretKey", "configMapKey", "field", "resourceField")}
)
_CONTAINERS = _keyed(
    "name",
    ports=_PORTS,
    env=_keyed("name", valueFrom=_VALUE_FROM),
    volumeMounts=_keyed("mountPath"),
    volumeDevices=_keyed("devicePath"),
)
_NAMED = _keyed("name")
_POD_FIELDS: Mapping[str, Node] = {
    "containers": _CONTAINERS,
    "initContainers": _CONTAINERS,
    "volumes": _NAMED,
    "imagePullSecrets": _NAMED,
    "nodeSelector": _WHOLE,
    "hostAliases": _keyed("ip"),
    "topologySpreadConstraints": _keyed("topologyKey", "whenUnsatisfiable"),
}
_METADATA = _OPEN._replace(
    fields={
        "labels": Node("object", element=_STRING),
        "annotations": Node("object", element=_STRING),
        "finalizers": Node("set", element=_STRING),
        "ownerReferences": _keyed("uid"),
    }
)
_TEMPLATE = _OPEN._replace(fields={"metadata": _METADATA, "spec": _OPEN._replace(fields=_POD_FIELDS)})
_STATUS = _OPEN._replace(fields={"conditions": _CONDITIONS})
_SERVICE_PORTS = Node("map list", element=_OPEN, keys=("port", "protocol"), key_defaults={"protocol": "TCP"})
_SPECS: Mapping[str, Node] = {
    "Pod": _OPEN._replace(fields=_POD_FIELDS),
    "Service": _OPEN._replace(fields={"ports": _SERVICE_PORTS, "selector": _WHOLE}),
    "CronJob": _OPEN._replace(
        fields={"jobTemplate": _OPEN._replace(fields={"spec": _OPEN._replace(fields={"template": _TEMPLATE})})}
    ),
    "CustomResourceDefinition": _OPEN._replace(fields={"versions": _NAMED}),
}
_WORKLOAD_SPEC = _OPEN._replace(fields={"template": _TEMPLATE, "selector": _WHOLE})
_WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
_TOP: Mapping[str, Mapping[str, Node]] = {
    "ConfigMap": {name: Node("object", element=_STRING) for name in ("data", "binaryData")},
    "Secret": {name: Node("object", element=_STRING) for name in ("data", "stringData")},
    "ServiceAccount": {"imagePullSecrets": _NAMED, "secrets": _NAMED},
    "ClusterRoleBinding": {"roleRef": _WHOLE},
    "RoleBinding": {"roleRef": _WHOLE},
}
_CLOSED = {
    "ConfigMap": {"immutable": Node("scalar", scalar="boolean")},
    "Secret": {"immutable": Node("scalar", scalar="boolean"), "type": _STRING},
}
"""Kinds of which all fields are known: others are refused, as they are of custom resources with a schema."""


def builtin_node(kind: str) -> Node:
    """Return the schema of one of Kubernetes' own kinds, as far as its lists are merged."""
    identity = {"apiVersion": _STRING, "kind": _STRING, "metadata": _METADATA}
    if kind in _CLOSED:
        return Node("object", fields=identity | dict(_TOP[kind]) | _CLOSED[kind])
    spec = _WORKLOAD_SPEC if kind in _WORKLOADS else _SPECS.get(kind, _OPEN)
    return _OPEN._replace(fields=identity | {"spec": spec, "status": _STATUS, **_TOP.get(kind, {})})


def custom_node(schema: Any) -> Node:
    """Return the schema of a custom resource, with what every object has."""
    node = node_of(schema)
    fields = {**node.fields, "apiVersion": _STRING, "kind": _STRING, "metadata": _METADATA}
    return node._replace(kind="object", fields=fields)
