"""Trouble with a simulated service, asked for from outside: what every kind has in common, and which one strikes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Generic, TypeVar

import msgspec


class ServiceFault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Without `count` and `seconds` it lasts until `clear`. Times are simulated ones.

    Which fields count depends on `action`, which each service has its own words of; the others are ignored.
    """

    action: str
    """All have `status` (refuse), `drop` (cut the connection), `delay` (be slow) and `clear` (end all trouble)."""
    status: int = 500
    count: int | None = None
    """How many requests it strikes."""
    seconds: float | None = None
    """How long it lasts."""
    after_seconds: float = 0.0
    """When it begins, from now."""
    every_seconds: float | None = None
    """It comes again so long after it began, for `seconds` each time."""
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


F = TypeVar("F", bound=ServiceFault)


class _Window(Generic[F]):
    def __init__(self, fault: F, *, now: datetime) -> None:
        self.fault = fault
        self.left = fault.count
        self.begins_at = now + timedelta(seconds=fault.after_seconds)

    def is_over(self, now: datetime) -> bool:
        is_past = self.fault.every_seconds is None and self._is_past(now)
        return self.left == 0 or is_past

    def strikes(self, now: datetime) -> bool:
        """Whether it is on now; one that comes again begins anew."""
        if self.fault.every_seconds is not None and self._is_past(now):
            period = timedelta(seconds=max(self.fault.every_seconds, 1.0))
            self.begins_at += (now - self.begins_at) // period * period
        return self.left != 0 and now >= self.begins_at and not self._is_past(now)

    def dated(self, now: datetime) -> F:
        """Return the fault with `Retry-After` of what is left worked out."""
        ends_at = self._ends_at
        if not self.fault.is_retry_after_rest or ends_at is None:
            return self.fault
        rest = max(int((ends_at - now).total_seconds()) + 1, 1)
        return msgspec.structs.replace(self.fault, retry_after_seconds=rest)

    @property
    def _ends_at(self) -> datetime | None:
        return None if self.fault.seconds is None else self.begins_at + timedelta(seconds=self.fault.seconds)

    def _is_past(self, now: datetime) -> bool:
        ends_at = self._ends_at
        return ends_at is not None and now >= ends_at


class Faults(Generic[F]):
    """The faults that wait, in the order in which they were asked for.

    Args:
        beside: actions that strike beside any other.
    """

    def __init__(self, *, beside: tuple[str, ...] = ("delay",)) -> None:
        self._windows: list[_Window[F]] = []
        self._beside = beside

    def add(self, fault: F, *, now: datetime) -> None:
        if fault.action == "clear":
            self._windows.clear()
        else:
            self._windows.append(_Window(fault, now=now))

    def waiting(self, now: datetime) -> int:
        self._windows = [window for window in self._windows if not window.is_over(now)]
        return len(self._windows)

    def strike(self, concerns: Callable[[F], bool], now: datetime) -> list[F]:
        """Return what strikes a request: all that goes beside others, and the first of these; each counts as used.

        Args:
            concerns: whether a fault is one of that request.
        """
        self.waiting(now)
        taken: list[F] = []
        for window in self._windows:
            fault = window.fault
            if not window.strikes(now) or not concerns(fault):
                continue
            if fault.action not in self._beside and any(other.action not in self._beside for other in taken):
                continue
            if window.left is not None:
                window.left -= 1
            taken.append(window.dated(now))
        return taken


def fault_headers(fault: ServiceFault, *, now: datetime) -> dict[str, str]:
    """Return the headers by which a service says when to come back."""
    headers = {}
    if fault.retry_after_seconds is not None:
        at = now + timedelta(seconds=fault.retry_after_seconds)
        date = format_datetime(at, usegmt=True)
        headers["Retry-After"] = date if fault.is_retry_after_date else str(fault.retry_after_seconds)
    if fault.reset_seconds is not None:
        headers["X-RateLimit-Remaining"] = "0"
        headers["X-RateLimit-Reset"] = str(int(now.timestamp()) + fault.reset_seconds)
    return headers
