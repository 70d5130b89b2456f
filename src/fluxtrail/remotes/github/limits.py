"""When GitHub wants to be left alone: its primary and secondary limits, read from an answer.

Primary: `x-ratelimit-remaining: 0` with `x-ratelimit-reset` (epoch seconds). Secondary: 403 or 429 with
`retry-after`, or with none of these; then a minute is what GitHub's documentation asks for.
Source: docs.github.com, REST API, "Rate limits" and "Best practices".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fluxtrail.model.errors import RateLimitedError
from fluxtrail.model.moment import parse_http_date

DEFAULT_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 2 * 3600.0
REMEMBERED_CREDENTIALS = 256
_SECONDARY_WORDS = ("secondary rate limit", "abuse detection", "rate limit exceeded", "quota of requests")


class LimitBook:
    """Until when each credential has to wait; limits belong to the credential, not to the connection.

    Args:
        clock: POSIX seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def wait_seconds(self, credential: str) -> float:
        """Return how long this credential must still wait; 0 when it need not."""
        return max(0.0, self._until.get(credential, 0.0) - self._clock())

    def learn(self, credential: str, status: int, headers: Mapping[str, str], message: str) -> None:
        """Take in an answer.

        Raises:
            RateLimitedError: the answer itself was a refusal; `retry_after_seconds` is never None.
        """
        wait = find_wait_seconds(status, headers, message, now=self._clock())
        if wait is None:
            return
        if len(self._until) >= REMEMBERED_CREDENTIALS:
            self._until.clear()
        self._until[credential] = max(self._until.get(credential, 0.0), self._clock() + wait)
        if status in (403, 429):
            raise refusal(wait, status=status)


def refusal(wait_seconds: float, *, status: int | None = None) -> RateLimitedError:
    return RateLimitedError(
        f"GitHub's rate limit is used up for another {wait_seconds:.0f} s",
        status=status,
        retry_after_seconds=wait_seconds,
    )


def find_wait_seconds(status: int, headers: Mapping[str, str], message: str, *, now: float) -> float | None:
    """Return how long the answer asks us to wait, or None when it does not.

    Header names are in lower case. The server's own `date` is the "now" its times refer to, where it has one:
    our clock may differ by minutes.
    """
    exhausted = headers.get("x-ratelimit-remaining", "").strip() == "0"
    if status not in (403, 429):
        return _until_reset(headers, now) if exhausted and status < 400 else None
    retry_after = _parse_retry_after(headers.get("retry-after"), headers, now)
    if retry_after is not None:
        return _bounded(retry_after)
    if exhausted:
        return _until_reset(headers, now)
    if status == 429 or any(words in message.lower() for words in _SECONDARY_WORDS):
        return DEFAULT_WAIT_SECONDS
    return None


def _until_reset(headers: Mapping[str, str], now: float) -> float:
    reset = _parse_seconds(headers.get("x-ratelimit-reset", ""))
    if reset is None:
        return DEFAULT_WAIT_SECONDS
    # The second of the reset itself still counts as before it.
    return _bounded(reset - _server_now(headers, now) + 1)


def _parse_retry_after(value: str | None, headers: Mapping[str, str], now: float) -> float | None:
    if value is None:
        return None
    seconds = _parse_seconds(value)
    if seconds is not None:
        return seconds
    moment = _parse_date(value)
    return DEFAULT_WAIT_SECONDS if moment is None else moment - _server_now(headers, now)


def _parse_seconds(value: str) -> float | None:
    text = value.strip()
    return float(text[:15]) if text.isdecimal() else None


def _server_now(headers: Mapping[str, str], now: float) -> float:
    moment = _parse_date(headers.get("date", ""))
    return now if moment is None else moment


def _parse_date(value: str) -> float | None:
    moment = parse_http_date(value)
    return moment.timestamp() if moment else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 1.0), LONGEST_WAIT_SECONDS)
