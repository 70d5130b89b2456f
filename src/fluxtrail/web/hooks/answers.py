"""What the hooks listener answers: that it has it, or what is wrong, as RFC 9457 problem details.

Nothing of a body or of a header is ever answered, but for the short, redacted value that an error names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from fluxtrail.web.access.asgi import Send
from fluxtrail.web.shapes import Problem

PROBLEM_MEDIA_TYPE = b"application/problem+json"
TEXT_MEDIA_TYPE = b"text/plain; charset=utf-8"
Headers = Sequence[tuple[bytes, bytes]]


class Reason(StrEnum):
    """Why something was not taken: a label of the metrics, and the problem's `code`."""

    NOT_FOUND = "not_found"
    METHOD = "method_not_allowed"
    ENCODING = "encoding"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong_signature"
    TOO_MANY = "too_many"
    UNREADABLE = "unreadable"
    BUSY = "busy"
    LEDGER = "ledger"
    DISCONNECTED = "disconnected"


_STATUS: dict[Reason, tuple[int, str]] = {
    Reason.NOT_FOUND: (404, "No such hook"),
    Reason.METHOD: (405, "Only POST"),
    Reason.TOO_SLOW: (408, "The body did not come in time"),
    Reason.TOO_LARGE: (413, "Body too large"),
    Reason.ENCODING: (415, "Encoded body"),
    Reason.UNSIGNED: (401, "Unauthorized"),
    Reason.WRONG_SIGNATURE: (401, "Unauthorized"),
    Reason.TOO_MANY: (429, "Too many requests"),
    Reason.UNREADABLE: (400, "Unreadable body"),
    Reason.BUSY: (503, "Busy"),
    Reason.LEDGER: (503, "The ledger cannot be written now"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    media_type: bytes = TEXT_MEDIA_TYPE
    extra: Headers = ()


class RefusedError(Exception):
    """Ends a request. Never leaves this folder."""

    def __init__(
        self, reason: Reason, detail: str, *, retry_after_seconds: float | None = None, closes: bool = False
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.closes = closes
        """Whether the connection is of no more use: what is left of the body was not read."""


class DisconnectedError(Exception):
    """The client has gone; nobody is there to be answered. Never leaves this folder."""


ACCEPTED = Answer(202, b"accepted\n")
ACCEPTED_PHASE = Answer(200, b"accepted\n")
"""gitops-connector answers 200; who checks for it goes on working."""


def refusal(error: RefusedError) -> Answer:
    status, title = _STATUS[error.reason]
    problem = Problem(code=error.reason.value, title=title, status=status, detail=error.detail)
    extra: list[tuple[bytes, bytes]] = []
    if error.retry_after_seconds is not None:
        extra.append((b"retry-after", str(max(1, math.ceil(error.retry_after_seconds))).encode()))
    if status == 401:
        extra.append((b"www-authenticate", b'Bearer realm="fluxtrail hooks"'))
    if status == 405:
        extra.append((b"allow", b"POST"))
    if error.closes:
        extra.append((b"connection", b"close"))
    return Answer(status, msgspec.json.encode(problem), PROBLEM_MEDIA_TYPE, extra)


async def send_answer(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *answer.extra,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
