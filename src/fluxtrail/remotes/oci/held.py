"""Content by digest, kept: it never changes, so it is fetched once, however many ask at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from fluxtrail.model.errors import FluxtrailError

TOTAL_LIMIT_BYTES = 32 * 1024 * 1024
ENTRY_LIMIT_BYTES = 8 * 1024 * 1024
ENTRIES_LIMIT = 2_000


class _Flight:
    """One fetch under way: `body` or `error` once it `landed`; neither if whoever led it was cancelled."""

    def __init__(self) -> None:
        self.landed = asyncio.Event()
        self.body: bytes | None = None
        self.error: FluxtrailError | None = None


class HeldContent:
    """Least recently used content goes first, by count and by bytes. Failures are shared, never kept."""

    def __init__(self, *, total_limit_bytes: int = TOTAL_LIMIT_BYTES) -> None:
        self._entries: OrderedDict[Hashable, bytes] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}
        self._total_limit_bytes = total_limit_bytes
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what is held under `key`, or what `fetch` brings. `key` names the content and all its bounds."""
        while True:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                return found
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, fetch)
            await flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            if flight.body is not None:
                return flight.body

    async def _lead(self, key: Hashable, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        flight = self._flights[key] = _Flight()
        try:
            flight.body = await fetch()
        except FluxtrailError as exc:
            flight.error = exc
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
        self._keep(key, flight.body)
        return flight.body

    def _keep(self, key: Hashable, body: bytes) -> None:
        if len(body) > ENTRY_LIMIT_BYTES:
            return
        self.size_bytes += len(body) - len(self._entries.get(key, b""))
        self._entries[key] = body
        while len(self._entries) > ENTRIES_LIMIT or self.size_bytes > self._total_limit_bytes:
            self.size_bytes -= len(self._entries.popitem(last=False)[1])
