"""What an App asks GitHub about itself: its installations, and a token for one."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from fluxtrail.credentials.github_key import AppKey
from fluxtrail.model.errors import AuthError, ConfigError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.moment import parse_http_date
from fluxtrail.model.redaction import redact

T = TypeVar("T")

LIFETIME_SECONDS = 600
"""GitHub takes no JWT whose end lies further than ten minutes ahead."""
BACKDATED_SECONDS = 60
"""For clocks that differ; GitHub refuses a JWT that was made in its future."""
SKEW_SECONDS = 30.0
"""A difference to GitHub's clock above it is taken into account."""
REQUEST_TIMEOUT_SECONDS = 20.0
BODY_LIMIT_BYTES = 1024 * 1024
DEFAULT_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 2 * 3600.0


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    owner: str
    """Lower case; empty for an installation on no account, such as an enterprise's."""


class _Account(msgspec.Struct):
    login: str | None = None


class _Installation(msgspec.Struct):
    id: int
    account: _Account | None = None
    suspended_at: str | None = None


class _Token(msgspec.Struct):
    token: str
    expires_at: datetime


class _Message(msgspec.Struct):
    message: str | None = None


class AppApi:
    """Calls as the App itself, each with a JWT of its own.

    Args:
        clock: POSIX seconds; corrected by GitHub's own where they differ.
    """

    def __init__(
        self, session: aiohttp.ClientSession, *, app_id: str, key: AppKey, api_url: str, clock: Callable[[], float]
    ) -> None:
        parts = urlsplit(api_url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query:
            raise ConfigError("not an API address such as https://api.github.com", subject="github.base_url")
        self._session, self._app_id, self._key, self._clock = session, app_id, key, clock
        self._api_url = api_url.rstrip("/")
        self._offset = 0.0

    def now(self) -> float:
        """Return POSIX seconds by GitHub's clock, as far as its answers told."""
        return self._clock() + self._offset

    async def find_installation(self, path: str) -> Installation | None:
        """Return the installation that `path` names; None where there is none.

        Raises:
            AuthError: it is suspended, or GitHub does not know the App and its key. UpstreamError, WireError.
        """
        try:
            wire = _decode(await self._ask("GET", path), _Installation)
        except NotFoundError:
            return None
        if wire.suspended_at is not None:
            raise AuthError("the GitHub App's installation is suspended; its owner can resume it", subject=path)
        login = wire.account.login if wire.account else None
        return Installation(id=wire.id, owner=(login or "").lower())

    async def make_token(self, installation_id: int) -> tuple[str, float]:
        """Return a token, and when it ends (POSIX seconds by GitHub's clock).

        Raises:
            NotFoundError: there is no such installation (any more). AuthError, UpstreamError, WireError.
        """
        wire = _decode(await self._ask("POST", f"/app/installations/{installation_id}/access_tokens"), _Token)
        if not wire.token:
            raise WireError("GitHub's answer holds no token", subject="github")
        ends = wire.expires_at if wire.expires_at.tzinfo else wire.expires_at.replace(tzinfo=UTC)
        return wire.token, ends.timestamp()

    # -- inside ----------------------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str) -> bytes:
        """Ask; a refusal is tried once more where GitHub's clock turns out to be another than ours."""
        status, headers, body = await self._send(method, path)
        is_news = self._learn_offset(headers)
        if status == 401 and is_news:
            status, headers, body = await self._send(method, path)
        if status in (200, 201):
            return body
        raise _refusal(status, headers, body, path)

    async def _send(self, method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        token = self._make_jwt()
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "fluxtrail",
        }
        try:
            async with (
                asyncio.timeout(REQUEST_TIMEOUT_SECONDS),
                self._session.request(method, self._api_url + path, headers=headers, allow_redirects=False) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_chunked(64 * 1024):
                    body += chunk
                    if len(body) > BODY_LIMIT_BYTES:
                        raise WireError(
                            f"the answer is larger than the limit of {BODY_LIMIT_BYTES} bytes", subject=path
                        )
                return answer.status, {name.lower(): text for name, text in answer.headers.items()}, bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            said = redact(str(exc), secrets=(token,)) or type(exc).__name__
            raise UpstreamError(f"GitHub gives the App no token: {said}", subject=path) from exc

    def _make_jwt(self) -> str:
        issued = int(self.now()) - BACKDATED_SECONDS
        return self._key.sign({"iat": issued, "exp": issued + LIFETIME_SECONDS, "iss": self._app_id})

    def _learn_offset(self, headers: Mapping[str, str]) -> bool:
        """Take GitHub's time from an answer; return whether it is news."""
        date = parse_http_date(headers.get("date"))
        if date is None:
            return False
        theirs = date.timestamp()
        if abs(theirs - self.now()) <= SKEW_SECONDS:
            return False
        self._offset = theirs - self._clock()
        return True


def _refusal(status: int, headers: Mapping[str, str], body: bytes, path: str) -> UpstreamError:
    said = redact(_message(body), limit_bytes=300) or "no message"
    if status == 429 or (status == 403 and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0")):
        wait = headers.get("retry-after", "")
        seconds = min(float(wait), LONGEST_WAIT_SECONDS) if wait.isdecimal() else DEFAULT_WAIT_SECONDS
        message = f"GitHub's rate limit is used up for another {seconds:.0f} s"
        return RateLimitedError(message, status=status, retry_after_seconds=seconds, subject=path)
    if status in (401, 403):
        what = "GitHub refuses the App, check GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY (they must be of one App)"
        return AuthError(f"{what}: {said}", status=status, subject=path)
    if status in (404, 410):
        return NotFoundError(f"not found: {said}", status=status, subject=path)
    is_retryable = status >= 500 or status == 408
    return UpstreamError(f"GitHub answered {status}: {said}", status=status, retryable=is_retryable, subject=path)


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Message).message or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[:300].decode("utf-8", "replace")


def _decode(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        # The text of a shape error may quote values: a token is one of them.
        raise WireError("GitHub's answer about the App has another shape", subject="github") from exc
