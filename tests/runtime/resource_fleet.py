"""A cluster whose objects are written by hand, and what `/metrics` says of them."""

from __future__ import annotations

from typing import Any

from tests.runtime.worlds import NAMESPACE, Cluster


class Fleet(Cluster):
    """Objects of any kind that the server knows."""

    def create(self, plural: str, name: str, namespace: str = NAMESPACE, **parts: Any) -> None:
        """Create an object; what is in `parts` is its `spec`, but for `status` and `metadata`."""
        definition = self.store.catalog.get(plural)
        if definition.namespaced and self.store.find("namespaces", namespace) is None:
            self.store.insert_namespace(namespace)
        metadata = {"name": name, **parts.pop("metadata", {})}
        if definition.namespaced:
            metadata["namespace"] = namespace
        status = parts.pop("status", None)
        obj = {
            "apiVersion": definition.api_version(definition.versions[0]),
            "kind": definition.kind,
            "metadata": metadata,
            "spec": parts,
        }
        self.store.create(plural, obj)
        if status is not None:
            self.say(plural, name, namespace, **status)

    def say(self, plural: str, name: str, namespace: str = NAMESPACE, **status: Any) -> None:
        self.store.patch_status(plural, name, namespace, status)

    def delete(self, plural: str, name: str, namespace: str = NAMESPACE) -> None:
        self.store.delete(plural, name, namespace)
