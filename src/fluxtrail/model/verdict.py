"""What became of a commit on a target, and when that is final.

The verdicts and their meaning: docs/concepts.md.
"""

from datetime import datetime, timedelta
from enum import StrEnum


class Verdict(StrEnum):
    PENDING = "pending"
    DEPLOYED = "deployed"
    UNAFFECTED = "unaffected"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    LOST = "lost"
    ABANDONED = "abandoned"


class PendingReason(StrEnum):
    """Why a commit is not there yet. Derived from the target's and the source's present state, never stored."""

    AWAITING_EXPORT = "awaiting_export"
    """Merged; no export to a manifests repository names it yet."""
    AWAITING_FETCH = "awaiting_fetch"
    """On the branch; Flux's source has not fetched it yet."""
    AWAITING_TAG = "awaiting_tag"
    """The source follows tags, and none contains it."""
    AWAITING_SYNC = "awaiting_sync"
    """Fetched; the target has not begun with it."""
    SYNCING = "syncing"
    """The target is at work on a revision that contains it."""
    WAITING_FOR_DEPENDENCY = "waiting_for_dependency"
    SUSPENDED = "suspended"
    SOURCE_SUSPENDED = "source_suspended"
    SOURCE_FAILING = "source_failing"
    SCOPING = "scoping"
    """It is not known yet whether the target's manifests come from its paths."""


IMMEDIATELY_SETTLED = frozenset({Verdict.DEPLOYED, Verdict.UNAFFECTED, Verdict.ABANDONED, Verdict.LOST})
SETTLED_AFTER_QUIET = frozenset({Verdict.FAILED, Verdict.ROLLED_BACK})
OPEN = frozenset({Verdict.PENDING, Verdict.FAILED})
"""What a later sync may still deliver. A rolled-back commit can come back too, but nobody waits for it."""

WAITING_BY_WILL = frozenset({PendingReason.SUSPENDED, PendingReason.SOURCE_SUSPENDED, PendingReason.AWAITING_TAG})
"""Reasons that somebody chose: these do not count in the oldest age."""


def is_settled(verdict: Verdict, *, since: datetime, now: datetime, settle_after: timedelta) -> bool:
    """True once nothing more is expected: failed and rolled back settle by staying so for `settle_after`."""
    if verdict in IMMEDIATELY_SETTLED:
        return True
    return verdict in SETTLED_AFTER_QUIET and now - since >= settle_after


_UNION_ORDER = (
    Verdict.FAILED,
    Verdict.PENDING,
    Verdict.ROLLED_BACK,
    Verdict.DEPLOYED,
    Verdict.LOST,
    Verdict.ABANDONED,
    Verdict.UNAFFECTED,
)


def union(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of a source commit whose exports came to different ends: what still needs care wins.

    Raises:
        ValueError: no verdicts.
    """
    return min(verdicts, key=_UNION_ORDER.index)
