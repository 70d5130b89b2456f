"""One request and its answer: what every answer has in its headers, and what the guard itself answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote, urlsplit

import msgspec

from fluxtrail.web.access.asgi import Message, Scope, Send
from fluxtrail.web.access.audit import write_audit
from fluxtrail.web.access.cookies import given_cookies, header
from fluxtrail.web.access.doorkeeper import Refusal
from fluxtrail.web.access.principals import PRINCIPAL, READING
from fluxtrail.web.shapes import Problem

QUERY_LIMIT_BYTES = 8 * 1024
LOGIN = "/login"
SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Exchange:
    """Passes on what the application says, and remembers how it ended."""

    def __init__(self, scope: Scope, send: Send, *, now: Callable[[], datetime], goes_on: Callable[[], bool]) -> None:
        self._scope = scope
        self._send = send
        self._now = now
        self._goes_on = goes_on
        self._status = 0
        self._is_cut = False
        self.shown = scope
        """Of the page that is shown, which may be another than what was asked for."""
        self.retry_after_seconds: int | None = None
        """When whoever is refused may ask again."""

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
            if self.retry_after_seconds is not None:
                more.append((b"retry-after", str(self.retry_after_seconds).encode()))
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
                headers.append((b"hx-redirect", login_url(_page_of(self._scope)).encode()))
        self.retry_after_seconds = refused.retry_after_seconds if isinstance(refused, Refusal) else None
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


def login_url(back: str) -> str:
    url = f"{LOGIN}?next={quote(back, safe='/')}"
    return LOGIN if back == "/" or len(url) > QUERY_LIMIT_BYTES // 2 else url


def _page_of(scope: Scope) -> str:
    """Return the page that a fragment is for, as htmx says; the login takes local paths only."""
    try:
        parts = urlsplit(header(scope, b"hx-current-url"))
    except ValueError:
        return "/"
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
