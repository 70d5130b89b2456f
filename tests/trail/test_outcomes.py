"""What a delivery becomes with each sync that contains its commit."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.trail.transcripts import at, rev, sha

from fluxtrail.model.moment import Evidence, Moment, exact
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, CommitId, DeliveryRecord, SyncId, SyncRecord, TargetId
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.outcomes import next_delivery

replace = msgspec.structs.replace


def moment(seconds: float) -> Moment:
    return exact(at(seconds), Evidence.STATUS_OBSERVED)


def sync(number: int, outcome: Outcome = Outcome.RUNNING, **changes: object) -> SyncRecord:
    """Return sync n, begun 100 n seconds after noon; what its outcome needs is filled in."""
    begun = 100.0 * number
    record = SyncRecord(
        id=SyncId(number),
        target_id=TargetId(1),
        revision=rev(number),
        sha=sha(number),
        previous=None,
        previous_sha=None,
        cause=Cause.REVISION,
        generation=1,
        outcome=outcome,
        started=moment(begun),
    )
    given: dict[str, object] = {}
    if outcome in (Outcome.CHECKING, Outcome.SUCCEEDED):
        given["applied"] = moment(begun + 10)
    if outcome is Outcome.SUCCEEDED:
        given["succeeded"] = moment(begun + 20)
    if outcome is Outcome.FAILED:
        given |= {"failed": moment(begun + 30), "reason": "BuildFailed"}
    return replace(record, **(given | changes))


def row(verdict: Verdict = Verdict.PENDING, **changes: object) -> DeliveryRecord:
    record = DeliveryRecord(commit_id=CommitId(1), target_id=TargetId(1), verdict=verdict, since=at(0))
    return replace(record, **changes)


def test_a_running_sync_changes_nothing() -> None:
    assert next_delivery(row(), sync(1), now=at(999)) == row()


def test_applied_is_set_while_checks_run() -> None:
    assert next_delivery(row(), sync(1, Outcome.CHECKING), now=at(999)) == row(applied_sync=SyncId(1))


def test_success_deploys() -> None:
    after = next_delivery(row(), sync(1, Outcome.SUCCEEDED), now=at(999))
    assert after == row(Verdict.DEPLOYED, since=at(120), applied_sync=SyncId(1), healthy_sync=SyncId(1))


def test_success_without_a_moment_counts_from_now() -> None:
    assert next_delivery(row(), sync(1, Outcome.SUCCEEDED, succeeded=None), now=at(999)).since == at(999)


def test_failure_fails_with_fluxs_reason() -> None:
    after = next_delivery(row(), sync(1, Outcome.FAILED), now=at(999))
    assert after == row(Verdict.FAILED, since=at(130), reason="BuildFailed")
    assert next_delivery(row(), sync(1, Outcome.FAILED, failed=None), now=at(999)).since == at(999)


def test_failed_health_keeps_what_was_applied() -> None:
    failed = sync(1, Outcome.FAILED, reason="HealthCheckFailed", applied=moment(110))
    assert next_delivery(row(), failed, now=at(999)).applied_sync == SyncId(1)


def test_success_after_a_failure_is_applied_by_the_first_that_applied() -> None:
    failed = row(Verdict.FAILED, applied_sync=SyncId(1), reason="HealthCheckFailed")
    after = next_delivery(failed, sync(2, Outcome.SUCCEEDED), now=at(999))
    assert (after.verdict, after.applied_sync, after.healthy_sync) == (Verdict.DEPLOYED, SyncId(1), SyncId(2))
    assert after.reason == ""


def test_a_new_attempt_reopens_a_failure() -> None:
    failed = row(Verdict.FAILED, since=at(130), reason="BuildFailed")
    assert next_delivery(failed, sync(2), now=at(999)) == row(since=at(200))


def test_a_sync_without_effect_leaves_commits_unaffected() -> None:
    unchanged = sync(1, Outcome.SUCCEEDED, is_unchanged=True)
    assert next_delivery(row(), unchanged, now=at(999)) == row(Verdict.UNAFFECTED, since=at(120))


def test_a_sync_without_effect_deploys_what_an_earlier_attempt_had_applied() -> None:
    unchanged = sync(2, Outcome.SUCCEEDED, is_unchanged=True)
    after = next_delivery(row(Verdict.FAILED, applied_sync=SyncId(1)), unchanged, now=at(999))
    assert (after.verdict, after.applied_sync, after.healthy_sync) == (Verdict.DEPLOYED, SyncId(1), SyncId(2))


def test_a_sync_that_turns_out_to_have_no_effect_takes_back_what_it_seemed_to_apply() -> None:
    """With health checks it is `applied` before it is known whether it changed anything."""
    checking = next_delivery(row(), sync(1, Outcome.CHECKING), now=at(999))
    assert checking.applied_sync == SyncId(1)
    unchanged = sync(1, Outcome.SUCCEEDED, is_unchanged=True)
    assert next_delivery(checking, unchanged, now=at(999)) == next_delivery(row(), unchanged, now=at(999))


@pytest.mark.parametrize("verdict", sorted(set(Verdict) - OPEN))
@pytest.mark.parametrize("outcome", [Outcome.RUNNING, Outcome.CHECKING, Outcome.FAILED])
def test_what_has_ended_is_not_opened_by_an_attempt(verdict: Verdict, outcome: Outcome) -> None:
    ended = row(verdict, applied_sync=SyncId(1))
    assert next_delivery(ended, sync(2, outcome), now=at(999)) == ended


def test_a_rolled_back_commit_is_deployed_again_by_a_sync_that_contains_it() -> None:
    back = row(Verdict.ROLLED_BACK, applied_sync=SyncId(1), healthy_sync=SyncId(1))
    after = next_delivery(back, sync(3, Outcome.SUCCEEDED), now=at(999))
    assert (after.verdict, after.applied_sync, after.healthy_sync) == (Verdict.DEPLOYED, SyncId(1), SyncId(1))


class Deliveries(RuleBasedStateMachine):
    """One commit on one target, and syncs that contain it, each going the way of a sync."""

    def __init__(self) -> None:
        super().__init__()
        self.row = row()
        self.sync: SyncRecord | None = None
        self.applied_first: SyncId | None = None
        self.number = 0

    def take(self, record: SyncRecord) -> None:
        before = self.row
        self.sync = record
        self.row = next_delivery(before, record, now=at(5000))
        assert next_delivery(self.row, record, now=at(9000)) == self.row, "asked again, it says something else"
        if before.verdict is Verdict.DEPLOYED:
            assert self.row.verdict is Verdict.DEPLOYED
        if (before.verdict, self.row.verdict) == (Verdict.FAILED, Verdict.PENDING):
            assert record.started.at > before.since, "the attempt that failed reopened it"
        assert before.healthy_sync in (None, self.row.healthy_sync)
        if not (self.row.verdict is Verdict.UNAFFECTED and before.applied_sync == record.id):
            assert before.applied_sync in (None, self.row.applied_sync)

    @precondition(lambda self: self.row.verdict in OPEN)
    @rule()
    def begin(self) -> None:
        self.number += 1
        self.take(sync(self.number))

    @precondition(lambda self: self.sync is not None and self.sync.outcome in (Outcome.RUNNING, Outcome.FAILED))
    @rule()
    def check(self) -> None:
        assert self.sync is not None
        outcome = Outcome.CHECKING if self.sync.outcome is Outcome.RUNNING else self.sync.outcome
        applied = self.sync.applied or moment(100.0 * self.number + 10)
        self.applied_first = self.applied_first or self.sync.id
        self.take(replace(self.sync, outcome=outcome, applied=applied))

    @precondition(lambda self: self.sync is not None and self.sync.outcome is not Outcome.SUCCEEDED)
    @rule(reason=st.sampled_from(["BuildFailed", "HealthCheckFailed"]))
    def fail(self, reason: str) -> None:
        assert self.sync is not None
        failed = self.sync.failed or moment(100.0 * self.number + 30)
        self.take(replace(self.sync, outcome=Outcome.FAILED, failed=failed, reason=reason))
        assert self.row.verdict in (Verdict.FAILED, Verdict.DEPLOYED, Verdict.UNAFFECTED)

    @precondition(lambda self: self.sync is not None and self.sync.outcome is not Outcome.SUCCEEDED)
    @rule(is_unchanged=st.booleans())
    def succeed(self, is_unchanged: bool) -> None:
        assert self.sync is not None
        was_applied = self.row.applied_sync not in (None, self.sync.id)
        done = sync(self.number, Outcome.SUCCEEDED, is_unchanged=is_unchanged)
        if not is_unchanged:
            self.applied_first = self.applied_first or self.sync.id
        self.take(done)
        assert self.row.verdict is (Verdict.UNAFFECTED if is_unchanged and not was_applied else Verdict.DEPLOYED)

    @rule()
    def look_again(self) -> None:
        if self.sync is not None:
            self.take(self.sync)

    @invariant()
    def moments_are_those_of_the_first_sync_that_had_them(self) -> None:
        if self.row.verdict is Verdict.DEPLOYED:
            assert self.row.healthy_sync is not None
            assert self.row.applied_sync == self.applied_first
        if self.row.verdict is Verdict.UNAFFECTED:
            assert (self.row.applied_sync, self.row.healthy_sync) == (None, None)
        assert (self.row.reason != "") == (self.row.verdict is Verdict.FAILED)


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
