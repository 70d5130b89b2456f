"""Time for the real process: the system's, or a simulation's where the environment names one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.trail.ports import Clock

VARIABLE = "FLUXTRAIL_CLOCK"
"""`<origin>@<scale>`: simulated time runs `scale` times as fast as the system's since `origin`."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ScaledClock(SystemClock):
    """Dates as a simulation has them; waits stay real, so that a process under it behaves as in production."""

    def __init__(self, origin: datetime, scale: float) -> None:
        self._origin = origin
        self._scale = scale

    def now(self) -> datetime:
        return self._origin + (datetime.now(UTC) - self._origin) * self._scale


def clock_from(environ: Mapping[str, str]) -> Clock:
    """Return the clock to go by.

    Raises:
        ConfigError: the variable is set and is not `<origin>@<scale>`.
    """
    text = environ.get(VARIABLE)
    if not text:
        return SystemClock()
    stamp, _, factor = text.rpartition("@")
    origin = parse_timestamp(stamp)
    try:
        scale = float(factor)
    except ValueError:
        scale = 0.0
    if origin is None or scale <= 0:
        raise ConfigError(f"{text!r} is not <RFC 3339 time>@<scale>", subject=VARIABLE)
    return ScaledClock(origin, scale)
