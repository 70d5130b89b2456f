"""When a forge wants to be left alone, and how long to wait between attempts.

`Retry-After` on a refusal (429, or 503 under load) or, on Azure DevOps, on a success; `RateLimit-Remaining: 0`
with `RateLimit-Reset` (epoch seconds), also under the names with `X-`.

Source: docs.gitlab.com, "Rate limits", Headers; learn.microsoft.com, Azure DevOps, "Rate and usage limits".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fluxtrail.model.errors import RateLimitedError
from fluxtrail.model.moment import parse_http_date

DEFAULT_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 2 * 3600.0
REMEMBERED_CREDENTIALS = 256
_EPOCH_BEGINS = 1_000_000_000.0
"""A reset below it is a number of seconds from now (the IETF's draft), above it a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryWaits:
    """How long to wait between the five attempts: doubling from `initial_seconds`, with jitter."""

    initial_seconds: float = 1.0
    longest_seconds: float = 30.0
    jitter_seconds: float = 1.0


class LimitBook:
    """Until when each credential has to wait; limits belong to the credential, not to the connection.

    Args:
        clock: POSIX seconds.
        name: whose limits they are, for messages.
    """

    def __init__(self, clock: Callable[[], float], *, name: str) -> None:
        self._clock, self._name = clock, name
        self._until: dict[str, float] = {}

    def wait_seconds(self, credential: str) -> float:
        """Return how long this credential must still wait; 0 when it need not."""
        return max(0.0, self._until.get(credential, 0.0) - self._clock())

    def learn(self, credential: str, status: int, headers: Mapping[str, str]) -> None:
        """Take in an answer.

        Raises:
            RateLimitedError: the answer itself was a refusal; `retry_after_seconds` is never None.
        """
        wait = find_wait_seconds(status, headers, now=self._clock())
        if wait is None:
            return
        if len(self._until) >= REMEMBERED_CREDENTIALS:
            self._until.clear()
        self._until[credential] = max(self._until.get(credential, 0.0), self._clock() + wait)
        if status >= 400:
            raise self.refusal(wait, status=status)

    def refusal(self, wait_seconds: float, *, status: int | None = None) -> RateLimitedError:
        return RateLimitedError(
            f"{self._name}'s rate limit is used up for another {wait_seconds:.0f} s",
            status=status,
            retry_after_seconds=wait_seconds,
        )


def find_wait_seconds(status: int, headers: Mapping[str, str], *, now: float) -> float | None:
    """Return how long the answer asks us to wait, or None when it does not.

    Header names are in lower case. The server's own `date` is the "now" its times refer to, where it has one.
    """
    may_limit = status == 429 or status < 400 or (status in (403, 503) and "retry-after" in headers)
    if not may_limit:
        return None
    theirs = _parse_date(headers.get("date", ""))
    now = now if theirs is None else theirs
    after = _retry_after(headers.get("retry-after"), now)
    if after is not None:
        return _bounded(after)
    if headers.get("ratelimit-remaining", headers.get("x-ratelimit-remaining", "")).strip() == "0":
        return _until_reset(headers.get("ratelimit-reset", headers.get("x-ratelimit-reset", "")), now)
    return DEFAULT_WAIT_SECONDS if status == 429 else None


def _until_reset(text: str, now: float) -> float:
    seconds = text.strip()
    if not seconds.isdecimal() or len(seconds) > 15:
        return DEFAULT_WAIT_SECONDS
    reset = float(seconds)
    # The second of the reset itself still counts as before it.
    return _bounded(reset - now + 1 if reset >= _EPOCH_BEGINS else reset)


def _retry_after(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    seconds = text.strip()
    if seconds.isdecimal() and len(seconds) <= 15:
        return float(seconds)
    moment = _parse_date(text)
    return DEFAULT_WAIT_SECONDS if moment is None else moment - now


def _parse_date(text: str) -> float | None:
    moment = parse_http_date(text)
    return moment.timestamp() if moment else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 1.0), LONGEST_WAIT_SECONDS)
