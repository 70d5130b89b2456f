"""What issuers gave, kept while it is good: one cache for all identities.

Flux's rules, and two of our own. As in Flux a token is used for 80 % of the life that it had left when it came, and
never longer than an hour; its end is looked for on two clocks, the pessimistic one wins; errors are not kept. Flux
holds one lock while it asks an issuer, so that a slow one delays everybody: here keys wait for themselves alone. And a
token that should be replaced but still holds is given where its issuer fails, or while somebody else asks for the next.

Source: fluxcd/pkg cache (token.go, lru.go).
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import structlog

from fluxtrail.model.errors import FluxtrailError, WireError

T = TypeVar("T")
log = structlog.get_logger(__name__)

SHARE_OF_LIFE = 0.8
LONGEST_SECONDS = 3600.0
MARGIN_SECONDS = 10.0
"""A token is not given in the last seconds of its life: the request that shows it takes some of them."""
RETRY_SECONDS = 10.0
"""How soon an issuer that failed is asked again while the token that was to be replaced still holds."""
ITEMS_LIMIT = 1_000
RETIRED_LIMIT = 64
"""Replaced secrets that redaction still clears: most of them are good for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued(Generic[T]):
    """What an issuer answered. `life_seconds` is what is left of it, by the issuer's own clock."""

    value: T = field(repr=False)
    life_seconds: float
    secrets: tuple[str, ...] = field(repr=False)
    """What redaction must clear."""


@dataclass(slots=True)
class _Deadline:
    """A moment on both clocks: the wall's may be set, the other stands still while a machine sleeps."""

    monotonic: float
    wall: float


@dataclass(slots=True)
class _Held:
    issued: Issued[Any]
    fresh_until: _Deadline
    good_until: _Deadline
    retry_at: float = 0.0


@dataclass(slots=True)
class _Slot:
    """One key's: the lock makes many who wait for a token cause one request."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: _Held | None = None
    failures: int = 0
    failure: FluxtrailError | None = None


@dataclass(slots=True)
class CacheCounts:
    """What happened since the start; by provider."""

    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    successes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    evictions: int = 0


class TokenCache:
    """Keeps what was issued under a digest of the identity. Safe for concurrent callers; bounded.

    Args:
        monotonic: seconds that grow, whatever is done to the machine's clock.
        wall: POSIX seconds.
        items_limit: the least recently used beyond it are forgotten.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        items_limit: int = ITEMS_LIMIT,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._monotonic, self._wall = monotonic, wall
        self._items_limit, self._longest_seconds = items_limit, longest_seconds
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._retired: OrderedDict[str, None] = OrderedDict()
        self.counts = CacheCounts()

    def __repr__(self) -> str:
        return f"TokenCache(items={self.size})"

    @property
    def size(self) -> int:
        """How many tokens are held; some may be past their time, until they are asked for."""
        return sum(1 for slot in self._slots.values() if slot.held is not None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret that is held, and the last of those that were."""
        held = [text for slot in self._slots.values() if slot.held is not None for text in slot.held.issued.secrets]
        return (*held, *self._retired)

    async def get(self, key: str, fetch: Callable[[], Awaitable[Issued[T]]], *, provider: str) -> T:
        """Return what is held under `key`, else what `fetch` brings: once, for however many ask meanwhile.

        Those who waited for a failing attempt share its error; who comes later asks again.

        Args:
            key: a digest of all that makes the identity, `keys.digest`; never a secret.
            provider: which counters count it.

        Raises:
            What `fetch` raises; not where it is retryable and the token before is still good.
        """
        slot = self._slot(key)
        found = self._find(slot, is_being_replaced=slot.lock.locked())
        if found is not None:
            self.counts.hits[provider] += 1
            return cast("T", found.value)
        self.counts.misses[provider] += 1
        failures = slot.failures
        async with slot.lock:
            found = self._find(slot, is_being_replaced=False)
            if found is not None:
                return cast("T", found.value)
            if slot.failure is not None and slot.failures != failures:
                raise copy.copy(slot.failure)  # of the attempt that this caller waited for
            return await self._renew(slot, fetch, provider)

    def forget(self, key: str) -> None:
        """What is held under `key` is not wanted any more."""
        slot = self._slots.get(key)
        if slot is not None:
            self._retire(slot)

    def reject(self, secret: str) -> bool:
        """Somebody refused `secret` before its time: what it belongs to is asked for anew.

        Returns:
            Whether anything was.
        """
        found = [slot for slot in self._slots.values() if slot.held and secret in slot.held.issued.secrets]
        for slot in found:
            self._retire(slot)
        return bool(found)

    # -- inside ----------------------------------------------------------------------------------------------

    def _find(self, slot: _Slot, *, is_being_replaced: bool) -> Issued[Any] | None:
        """Return what may be given without asking: what is fresh, or what holds while it is being replaced."""
        held = slot.held
        if held is None:
            return None
        if self._is_before(held.fresh_until):
            return held.issued
        is_waited_for = is_being_replaced or self._monotonic() < held.retry_at
        return held.issued if is_waited_for and self._is_before(held.good_until) else None

    async def _renew(self, slot: _Slot, fetch: Callable[[], Awaitable[Issued[T]]], provider: str) -> T:
        try:
            issued = await fetch()
            self._keep(slot, issued)
        except FluxtrailError as exc:
            self.counts.failures[provider] += 1
            slot.failure, slot.failures = exc, slot.failures + 1
            held = slot.held
            if exc.retryable and held is not None and self._is_before(held.good_until):
                held.retry_at = self._monotonic() + RETRY_SECONDS
                log.warning("token not renewed", provider=provider, error=str(exc))
                return cast("T", held.issued.value)
            raise
        self.counts.successes[provider] += 1
        return issued.value

    def _keep(self, slot: _Slot, issued: Issued[Any]) -> None:
        life = issued.life_seconds
        if not life > 0:
            raise WireError("the issuer gave a token that has ended already; compare its clock with ours")
        fresh = min(SHARE_OF_LIFE * life, self._longest_seconds)
        good = max(life - MARGIN_SECONDS, fresh)
        self._retire(slot)
        slot.held = _Held(issued, self._after(fresh), self._after(good))

    def _after(self, seconds: float) -> _Deadline:
        return _Deadline(self._monotonic() + seconds, self._wall() + seconds)

    def _is_before(self, deadline: _Deadline) -> bool:
        return self._monotonic() < deadline.monotonic and self._wall() < deadline.wall

    def _slot(self, key: str) -> _Slot:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot()
            self._trim()
        self._slots.move_to_end(key)
        return slot

    def _trim(self) -> None:
        """Forget the least recently used; one that somebody waits at stays."""
        surplus = len(self._slots) - self._items_limit
        for key in [key for key, slot in self._slots.items() if not slot.lock.locked()][: max(surplus, 0)]:
            slot = self._slots.pop(key)
            if slot.held is not None:
                self.counts.evictions += 1
                self._retire(slot)

    def _retire(self, slot: _Slot) -> None:
        if slot.held is None:
            return
        for secret in slot.held.issued.secrets:
            self._retired[secret] = None
            self._retired.move_to_end(secret)
        slot.held = None
        while len(self._retired) > RETIRED_LIMIT:
            self._retired.popitem(last=False)
