"""How often a client may show a token that is none: memory and the patience for guesses are bounded.

Addresses are those that connections come from: behind a proxy that is the proxy's. So a client whose token has been
right is not locked out by another one there that keeps sending an old token.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_FAILURES = 10
WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 4096
MOST_TRUSTED = 4096
TRUSTED_SECONDS = 12 * 3600.0


class Failures:
    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Since when, how many."""
        self._trusted: OrderedDict[tuple[str, str], float] = OrderedDict()

    @property
    def size(self) -> int:
        """How much is remembered."""
        return len(self._counts) + len(self._trusted)

    def wait_seconds(self, address: str) -> float | None:
        """Return how long a client has to wait before it may try again; None where it need not."""
        since, count = self._counts.get(network(address), (0.0, 0))
        left = since + WINDOW_SECONDS - self._monotonic()
        return left if count >= MOST_FAILURES and left > 0 else None

    def count(self, address: str) -> None:
        key, now = network(address), self._monotonic()
        since, count = self._counts.pop(key, (now, 0))
        if now - since >= WINDOW_SECONDS:
            since, count = now, 0
        self._counts[key] = (since, count + 1)
        while len(self._counts) > MOST_ADDRESSES:
            self._counts.popitem(last=False)

    def trust(self, address: str, name: str) -> None:
        """A token that was right is not refused for the failures of others at that address."""
        key = (network(address), name)
        self._trusted.pop(key, None)
        self._trusted[key] = self._monotonic()
        while len(self._trusted) > MOST_TRUSTED:
            self._trusted.popitem(last=False)

    def is_trusted(self, address: str, name: str) -> bool:
        at = self._trusted.get((network(address), name))
        return at is not None and self._monotonic() - at < TRUSTED_SECONDS


def network(address: str) -> str:
    """Return what is one client: an IPv4 address, or the /64 that any one host of IPv6 may use."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.version == 6:
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
