"""Finds out who asks: by a token in the request, by a browser's session, or by the way the connection came in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from fluxtrail.web.access.asgi import Scope
from fluxtrail.web.access.audit import client_address
from fluxtrail.web.access.binding import is_loopback
from fluxtrail.web.access.cookies import SESSION, header, read_cookie
from fluxtrail.web.access.failures import Failures
from fluxtrail.web.access.forms import SESSION_TOKEN
from fluxtrail.web.access.principals import LOCAL, NOBODY, Means, Principal, principal_in
from fluxtrail.web.access.sessions import Session, Sessions
from fluxtrail.web.access.tokens import Token, Tokens
from fluxtrail.web.shapes import Problem

DOORKEEPER = "fluxtrail.doorkeeper"
"""Where in the scope, for the pages that sign in and out."""
_SESSION = "fluxtrail.session"
_log = structlog.get_logger(__name__)

NO_TOKEN = Problem(
    code="unauthorized",
    title="Unauthorized",
    status=401,
    detail="a token is needed: send `Authorization: Bearer <token>` with a token that this server knows, or sign in at "
    "/login",
)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why somebody is not let in."""

    problem: Problem
    retry_after_seconds: int | None = None


class Doorkeeper:
    """Everything that is known of those who ask; one for a server.

    Args:
        tokens: without any, who comes in by loopback is an operator, and others may look.
        wall: the real time of day, whatever a simulated world scales.

    Raises:
        ConfigError: see `Tokens`.
    """

    def __init__(
        self,
        tokens: Sequence[Token] = (),
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tokens = Tokens(tokens, monotonic=monotonic)
        self.sessions = Sessions(self.tokens, wall=wall)
        self.failures = Failures(monotonic=monotonic)

    def identify(self, scope: Scope | Any) -> Principal | Refusal:
        """Return who asks; of a session, what its forms must hold is put into the scope."""
        if not self.tokens:
            return LOCAL if is_loopback((scope.get("server") or ("",))[0] or "") else NOBODY
        secret = _bearer(scope)
        if secret:
            found = self.try_secret(scope, secret)
            return found if isinstance(found, Refusal) else found.principal(Means.BEARER)
        session = self.sessions.read(read_cookie(scope, SESSION))
        if session is None:
            return Refusal(problem=NO_TOKEN)
        scope[SESSION_TOKEN] = session.csrf
        scope[_SESSION] = session
        return session.token.principal(Means.SESSION)

    def still_knows(self, scope: Scope | Any) -> bool:
        """Whether what let a request in counts even now: an answer may go on for days."""
        means = principal_in(scope).means
        if means is Means.BEARER:
            return self.tokens.find(_bearer(scope)) is not None
        return means is Means.NOTHING or self.sessions.read(read_cookie(scope, SESSION)) is not None

    def try_secret(self, scope: Scope | Any, secret: str) -> Token | Refusal:
        """Return the token that was shown. Wrong ones are counted, and soon not looked at any more."""
        address = client_address(scope)
        wait_seconds = self.failures.wait_seconds(address)
        token = self.tokens.find(secret)
        if wait_seconds is not None and (token is None or not self.failures.is_trusted(address, token.name)):
            return _too_many(wait_seconds)
        if token is None:
            self.failures.count(address)
            _log.warning("token_refused", path=str(scope["path"])[:200], address=address)
            return Refusal(problem=NO_TOKEN)
        self.failures.trust(address, token.name)
        return token


def doorkeeper_in(scope: Scope | Any) -> Doorkeeper | None:
    found: Doorkeeper | None = scope.get(DOORKEEPER)
    return found


def session_in(scope: Scope | Any) -> Session | None:
    found: Session | None = scope.get(_SESSION)
    return found


def _bearer(scope: Scope | Any) -> str:
    """Return the token of a header, or nothing; another scheme is a proxy's affair.

    Bytes of a header are read as latin-1; a token may be any text in UTF-8.
    """
    scheme, _, secret = header(scope, b"authorization").partition(" ")
    if scheme.lower() != "bearer":
        return ""
    return secret.strip().encode("latin-1").decode("utf-8", "surrogateescape")


def _too_many(wait_seconds: float) -> Refusal:
    seconds = max(math.ceil(wait_seconds), 1)
    problem = Problem(
        code="too_many_failures",
        title="Too many wrong tokens",
        status=429,
        detail=f"too many wrong tokens came from this address; try again in {seconds} s",
    )
    return Refusal(problem=problem, retry_after_seconds=seconds)
