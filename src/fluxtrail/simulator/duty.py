"""When a controller looks again: after an interval, or at once when something touched what it looks after."""

from __future__ import annotations

import asyncio

from fluxtrail.simulator.clock import SimulatedClock


class Duty:
    """One reader waits; anybody may poke."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._poked = asyncio.Event()

    @property
    def is_poked(self) -> bool:
        return self._poked.is_set()

    def poke(self) -> None:
        self._poked.set()

    async def wait(self, seconds: float | None) -> None:
        """Return after `seconds` of simulated time, or as soon as somebody pokes; None: only then."""
        timeout = None if seconds is None else max(seconds, 0.0) / self._clock.scale
        try:
            async with asyncio.timeout(timeout):
                await self._poked.wait()
        except TimeoutError:
            return
        finally:
            self._poked.clear()
