"""Changes of a resource for simulated controllers: the in-process sibling of a watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fluxtrail.simulator.apiserver.resources import ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import StatusError
from fluxtrail.simulator.apiserver.table import Table

if TYPE_CHECKING:
    from fluxtrail.simulator.apiserver.store import Store


class StoreEvent(NamedTuple):
    """A change. RESYNC: changes were missed or the past was replaced; list again. CLOSED: no longer served."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "RESYNC", "CLOSED"]
    namespace: str
    name: str
    object: dict[str, Any]


class Subscription:
    """An async iterator of `StoreEvent`s, from the moment it was made, in the order of the writes.

    It keeps no queue of its own: it reads the store's history, so a reader that falls too far behind gets one
    RESYNC instead of holding memory. One reader each.
    """

    def __init__(self, store: Store, definition: ResourceDefinition, table: Table, namespace: str) -> None:
        self._store = store
        self._definition = definition
        self._table = table
        self._namespace = namespace
        self._position = store.resource_version
        self._epoch = table.epoch
        self._ready: list[StoreEvent] = []
        self._is_finished = False

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> StoreEvent:
        if self._is_finished and not self._ready:
            raise StopAsyncIteration
        while not self._ready:
            await self._wait()
            self._ready = self._collect()[::-1]
        return self._ready.pop()

    def pending(self) -> list[StoreEvent]:
        """Return what happened since the last read, without waiting."""
        events = self._ready[::-1] + self._collect()
        self._ready = []
        return events

    async def _wait(self) -> None:
        waiter = asyncio.Event()
        self._table.subscribe(waiter)
        try:
            while not self.has_news():
                await waiter.wait()
                waiter.clear()
        finally:
            self._table.unsubscribe(waiter)

    def has_news(self) -> bool:
        """Whether there is something to read."""
        if self._ready:
            return True
        try:
            has_changes = bool(self._table.changes_since(self._position, is_live=True))
        except StatusError:
            return True
        return has_changes or self._table.epoch != self._epoch or self._table.is_closed

    def _collect(self) -> list[StoreEvent]:
        try:
            changes = self._table.changes_since(self._position, is_live=True)
        except StatusError:
            changes = None
        if changes is None or self._table.epoch != self._epoch:
            self._epoch = self._table.epoch
            self._position = self._store.resource_version
            return [StoreEvent("RESYNC", "", "", {})]
        events = []
        for change in changes:
            entry = change.entry
            if not self._namespace or entry.namespace == self._namespace:
                obj = self._store.decode(self._definition, entry)
                events.append(StoreEvent(change.type, entry.namespace, entry.name, obj))
            self._position = change.resource_version
        if self._table.is_closed and not self._is_finished:
            self._is_finished = True
            events.append(StoreEvent("CLOSED", "", "", {}))
        return events
