"""Discovery documents, plain and aggregated, from the catalog as it is now."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from fluxtrail.simulator.apiserver.catalog import Catalog
from fluxtrail.simulator.apiserver.resources import ALL_VERBS, NAMESPACES, ResourceDefinition

Object = dict[str, Any]

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERSION: Object = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0",
    "gitCommit": "simulated",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}
_STATUS_VERBS = ["get", "patch", "update"]


def core_versions(server_address: str) -> Object:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def group_list(catalog: Catalog) -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*item) for item in catalog.groups().items()]}


def group_document(catalog: Catalog, group: str) -> Object | None:
    versions = catalog.groups().get(group)
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, versions) if versions else None


def resource_list(catalog: Catalog, group: str, version: str) -> Object | None:
    definitions = catalog.served(group, version)
    if not definitions:
        return None
    document: Object = {"kind": "APIResourceList"}
    if group:
        document["apiVersion"] = "v1"
    resources = [resource for definition in definitions for resource in _resources(definition)]
    return document | {"groupVersion": f"{group}/{version}" if group else version, "resources": resources}


def aggregated(catalog: Catalog, *, is_core: bool) -> Object:
    """Return the one-request form of discovery (KEP-3352)."""
    groups = {"": ["v1"]} if is_core else catalog.groups()
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {
                    "version": version,
                    "resources": [_aggregated_resource(d, version) for d in catalog.served(group, version)],
                    "freshness": "Current",
                }
                for version in versions
            ],
        }
        for group, versions in groups.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _group(name: str, versions: list[str]) -> Object:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _verbs(definition: ResourceDefinition) -> list[str]:
    without = {"deletecollection"} if definition.id == NAMESPACES.id else set()
    return [verb for verb in ALL_VERBS if verb not in without]


def _resources(definition: ResourceDefinition) -> list[Object]:
    digest = hashlib.sha256(f"{definition.qualified}/{definition.kind}".encode()).digest()[:8]
    resource: Object = {
        "name": definition.plural,
        "singularName": definition.kind.lower(),
        "namespaced": definition.namespaced,
        "kind": definition.kind,
        "verbs": _verbs(definition),
    }
    if definition.short_names:
        resource["shortNames"] = list(definition.short_names)
    if definition.categories:
        resource["categories"] = list(definition.categories)
    resource["storageVersionHash"] = base64.b64encode(digest).decode()
    if not definition.status_subresource:
        return [resource]
    status = {
        "name": f"{definition.plural}/status",
        "singularName": "",
        "namespaced": definition.namespaced,
        "kind": definition.kind,
        "verbs": _STATUS_VERBS,
    }
    return [resource, status]


def _aggregated_resource(definition: ResourceDefinition, version: str) -> Object:
    response_kind = {"group": definition.group, "version": version, "kind": definition.kind}
    resource: Object = {
        "resource": definition.plural,
        "responseKind": response_kind,
        "scope": "Namespaced" if definition.namespaced else "Cluster",
        "singularResource": definition.kind.lower(),
        "verbs": _verbs(definition),
    }
    if definition.short_names:
        resource["shortNames"] = list(definition.short_names)
    if definition.categories:
        resource["categories"] = list(definition.categories)
    if definition.status_subresource:
        status = {"subresource": "status", "responseKind": response_kind, "verbs": _STATUS_VERBS}
        resource["subresources"] = [status]
    return resource
