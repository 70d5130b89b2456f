"""GitHub's webhook: whoever is named gets a signed `push` for every branch that moves, once and in the background.

As with the real one, a delivery that fails is not made again, and nobody who pushes waits for one: who was away has to
look for itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import structlog

from fluxtrail.simulator.forges.push_events import EVENT, push_json
from fluxtrail.simulator.repositories import Push

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 10.0
"""Real ones, as long as GitHub waits."""
MOST_WAITING = 1_000
"""Pushes that a slow listener keeps waiting; more are let go."""
_AGENT = "GitHub-Hookshot/simulated"


@dataclass(frozen=True, slots=True)
class _Listener:
    url: str
    secret: str = field(repr=False)


class PushHooks:
    """`run` it for ever, and `add` what is pushed; nothing is posted before `listen` said where.

    Attributes:
        pages: the address of this GitHub, by which it names its repositories.
        counts: deliveries that were `delivered`, `refused` (answered, but not by 2xx), `failed` (not answered in time,
            or at all) and `dropped` (too many waited).
    """

    def __init__(self) -> None:
        self.pages = ""
        self.counts: Counter[str] = Counter(delivered=0, refused=0, failed=0, dropped=0)
        self._listener: _Listener | None = None
        self._waiting: asyncio.Queue[tuple[_Listener, Push]] = asyncio.Queue(MOST_WAITING)

    def listen(self, url: str, secret: str) -> None:
        """Post to this address from now on, signed with the secret; to none where it is empty."""
        self._listener = _Listener(url, secret) if url else None

    def add(self, push: Push) -> None:
        """A branch moved. Returns at once."""
        if self._listener is None:
            return
        try:
            self._waiting.put_nowait((self._listener, push))
        except asyncio.QueueFull:
            self.counts["dropped"] += 1

    async def run(self) -> None:
        """Deliver what waits, one after the other, in the order in which it was pushed."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        # A connection that was kept open may be closed by the other side just now: what is sent then is lost.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            while True:
                listener, push = await self._waiting.get()
                self.counts[await self._deliver(session, listener, push)] += 1

    async def _deliver(self, session: aiohttp.ClientSession, listener: _Listener, push: Push) -> str:
        """Returns what came of it, in the words of `counts`."""
        body = json.dumps(push_json(push, pages=self.pages)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _AGENT,
            "X-GitHub-Event": EVENT,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": sign(body, listener.secret),
        }
        facts = {"repository": push.repository.name, "sha": push.after.sha}
        try:
            async with session.post(listener.url, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.status < 300:
                    return "delivered"
                log.info("webhook refused", status=answer.status, **facts)
                return "refused"
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            log.info("webhook failed", error=type(exc).__name__, **facts)
            return "failed"


def sign(body: bytes, secret: str) -> str:
    """Return what stands in `X-Hub-Signature-256`. Source: docs.github.com, "Validating webhook deliveries"."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
