"""What follows from the ledger without being in it: why a commit is pending, and what an absent row means.

Pure, used wherever a question is answered. Stored rows exist only where a target is affected.
"""

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SourceRecord, TargetRecord
from fluxtrail.model.verdict import PendingReason, Verdict


def pending_reason(
    target: TargetRecord, source: SourceRecord | None, *, is_fetched: bool, is_attempted: bool
) -> PendingReason:
    """Return what a pending commit waits for on this target now.

    Args:
        is_fetched: the source's present revision contains the commit.
        is_attempted: the revision the target works on contains it.
    """
    if target.is_suspended:
        return PendingReason.SUSPENDED
    if not is_fetched:
        if source is not None and source.is_suspended:
            return PendingReason.SOURCE_SUSPENDED
        if source is not None and source.problem:
            return PendingReason.SOURCE_FAILING
        return PendingReason.AWAITING_TAG if target.follows_tags else PendingReason.AWAITING_FETCH
    if target.phase is Outcome.WAITING:
        return PendingReason.WAITING_FOR_DEPENDENCY
    return PendingReason.SYNCING if is_attempted else PendingReason.AWAITING_SYNC


def absent_verdict(
    *, position: int | None, baseline_position: int | None, has_baseline: bool, was_scoped: bool
) -> tuple[Verdict, bool, PendingReason | None]:
    """Return (verdict, before baseline, reason) of a commit on a target that has no row for it.

    Rows are made when a commit is recorded, for every target in scope; so no row means that the target is
    not affected, unless the commit is older than the target's baseline (contained, with no claim of when), or
    older than our knowledge of a target that has no baseline yet (scope is still to be found out).

    Args:
        was_scoped: the commit came when the target was known already.
    """
    if not has_baseline:
        return (Verdict.UNAFFECTED, False, None) if was_scoped else (Verdict.PENDING, False, PendingReason.SCOPING)
    if position is not None and baseline_position is not None and position <= baseline_position:
        return Verdict.DEPLOYED, True, None
    return Verdict.UNAFFECTED, False, None


def not_ready_text(target: TargetRecord) -> str:
    """Return why a target has delivered nothing yet, in the words of the tool this replaces."""
    return f"kustomization '{target.key.namespace}/{target.key.name}' has not reconciled successfully yet"


def open_message(target: TargetRecord, source: SourceRecord | None, reason: PendingReason | None) -> str:
    """Return what Flux says now about a commit that is pending (for `reason`) or failed (no reason) on a target."""
    if reason is PendingReason.SOURCE_FAILING and source is not None:
        return source.problem or ""
    if reason is PendingReason.AWAITING_EXPORT:
        return ""
    if target.applied is None:
        text = not_ready_text(target)
        return f"{text}: {target.message}" if target.message else text
    return "" if target.phase is Outcome.SUCCEEDED else target.message
