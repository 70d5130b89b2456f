"""Batches: how they are cut, and who is at fault when one is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import Enum

from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, NotFoundError, UpstreamError
from fluxtrail.model.report import ClaimedReport
from fluxtrail.reports.outputs import Ready


class Fault(Enum):
    RECEIVER = "receiver"
    SIZE = "size"
    CONTENT = "content"


def parts_of(ready: Sequence[Ready], items: int) -> Iterator[Sequence[Ready]]:
    """Yield requests' worth of reports."""
    part: list[Ready] = []
    held = 0
    for one in ready:
        if part and held + len(one.items) > items:
            yield part
            part, held = [], 0
        part.append(one)
        held += len(one.items)
    if part:
        yield part


def by_time(waiting: Sequence[tuple[ClaimedReport, datetime]]) -> dict[datetime, list[ClaimedReport]]:
    """Put together what waits until the same second."""
    found: dict[datetime, list[ClaimedReport]] = {}
    for report, until in waiting:
        found.setdefault(until.replace(microsecond=0) + timedelta(seconds=1), []).append(report)
    return found


def fault_of(error: FluxtrailError) -> Fault:
    """Return who is at fault that something was not taken."""
    if error.retryable or isinstance(error, AuthError | NotFoundError | ConfigError):
        return Fault.RECEIVER
    status = error.status if isinstance(error, UpstreamError) else None
    if status == 413:
        return Fault.SIZE
    if status is not None and 300 <= status < 400:
        return Fault.RECEIVER
    return Fault.CONTENT
