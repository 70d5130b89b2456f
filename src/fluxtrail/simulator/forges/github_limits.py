"""GitHub's limits of a token: the primary one, and the secondary ones that nobody is told of beforehand.

Source: docs.github.com, "Rate limits for the REST API": 100 requests at once; 900 points a minute, of which reading
costs 1 and writing 5; 80 content-creating requests a minute and 500 an hour; 403 and 429 both occur.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.forges.limits import Hourly, Window

PRIMARY_PER_HOUR = 5_000
CREATING_PER_MINUTE = 80
CREATING_PER_HOUR = 500
POINTS_PER_MINUTE = 900
AT_ONCE = 100
_REST_SECONDS = 60.0
"""For how long a token is refused that overran a secondary limit."""
_PRIMARY = "API rate limit exceeded for installation ID 1."
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@dataclass(slots=True)
class Allowance:
    """One token's."""

    primary: Hourly = field(default_factory=lambda: Hourly(PRIMARY_PER_HOUR))
    minute: Window = field(default_factory=lambda: Window(CREATING_PER_MINUTE, seconds=60))
    hour: Window = field(default_factory=lambda: Window(CREATING_PER_HOUR, seconds=3600))
    points: Window = field(default_factory=lambda: Window(POINTS_PER_MINUTE, seconds=60))
    rests_until: datetime | None = None
    refusals: int = 0


class GitHubLimits:
    """All tokens' allowances. Whoever overruns one is refused for a minute, and every request meanwhile counts too."""

    def __init__(self) -> None:
        self.allowances: dict[str, Allowance] = {}

    def of(self, token: str) -> Allowance:
        return self.allowances.setdefault(token, Allowance())

    def admit(self, token: str, *, is_read: bool, now: datetime) -> list[tuple[str, str]]:
        """Book a request; return the limits that it overruns, as (kind, detail)."""
        mine = self.of(token)
        if mine.rests_until is not None and now < mine.rests_until:
            return [("while_limited", f"until {mine.rests_until:%H:%M:%S}")]
        overrun = []
        if not mine.points.spend(now, 1 if is_read else 5):
            overrun.append(("points", f"{mine.points.used(now):g} points in a minute"))
        if not is_read and not mine.minute.spend(now):
            overrun.append(("per_minute", f"{mine.minute.used(now):g} creating requests in a minute"))
        if not is_read and not mine.hour.spend(now):
            overrun.append(("per_hour", f"{mine.hour.used(now):g} creating requests in an hour"))
        if overrun:
            rest = mine.hour.wait_seconds(now) if overrun[-1][0] == "per_hour" else 0.0
            mine.rests_until = now + timedelta(seconds=max(rest, _REST_SECONDS))
        return overrun

    def refuse(self, token: str, *, now: datetime) -> RefusedError:
        """Return the refusal of a secondary limit: 403 and 429 in turns, as GitHub has both."""
        mine = self.of(token)
        mine.refusals += 1
        rest = (mine.rests_until - now).total_seconds() if mine.rests_until else _REST_SECONDS
        return RefusedError(403 if mine.refusals % 2 else 429, SECONDARY, {"Retry-After": str(int(rest) + 1)})

    def check_primary(self, token: str, *, now: datetime) -> None:
        """Pass a token that has requests left.

        Raises:
            RefusedError: 403, and when there are more.
        """
        if self.of(token).primary.remaining(now) <= 0:
            raise RefusedError(403, _PRIMARY)

    def headers(self, token: str, *, now: datetime) -> dict[str, str]:
        primary = self.of(token).primary
        remaining = primary.remaining(now)
        return {
            "X-RateLimit-Limit": str(primary.limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Used": str(primary.used),
            "X-RateLimit-Reset": str(int(primary.resets_at(now).timestamp()) + 1),
            "X-RateLimit-Resource": "core",
        }

    def peaks(self) -> dict[str, float]:
        """Return the most creating requests that any token made within a minute and within an hour."""
        everyone = self.allowances.values()
        return {
            "per_minute": max((mine.minute.peak for mine in everyone), default=0.0),
            "per_hour": max((mine.hour.peak for mine in everyone), default=0.0),
        }
