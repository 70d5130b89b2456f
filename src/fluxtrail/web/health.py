"""`/healthz`, `/livez` and `/readyz`, on a listener of their own that answers anybody who reaches it.

Ready means that what the API answers can be believed: each stream of each cluster had its first complete list,
and the ledger can be written. Not being ready never means that a restart would help: that is what `/healthz` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from fluxtrail.web.access.asgi import AsgiApp, Message, Receive, Scope, Send
from fluxtrail.web.status import Check


class Readiness(Protocol):
    """What must be well before questions are answered. Nothing waits."""

    def checks(self) -> Sequence[Check]: ...


def create_health_app(report: Readiness) -> AsgiApp:
    """Return the ASGI application. Plain text as Kubernetes' own components write it; JSON where `Accept` asks."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"].rstrip("/")
        if scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405, b"only GET and HEAD are answered\n", extra=((b"allow", b"GET, HEAD"),))
        elif path in ("/healthz", "/livez"):
            await _send(send, 200, b"ok\n")
        elif path == "/readyz":
            await _answer_ready(scope, send, report.checks())
        else:
            await _send(send, 404, b"/healthz, /livez and /readyz are answered here\n")

    return app


def render_checks(checks: Sequence[Check]) -> str:
    """What is missing comes first."""
    lines = [f"[-]{check.name} not ready: {check.reason or 'no reason given'}" for check in checks if not check.is_ok]
    lines += [f"[+]{check.name} ok" for check in checks if check.is_ok]
    lines.append("not ready" if any(not check.is_ok for check in checks) else "ready")
    return "\n".join(lines) + "\n"


async def _answer_ready(scope: Scope, send: Send, checks: Sequence[Check]) -> None:
    is_ready = all(check.is_ok for check in checks)
    status = 200 if is_ready else 503
    if b"application/json" in dict(scope["headers"]).get(b"accept", b""):
        body = msgspec.json.encode({"is_ready": is_ready, "checks": list(checks)})
        await _send(send, status, body, media_type=b"application/json")
    else:
        await _send(send, status, render_checks(checks).encode())


async def _send(
    send: Send,
    status: int,
    body: bytes,
    *,
    media_type: bytes = b"text/plain; charset=utf-8",
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *extra,
    ]
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
