"""How fast one client may ask, whatever it asks: one that went wild must not take the ledger from all others.

A client is a token at an address: behind a proxy, where all have one address, those with tokens of their own are told
apart. Memory is bounded; whoever asked longest ago is forgotten first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from fluxtrail.web.access.failures import network

MOST_CLIENTS = 4096


class Paces:
    """A bucket of requests for each client, filled evenly, as large as a minute.

    Args:
        per_minute: how many requests; 0 lets everybody ask as fast as they like.
        monotonic: seconds.
    """

    def __init__(self, per_minute: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._most = float(per_minute)
        self._monotonic = monotonic
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        """When it was looked at last, and what was left then."""

    @property
    def size(self) -> int:
        """How many clients are remembered."""
        return len(self._left)

    def take(self, name: str, address: str) -> float | None:
        """Take one request of a client's. Returns None when there was one, else in how many seconds there will be."""
        if not self._most:
            return None
        key, now = (name, network(address)), self._monotonic()
        looked_at, left = self._left.pop(key, (now, self._most))
        left = min(left + (now - looked_at) * self._per_second, self._most)
        wait_seconds = None if left >= 1 else (1 - left) / self._per_second
        self._left[key] = (now, left - 1 if wait_seconds is None else left)
        while len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        return wait_seconds
