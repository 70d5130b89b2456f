"""The guard around the API and the pages: who may ask what, by which name, from which page, and how much.

A page on some web site must not be able to read the API through the user's browser (DNS rebinding), so the
`Host` header has to name us; what reaches beyond loopback needs a token. Forwarded headers are never believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote, urlsplit

import msgspec

from fluxtrail.web.access.asgi import AsgiApp, Message, Receive, Scope, Send
from fluxtrail.web.access.audit import write_audit
from fluxtrail.web.access.binding import LOOPBACK_HOSTS
from fluxtrail.web.access.bodies import DisconnectedError, read_body, replayed
from fluxtrail.web.access.cookies import given_cookies, header, host_name
from fluxtrail.web.access.doorkeeper import DOORKEEPER, Doorkeeper, Refusal
from fluxtrail.web.access.forms import CHECKED, FOREIGN_FORM, is_right_form
from fluxtrail.web.access.origins import FOREIGN_PAGE, is_foreign
from fluxtrail.web.access.principals import NOBODY, PRINCIPAL, READING, Means, Principal, Role, principal_in
from fluxtrail.web.shapes import Problem

BODY_LIMIT_BYTES = 64 * 1024
QUERY_LIMIT_BYTES = 8 * 1024
SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
LOGIN = "/login"
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
    ) -> None:
        self._app = app
        self._now = now
        self._doorkeeper = doorkeeper
        self._named_hosts = frozenset(host.lower().strip("[]") for host in allowed_hosts)
        self._hosts = LOOPBACK_HOSTS | self._named_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_other(scope, receive, send)
            return
        exchange = _Exchange(scope, send, now=self._now, goes_on=lambda: self._doorkeeper.still_knows(scope))
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
        if not _is_open(method, path) and path != LOGOUT and not found.may_ask(method, path):
            return _not_with(found)
        if not _has_small_body(scope):
            detail = f"at most {BODY_LIMIT_BYTES} bytes of body are read, and their length must be stated"
            return Problem(code="too_large", title="Body too large", status=413, detail=detail)
        return None

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

    async def _show(self, scope: Scope, receive: Receive, exchange: _Exchange, refused: Problem | Refusal) -> None:
        problem = refused.problem if isinstance(refused, Refusal) else refused
        shown = {**scope, "method": "GET", "path": REFUSED, "raw_path": REFUSED.encode(), "query_string": b""}
        shown[REFUSAL] = problem
        exchange.shown = shown
        await self._app(shown, replayed(b"", receive), exchange.send)


class _Exchange:
    """One answer: what every answer has in its headers, and how it ended."""

    def __init__(self, scope: Scope, send: Send, *, now: Callable[[], datetime], goes_on: Callable[[], bool]) -> None:
        self._scope = scope
        self._send = send
        self._now = now
        self._goes_on = goes_on
        self._status = 0
        self._is_cut = False
        self.shown = scope
        """Of the page that is shown, which may be another than what was asked for."""

    async def send(self, message: Message) -> None:
        """Pass on what the application says; a stream ends with the session or the token that let it in."""
        if self._is_cut:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            date = (b"date", format_datetime(self._now(), usegmt=True).encode())
            # A page has a policy of its own: two would be the narrower of both. Its scripts may be kept.
            more = [one for one in SECURITY_HEADERS if one[0] not in names]
            message["headers"] = [*given, date, *more, *given_cookies(self.shown)]
        elif message.get("more_body", False) and not self._goes_on():
            self._is_cut = True
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def answer(self, refused: Problem | Refusal) -> None:
        problem = refused.problem if isinstance(refused, Refusal) else refused
        body = msgspec.json.encode(problem)
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        if problem.status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="fluxtrail"'))
            if header(self._scope, b"hx-request"):
                headers.append((b"hx-redirect", _login_url(_page_of(self._scope)).encode()))
        if isinstance(refused, Refusal) and refused.retry_after_seconds is not None:
            headers.append((b"retry-after", str(refused.retry_after_seconds).encode()))
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def redirect(self, to: str) -> None:
        headers = [(b"location", to.encode("ascii")), (b"content-length", b"0")]
        await self.send({"type": "http.response.start", "status": 303, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})

    def write_audit(self) -> None:
        """Whoever is not known has tried nothing that counts as an action; a wrong token has its own line."""
        if self._scope["method"] not in READING and self._scope.get(PRINCIPAL) is not None:
            write_audit(self._scope, self._status)


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
    return _Redirect(_login_url(quote(scope["path"], safe="/") + (f"?{query}" if query else "")))


def _login_url(back: str) -> str:
    url = f"{LOGIN}?next={quote(back, safe='/')}"
    return LOGIN if back == "/" or len(url) > QUERY_LIMIT_BYTES // 2 else url


def _page_of(scope: Scope) -> str:
    """Return the page that a fragment is for, as htmx says; the login takes local paths only."""
    try:
        parts = urlsplit(header(scope, b"hx-current-url"))
    except ValueError:
        return "/"
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _not_with(principal: Principal) -> Problem:
    if principal == NOBODY:
        detail = "no token is set, so only who asks on loopback may change something; set api.token_file or api.tokens"
        return Problem(code="token_needed", title="A token is needed to change something", status=403, detail=detail)
    may = "state runs of its pipelines (POST /api/v1/ci/runs)" if principal.role is Role.CI else "read"
    detail = f"{principal.name!r} has the role {principal.role.value}, which may only {may}; use a token that may"
    return Problem(code="role_not_enough", title="This token may not", status=403, detail=detail)


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
