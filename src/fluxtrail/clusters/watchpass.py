"""One watch connection from its opening to its end: bytes in, observations out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from fluxtrail.clusters.answers import UNREADABLE, OversizedError, SilenceError, parse_status, refusal
from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.deep import decode_deep
from fluxtrail.clusters.framing import LineSplitter
from fluxtrail.clusters.held import HeldObjects
from fluxtrail.clusters.listing import is_older
from fluxtrail.clusters.subjects import Subject, WatchOptions, WatchStats
from fluxtrail.clusters.transport import ByteStream
from fluxtrail.clusters.wire import Bookmark, Event
from fluxtrail.model.errors import UpstreamError, WireError
from fluxtrail.model.observation import Current, Listed, Observation

T = TypeVar("T")

_events = msgspec.json.Decoder(Event)
_decode_bookmark = msgspec.json.Decoder(Bookmark).decode


class RelistError(WireError):
    """Following on from here could miss something: everything has to be listed and compared.

    Args:
        forgets_versions: the server's history went back, so that even equal resourceVersions prove nothing.
        is_paged: the next listing must not come as a stream of lines.
    """

    def __init__(self, message: str, *, forgets_versions: bool = False, is_paged: bool = False) -> None:
        super().__init__(message, retryable=True)
        self.forgets_versions = forgets_versions
        self.is_paged = is_paged


@dataclass
class Position:
    """How far a stream was followed; it outlives the connections."""

    version: str | None = None
    """The resourceVersion to resume from; None when only a listing can tell what there is."""
    last_version: str | None = None
    """The newest ever seen, kept over listings, to notice a history that went back."""
    complete_seconds: float = 0.0
    """Monotonic seconds up to which nothing is missing."""
    complete_at: datetime | None = None
    """The same instant as wall time."""

    def complete(self, at: datetime, seconds: float) -> None:
        self.complete_at, self.complete_seconds = at, seconds


@dataclass(frozen=True)
class Fence:
    """Where the backlog of a resumed stream ends: what the server had when we came back."""

    version: str
    asked_at: datetime
    """When the server was there: who has seen all up to the fence has seen all up to this instant."""
    is_late: bool
    """The backlog waited longer than the tolerance: its changes did not happen just now."""


class WatchPass(Generic[T]):
    """Takes one stream's events in order.

    What is seen changes the held objects and `position` only together with its emission: whatever ends the pass, all
    that was taken from the stream has been emitted, and all that was not will come again.
    """

    def __init__(
        self,
        subject: Subject[T],
        held: HeldObjects[T],
        position: Position,
        *,
        options: WatchOptions,
        clock: Clock,
        stats: WatchStats,
        is_initial: bool,
        fence: Fence | None,
        on_alive: Callable[[], None],
    ) -> None:
        self._subject = subject
        self._held = held
        self._position = position
        self._options = options
        self._clock = clock
        self._stats = stats
        self._fence = fence
        self._on_alive = on_alive
        self._splitter = LineSplitter(limit_bytes=options.line_limit_bytes)
        self._version = position.version or ""
        # A WatchList shows a state no older than the request for it.
        self._fresh_at = clock.now() if is_initial else position.complete_at
        self._current_at: float | None = None
        self._has_bookmark = False
        self._initial_seconds = 0.0
        self._opened = clock.monotonic()
        self.is_initial = is_initial
        """Whether the WatchList's initial events are still coming."""
        self.has_bytes = False

    async def run(self, stream: ByteStream, emit: Callable[[Sequence[Observation[T]]], Awaitable[None]]) -> None:
        """Follow `stream` to its end.

        Raises:
            SilenceError: nothing came for too long.
            RelistError, GoneError: the stream cannot be followed on.
            UpstreamError: it broke, or the server said so in an ERROR event.
        """
        while True:
            chunk = await self._read(stream)
            now = self._clock.now()
            if stream.has_waited:
                self._fresh_at = now
                if self._fence is None:
                    self._position.complete(now, self._clock.monotonic())
            if not chunk:
                return
            self.has_bytes = True
            self._stats.last_byte_at = now
            self._on_alive()
            await self._take_chunk(chunk, now, emit)

    async def _read(self, stream: ByteStream) -> bytes:
        if not self.is_initial:
            return await stream.read(idle_seconds=self._options.idle_seconds)
        started = self._clock.monotonic()
        chunk = await stream.read(idle_seconds=self._options.initial_idle_seconds)
        self._initial_seconds += self._clock.monotonic() - started
        if self._initial_seconds > self._options.initial_seconds:
            raise SilenceError("the end of the initial events was never marked", subject=self._subject.kind)
        return chunk

    async def _take_chunk(
        self, chunk: bytes, now: datetime, emit: Callable[[Sequence[Observation[T]]], Awaitable[None]]
    ) -> None:
        try:
            lines = self._splitter.feed(chunk)
        except OversizedError as error:
            self._stats.oversized_lines += 1
            raise RelistError(str(error), is_paged=True) from error
        batch: list[Observation[T]] = []
        failure: UpstreamError | WireError | None = None
        for line in lines:
            try:
                self._take(line, now, batch)
            except (UpstreamError, WireError) as error:
                failure = error  # what came before it on the same chunk is good, and is said first
                break
        else:
            self._add_current(batch, has_events=bool(lines))
        if batch:
            await emit(batch)
        if not self.is_initial:
            self._position.version = self._position.last_version = self._version
        if failure is not None:
            raise failure

    def _take(self, line: bytes, now: datetime, batch: list[Observation[T]]) -> None:
        try:
            event = decode_deep(_events, line)
        except UNREADABLE as error:
            self._stats.decode_errors += 1
            raise RelistError(f"a line is no watch event: {error}", is_paged=True) from error
        match event.type:
            case "ADDED" | "MODIFIED":
                self._stats.events += 1
                is_replay = self.is_initial and event.type == "ADDED"
                is_continuous = not is_replay and not self._is_late(event.object)
                self._advance(self._held.see(event.object, now, batch, is_continuous=is_continuous))
            case "DELETED":
                self._stats.events += 1
                self._advance(self._held.drop(event.object, now, batch), may_be_old=True)
            case "BOOKMARK":
                self._stats.bookmarks += 1
                self._take_bookmark(event.object, now, batch)
            case "ERROR":
                status = parse_status(event.object)
                raise refusal(status.code or 500, status, subject=f"watch of {self._subject.kind}")
            case _:
                pass  # an event type that does not exist yet changes nothing we hold

    def _take_bookmark(self, raw: msgspec.Raw, now: datetime, batch: list[Observation[T]]) -> None:
        try:
            bookmark = _decode_bookmark(raw)
        except UNREADABLE as error:
            self._stats.decode_errors += 1
            raise RelistError(f"a bookmark cannot be read: {error}", is_paged=True) from error
        version = (bookmark.metadata.resource_version if bookmark.metadata else None) or ""
        if self.is_initial and bookmark.ends_initial_events:
            self._end_initial(version, now, batch)
        elif version:
            self._advance(version)
            self._has_bookmark = True
            self._pass_fence(version)

    def _pass_fence(self, version: str) -> None:
        """A bookmark at the fence, or any that comes once a backlog would be through, ends the backlog.

        On a quiet kind a bookmark may stay behind the fence for minutes: the server's cache learns of a higher
        version only from etcd's progress notifications.
        """
        if self._fence is None:
            return
        is_through = self._clock.monotonic() - self._opened >= self._options.gap_tolerance_seconds
        if is_through or not is_older(version, self._fence.version):
            self._end_backlog(self._fence)

    def _end_backlog(self, fence: Fence) -> None:
        self._fence = None
        if self._fresh_at is None or self._fresh_at < fence.asked_at:
            self._fresh_at = fence.asked_at

    def _end_initial(self, version: str, now: datetime, batch: list[Observation[T]]) -> None:
        if is_older(version, self._position.last_version or ""):
            raise RelistError("the server's resourceVersions went back", forgets_versions=True)
        self.is_initial = False
        self._version = version
        self._stats.lists += 1
        batch.extend(self._held.end_round(now))
        listed_at = self._fresh_at or now
        batch.append(Listed(group=self._subject.group, kind=self._subject.kind, observed_at=listed_at))

    def _advance(self, version: str | None, *, may_be_old: bool = False) -> None:
        """Remember how far the stream is. Within one kind versions only grow; a smaller one is another history.

        A DELETED event may carry the object's last version instead of the deletion's.
        """
        if not version or self.is_initial:
            return
        if is_older(version, self._version):
            if may_be_old:
                return
            raise RelistError("the stream's resourceVersions went back", forgets_versions=True)
        self._version = version
        if self._fence is not None and is_older(self._fence.version, version):
            self._end_backlog(self._fence)

    def _is_late(self, raw: msgspec.Raw) -> bool:
        fence = self._fence
        if fence is None or not fence.is_late:
            return False
        version = self._held.version_of(raw)
        return version is None or not is_older(fence.version, version)

    def _add_current(self, batch: list[Observation[T]], *, has_events: bool) -> None:
        """Say how far the stream is known to be complete: up to the last read that found nothing queued before it."""
        if self.is_initial or self._fence is not None or self._fresh_at is None or not has_events:
            return
        now = self._clock.monotonic()
        is_due = self._current_at is None or now - self._current_at >= self._options.current_seconds
        if not (self._has_bookmark or is_due):
            return
        self._has_bookmark = False
        self._current_at = now
        batch.append(Current(group=self._subject.group, kind=self._subject.kind, observed_at=self._fresh_at))
