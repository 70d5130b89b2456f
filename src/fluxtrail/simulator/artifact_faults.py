"""Trouble with the artifact metadata API, asked for from outside: refusals, cut connections, slow answers."""

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Literal

import msgspec

Call = Literal["single", "cluster", "job", "job_status"]
_OF_JOBS = ("fail_job", "slow_job")
_BESIDE = ("delay", "slow_job")
"""These strike beside any other."""


class RecordsFault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /faults/records`. Without `count` and `seconds` it lasts until `clear`.

    Times are simulated ones. Which fields count depends on `action`; the others are ignored.
    """

    action: Literal["status", "drop", "delay", "fail_job", "slow_job", "clear"]
    """`fail_job`: the next job is taken, and ends as `failed`. `slow_job`: it takes `delay_seconds` longer."""
    status: int = 500
    count: int | None = None
    """How many requests it strikes."""
    seconds: float | None = None
    """How long it lasts."""
    calls: tuple[Call, ...] = ()
    """Only these; empty: all."""
    is_after: bool = False
    """`status` and `drop` strike when the request was carried out already."""
    retry_after_seconds: int | None = None
    is_retry_after_rest: bool = False
    """`Retry-After` is what is left of `seconds`."""
    is_retry_after_date: bool = False
    """`Retry-After` comes as a date."""
    reset_seconds: int | None = None
    """`X-RateLimit-Remaining` is 0, and `X-RateLimit-Reset` that far away."""
    delay_seconds: float = 1.0


class _Window:
    def __init__(self, fault: RecordsFault, *, now: datetime) -> None:
        self.fault = fault
        self.left = fault.count
        self.ends_at = None if fault.seconds is None else now + timedelta(seconds=fault.seconds)

    def is_over(self, now: datetime) -> bool:
        return self.left == 0 or (self.ends_at is not None and now >= self.ends_at)


class RecordsFaults:
    """The faults that wait, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._windows: list[_Window] = []

    def add(self, fault: RecordsFault, *, now: datetime) -> None:
        if fault.action == "clear":
            self._windows.clear()
        else:
            self._windows.append(_Window(fault, now=now))

    def waiting(self, now: datetime) -> int:
        self._windows = [window for window in self._windows if not window.is_over(now)]
        return len(self._windows)

    def take(self, call: Call, now: datetime) -> list[RecordsFault]:
        """Return what strikes a request: all that slows it, and the first of the others; each counts as used.

        `Retry-After` of what is left is already worked out in them.
        """
        self.waiting(now)
        taken: list[RecordsFault] = []
        for window in self._windows:
            fault = window.fault
            if fault.calls and call not in fault.calls:
                continue
            if fault.action in _OF_JOBS and call != "job":
                continue
            if fault.action not in _BESIDE and any(other.action not in _BESIDE for other in taken):
                continue
            if window.left is not None:
                window.left -= 1
            taken.append(_dated(window, now))
        return taken


def _dated(window: _Window, now: datetime) -> RecordsFault:
    fault = window.fault
    if not fault.is_retry_after_rest or window.ends_at is None:
        return fault
    rest = max(int((window.ends_at - now).total_seconds()) + 1, 1)
    return msgspec.structs.replace(fault, retry_after_seconds=rest)


def fault_headers(fault: RecordsFault, *, now: datetime) -> dict[str, str]:
    """Return the headers by which GitHub says when to come back."""
    headers = {}
    if fault.retry_after_seconds is not None:
        at = now + timedelta(seconds=fault.retry_after_seconds)
        date = format_datetime(at, usegmt=True)
        headers["Retry-After"] = date if fault.is_retry_after_date else str(fault.retry_after_seconds)
    if fault.reset_seconds is not None:
        headers["X-RateLimit-Remaining"] = "0"
        headers["X-RateLimit-Reset"] = str(int(now.timestamp()) + fault.reset_seconds)
    return headers
