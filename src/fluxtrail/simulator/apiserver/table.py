"""One resource's objects in key order, and the recent changes from which its past states can be rebuilt.

Objects are kept as encoded bytes only: 50,000 pods as Python dictionaries would be gigabytes, and every
reader (lists, watches) wants the bytes. Entries and changes never change, so readers may hold on to them.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from fluxtrail.simulator.apiserver.statuses import expired, too_old

if TYPE_CHECKING:
    from fluxtrail.simulator.apiserver.views import View

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


class Entry:
    """An object in one of its states. `tail` is its JSON without apiVersion, kind and the opening brace."""

    __slots__ = ("key", "labels", "name", "namespace", "resource_version", "tail", "uid")

    def __init__(
        self, *, namespace: str, name: str, uid: str, resource_version: int, labels: dict[str, str], tail: bytes
    ) -> None:
        self.key = object_key(namespace, name)
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.resource_version = resource_version
        self.labels = labels
        self.tail = tail


def object_key(namespace: str, name: str) -> str:
    """Return the storage key; its order is the order of lists, as etcd's is."""
    return f"{namespace}/{name}" if namespace else name


class Change:
    """One event of the log. `previous` is the state before it; None for an ADDED."""

    __slots__ = ("_lines", "entry", "previous", "resource_version", "type")

    def __init__(self, kind: ChangeType, entry: Entry, previous: Entry | None) -> None:
        self.type = kind
        self.entry = entry
        self.previous = previous
        self.resource_version = entry.resource_version
        self._lines: dict[tuple[str, bytes], bytes] = {}

    def line(self, kind: str, view: View) -> bytes:
        """Return the watch line, encoded once and shared between all watchers that see it the same way."""
        line = self._lines.get((kind, view.head))
        if line is None:
            line = self._lines[kind, view.head] = view.line(kind, self.entry)
        return line


class Page(NamedTuple):
    entries: list[Entry]
    next_key: str
    """Where the following page starts, selected or not (as with the real one, it may turn out empty); else ''."""
    remaining: int
    """Objects after this page, whether selected or not."""


class Table:
    """The objects of one resource.

    Args:
        floor: the oldest resourceVersion whose state can still be rebuilt: a watch or an exact list
            from before it is answered 410.
        history_limit: changes kept; at most twice as many are held before the older half goes.
    """

    def __init__(self, *, floor: int, history_limit: int) -> None:
        self.objects: dict[str, Entry] = {}
        self.floor = floor
        self.is_closed = False
        self.epoch = 0
        """Grows when whoever follows the changes must start again: a restore, another version served."""
        self._history_limit = history_limit
        self._last_forgotten = 0
        self._keys: list[str] = []
        self._changes: list[Change] = []
        self._waiters: set[asyncio.Event] = set()

    def apply(self, change: Change) -> None:
        key = change.entry.key
        if change.type == "DELETED":
            del self.objects[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            if key not in self.objects:
                insort(self._keys, key)
            self.objects[key] = change.entry
        self._changes.append(change)
        if len(self._changes) > 2 * self._history_limit:
            self.compact(self._changes[-self._history_limit - 1].resource_version)
        self.wake()

    def changes_since(self, resource_version: int, *, is_live: bool = False) -> list[Change]:
        """Return the changes after `resource_version`, oldest first.

        Args:
            resource_version: the last one the caller knows of.
            is_live: the caller followed the table until now: a compaction of what it heard does not concern it.

        Raises:
            StatusError: 410, they are no longer known.
        """
        if resource_version < (self._last_forgotten if is_live else self.floor):
            raise too_old(resource_version, self.floor)
        if not self._changes or self._changes[-1].resource_version <= resource_version:
            return []
        return self._changes[bisect_right(self._changes, resource_version, key=_version_of) :]

    def compact(self, resource_version: int) -> None:
        """Forget every change up to and including `resource_version`."""
        self.floor = max(self.floor, resource_version)
        count = bisect_right(self._changes, resource_version, key=_version_of)
        if count:
            self._last_forgotten = self._changes[count - 1].resource_version
            del self._changes[:count]

    def replace(self, objects: dict[str, Entry], *, floor: int) -> None:
        """Put another state in place, without a word to anybody who watches: a restored backup."""
        self.objects = dict(objects)
        self._keys = sorted(objects)
        self._changes.clear()
        self._last_forgotten = 0
        self.floor = floor
        self.restart()

    def restart(self) -> None:
        """End all streams; the objects and their history stay."""
        self.epoch += 1
        self.wake()

    def close(self) -> None:
        """The resource is no longer served: streams end once they sent what happened before."""
        self.is_closed = True
        self.wake()

    def subscribe(self, waiter: asyncio.Event) -> None:
        self._waiters.add(waiter)

    def unsubscribe(self, waiter: asyncio.Event) -> None:
        self._waiters.discard(waiter)

    def wake(self) -> None:
        for waiter in self._waiters:
            waiter.set()

    def page(
        self,
        *,
        namespace: str = "",
        at: int | None = None,
        start: str = "",
        limit: int = 0,
        is_selected: Callable[[Entry], bool] | None = None,
    ) -> Page:
        """Return one page of a list.

        Args:
            namespace: empty for all.
            at: the resourceVersion whose state is wanted; None for the present.
            start: the first key of the page.
            limit: selected objects on the page; 0 for all.
            is_selected: the selectors' test; None selects everything.

        Raises:
            StatusError: 410, the state at `at` can no longer be rebuilt.
        """
        overlay = self._undone(at) if at is not None else {}
        keys = self._keys_between(namespace, start, overlay)
        entries: list[Entry] = []
        for position, key in enumerate(keys):
            entry = overlay[key] if key in overlay else self.objects[key]
            if entry is None:
                continue
            if limit and len(entries) == limit:
                return Page(entries, key, self._count(keys, position, overlay))
            if is_selected is None or is_selected(entry):
                entries.append(entry)
        return Page(entries, "", 0)

    def _keys_between(self, namespace: str, start: str, overlay: dict[str, Entry | None]) -> list[str]:
        low, high = (f"{namespace}/", f"{namespace}0") if namespace else ("", "\U0010ffff")
        low = max(low, start)
        keys = self._keys[bisect_left(self._keys, low) : bisect_left(self._keys, high)]
        lost = [key for key in overlay if low <= key < high and key not in self.objects]
        return list(heapq.merge(keys, sorted(lost))) if lost else keys

    def _undone(self, resource_version: int) -> dict[str, Entry | None]:
        """Return what differed at `resource_version` from now: key -> entry, None where there was none."""
        if resource_version < self.floor:
            raise expired("The resourceVersion for the provided list is too old.")
        overlay: dict[str, Entry | None] = {}
        for change in reversed(self.changes_since(resource_version)):
            overlay[change.entry.key] = change.previous
        return overlay

    @staticmethod
    def _count(keys: list[str], position: int, overlay: dict[str, Entry | None]) -> int:
        if not overlay:
            return len(keys) - position
        rest: Iterable[str] = keys[position:]
        return sum(1 for key in rest if key not in overlay or overlay[key] is not None)


def _version_of(change: Change) -> int:
    return change.resource_version
