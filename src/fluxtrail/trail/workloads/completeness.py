"""Whether the absence of an object means anything: only where its kind's stream is complete, and up to when.

unseen ──Listed──▶ complete up to its instant ──Current──▶ up to a later one
any    ──Unavailable──▶ blind: nothing is known to be absent until the next Listed
"""

from __future__ import annotations

from datetime import datetime

from fluxtrail.model.observation import Current, Listed, Unavailable

UNREADABLE = frozenset({"not_installed", "forbidden"})
"""Reasons that do not pass by themselves: nobody waits for such a kind."""


class Completeness:
    """Of all kinds that are watched in one cluster; kinds as (group, kind)."""

    def __init__(self) -> None:
        self._complete_at: dict[tuple[str, str], datetime] = {}
        self._blind: dict[tuple[str, str], str] = {}
        """With the reason."""

    def note(self, observation: Listed | Current | Unavailable) -> None:
        kind = (observation.group, observation.kind)
        match observation:
            case Listed() | Current():
                self._blind.pop(kind, None)
                self._complete_at[kind] = observation.observed_at
            case Unavailable():
                self._blind[kind] = observation.reason

    def is_settled(self, group: str, kind: str) -> bool:
        """Whether the kind was listed once, or cannot be."""
        return (group, kind) in self._complete_at or self.is_unreadable(group, kind)

    def is_unreadable(self, group: str, kind: str) -> bool:
        return self._blind.get((group, kind)) in UNREADABLE

    def complete_at(self, group: str, kind: str) -> datetime | None:
        """Return up to when a kind is, or was, completely known; None where it never was listed."""
        return self._complete_at.get((group, kind))

    def covers(self, group: str, kind: str, since: datetime | None) -> bool:
        """Whether an object of the kind that is not held is known to be absent since `since` (None: now)."""
        if (group, kind) in self._blind:
            return False
        at = self._complete_at.get((group, kind))
        return at is not None and (since is None or at > since)
