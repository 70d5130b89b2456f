"""Self-metrics as plain values: what any part of the process hands to `/metrics` without knowing Prometheus."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from fluxtrail.model.distribution import Spread


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"
    HISTOGRAM = "histogram"


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One metric with its series.

    `name` is without `_total` and `_info`, which are added by kind. An info's value is ignored: it is always 1.
    Never put a sha, a message or anything else without bound into a label.
    """

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...] = ()
    values: Sequence[tuple[tuple[str, ...], float]] = ()
    """Label values in the order of `labels`, and the value."""
    spreads: Sequence[tuple[tuple[str, ...], Spread]] = ()
    """Of a histogram, in the place of `values`."""


class MetricSource(Protocol):
    """Something with numbers of its own. Asked at every scrape, in the event loop: it must not wait or compute."""

    def measures(self) -> Iterable[Measure]: ...


def counter(name: str, text: str, value: float) -> Measure:
    return Measure(name=name, help=text, kind=Kind.COUNTER, values=[((), value)])


def gauge(name: str, text: str, value: float) -> Measure:
    return Measure(name=name, help=text, kind=Kind.GAUGE, values=[((), value)])


class WatchNumbers(Protocol):
    """What a watcher counts: `clusters.subjects.WatchStats`."""

    lists: int
    relists: int
    resumes: int
    events: int
    decode_errors: int
    oversized_lines: int
    bookmarks: int
    failures: int
    last_byte_at: datetime | None


_WATCH_COUNTERS = (
    ("lists", "Complete listings, the first one and WatchLists too."),
    ("relists", "Listings that became necessary because a stream could not be resumed."),
    ("resumes", "Streams continued from the last resourceVersion."),
    ("events", "Events received."),
    ("decode_errors", "Objects left out because they could not be read."),
    ("oversized_lines", "Lines left out because they were longer than the limit."),
    ("bookmarks", "Bookmarks received."),
    ("failures", "Requests that failed or were refused."),
)


def watch_measures(watchers: Iterable[tuple[str, str, WatchNumbers]]) -> list[Measure]:
    """Return the `fluxtrail_watch_*` metrics of (cluster's name, kind, numbers)."""
    known = [((cluster, kind), numbers) for cluster, kind, numbers in watchers]
    labels = ("cluster", "kind")
    measures = [
        Measure(
            name=f"fluxtrail_watch_{field}",
            help=text,
            kind=Kind.COUNTER,
            labels=labels,
            values=[(key, float(getattr(numbers, field))) for key, numbers in known],
        )
        for field, text in _WATCH_COUNTERS
    ]
    last = [(key, numbers.last_byte_at.timestamp()) for key, numbers in known if numbers.last_byte_at is not None]
    measures.append(
        Measure(
            name="fluxtrail_watch_last_byte_timestamp_seconds",
            help="When the API server was last heard of on this stream.",
            kind=Kind.GAUGE,
            labels=labels,
            values=last,
        )
    )
    return measures
