"""CustomResourceDefinition objects and the resource definitions they stand for, in both directions.

The objects are the truth: what is served follows from them, whether they came over HTTP or from the simulator.
Of a schema only the defaults are kept: of `status` as a whole and of the top-level fields of `spec`.
"""

from __future__ import annotations

from typing import Any

from fluxtrail.simulator.apiserver.resources import CUSTOM_RESOURCE_DEFINITIONS, ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import invalid

Object = dict[str, Any]


def crd_object(definition: ResourceDefinition) -> Object:
    """Return the CustomResourceDefinition of a resource; its first version is the storage version."""
    names: Object = {
        "plural": definition.plural,
        "singular": definition.kind.lower(),
        "kind": definition.kind,
        "listKind": f"{definition.kind}List",
    }
    if definition.short_names:
        names["shortNames"] = list(definition.short_names)
    if definition.categories:
        names["categories"] = list(definition.categories)
    versions = [_version(definition, version) for version in definition.versions]
    return {
        "metadata": {"name": definition.qualified},
        "spec": {
            "group": definition.group,
            "names": names,
            "scope": "Namespaced" if definition.namespaced else "Cluster",
            "versions": versions,
            "conversion": {"strategy": "None"},
        },
    }


def _version(definition: ResourceDefinition, name: str) -> Object:
    spec: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if definition.spec_defaults:
        spec["properties"] = {
            key: {"default": value, "x-kubernetes-preserve-unknown-fields": True}
            for key, value in definition.spec_defaults.items()
        }
    status: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if definition.status_default is not None:
        status["default"] = definition.status_default
    version: Object = {
        "name": name,
        "served": True,
        "storage": name == definition.versions[0],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }
    if definition.status_subresource:
        version["subresources"] = {"status": {}}
    return version


def definition_of(crd: Object) -> ResourceDefinition:
    """Return the resource a CustomResourceDefinition declares; the storage version is the preferred one.

    Raises:
        StatusError: 422, the object does not say what it must.
    """
    name = str(crd["metadata"].get("name", ""))
    try:
        spec = crd["spec"]
        names = spec["names"]
        served = [version for version in spec["versions"] if version.get("served")]
        storage = next(version for version in spec["versions"] if version["storage"])
        served.sort(key=lambda version: version is not storage)
        properties = (((storage.get("schema") or {}).get("openAPIV3Schema") or {}).get("properties")) or {}
        definition = ResourceDefinition(
            group=spec["group"],
            versions=tuple(version["name"] for version in served),
            kind=names["kind"],
            plural=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            status_subresource="status" in (storage.get("subresources") or {}),
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            spec_defaults=_defaults((properties.get("spec") or {}).get("properties") or {}),
            status_default=(properties.get("status") or {}).get("default"),
        )
    except (KeyError, TypeError, AttributeError, StopIteration) as exc:
        raise _invalid(name, "spec", "Required value: group, names, scope and versions with one storage") from exc
    if name != definition.qualified:
        why = f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
        raise _invalid(name, "metadata.name", why)
    return definition


def schema_of(crd: Object, version: str) -> Any:
    """Return the OpenAPI schema of one version, or None."""
    for declared in (crd.get("spec") or {}).get("versions") or ():
        if declared.get("name") == version:
            return (declared.get("schema") or {}).get("openAPIV3Schema")
    return None


def _invalid(name: str, field: str, why: str) -> Exception:
    reason = "FieldValueRequired" if why.startswith("Required") else "FieldValueInvalid"
    return invalid(CUSTOM_RESOURCE_DEFINITIONS.group, CUSTOM_RESOURCE_DEFINITIONS.kind, name, [(reason, field, why)])


def _defaults(properties: Object) -> Object | None:
    return {key: schema["default"] for key, schema in properties.items() if "default" in schema} or None


def established_status(crd: Object, now: str) -> Object:
    """Return the status of a definition that is being served."""
    condition = {"status": "True", "lastTransitionTime": now}
    return {
        "conditions": [
            {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found"} | condition,
            {"type": "Established", "reason": "InitialNamesAccepted", "message": "accepted"} | condition,
        ],
        "acceptedNames": crd["spec"]["names"],
        "storedVersions": [version["name"] for version in crd["spec"]["versions"] if version["storage"]],
    }
