"""Objects against the schemas of CustomResourceDefinitions, as an API server checks them, without one.

A structural schema is JSON Schema with a few words of its own. Rules in CEL (`x-kubernetes-validations`) are not run
here: the API server has the last word on those, on a dry run.

Source: kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fluxtrail.gitops.objects.manifests import find_manifests, read_manifests
from fluxtrail.model.errors import ConfigError

PROBLEMS_LIMIT = 50


class Schemas:
    """The schemas of a file or a folder of CRDs.

    Raises:
        ConfigError: it cannot be read, or has no CRD.
    """

    def __init__(self, path: Path) -> None:
        found = find_manifests(path).manifests if path.is_dir() else read_manifests([path])
        self._schemas: dict[tuple[str, str], Any] = {}
        self._served: dict[str, list[str]] = {}
        for each in found:
            if each.kind == "CustomResourceDefinition" and each.group == "apiextensions.k8s.io":
                self._add(each.data.get("spec") or {})
        if not self._schemas:
            raise ConfigError("holds no CustomResourceDefinition; name a file or a folder of them", subject=str(path))
        self._validators: dict[tuple[str, str], Any] = {}

    def _add(self, spec: Mapping[str, Any]) -> None:
        kind = spec["names"]["kind"]
        for version in spec.get("versions") or ():
            api_version = f"{spec['group']}/{version['name']}"
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema is not None and version.get("served", True):
                self._schemas[api_version, kind] = schema
                self._served.setdefault(kind, []).append(api_version)

    def problems(self, data: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with an object: the field, and why. No problem, no text; at most `PROBLEMS_LIMIT`."""
        wanted = (str(data.get("apiVersion")), str(data.get("kind")))
        if wanted not in self._schemas:
            others = ", ".join(self._served.get(wanted[1], ()))
            remedy = f"served are {others}" if others else "add its CRD"
            return [f"no schema of {wanted[1]} in {wanted[0]}; {remedy}"]
        validator = self._validators.get(wanted)
        if validator is None:
            validator = self._validators[wanted] = _validator(self._schemas[wanted])
        checked = {key: value for key, value in data.items() if key != "metadata"}
        found = sorted({_said(error) for error in validator.iter_errors(checked)})
        return found[:PROBLEMS_LIMIT]


def check(objects: Iterable[tuple[str, Mapping[str, Any]]], schemas: Schemas) -> list[str]:
    """Return what is wrong with objects, each with the name that it came with."""
    return [f"{subject}: {problem}" for subject, data in objects for problem in schemas.problems(data)]


def _validator(schema: Mapping[str, Any]) -> Any:
    try:
        import jsonschema_rs  # noqa: PLC0415 - only where schemas are asked for
    except ImportError as exc:
        raise ConfigError("needs the package jsonschema-rs; install fluxtrail[crds]", subject="--crds") from exc
    closed = _closed(schema)
    # Every object has them, whether or not the schema says so.
    closed["properties"] = {"apiVersion": {}, "kind": {}, "metadata": {}, **(closed.get("properties") or {})}
    return jsonschema_rs.Draft4Validator(closed)


def _closed(schema: Any) -> dict[str, Any]:
    """Return a structural schema as JSON Schema that refuses fields which the API server would drop or refuse."""
    found = {key: value for key, value in schema.items() if not key.startswith("x-") and key != "nullable"}
    if "properties" in found:
        found["properties"] = {name: _closed(part) for name, part in found["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in found:
            found["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _closed(found[key])
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    if schema.get("nullable"):
        found["type"] = [found["type"], "null"] if isinstance(found.get("type"), str) else found.get("type")
    return found


def _said(error: Any) -> str:
    path = ".".join(str(part) for part in error.instance_path)
    return f"{path or 'the object'}: {str(error.message)[:300]}"
