"""deployment-tracker's metrics under their own names: counters without `_total`, timers without a unit.

prometheus_client gives every counter a `_total`, so these lines are written here. In OpenMetrics, where a counter must
have it, they are of the type `unknown`: then the samples have the same names in both forms.

Source: github/deployment-tracker, pkg/dtmetrics/prom.go; Prometheus' text format 0.0.4; OpenMetrics 1.0.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""client_golang's defaults, which the tool left as they were."""
EVENT_TYPES = ("CREATED", "DELETED")
OUTCOMES = ("ok", "failed")


class Timer:
    """How long something took, each time. Changed in the event loop only."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        """Not cumulative; the last one is above all bounds."""
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


def _of_types() -> dict[str, int]:
    return dict.fromkeys(EVENT_TYPES, 0)


def _of_outcomes() -> dict[str, Timer]:
    return {outcome: Timer() for outcome in OUTCOMES}


class PostNumbers(Protocol):
    """What a client of GitHub counts of its requests."""

    post_record_ok: int
    post_record_unknown_artifact: int
    post_record_rate_limited: int
    post_record_soft_fail: int
    post_record_hard_fail: int
    post_record_client_error: int


@dataclass(kw_only=True)
class TrackerCounters:
    """What deployment-tracker counted. One for the process; changed in the event loop only."""

    events_ok: dict[str, int] = field(default_factory=_of_types)
    events_failed: dict[str, int] = field(default_factory=_of_types)
    event_seconds: dict[str, Timer] = field(default_factory=_of_outcomes)
    post_seconds: Timer = field(default_factory=Timer)
    post_record_ok: int = 0
    post_record_unknown_artifact: int = 0
    post_record_rate_limited: int = 0
    post_record_soft_fail: int = 0
    post_record_hard_fail: int = 0
    post_record_client_error: int = 0
    post_record_unknown_artifact_cache_hit: int = 0

    def note_event(self, event_type: str, *, is_ok: bool, seconds: float) -> None:
        """Count one change of a cluster that was looked at: `CREATED` or `DELETED`."""
        counted = self.events_ok if is_ok else self.events_failed
        counted[event_type] += 1
        self.event_seconds["ok" if is_ok else "failed"].observe(seconds)

    def take_posts(self, numbers: PostNumbers) -> None:
        """Copy what the client has counted by now."""
        for name in PostNumbers.__annotations__:
            setattr(self, name, getattr(numbers, name))


class _Family(NamedTuple):
    name: str
    field: str
    label: str
    help: str


_EVENTS = (
    _Family("deptracker_events_processed_ok", "events_ok", "event_type", "Changes of a cluster that were processed."),
    _Family("deptracker_events_processed_failed", "events_failed", "event_type", "Changes that could not be."),
)
_POSTS = (
    _Family("deptracker_post_record_ok", "post_record_ok", "", "Posts that GitHub took."),
    _Family(
        "deptracker_post_record_unknown_artifact",
        "post_record_unknown_artifact",
        "",
        "Posts of digests without record.",
    ),
    _Family("deptracker_post_record_rate_limited", "post_record_rate_limited", "", "Attempts that were rate limited."),
    _Family(
        "deptracker_post_record_soft_fail", "post_record_soft_fail", "", "Attempts that failed and may be repeated."
    ),
    _Family("deptracker_post_record_hard_fail", "post_record_hard_fail", "", "Posts that failed in the end."),
    _Family(
        "deptracker_post_record_client_error", "post_record_client_error", "", "Posts that GitHub refused for good."
    ),
    _Family(
        "deptracker_post_record_unknown_artifact_cache_hit",
        "post_record_unknown_artifact_cache_hit",
        "",
        "Posts that were saved because the digest is known to be unknown.",
    ),
)
_TIMERS = (
    _Family("deptracker_events_processed_timer", "event_seconds", "status", "Seconds that processing a change took."),
    _Family("deptracker_post_deployment_record_timer", "post_seconds", "", "Seconds that a request to GitHub took."),
)
NAMES = tuple(family.name for family in (*_EVENTS, *_POSTS, *_TIMERS))


def render_tracker(counters: TrackerCounters, *, is_openmetrics: bool = False) -> bytes:
    """Return the lines of all families, the last one ended too; without OpenMetrics' `# EOF`."""
    return "".join(line + "\n" for line in _lines(counters, is_openmetrics=is_openmetrics)).encode()


def _lines(counters: TrackerCounters, *, is_openmetrics: bool) -> Iterator[str]:
    for family in (*_EVENTS, *_POSTS):
        yield from _head(family, "unknown" if is_openmetrics else "counter")
        found = getattr(counters, family.field)
        for value, count in found.items() if family.label else (("", found),):
            yield f"{family.name}{_labels({family.label: value})} {count}"
    for family in _TIMERS:
        yield from _head(family, "histogram")
        found = getattr(counters, family.field)
        for value, timer in found.items() if family.label else (("", found),):
            yield from _histogram(family.name, {family.label: value}, timer, is_openmetrics=is_openmetrics)


def _head(family: _Family, kind: str) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {kind}"


def _histogram(name: str, labels: dict[str, str], timer: Timer, *, is_openmetrics: bool) -> Iterator[str]:
    total = 0
    for bound, count in zip((*BUCKETS_SECONDS, None), timer.buckets, strict=True):
        total += count
        # As Go writes them (`1`); OpenMetrics wants `1.0`.
        le = "+Inf" if bound is None else repr(bound) if is_openmetrics else f"{bound:g}"
        yield f"{name}_bucket{_labels({**labels, 'le': le})} {total}"
    yield f"{name}_sum{_labels(labels)} {timer.sum_seconds!r}"
    yield f"{name}_count{_labels(labels)} {total}"


def _labels(labels: dict[str, str]) -> str:
    """The values are ours: nothing in them has to be escaped."""
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items() if name)
    return f"{{{inner}}}" if inner else ""


class TrackerMetrics:
    """`/metrics` on `-metrics-port`: what the replaced tool served there, always as text, with `process_*`."""

    def __init__(self, counters: Callable[[], TrackerCounters]) -> None:
        self._counters = counters
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    async def render(self, *, accept: str = "", query: str = "") -> tuple[list[bytes], str]:
        """Return the body and its content type. OpenMetrics was never spoken there: nothing asked for changes it."""
        return [render_tracker(self._counters()), generate_latest(self._process)], CONTENT_TYPE_PLAIN_0_0_4
