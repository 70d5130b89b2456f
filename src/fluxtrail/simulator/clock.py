"""The world's time: the real clock, run faster from an agreed origin, so that hours of delivery pass in minutes."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from fluxtrail.model.errors import ConfigError

CLOCK_VARIABLE = "FLUXTRAIL_CLOCK"
"""The environment variable through which another process gets this clock: `<origin>@<scale>`."""


class SimulatedClock:
    """`now = origin + (real - origin) * scale`. At scale 1 it is the real clock.

    Args:
        origin: aware UTC; both clocks agree at this instant.
        scale: simulated seconds in one real second.
    """

    def __init__(self, *, origin: datetime | None = None, scale: float = 1.0) -> None:
        if not 0.01 <= scale <= 10_000:
            raise ConfigError(f"time scale {scale} is not between 0.01 and 10000; choose another", subject="time_scale")
        self.origin = origin or datetime.now(UTC).replace(microsecond=0)
        self.scale = scale

    def now(self) -> datetime:
        real = datetime.now(UTC)
        return self.origin + (real - self.origin) * self.scale

    def monotonic(self) -> float:
        """Return simulated seconds from an arbitrary beginning."""
        return time.monotonic() * self.scale

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of simulated time."""
        await asyncio.sleep(max(seconds, 0.0) / self.scale)

    def text(self) -> str:
        """Return what `parse_clock` reads."""
        return f"{self.origin.isoformat()}@{self.scale:g}"


def parse_clock(text: str) -> SimulatedClock:
    """Return the clock that `SimulatedClock.text` describes.

    Raises:
        ConfigError: not `<origin>@<scale>`.
    """
    origin, _, scale = text.rpartition("@")
    try:
        parsed = datetime.fromisoformat(origin)
        return SimulatedClock(origin=parsed.astimezone(UTC), scale=float(scale))
    except ValueError as exc:
        raise ConfigError(
            f"{text!r} is not <origin>@<scale>, as 2026-01-01T00:00:00+00:00@10", subject="clock"
        ) from exc


def wire_time(at: datetime) -> str:
    """Return a time as Kubernetes writes it: UTC, whole seconds, cut."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_time(at: datetime) -> str:
    """Return a time with its microseconds: what the truth log keeps."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_precise_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)
