"""Asking an issuer: one request, bounded, never redirected, and every refusal in our own words without a secret."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from fluxtrail.model.errors import AuthError, FluxtrailError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.moment import parse_http_date
from fluxtrail.model.redaction import redact, redact_url

T = TypeVar("T")

REQUEST_TIMEOUT_SECONDS = 20.0
BODY_LIMIT_BYTES = 1024 * 1024
SKEW_SECONDS = 30.0
"""A difference to an issuer's clock above it is taken into account; below it is the way of the answer."""
DEFAULT_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 2 * 3600.0
ISSUERS_LIMIT = 256
_REFUSALS = (400, 401, 403)
_LATER = frozenset({"temporarily_unavailable", "server_error", "Throttling", "ThrottlingException", "slow_down"})
"""Codes that come with a status of a refusal and are none."""

Sessions = Callable[[str], aiohttp.ClientSession]
"""Gives the session for a URL, by the proxy that it needs."""


class Reply(msgspec.Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def __repr__(self) -> str:
        return f"Reply(status={self.status})"


class _Refusal(msgspec.Struct):
    """The shapes of a refusal: OAuth's, Google's, GitLab's, AWS's JSON."""

    error: Any = None
    capital_error: Any = msgspec.field(default=None, name="Error")
    error_description: Any = None
    message: Any = None
    capital_message: Any = msgspec.field(default=None, name="Message")
    type_: Any = msgspec.field(default=None, name="__type")
    errors: Any = None


class Exchange:
    """Asks issuers of tokens. Safe for concurrent callers; holds no secret.

    Args:
        sessions: for what is asked through the network's proxies.
        direct: for metadata services, which no proxy can reach.
        clock: POSIX seconds; corrected for each issuer by what its answers say.
    """

    def __init__(self, sessions: Sessions, *, direct: Sessions | None = None, clock: Callable[[], float]) -> None:
        self._sessions, self._direct = sessions, direct or sessions
        self._clock = clock
        self._offsets: dict[str, float] = {}

    def now(self, url: str) -> float:
        """Return POSIX seconds by the clock of the issuer at `url`, as far as its answers told."""
        return self._clock() + self._offsets.get(urlsplit(url).netloc, 0.0)

    async def ask(
        self,
        method: str,
        url: str,
        type_: type[T],
        *,
        name: str,
        form: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
        is_metadata: bool = False,
    ) -> T:
        """Return the answer of a 200 or 201 as `type_`.

        Args:
            name: the issuer's, for messages: `Azure AD`.
            secrets: what was shown to it, and must be in no message.

        Raises:
            AuthError: it refuses the identity. RateLimitedError, UpstreamError: it fails (retryable).
            NotFoundError: it does not know what was asked for. WireError: its answer has another shape.
        """
        body = msgspec.json.encode(json) if json is not None else body
        more = {"Content-Type": "application/json"} if json is not None else {}
        reply = await self.send(
            method, url, name=name, data=form or body, headers={**more, **(headers or {})}, is_metadata=is_metadata,
            secrets=secrets,
        )  # fmt: skip
        if reply.status not in (200, 201):
            raise refusal(reply, name=name, url=url, secrets=secrets)
        try:
            return msgspec.json.decode(reply.body, type=type_, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # `from None`: the text of a shape error may quote values, and a token is one of them.
            raise WireError(f"{name}'s answer has another shape", subject=redact_url(url)) from None

    async def send(
        self,
        method: str,
        url: str,
        *,
        name: str,
        data: Mapping[str, str] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
        is_metadata: bool = False,
    ) -> Reply:
        """Send one request and return what came, whatever its status.

        Raises:
            UpstreamError: nothing came, or not in time. WireError: more came than a token can be.
        """
        subject = redact_url(url)
        session = (self._direct if is_metadata else self._sessions)(url)
        try:
            async with (
                asyncio.timeout(REQUEST_TIMEOUT_SECONDS),
                session.request(
                    method,
                    url,
                    data=data,
                    headers={"User-Agent": "fluxtrail", **(headers or {})},
                    allow_redirects=False,
                ) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_chunked(64 * 1024):
                    body += chunk
                    if len(body) > BODY_LIMIT_BYTES:
                        raise WireError(f"the answer is larger than {BODY_LIMIT_BYTES} bytes", subject=subject)
                reply = Reply(answer.status, {k.lower(): text for k, text in answer.headers.items()}, bytes(body))
        except TimeoutError as exc:
            raise UpstreamError(f"{name} gives no token: no answer in time", subject=subject) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            said = redact(str(exc), secrets=secrets) or type(exc).__name__
            raise UpstreamError(f"{name} gives no token: {said}", subject=subject) from None
        self._learn_offset(url, reply)
        return reply

    def learned(self, url: str, before: float) -> bool:
        """Whether the issuer's clock turned out to be another than `now(url)` was: then a refusal is worth a retry."""
        return abs(self.now(url) - before) > SKEW_SECONDS

    def _learn_offset(self, url: str, reply: Reply) -> None:
        date = parse_http_date(reply.headers.get("date"))
        if date is None or abs(date.timestamp() - self.now(url)) <= SKEW_SECONDS:
            return
        if len(self._offsets) >= ISSUERS_LIMIT:
            self._offsets.clear()
        self._offsets[urlsplit(url).netloc] = date.timestamp() - self._clock()


def refusal(reply: Reply, *, name: str, url: str, secrets: tuple[str, ...]) -> FluxtrailError:
    """Return the error that an answer stands for."""
    code, said = _read_refusal(reply)
    said = redact(said, secrets=secrets, limit_bytes=300) or "no message"
    subject, status = redact_url(url), reply.status
    if status == 429 or code in _LATER:
        wait = reply.headers.get("retry-after", "")
        seconds = min(float(wait), LONGEST_WAIT_SECONDS) if wait.isdecimal() else DEFAULT_WAIT_SECONDS
        return RateLimitedError(
            f"{name} asks to wait: {said}", status=status, retry_after_seconds=seconds, subject=subject
        )
    if status in _REFUSALS:
        return AuthError(f"{name} refuses the identity: {said}", status=status, subject=subject)
    if status in (404, 410):
        return NotFoundError(f"{name} does not know it: {said}", status=status, subject=subject)
    is_retryable = status >= 500 or status == 408
    return UpstreamError(f"{name} answered {status}: {said}", status=status, retryable=is_retryable, subject=subject)


def _read_refusal(reply: Reply) -> tuple[str, str]:
    """Return the code and the sentence of a refusal, from whichever of the known shapes it has."""
    try:
        wire = msgspec.json.decode(reply.body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", reply.body[:300].decode("utf-8", "replace")
    error = wire.error or wire.capital_error
    if isinstance(error, dict):  # {"error": {"code": 403, "message": "…", "status": "PERMISSION_DENIED"}}
        code, inner = error.get("status") or error.get("Code"), error.get("message") or error.get("Message")
        return str(code or ""), ": ".join(str(part) for part in (code, inner) if part)
    code = error or str(wire.type_ or "").rpartition("#")[2]
    said = wire.error_description or wire.message or wire.capital_message or wire.errors
    return str(code or ""), ": ".join(str(part) for part in (code, said) if part)
