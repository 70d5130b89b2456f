"""One call of the artifact metadata API: paced, authorised, tried again, counted."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
import structlog
from yarl import URL

from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.github.artifact_answers import (
    BODY_LIMIT_BYTES,
    Answer,
    Meaning,
    find_delay_seconds,
    find_reset,
    find_retry_after,
    judge,
    read_bounded,
    said_by,
)
from fluxtrail.remotes.github.artifact_bearers import Bearer
from fluxtrail.remotes.github.artifact_errors import (
    CredentialsRefusedError,
    LimitedOutError,
    RecordConflictError,
    RequestRefusedError,
    RetriesExhaustedError,
)
from fluxtrail.remotes.github.artifact_pacing import Clock, Pacer, backoff_seconds

log = structlog.get_logger(__name__)

RETRIES = 3
TIMEOUT_SECONDS = 30.0
REDIRECT_LIMIT = 3
API_VERSION = "2022-11-28"
_REDIRECTS = (301, 302, 307, 308)


@dataclass(slots=True)
class ClientCounters:
    """What became of requests, counted as deployment-tracker's `deptracker_post_record_*` counters are."""

    post_record_ok: int = 0
    """A record, or a whole bulk, was taken."""
    post_record_unknown_artifact: int = 0
    post_record_rate_limited: int = 0
    """Every attempt that met the rate limit, of a poll too."""
    post_record_soft_fail: int = 0
    """Every attempt that met a broken connection or a failing server, of a poll too."""
    post_record_hard_fail: int = 0
    """A record, or a whole bulk, was given up after its last attempt."""
    post_record_client_error: int = 0


class Calls:
    """Sends requests until one is answered for good. Safe for concurrent callers; they share the pace.

    Args:
        base_url: checked, without a slash at its end.
        observe: told the seconds of every round trip, failed ones too.
        jitter: 0 to 1, exclusive.
        allowances: told what the answers say is left of `whose`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        bearer: Bearer,
        pacer: Pacer,
        clock: Clock,
        counters: ClientCounters,
        retries: int = RETRIES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        observe: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
        allowances: AllowanceBook | None = None,
        whose: str = "",
    ) -> None:
        self._session, self._base_url, self._bearer = session, base_url, bearer
        self._origin = _origin(base_url)
        self._pacer, self._clock, self._counters = pacer, clock, counters
        self._attempts = max(0, retries) + 1
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._observe = observe
        self._jitter = jitter
        self._allowances, self._whose = allowances, whose
        self._is_bare = False
        """Whether the last call had no token, and that was said."""

    async def ask(
        self, method: str, path: str, body: bytes | None = None, *, is_conflict_passing: bool = False
    ) -> Answer:
        """Return an answer that is a success, a 404 or a 409.

        Args:
            is_conflict_passing: a 409 is tried again like a failure; then it is never returned.

        Raises:
            RequestRefusedError: another 4xx; its CredentialsRefusedError for 401 and 403. RetriesExhaustedError,
            LimitedOutError, RecordConflictError: after the last attempt. RateLimitedError: postponed, see `Pacer`.
            ConfigError, AuthError, UpstreamError: no token can be had.
        """
        url = self._base_url + path
        failure: UpstreamError | None = None
        for attempt in range(self._attempts):
            if attempt:
                self._pacer.check()
                await self._clock.sleep(backoff_seconds(attempt, self._jitter()))
            try:
                answer = await self._authorized(method, url, body)
            except _NoAnswerError as exc:
                self._counters.post_record_soft_fail += 1
                log.debug("artifact metadata not reached", attempt=attempt, error=exc.message, url=redact_url(url))
                failure = RetriesExhaustedError(f"all retries exhausted: {exc.message}", subject=redact_url(url))
                failure.__cause__ = exc.__cause__
                continue
            failure = self._weigh(answer, url, attempt, is_conflict_passing=is_conflict_passing)
            if failure is None:
                return answer
        assert failure is not None
        raise failure

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._bearer.secrets

    # -- inside ----------------------------------------------------------------------------------------------

    def _weigh(self, answer: Answer, url: str, attempt: int, *, is_conflict_passing: bool) -> UpstreamError | None:
        """Return None for an answer that stands, or what to raise if no other attempt is left.

        Raises:
            RequestRefusedError: no other attempt would help.
        """
        meaning = judge(answer)
        now = self._clock.now().timestamp()
        match meaning:
            case Meaning.REFUSED:
                raise self._refusal(answer, url)
            case Meaning.LIMITED:
                self._counters.post_record_rate_limited += 1
                if self._allowances is not None:
                    self._allowances.note_limited(self._whose)
                wait = find_delay_seconds(answer.headers, now=now)
                self._pacer.hold(wait)
                log.warning("artifact metadata rate limited", status=answer.status, attempt=attempt, wait_seconds=wait)
                return LimitedOutError(
                    f"all retries exhausted: GitHub's rate limit is used up for another {wait:.0f} s",
                    status=answer.status,
                    retry_after_seconds=self._pacer.remaining_seconds(),
                    subject=redact_url(url),
                )
            case Meaning.FAILED:
                self._counters.post_record_soft_fail += 1
                self._pacer.hold(find_retry_after(answer.headers, now=now) or 0.0)
                said = self._said(answer)
                log.debug("artifact metadata failed", status=answer.status, attempt=attempt, said=said)
                text = f"all retries exhausted: GitHub answered {answer.status}: {said}"
                return RetriesExhaustedError(text, status=answer.status, subject=redact_url(url))
            case Meaning.CONFLICT if is_conflict_passing:
                text = f"all retries exhausted: GitHub answered 409, a conflict: {self._said(answer)}"
                return RecordConflictError(text, status=409, subject=redact_url(url))
            case _:
                self._pacer.hold(find_reset(answer.headers, now=now) or 0.0)  # it was the last one of the hour
                return None

    def _refusal(self, answer: Answer, url: str) -> RequestRefusedError:
        status, said = answer.status, self._said(answer)
        log.warning("artifact metadata refused", status=status, said=said, url=redact_url(url))
        if status in (401, 403):
            what = (
                "client error: refused, check the token: it is missing, wrong, expired, or lacks the permission "
                "'Artifact metadata: write'"
            )
            return CredentialsRefusedError(
                f"{what}; GitHub answered {status}: {said}", status=status, subject=redact_url(url)
            )
        return RequestRefusedError(
            f"client error: GitHub answered {status}: {said}", status=status, subject=redact_url(url)
        )

    def _said(self, answer: Answer) -> str:
        return said_by(answer, secrets=self.secrets)

    async def _authorized(self, method: str, url: str, body: bytes | None) -> Answer:
        """Ask with the token there is; a 401 is answered with another token, if there is one."""
        await self._pacer.admit()
        token = await self._bearer.obtain()
        if not token and not self._is_bare:
            log.warning(
                "artifact metadata asked without a token",
                remedy="set API_TOKEN, a GitHub App (GH_APP_ID, …), or deployment_records.token_file",
            )
        self._is_bare = not token
        answer = await self._follow(method, url, body, token)
        if answer.status != 401 or not token:
            return answer
        other = await self._bearer.renew(token)
        if not other:
            return answer
        await self._pacer.admit()
        return await self._follow(method, url, body, other)

    async def _follow(self, method: str, url: str, body: bytes | None, token: str | None) -> Answer:
        """Follow redirects (a renamed organisation) as long as they stay on the API's own origin."""
        for _ in range(REDIRECT_LIMIT + 1):
            answer = await self._timed(method, url, body, token)
            if self._allowances is not None:
                self._allowances.learn(self._whose, answer.headers)
            place = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or not place:
                return answer
            following = _join(url, place)
            if _origin(following) != self._origin:
                raise UpstreamError(
                    f"GitHub redirects to another host, {redact_url(following)[:200]}; correct the base URL",
                    status=answer.status,
                    retryable=False,
                    subject=redact_url(url),
                )
            url = following
        raise UpstreamError("GitHub redirects in a circle", retryable=False, subject=redact_url(url))

    async def _timed(self, method: str, url: str, body: bytes | None, token: str | None) -> Answer:
        began = self._clock.monotonic()
        try:
            return await self._send(method, url, body, token)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            said = redact(str(exc), secrets=(*self.secrets, token or "")) or type(exc).__name__
            raise _NoAnswerError(f"GitHub does not answer: {said}") from exc
        finally:
            if self._observe is not None:
                self._observe(max(0.0, self._clock.monotonic() - began))

    async def _send(self, method: str, url: str, body: bytes | None, token: str | None) -> Answer:
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
            "User-Agent": "fluxtrail",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # `encoded`: a cluster's name is one segment, `a%2Fb`, and must stay one.
        target = URL(url, encoded=True)
        async with self._session.request(
            method, target, headers=headers, data=body, allow_redirects=False, timeout=self._timeout
        ) as response:
            content, is_cut = await read_bounded(_chunks(response), BODY_LIMIT_BYTES)
            found = {name.lower(): text for name, text in response.headers.items()}
            return Answer(response.status, found, content, is_cut)


class _NoAnswerError(UpstreamError):
    """One attempt brought no answer."""


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in response.content.iter_chunked(64 * 1024):
        yield chunk


def _join(url: str, place: str) -> str:
    try:
        return urljoin(url, place)
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None
