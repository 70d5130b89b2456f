"""A form's body is read before the application is asked, and then given to it as if it came only now."""

from __future__ import annotations

import asyncio

from fluxtrail.web.access.asgi import Message, Receive

BODY_SECONDS = 10.0


class DisconnectedError(Exception):
    """Nobody waits for an answer any more. Never leaves this folder."""


async def read_body(receive: Receive, *, limit_bytes: int) -> bytes | None:
    """Return the body; None where it is longer than it may be, or not there in time."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise DisconnectedError
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit_bytes:
                    return None
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        return None


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` first."""
    is_given = False

    async def give() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
