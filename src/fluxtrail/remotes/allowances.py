"""What forges say is left of a credential's allowance, from the headers of every answer: for `/metrics`.

`X-RateLimit-*` (GitHub, Azure DevOps) or `RateLimit-*` (GitLab); Gitea and Bitbucket's server say nothing. Nobody acts
on it: when to wait is `waits.py` and `github/limits.py`.

Source: docs.github.com, REST API, "Rate limits"; docs.gitlab.com, "Rate limits", Headers; learn.microsoft.com, Azure
DevOps, "Rate and usage limits".
"""

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from fluxtrail.model.moment import parse_http_date

REMEMBERED = 256
REMEMBERED_SECONDS = 24 * 3600.0
"""What was not heard of for so long is forgotten."""
_EPOCH_BEGINS = 1_000_000_000.0
"""A reset below it is a number of seconds from now, above it a moment."""
_NUMBER = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)")
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.:/-]+")
_NAME_LETTERS = 64


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """One of a credential's limits, as the newest answer had it."""

    whose: str
    """Stable, and no secret: `github.com/acme`."""
    resource: str
    """Which of the forge's limits: `core`, `throttle_authenticated_api`; empty where it has one only."""
    limit: float
    remaining: float
    reset_at: float | None
    """POSIX seconds by our clock: when `remaining` is `limit` again; None where that was not said."""
    heard_at: float


class AllowanceBook:
    """All forges' together: clients share one.

    Args:
        clock: POSIX seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], Allowance] = {}
        self.limited: dict[str, int] = {}
        """Answers that asked to wait, by whose allowance it was."""

    def learn(self, whose: str, headers: Mapping[str, str]) -> None:
        """Take in an answer; header names are in lower case."""
        now = self._clock()
        found = _read(whose, headers, now)
        if found is None:
            return
        self._known.pop((whose, found.resource), None)
        self._known[whose, found.resource] = found  # the newest last
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def note_limited(self, whose: str) -> None:
        if whose in self.limited or len(self.limited) < REMEMBERED:
            self.limited[whose] = self.limited.get(whose, 0) + 1

    def current(self) -> Sequence[Allowance]:
        """Return what is left now: all of it again where the reset is over and nothing was asked since."""
        now = self._clock()
        self._known = {k: one for k, one in self._known.items() if now - one.heard_at < REMEMBERED_SECONDS}
        return [
            msgspec.structs.replace(one, remaining=one.limit)
            if one.reset_at is not None and one.reset_at <= now
            else one
            for one in self._known.values()
        ]


def _read(whose: str, headers: Mapping[str, str], now: float) -> Allowance | None:
    limit, remaining = _number(headers, "limit"), _number(headers, "remaining")
    if limit is None or remaining is None:
        return None
    name = headers.get("x-ratelimit-resource", headers.get("ratelimit-name", ""))
    return Allowance(
        whose=whose,
        resource=_NOT_A_NAME.sub("_", name.strip())[:_NAME_LETTERS],
        limit=limit,
        remaining=min(remaining, limit),
        reset_at=_reset_at(headers, now),
        heard_at=now,
    )


def _number(headers: Mapping[str, str], name: str) -> float | None:
    found = _NUMBER.match(headers.get(f"x-ratelimit-{name}", headers.get(f"ratelimit-{name}", "")))
    return float(found[1]) if found else None


def _reset_at(headers: Mapping[str, str], now: float) -> float | None:
    reset = _number(headers, "reset")
    if reset is None:
        return None
    if reset < _EPOCH_BEGINS:
        return now + reset
    theirs = parse_http_date(headers.get("date", ""))
    return reset + (now - theirs.timestamp() if theirs else 0.0)
