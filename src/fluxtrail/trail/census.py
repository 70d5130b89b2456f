"""Who was there when a stream was first complete: whoever is kept and was not named, went while nobody watched.

A watcher only says `Gone` of what it has shown itself, so what was deleted before it began is found here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fluxtrail.model.observation import ClusterUid, Gone, Listed, ObjectKey, ObjectUid, Observation, Seen
from fluxtrail.trail.registry import Registry


class Census:
    """One stream's, from its watcher's beginning to its first `Listed`.

    Args:
        namespaces: what the stream covers; none means all. Whoever lives elsewhere is not judged.
        name: the one object that it covers; empty means all.
    """

    def __init__(
        self, registry: Registry, cluster: ClusterUid, kind: str, *, namespaces: Sequence[str] = (), name: str = ""
    ) -> None:
        self._registry = registry
        self._cluster = cluster
        self._kind = kind
        self._namespaces = frozenset(namespaces)
        self._name = name
        self._named: set[ObjectKey] = set()
        self._is_open = True

    def note_unreadable(self, key: ObjectKey | None) -> None:
        """An object could not be read: it is there. One without a key might be any: then nobody is said to be gone."""
        if key is None:
            self._is_open = False
        else:
            self._named.add(key)

    def complete(self, batch: Sequence[Observation[Any]]) -> Sequence[Observation[Any]]:
        """Return a batch of the stream, with those who went put before the first `Listed`."""
        if not self._is_open:
            return batch
        for index, observation in enumerate(batch):
            match observation:
                case Seen() | Gone():
                    self._named.add(observation.key)
                case Listed():
                    self._is_open = False
                    return [*batch[:index], *self._gone(observation.observed_at), *batch[index:]]
        return batch

    def _gone(self, at: datetime) -> list[Gone]:
        held: dict[ObjectKey, ObjectUid] = {}
        for target in self._registry.targets:
            if target.cluster == self._cluster and target.deleted_at is None:
                held[target.key] = target.uid
        for (cluster, key), source in self._registry.sources.items():
            if cluster == self._cluster and source.deleted_at is None:
                held[key] = source.uid
        missing = [key for key in held if self._covers(key) and key not in self._named]
        return [Gone(key=key, uid=held[key], observed_at=at) for key in sorted(missing)]

    def _covers(self, key: ObjectKey) -> bool:
        return (
            key.kind == self._kind
            and (not self._namespaces or key.namespace in self._namespaces)
            and self._name in ("", key.name)
        )
