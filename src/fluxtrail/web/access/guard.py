"""The guard around the API and the pages: who may ask what, by which name, from which page, and how much.

A page on some web site must not be able to read the API through the user's browser (DNS rebinding), so the
`Host` header has to name us; what reaches beyond loopback needs a token. Forwarded headers are never believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from fluxtrail.web.access.asgi import AsgiApp, Receive, Scope, Send
from fluxtrail.web.access.audit import client_address
from fluxtrail.web.access.binding import LOOPBACK_HOSTS
from fluxtrail.web.access.bodies import DisconnectedError, read_body, replayed
from fluxtrail.web.access.cookies import header, host_name
from fluxtrail.web.access.doorkeeper import DOORKEEPER, Doorkeeper, Refusal
from fluxtrail.web.access.exchange import LOGIN, QUERY_LIMIT_BYTES, Exchange, login_url
from fluxtrail.web.access.forms import CHECKED, FOREIGN_FORM, is_right_form
from fluxtrail.web.access.origins import FOREIGN_PAGE, is_foreign
from fluxtrail.web.access.paces import Paces
from fluxtrail.web.access.principals import LOCAL, NOBODY, PRINCIPAL, READING, Means, Principal, Role, principal_in
from fluxtrail.web.shapes import Problem

BODY_LIMIT_BYTES = 64 * 1024
LOGOUT = "/logout"
REFUSED = "/refused"
REFUSAL = "fluxtrail.refusal"
"""Where in the scope the problem is that the page at `REFUSED` shows."""
_API = "/api/"
_STATIC = "/static/"
_FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class _Redirect:
    """A browser without rights is led to where it gets them."""

    to: str


_Answer = Problem | Refusal | _Redirect


class Guard:
    """Wraps an ASGI application with everything above. Answers problem details of its own; where a browser wants a
    page, the application shows them.

    It also dates every answer by `now`, our own clock, which a simulated world may scale: clients reckon
    ages with it.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        now: Callable[[], datetime],
        doorkeeper: Doorkeeper,
        allowed_hosts: Iterable[str] = (),
        paces: Paces | None = None,
    ) -> None:
        self._app = app
        self._now = now
        self._doorkeeper = doorkeeper
        self._paces = paces or Paces(0)
        self._named_hosts = frozenset(host.lower().strip("[]") for host in allowed_hosts)
        self._hosts = LOOPBACK_HOSTS | self._named_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_other(scope, receive, send)
            return
        exchange = Exchange(scope, send, now=self._now, goes_on=lambda: self._doorkeeper.still_knows(scope))
        scope[DOORKEEPER] = self._doorkeeper
        refused: _Answer | None = self._find_problem(scope) or self._admit(scope)
        if refused is None and scope["method"] not in READING:
            try:
                refused, receive = await self._check_change(scope, receive)
            except DisconnectedError:
                return
        if refused is None:
            await self._app(scope, receive, exchange.send)
        elif isinstance(refused, _Redirect):
            await exchange.redirect(refused.to)
        elif wants_page(scope) and scope.get(PRINCIPAL) is not None:
            await self._show(scope, receive, exchange, refused)
        else:
            await exchange.answer(refused)
        exchange.write_audit()

    def _find_problem(self, scope: Scope) -> Problem | None:
        host = host_name(header(scope, b"host"))
        if "*" not in self._hosts and host not in self._hosts:
            return Problem(
                code="host_not_allowed",
                title="Host not allowed",
                status=421,
                detail=f"this server does not answer as {host[:120]!r}; add the name to its allowed hosts",
            )
        if len(scope["query_string"]) > QUERY_LIMIT_BYTES:
            detail = f"the query has {len(scope['query_string'])} bytes, at most {QUERY_LIMIT_BYTES} are read"
            return Problem(code="too_large", title="Query too long", status=414, detail=detail)
        return None

    def _admit(self, scope: Scope) -> _Answer | None:
        """Find out who asks, and whether that one may."""
        method, path = scope["method"], scope["path"]
        found = self._doorkeeper.identify(scope)
        if isinstance(found, Refusal):
            if not _is_open(method, path):
                return _to_login(scope) if found.problem.status == 401 and wants_page(scope) else found
            found = NOBODY
        scope[PRINCIPAL] = found
        if (waits := self._must_wait(scope, found)) is not None:
            return waits
        if not _is_open(method, path) and path != LOGOUT and not found.may_ask(method, path):
            return _not_with(found)
        if not _has_small_body(scope):
            detail = f"at most {BODY_LIMIT_BYTES} bytes of body are read, and their length must be stated"
            return Problem(code="too_large", title="Body too large", status=413, detail=detail)
        return None

    def _must_wait(self, scope: Scope, principal: Principal) -> Refusal | None:
        """Files are kept by browsers and cost nothing; who asks on this machine could do worse to it."""
        if principal is LOCAL or scope["path"].startswith(_STATIC):
            return None
        name = "" if principal.means is Means.NOTHING else principal.name
        wait_seconds = self._paces.take(name, client_address(scope))
        return None if wait_seconds is None else _too_fast(wait_seconds)

    async def _check_change(self, scope: Scope, receive: Receive) -> tuple[Problem | None, Receive]:
        """Look where a request comes from that would change something; JSON for the API is looked at there."""
        if is_foreign(scope, self._named_hosts):
            return FOREIGN_PAGE, receive
        if scope["path"].startswith(_API):
            return None, receive
        kind = header(scope, b"content-type").partition(";")[0].strip().lower()
        if kind != _FORM_TYPE:
            detail = f"the body is {kind[:80] or 'of no stated type'!r}; a page takes forms ({_FORM_TYPE})"
            return Problem(code="unsupported_media_type", title="A form is needed", status=415, detail=detail), receive
        body = await read_body(receive, limit_bytes=BODY_LIMIT_BYTES)
        if body is None:
            detail = "the form was not complete in time; send it again"
            return Problem(code="too_slow", title="Form too slow", status=408, detail=detail), receive
        # A token in a header is nothing that a browser adds by itself to what another page sends.
        scope[CHECKED] = is_right_form(scope, body) or principal_in(scope).means is Means.BEARER
        return (None if scope[CHECKED] else FOREIGN_FORM), replayed(body, receive)

    async def _show(self, scope: Scope, receive: Receive, exchange: Exchange, refused: Problem | Refusal) -> None:
        problem = refused.problem if isinstance(refused, Refusal) else refused
        exchange.retry_after_seconds = refused.retry_after_seconds if isinstance(refused, Refusal) else None
        shown = {**scope, "method": "GET", "path": REFUSED, "raw_path": REFUSED.encode(), "query_string": b""}
        shown[REFUSAL] = problem
        exchange.shown = shown
        await self._app(shown, replayed(b"", receive), exchange.send)


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks for a whole page: a fragment's answer is nothing that could be shown."""
    accepts = "text/html" in header(scope, b"accept") and not header(scope, b"hx-request")
    return accepts and not scope["path"].startswith(_API)


def _is_open(method: str, path: str) -> bool:
    """What signing in needs. None of it tells anything of what is delivered."""
    if method in READING:
        return path in (LOGIN, "/theme") or path.startswith(_STATIC)
    return method == "POST" and path == LOGIN


def _to_login(scope: Scope) -> _Redirect:
    if scope["method"] not in READING:
        return _Redirect(LOGIN)
    query = scope["query_string"].decode("latin-1")
    return _Redirect(login_url(quote(scope["path"], safe="/") + (f"?{query}" if query else "")))


def _not_with(principal: Principal) -> Problem:
    if principal == NOBODY:
        detail = "no token is set, so only who asks on loopback may change something; set api.token_file or api.tokens"
        return Problem(code="token_needed", title="A token is needed to change something", status=403, detail=detail)
    may = "state runs of its pipelines (POST /api/v1/ci/runs)" if principal.role is Role.CI else "read"
    detail = f"{principal.name!r} has the role {principal.role.value}, which may only {may}; use a token that may"
    return Problem(code="role_not_enough", title="This token may not", status=403, detail=detail)


def _too_fast(wait_seconds: float) -> Refusal:
    seconds = max(math.ceil(wait_seconds), 1)
    detail = f"too many requests came from this client within a minute (api.requests_per_minute); go on in {seconds} s"
    problem = Problem(code="too_many_requests", title="Too many requests", status=429, detail=detail)
    return Refusal(problem=problem, retry_after_seconds=seconds)


def _has_small_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return False
    length = headers.get(b"content-length", b"0")
    return length.isdigit() and int(length) <= BODY_LIMIT_BYTES


async def _refuse_other(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
