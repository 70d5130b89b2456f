"""An environment's entries as Flux objects, the fields that `flux create` sets for the same input.

Source: fluxcd/flux2 cmd/flux create_source_*.go, create_kustomization.go, create_helmrelease.go
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluxtrail.gitops.declaration.declaration import Environment, Key
from fluxtrail.gitops.declaration.entries import (
    KINDS,
    BucketSource,
    Entry,
    GitSource,
    HelmSource,
    Kustomization,
    OciSource,
    Release,
)
from fluxtrail.gitops.declaration.merging import merged
from fluxtrail.gitops.generate.kustomizations import kustomization_spec
from fluxtrail.gitops.generate.releases import ReadValues, release_spec
from fluxtrail.gitops.generate.sources import bucket_spec, git_spec, helm_spec, oci_spec

API_VERSIONS = {
    "GitRepository": "source.toolkit.fluxcd.io/v1",
    "HelmRepository": "source.toolkit.fluxcd.io/v1",
    "OCIRepository": "source.toolkit.fluxcd.io/v1",
    "Bucket": "source.toolkit.fluxcd.io/v1",
    "Kustomization": "kustomize.toolkit.fluxcd.io/v1",
    "HelmRelease": "helm.toolkit.fluxcd.io/v2",
}
"""The versions that Flux 2.3 and all later ones have, but for OCIRepository and Bucket: v1 since 2.6 and 2.4."""


def to_object(
    section: str, key: Key, entry: Entry, environment: Environment, *, read_values: ReadValues
) -> dict[str, Any]:
    """Return an entry's object.

    Args:
        read_values: reads a file of Helm values that the entry names.

    Raises:
        ConfigError: fields exclude each other, or one of two that go together is missing.
    """
    subject = environment.subject(section, key)
    spec = _spec(entry, key, environment, subject, read_values)
    spec["interval"] = entry.interval
    if entry.timeout is not None:
        spec["timeout"] = entry.timeout
    if entry.suspend:
        spec["suspend"] = True
    metadata: dict[str, Any] = {"name": key.name, "namespace": key.namespace}
    if entry.labels:
        metadata["labels"] = entry.labels
    if entry.annotations:
        metadata["annotations"] = entry.annotations
    kind = KINDS[section]
    return {
        "apiVersion": API_VERSIONS[kind],
        "kind": kind,
        "metadata": metadata,
        "spec": merged(spec, entry.spec),
    }


def _spec(entry: Entry, key: Key, environment: Environment, subject: str, read_values: ReadValues) -> dict[str, Any]:
    if isinstance(entry, Kustomization):
        return kustomization_spec(entry, key, environment, subject)
    if isinstance(entry, Release):
        return release_spec(entry, key, environment, subject, read_values)
    makers: dict[type[Entry], Callable[[Any, str], dict[str, Any]]] = {
        GitSource: git_spec,
        HelmSource: helm_spec,
        OciSource: oci_spec,
        BucketSource: bucket_spec,
    }
    return makers[type(entry)](entry, subject)
