"""The hooks listener's application: what Flux, Argo CD, CDEvents and forges post to us is kept, then answered.

Raw ASGI, for speed. A request costs nothing of the ledger before its signature is known to be right, and nothing but a
few headers where it has none and needs one. Answers: `202` (`200` at `/gitopsphase`) when the notice is in the ledger;
`4xx` when the same again would be refused again; `429` and `503` with `Retry-After` when it would not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from fluxtrail.model.notices import Hook
from fluxtrail.web.access.asgi import Receive, Scope, Send
from fluxtrail.web.hooks.answers import (
    ACCEPTED,
    ACCEPTED_PHASE,
    Answer,
    DisconnectedError,
    Reason,
    RefusedError,
    refusal,
    send_answer,
)
from fluxtrail.web.hooks.bodies import Bodies, Limits
from fluxtrail.web.hooks.intake import Inbox, Intake
from fluxtrail.web.hooks.numbers import Numbers
from fluxtrail.web.hooks.pace import Pace
from fluxtrail.web.hooks.reading import PATHS, read_notice
from fluxtrail.web.hooks.senders import Sender, Senders
from fluxtrail.web.hooks.signatures import ALGORITHMS, Proof, read_proof
from fluxtrail.web.measures import Measure

log = structlog.get_logger(__name__)

CONNECTIONS: Final = 1024
"""For the listener: what comes above it is told to come again. Each cluster's Flux holds a few open."""
LOG_SECONDS = 60.0
THREADED_BYTES = 1024 * 1024
"""Bytes of body times senders from which digests are made beside the event loop."""
THREADS = 2
NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked of one hook, before the body is read."""

    hook: Hook
    headers: Mapping[str, str]
    proof: Proof | None


class HooksApp:
    """An ASGI application, with the job `run` that must run while it serves, and a `MetricSource`."""

    connections = CONNECTIONS

    def __init__(
        self,
        senders: Senders,
        intake: Intake,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        anonymous: Mapping[Hook, int],
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._senders = senders
        self._intake = intake
        self._now = now
        self._monotonic = monotonic
        self._paces = {hook: Pace(per_minute, monotonic) for hook, per_minute in anonymous.items()}
        self._bodies = Bodies(limits)
        self._threads = asyncio.Semaphore(THREADS)
        self._told: dict[tuple[Hook | None, Reason], float] = {}
        self.numbers = Numbers(intake)

    async def run(self) -> None:
        """Keep what is posted, for ever."""
        await self._intake.run()

    def measures(self) -> Iterable[Measure]:
        return self.numbers.measures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        hook = PATHS.get(scope["path"].rstrip("/"))
        try:
            answer = await self._answer(hook, scope, receive)
        except RefusedError as refused:
            self._note(hook, refused.reason, scope)
            answer = refusal(refused)
        except DisconnectedError:
            self._note(hook, Reason.DISCONNECTED, scope)
            return
        await send_answer(send, answer)

    async def _answer(self, hook: Hook | None, scope: Scope, receive: Receive) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            request = self._admit(hook, scope["method"], headers)
        except RefusedError as refused:
            # Who waits to be asked for the body need not send it; from all others it is on its way.
            if not refused.closes:
                refused.closes = "expect" in headers or not await self._bodies.drain(receive)
            raise
        with self._bodies.room() as room:
            body = await self._bodies.read(receive, room)
            self.numbers.bytes[request.hook.value] += len(body)
            return await self._take(request, body)

    def _admit(self, hook: Hook | None, method: str, headers: Mapping[str, str]) -> _Request:
        """Refuse what can be refused before the body is read."""
        if hook is None:
            raise RefusedError(Reason.NOT_FOUND, f"no such hook; post to one of {', '.join(PATHS)}")
        if method != "POST":
            raise RefusedError(Reason.METHOD, "a hook takes POST only")
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise RefusedError(Reason.ENCODING, "the body is encoded; post it without Content-Encoding")
        self._bodies.check_length(headers.get("content-length"))
        signature = headers.get("x-signature", headers.get("x-hub-signature-256"))
        token = headers.get("x-gitlab-token") if hook is Hook.GITLAB else None
        proof = read_proof(signature, headers.get("authorization"), token)
        if proof is None:
            self._admit_anonymous(hook)
        return _Request(hook, headers, proof)

    def _admit_anonymous(self, hook: Hook) -> None:
        pace = self._paces.get(hook)
        if pace is None:
            detail = (
                "this hook takes what a sender's secret signed: X-Signature (Flux's generic-hmac), X-Hub-Signature-256 "
                "(GitHub), X-Gitlab-Token (at its own hook), or Authorization: Bearer <secret>"
            )
            raise RefusedError(Reason.UNSIGNED, detail)
        wait = pace.take()
        if wait is not None:
            detail = "too much is posted here without a signature; sign it, or post less"
            raise RefusedError(Reason.TOO_MANY, detail, retry_after_seconds=wait)

    async def _take(self, request: _Request, body: bytes) -> Answer:
        sender = await self._find_sender(request, body)
        notice = read_notice(
            request.hook, body, request.headers, sender=sender.name if sender else "", received_at=self._now()
        )
        if notice is None:
            self.numbers.ignored[request.hook.value] += 1
        else:
            await self._intake.keep(notice)
            self.numbers.accept(request.hook, is_signed=notice.is_signed)
        return ACCEPTED_PHASE if request.hook is Hook.GITOPSPHASE else ACCEPTED

    async def _find_sender(self, request: _Request, body: bytes) -> Sender | None:
        hook, proof = request.hook, request.proof
        if proof is None:
            return None
        self._senders.refresh()
        if len(body) * self._senders.count(hook) > THREADED_BYTES:
            async with self._threads:
                sender = await asyncio.to_thread(self._senders.find, hook, proof, body)
        else:
            sender = self._senders.find(hook, proof, body)
        if sender is None:
            detail = (
                f"no sender of this hook has a secret that made this {proof.means}; check the secret on both sides "
                f"(signatures are <algorithm>=<hex> over the whole body, by one of {', '.join(ALGORITHMS)})"
            )
            raise RefusedError(Reason.WRONG_SIGNATURE, detail)
        return sender

    def _note(self, hook: Hook | None, reason: Reason, scope: Scope) -> None:
        """Count a refusal; say so once a minute, for somebody may refuse to stop."""
        self.numbers.refuse(hook, reason)
        now = self._monotonic()
        if now - self._told.get((hook, reason), -LOG_SECONDS) < LOG_SECONDS:
            return
        self._told[hook, reason] = now
        client = scope.get("client")
        log.warning(
            "hook_refused", hook=hook.value if hook else None, reason=reason.value, client=client[0] if client else None
        )


def create_hooks_app(
    senders: Sequence[Sender],
    inbox: Inbox,
    *,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
    anonymous: Mapping[Hook, int],
    on_kept: Callable[[], None] = lambda: None,
    limits: Limits = NO_LIMITS,
) -> HooksApp:
    """Return the application. Its `run` must run as long as it serves: until then everything is answered 503.

    Args:
        monotonic: seconds.
        anonymous: hooks that take what nobody signed, and how many of them in a minute.
        on_kept: called whenever something new is in the inbox. Must not wait.

    Raises:
        ConfigError: a sender cannot be used; the message names it.
    """
    intake = Intake(inbox, monotonic=monotonic, on_kept=on_kept)
    return HooksApp(
        Senders(senders, monotonic), intake, now=now, monotonic=monotonic, anonymous=anonymous, limits=limits
    )
