from __future__ import annotations

import msgspec
import pytest
from tests.trail.transcripts import Controller, at, new_target, rev

from fluxtrail.model.derive import absent_verdict, not_ready_text, open_message, pending_reason
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SourceId, SourceRecord, TargetRecord
from fluxtrail.model.verdict import PendingReason, Verdict

SOURCE = SourceRecord(
    id=SourceId(1),
    cluster=ClusterUid("c1"),
    key=ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "fleet"),
    uid=ObjectUid("s1"),
    url="https://example.com/fleet",
    repository_id=None,
    branch="main",
    follows_tags=False,
    is_suspended=False,
    ignore=None,
    sparse_checkout=(),
    revision=None,
    digest=None,
    problem=None,
    observed_at=at(0),
)


def target(**changes: object) -> TargetRecord:
    return msgspec.structs.replace(new_target(Controller().object, at(0)), **changes)


def source(**changes: object) -> SourceRecord:
    return msgspec.structs.replace(SOURCE, **changes)


@pytest.mark.parametrize(
    ("target", "source", "is_fetched", "is_attempted", "expected"),
    [
        (target(is_suspended=True), source(is_suspended=True), False, False, PendingReason.SUSPENDED),
        (target(is_suspended=True), source(), True, True, PendingReason.SUSPENDED),
        (target(), source(is_suspended=True, problem="no"), False, False, PendingReason.SOURCE_SUSPENDED),
        (target(), source(problem="no"), False, False, PendingReason.SOURCE_FAILING),
        (target(), source(), False, False, PendingReason.AWAITING_FETCH),
        (target(), None, False, False, PendingReason.AWAITING_FETCH),
        (target(follows_tags=True), source(), False, False, PendingReason.AWAITING_TAG),
        (target(phase=Outcome.WAITING), source(), True, False, PendingReason.WAITING_FOR_DEPENDENCY),
        (target(phase=Outcome.RUNNING), source(), True, True, PendingReason.SYNCING),
        (target(phase=Outcome.SUCCEEDED), source(), True, False, PendingReason.AWAITING_SYNC),
        (target(), source(is_suspended=True, problem="no"), True, False, PendingReason.AWAITING_SYNC),
    ],
)
def test_pending_reason(
    target: TargetRecord, source: SourceRecord | None, is_fetched: bool, is_attempted: bool, expected: PendingReason
) -> None:
    assert pending_reason(target, source, is_fetched=is_fetched, is_attempted=is_attempted) is expected


@pytest.mark.parametrize(
    ("position", "baseline", "has_baseline", "was_scoped", "expected"),
    [
        (5, None, False, False, (Verdict.PENDING, False, PendingReason.SCOPING)),
        (5, None, False, True, (Verdict.UNAFFECTED, False, None)),
        (5, 5, True, False, (Verdict.DEPLOYED, True, None)),
        (4, 5, True, True, (Verdict.DEPLOYED, True, None)),
        (6, 5, True, True, (Verdict.UNAFFECTED, False, None)),
        (None, 5, True, False, (Verdict.UNAFFECTED, False, None)),
        (5, None, True, True, (Verdict.UNAFFECTED, False, None)),
    ],
    ids=["older than us", "scoped", "the baseline", "before", "after", "not on the branch", "baseline elsewhere"],
)
def test_what_a_missing_row_means(
    position: int | None,
    baseline: int | None,
    has_baseline: bool,
    was_scoped: bool,
    expected: tuple[Verdict, bool, PendingReason | None],
) -> None:
    found = absent_verdict(
        position=position, baseline_position=baseline, has_baseline=has_baseline, was_scoped=was_scoped
    )
    assert found == expected


def test_not_ready_in_the_words_of_the_replaced_tool() -> None:
    key = msgspec.structs.replace(target().key, namespace="test-ns", name="test-kustomization-pending")
    assert not_ready_text(target(key=key)) == (
        "kustomization 'test-ns/test-kustomization-pending' has not reconciled successfully yet"
    )


NOT_YET = "kustomization 'flux-system/apps' has not reconciled successfully yet"


@pytest.mark.parametrize(
    ("target", "source", "reason", "expected"),
    [
        (target(message="it broke"), source(problem="gone"), PendingReason.SOURCE_FAILING, "gone"),
        (target(), source(), PendingReason.SOURCE_FAILING, ""),
        (target(message="it broke", applied=rev(1)), None, PendingReason.SOURCE_FAILING, "it broke"),
        (target(message="it broke"), source(), PendingReason.AWAITING_EXPORT, ""),
        (target(), source(), PendingReason.SYNCING, NOT_YET),
        (target(message="Reconciliation in progress"), None, None, f"{NOT_YET}: Reconciliation in progress"),
        (target(applied=rev(1), message="it broke", phase=Outcome.FAILED), source(), None, "it broke"),
        (target(applied=rev(1), message="Applied", phase=Outcome.SUCCEEDED), source(), PendingReason.AWAITING_SYNC, ""),
    ],
    ids=["source", "source silent", "source unknown", "export", "not ready", "not ready because", "failed", "all well"],
)
def test_what_flux_says_of_an_open_delivery(
    target: TargetRecord, source: SourceRecord | None, reason: PendingReason | None, expected: str
) -> None:
    assert open_message(target, source, reason) == expected
