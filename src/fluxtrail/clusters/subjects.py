"""What is watched and how: the parameters of a watcher, and the numbers it keeps about itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from fluxtrail.clusters.framing import LINE_LIMIT_BYTES
from fluxtrail.model.observation import ObjectKey, Observation

T = TypeVar("T")

Emit = Callable[[Sequence[Observation[T]]], Awaitable[None]]
"""Takes a batch, in order; awaited before the next is read. What it raises ends the watcher."""


@dataclass(frozen=True, kw_only=True)
class Subject(Generic[T]):
    """One kind to watch.

    Args:
        versions: those that `wire` can read, best first; the first one served is watched.
        wire: the msgspec Struct an object's JSON is decoded into. Fields it does not declare are never built.
        project: makes of it what is observed; pure. None means "of no interest", as if a selector left it out.
        namespaces: each is watched on its own; none means all namespaces in one stream.
        field_selector: conditions on `metadata.namespace` do not count for a kind that has no namespaces.
        is_metadata_only: ask for no more than the objects' metadata. A server that sends them whole all the same
            is understood; `wire` has to read both.
    """

    group: str
    kind: str
    versions: tuple[str, ...]
    wire: type[Any]
    project: Callable[[Any], T | None]
    namespaces: tuple[str, ...] = ()
    label_selector: str = ""
    field_selector: str = ""
    is_metadata_only: bool = False


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """The watcher's numbers. The defaults suit a real API server, which sends a bookmark every minute."""

    page_limit: int = 500
    watch_seconds: int = 290
    """How long one watch is asked for, before jitter."""
    watch_jitter_seconds: int = 60
    idle_seconds: float = 110.0
    """Silence after which a stream is taken for dead."""
    initial_idle_seconds: float = 20.0
    """Silence amid a WatchList's initial events after which the server is taken not to know WatchList."""
    initial_seconds: float = 180.0
    """The same, for events that keep coming without their end being marked."""
    line_limit_bytes: int = LINE_LIMIT_BYTES
    page_limit_bytes: int = 64 * 1024 * 1024
    uses_watch_list: bool = True
    gap_tolerance_seconds: float = 5.0
    """An event that waited no longer than this for a cut stream still counts as seen when it happened."""
    current_seconds: float = 5.0
    """The least time between two `Current` that events alone bring about."""
    missing_cap_seconds: float = 60.0
    backoff_cap_seconds: float = 30.0
    unreachable_after_seconds: float = 10.0
    unreachable_after_attempts: int = 5


@dataclass(kw_only=True)
class WatchStats:
    """Counters since start, for self-metrics. One per watcher, shared by its namespaces."""

    lists: int = 0
    """Complete listings, WatchLists included, the first one too."""
    relists: int = 0
    """Listings that became necessary because a stream could not be resumed."""
    resumes: int = 0
    """Streams continued from the last resourceVersion."""
    events: int = 0
    decode_errors: int = 0
    oversized_lines: int = 0
    bookmarks: int = 0
    failures: int = 0
    last_byte_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One object (or line) that could not be used. The others were."""

    group: str
    kind: str
    key: ObjectKey | None
    """None where not even its name could be read."""
    message: str


OnProblem = Callable[[Problem], None]
