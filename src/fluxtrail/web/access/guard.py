"""Who may ask: the address we bind to, the `Host` allow-list, the token, and the size of a request.

A page on some web site must not be able to read the API through the user's browser (DNS rebinding), so the
`Host` header has to name us; what reaches beyond loopback needs a token. Forwarded headers are never believed.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from datetime import datetime
from email.utils import format_datetime

import msgspec

from fluxtrail.web.access.asgi import AsgiApp, Message, Receive, Scope, Send
from fluxtrail.web.access.binding import LOOPBACK_HOSTS
from fluxtrail.web.access.cookies import host_name
from fluxtrail.web.access.principals import LOCAL, PRINCIPAL
from fluxtrail.web.shapes import Problem

BODY_LIMIT_BYTES = 64 * 1024
QUERY_LIMIT_BYTES = 8 * 1024
SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """Wraps an ASGI application with everything above. Answers problem details of its own.

    It also dates every answer by `now`, our own clock, which a simulated world may scale: clients reckon
    ages with it.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        now: Callable[[], datetime],
        token: str | None = None,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._now = now
        self._token = token.encode() if token is not None else None
        self._hosts = LOOPBACK_HOSTS | {host.lower().strip("[]") for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_other(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                date = (b"date", format_datetime(self._now(), usegmt=True).encode())
                # A page has a policy of its own: two would be the narrower of both. Its scripts may be kept.
                message["headers"] = [*given, date, *(one for one in SECURITY_HEADERS if one[0] not in names)]
            await send(message)

        problem = self._find_problem(scope)
        if problem is not None:
            await _answer(send_secured, problem)
            return
        scope[PRINCIPAL] = LOCAL
        await self._app(scope, receive, send_secured)

    def _find_problem(self, scope: Scope) -> Problem | None:
        headers = dict(scope["headers"])
        host = host_name(headers.get(b"host", b"").decode("latin-1"))
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
        if self._token is not None and not _has_token(headers.get(b"authorization", b""), self._token):
            return Problem(
                code="unauthorized",
                title="Unauthorized",
                status=401,
                detail="a token is needed: send `Authorization: Bearer <token>` with the token this server was given",
            )
        if not _has_small_body(headers):
            detail = f"at most {BODY_LIMIT_BYTES} bytes of body are read, and their length must be stated"
            return Problem(code="too_large", title="Body too large", status=413, detail=detail)
        return None


def _has_token(header: bytes, token: bytes) -> bool:
    scheme, _, given = header.partition(b" ")
    return hmac.compare_digest(given.strip(), token) and scheme.lower() == b"bearer"


def _has_small_body(headers: dict[bytes, bytes]) -> bool:
    if b"transfer-encoding" in headers:
        return False
    length = headers.get(b"content-length", b"0")
    return length.isdigit() and int(length) <= BODY_LIMIT_BYTES


async def _answer(send: Send, problem: Problem) -> None:
    body = msgspec.json.encode(problem)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if problem.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="fluxtrail"'))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_other(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
