"""Events of an object: what controllers and nodes say of it in passing, and nowhere else.

They are hints: repeats are counted in one Event or dropped, and after an hour they are gone. Written through
`events.k8s.io`, an Event has its times in `eventTime` and `series`, and `lastTimestamp` is null.
Sources: core/v1 Event, events.k8s.io/v1 Event; client-go tools/record and tools/events.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

from fluxtrail.model.kept import clear_message, find_moment, word

_CONTAINER = re.compile(r"spec\.(?:initContainers|containers)\{([^{}]{1,253})\}")


class WireInvolved(msgspec.Struct, rename="camel", gc=False):
    uid: str | None = None
    field_path: str | None = None


class WireSeries(msgspec.Struct, rename="camel", gc=False):
    last_observed_time: str | None = None


class WireEventMeta(msgspec.Struct, rename="camel", gc=False):
    creation_timestamp: str | None = None


class WireEvent(msgspec.Struct, rename="camel", gc=False):
    metadata: WireEventMeta | None = None
    involved_object: WireInvolved | None = None
    reason: str | None = None
    message: str | None = None
    type: str | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: WireSeries | None = None


class WireEvents(msgspec.Struct, gc=False):
    """A page of a list; its items one by one, so that one of another shape costs only itself."""

    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    reason: str
    """FailedMount, FailedCreate, Unhealthy, Pulled, …"""
    message: str = ""
    """Redacted, at most 1 KiB."""
    is_warning: bool
    seen_at: datetime
    """When it last happened; of whole seconds, unless it was written through `events.k8s.io`."""
    container: str = ""
    """Of a pod's: which one it is about."""


def project_events(wire: WireEvents, uid: str) -> list[Event]:
    """Return the events of the object `uid`, oldest first; those without any time, or of no shape, are left out."""
    found = (_project(raw, uid) for raw in wire.items or ())
    return sorted((event for event in found if event is not None), key=lambda event: event.seen_at)


def _project(raw: msgspec.Raw, uid: str) -> Event | None:
    try:
        wire: WireEvent = msgspec.json.decode(raw, type=WireEvent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    about = wire.involved_object or WireInvolved()
    seen_at = _seen_at(wire)
    if about.uid != uid or seen_at is None or not wire.reason:
        return None
    path = _CONTAINER.fullmatch(about.field_path or "")
    return Event(
        reason=word(wire.reason),
        message=clear_message(wire.message),
        is_warning=wire.type == "Warning",
        seen_at=seen_at,
        container=path[1] if path is not None else "",
    )


def _seen_at(wire: WireEvent) -> datetime | None:
    """Return the latest of the times that an Event has; when it was made only where it has none."""
    told: list[Any] = [wire.last_timestamp, wire.event_time, wire.first_timestamp]
    told.append(wire.series.last_observed_time if wire.series is not None else None)
    times = [found for text in told if (found := find_moment(text)) is not None]
    return max(times) if times else find_moment(wire.metadata.creation_timestamp if wire.metadata else None)
