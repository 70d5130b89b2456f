"""Watches one kind on one API server and says what it sees, in order, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from random import Random
from typing import Generic, TypeVar

import structlog

from fluxtrail.clusters.clock import Clock, SystemClock
from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.subjects import Emit, OnProblem, Problem, Subject, WatchOptions, WatchStats
from fluxtrail.clusters.tracker import EmitError, Tracker
from fluxtrail.model.observation import Current, Listed, Observation

T = TypeVar("T")
_log = structlog.get_logger(__name__)


def log_problem(problem: Problem) -> None:
    """The default for `on_problem`: one warning per object that could not be read."""
    _log.warning("object_unreadable", kind=problem.kind, object=str(problem.key), error=problem.message)


class Watcher(Generic[T]):
    """A list and a watch of one kind, kept up through everything a cluster does.

    Promises to `emit`: batches in the API server's order, one at a time; no `Gone` for an object that is still there;
    after `Listed` the receiver knows every object. `was_held` is True only for an event of a stream followed without
    a gap: not for what a listing brought, and not for a backlog that waited (longer than the tolerance) while the
    stream was cut, although no state in between was missed then.
    """

    def __init__(
        self,
        connection: Connection,
        subject: Subject[T],
        *,
        options: WatchOptions | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        on_problem: OnProblem = log_problem,
    ) -> None:
        self.stats = WatchStats()
        self._connection = connection
        self._subject = subject
        self._options = options or WatchOptions()
        self._clock = clock or SystemClock()
        self._random = random or Random()  # noqa: S311 jitter is no secret
        self._on_problem = on_problem
        self._trackers: list[Tracker[T]] = []

    async def is_behind(self, namespace: str, name: str) -> bool:
        """Return whether the server has an object otherwise than it was shown, and still has so a moment later.

        Nothing of what is read is shown: that stays the stream's.

        Raises:
            UpstreamError: and its subclasses; the server could not say, or may not be asked.
            WireError: what it said is no object.
        """
        for tracker in self._covering(namespace):
            if await tracker.is_behind(namespace, name):
                return True
        return False

    def renew(self, namespace: str) -> None:
        """Take the connection that covers a namespace for dead: go on from where it was, over a new one."""
        for tracker in self._covering(namespace):
            tracker.renew()

    def _covering(self, namespace: str) -> list[Tracker[T]]:
        return [tracker for tracker in self._trackers if tracker.namespace in (None, namespace)]

    async def run(self, emit: Emit[T]) -> None:
        """Watch until cancelled. A second run starts from nothing: everything is first sight again.

        Raises:
            Exception: whatever `emit` raised, unchanged. Nothing the server does ends the run.
        """
        self._trackers.clear()
        try:
            namespaces = self._subject.namespaces
            if len(namespaces) <= 1:
                await self._tracker(namespaces[0] if namespaces else None, emit).run()
            else:
                await self._run_several(namespaces, emit)
        except EmitError as error:
            raise error.cause from None

    async def _run_several(self, namespaces: Sequence[str], emit: Emit[T]) -> None:
        merger = _Merger(namespaces, emit)
        try:
            async with asyncio.TaskGroup() as group:
                for namespace in namespaces:
                    tracker = self._tracker(namespace, partial(merger.take, namespace))
                    group.create_task(tracker.run(), name=f"watch {self._subject.kind} {namespace}")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def _tracker(self, namespace: str | None, emit: Emit[T]) -> Tracker[T]:
        tracker = Tracker(
            self._connection,
            self._subject,
            namespace,
            options=self._options,
            clock=self._clock,
            random=self._random,
            stats=self.stats,
            on_problem=self._on_problem,
            emit=emit,
        )
        self._trackers.append(tracker)
        return tracker


class _Merger(Generic[T]):
    """Makes one stream of several namespaces': complete when all are, and current as far as the last of them."""

    def __init__(self, namespaces: Sequence[str], emit: Emit[T]) -> None:
        self._emit = emit
        self._lock = asyncio.Lock()
        self._listed_at: dict[str, datetime | None] = dict.fromkeys(namespaces)
        self._current_at: dict[str, datetime | None] = dict.fromkeys(namespaces)
        self._said_at: datetime | None = None

    async def take(self, namespace: str, batch: Sequence[Observation[T]]) -> None:
        async with self._lock:
            merged = [kept for each in batch if (kept := self._merge(namespace, each)) is not None]
            if merged:
                await self._emit(merged)

    def _merge(self, namespace: str, seen: Observation[T]) -> Observation[T] | None:
        if isinstance(seen, Listed):
            self._listed_at[namespace] = self._current_at[namespace] = seen.observed_at
            oldest = _oldest(self._listed_at)
            return Listed(group=seen.group, kind=seen.kind, observed_at=oldest) if oldest else None
        if isinstance(seen, Current):
            self._current_at[namespace] = seen.observed_at
            oldest = _oldest(self._current_at)
            if oldest is None or (self._said_at is not None and oldest <= self._said_at):
                return None
            self._said_at = oldest
            return Current(group=seen.group, kind=seen.kind, observed_at=oldest)
        return seen


def _oldest(moments: dict[str, datetime | None]) -> datetime | None:
    """Return the least of them, or None while one is missing."""
    known = [moment for moment in moments.values() if moment is not None]
    return min(known) if len(known) == len(moments) else None
