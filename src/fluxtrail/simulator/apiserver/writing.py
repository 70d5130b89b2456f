"""The query parameters of writes, and the configurations of server-side apply: parsing, and what is refused.

Source: apimachinery pkg/apis/meta/v1/validation; apiserver pkg/endpoints/handlers/patch.go `applyPatcher`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from fluxtrail.simulator.apiserver.statuses import bad_request, invalid
from fluxtrail.simulator.apiserver.targets import Target

Object = dict[str, Any]

MANAGER_LIMIT = 128
_FALSE = {"0", "f", "F", "FALSE", "false", "False", ""}
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")


class WriteOptions(NamedTuple):
    field_manager: str
    is_dry: bool
    force: bool


def parse_write_options(query: Mapping[str, str], kind: str, *, is_apply: bool = False) -> WriteOptions:
    """Return the options of a write.

    Args:
        kind: of the options: `PatchOptions`.

    Raises:
        StatusError: 422.
    """
    manager, dry = query.get("fieldManager", ""), query.get("dryRun", "")
    validation = query.get("fieldValidation", "")
    force = query.get("force")
    causes: list[tuple[str, str, str]] = []
    if is_apply and not manager:
        causes.append(("FieldValueRequired", "fieldManager", "Required value: is required for apply patch"))
    if force is not None and not is_apply and kind == "PatchOptions":
        causes.append(("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch"))
    if len(manager.encode()) > MANAGER_LIMIT:
        why = f"Too long: may not be more than {MANAGER_LIMIT} bytes"
        causes.append(("FieldValueTooLong", "fieldManager", why))
    if dry not in ("", "All"):
        why = f'Unsupported value: ["{dry}"]: supported values: "All"'
        causes.append(("FieldValueNotSupported", "dryRun", why))
    if validation not in _VALIDATIONS:
        why = f'Unsupported value: "{validation}": supported values: ' + ", ".join(f'"{v}"' for v in _VALIDATIONS)
        causes.append(("FieldValueNotSupported", "fieldValidation", why))
    if causes:
        raise invalid("meta.k8s.io", kind, "", causes)
    return WriteOptions(manager, dry == "All", force is not None and force not in _FALSE)


def read_configuration(body: bytes, target: Target) -> Object:
    """Return what is to be applied, with the name and namespace of the request's path.

    Raises:
        StatusError: 400 for what is no object of the kind and name that the path says, 422 for another uid.
    """
    try:
        config = yaml.safe_load(body)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"error decoding YAML: {str(error)[:200]}") from error
    if not isinstance(config, dict):
        raise bad_request("error decoding YAML: error unmarshaling JSON: it is no object")
    definition = target.definition
    version, kind = str(config.get("apiVersion") or ""), str(config.get("kind") or "")
    if (version, kind) != (definition.api_version(target.version), definition.kind):
        named = version if "/" in version else f"/{version}"
        raise bad_request(f"invalid object type: {named}, Kind={kind}")
    metadata = dict(config.get("metadata") or {})
    if "managedFields" in metadata and metadata["managedFields"] is not None:
        raise bad_request("metadata.managedFields must be nil")
    if (name := metadata.setdefault("name", target.name)) != target.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    if definition.namespaced and metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return config | {"metadata": metadata}
