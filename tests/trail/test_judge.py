"""Given the writes of a controller, watched without a gap: what `judge` says became of a target."""

from __future__ import annotations

import msgspec
import pytest
from tests.trail.transcripts import SLACK, Controller, Keeper, Write, at, digest, rev, settled, sha

from fluxtrail.model.flux import Condition
from fluxtrail.model.moment import Evidence, Precision
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, SourceId, SourceRecord, SyncRecord

replace = msgspec.structs.replace


def watched(keeper: Keeper, flux: Controller) -> SyncRecord:
    keeper.watch(flux.writes)
    flux.writes.clear()
    return keeper.last


def test_first_sight_is_a_baseline_dated_by_history() -> None:
    keeper = settled(Controller())
    assert keeper.kept.baseline_sha == sha(1)
    assert not keeper.kept.awaits_baseline
    assert keeper.kept.applied == rev(1)
    assert keeper.kept.applied_digest == digest("d1")
    assert keeper.last.cause is Cause.BASELINE
    assert keeper.last.outcome is Outcome.SUCCEEDED
    assert keeper.last.previous is None
    assert keeper.last.succeeded is not None
    assert keeper.last.succeeded.evidence is Evidence.STATUS_HISTORY
    assert keeper.last.succeeded.precision is Precision.EXACT
    assert keeper.last.succeeded.at == at(0)


def test_baseline_with_checks_does_not_know_since_when_it_is_applied() -> None:
    keeper = settled(Controller(has_checks=True))
    assert keeper.last.applied is not None
    assert keeper.last.applied.precision is Precision.ESTIMATED
    assert keeper.last.applied.not_before is None
    assert keeper.last.applied.not_after == at(0)
    assert keeper.last.healthy == keeper.last.succeeded


def test_delivery_without_checks_is_dated_by_the_ready_condition() -> None:
    flux = Controller()
    keeper = settled(flux)
    first_sign = flux.now
    ready = flux.succeed(rev(2), "d2")
    sync = watched(keeper, flux)
    assert (sync.cause, sync.outcome, sync.previous, sync.sha) == (Cause.REVISION, Outcome.SUCCEEDED, rev(1), sha(2))
    assert sync.applied is not None
    assert (sync.applied.at, sync.applied.precision) == (ready.replace(microsecond=0), Precision.EXACT)
    assert sync.applied.evidence is Evidence.READY_CONDITION
    assert sync.succeeded == sync.applied
    assert sync.healthy is None
    assert sync.started.precision is Precision.OBSERVED
    assert sync.started.not_before is not None
    assert sync.started.not_before <= first_sign < sync.started.at
    assert sync.has_new_manifests
    assert not sync.is_unchanged
    assert sync.version == 1
    assert keeper.kept.applied == rev(2)


def test_delivery_with_checks_is_applied_before_it_is_healthy() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    checking = flux.apply(rev(2))
    flux.wait(20)
    ready = flux.end_well(rev(2), "d2")
    assert checking is not None
    sync = watched(keeper, flux)
    assert sync.applied is not None
    assert sync.healthy is not None
    assert sync.applied.evidence is Evidence.HEALTH_CHECKS_STARTED
    assert (sync.applied.at, sync.applied.precision) == (checking.replace(microsecond=0), Precision.EXACT)
    assert (sync.healthy.at, sync.healthy.precision) == (ready.replace(microsecond=0), Precision.EXACT)
    assert sync.version == 2


def test_each_step_is_said_as_it_comes() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    flux.succeed(rev(2), "d2")
    said = [(len(keeper.see(write, was_held=True)), keeper.last.outcome) for write in flux.writes]
    assert said == [
        (1, Outcome.RUNNING),  # Fetching manifests
        (0, Outcome.RUNNING),  # Building manifests
        (0, Outcome.RUNNING),  # lastAttemptedRevision
        (0, Outcome.RUNNING),  # Detecting drift
        (1, Outcome.CHECKING),  # Running health checks
        (0, Outcome.CHECKING),  # Ready=True
        (1, Outcome.SUCCEEDED),  # lastAppliedRevision
    ]


@pytest.mark.parametrize("has_checks", [False, True], ids=["plain", "checked"])
def test_interval_reconcile_of_the_same_revision_is_no_sync(has_checks: bool) -> None:
    flux = Controller(has_checks=has_checks)
    keeper = settled(flux)
    before = keeper.last
    for _ in range(3):
        flux.succeed(rev(1), "d1")
        flux.wait(60)
    assert watched(keeper, flux) == before
    assert keeper.kept.applied == rev(1)


def test_failure_at_an_interval_of_the_applied_revision_is_no_sync() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    before = keeper.last
    flux.fail_health(rev(1), "d1")
    assert watched(keeper, flux) == before
    assert (keeper.kept.phase, keeper.kept.reason) == (Outcome.FAILED, "HealthCheckFailed")


def test_build_failure_is_dated_once_and_stays_through_retries() -> None:
    flux = Controller()
    keeper = settled(flux)
    failed = flux.fail_build(rev(2))
    sync = watched(keeper, flux)
    assert (sync.outcome, sync.reason, sync.message) == (Outcome.FAILED, "BuildFailed", "it broke")
    assert sync.failed is not None
    assert (sync.failed.at, sync.failed.precision) == (failed.replace(microsecond=0), Precision.EXACT)
    assert sync.applied is None
    assert keeper.kept.applied == rev(1)
    for _ in range(3):
        flux.wait(15)
        flux.begin(rev(2))
        flux.end_badly(rev(2), "BuildFailed", "it broke in another temporary folder")
    assert watched(keeper, flux) == sync


def test_retry_may_change_the_reason_but_not_the_moment() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    flux.fail_build(rev(2))
    first = watched(keeper, flux)
    flux.wait(15)
    checked = flux.apply(rev(2))
    flux.wait(30)
    flux.end_badly(rev(2), "HealthCheckFailed", "timeout", "bad")
    sync = watched(keeper, flux)
    assert (sync.id, sync.reason, sync.message) == (first.id, "HealthCheckFailed", "timeout")
    assert sync.failed == first.failed
    assert sync.applied is not None
    assert checked is not None
    assert sync.applied.at == checked.replace(microsecond=0)
    assert sync.outcome is Outcome.FAILED


def test_failed_revision_that_recovers_by_a_retry_is_the_same_sync() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    flux.fail_health(rev(2), "d2")
    first = watched(keeper, flux)
    flux.wait(15)
    healthy = flux.succeed(rev(2), "d2")
    sync = watched(keeper, flux)
    assert sync.id == first.id
    assert (sync.outcome, sync.failed) == (Outcome.SUCCEEDED, None)
    assert sync.applied == first.applied
    assert sync.healthy is not None
    assert sync.healthy.at == healthy.replace(microsecond=0)
    assert sync.version > first.version


def test_failed_health_checks_keep_the_release_applied() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    checking = flux.apply(rev(2))
    flux.wait(30)
    failed = flux.end_badly(rev(2), "HealthCheckFailed", "timeout", "bad")
    sync = watched(keeper, flux)
    assert checking is not None
    assert sync.outcome is Outcome.FAILED
    assert sync.applied is not None
    assert sync.applied.at == checking.replace(microsecond=0)
    assert sync.failed is not None
    assert sync.failed.at == failed.replace(microsecond=0)
    assert keeper.kept.applied == rev(1)


def test_artifact_failure_is_of_the_revision_that_was_fetched() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.fail_artifact(rev(2))
    sync = watched(keeper, flux)
    assert (sync.revision, sync.outcome, sync.reason) == (rev(2), Outcome.FAILED, "ArtifactFailed")
    assert keeper.kept.attempted == rev(1)


def test_next_revision_after_a_failure_is_not_failed_by_it() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.fail_build(rev(2))
    failed = watched(keeper, flux)
    flux.step("Fetching manifests", rev(3))
    running = watched(keeper, flux)
    assert running.id != failed.id
    assert (running.outcome, running.previous) == (Outcome.RUNNING, rev(1))
    flux.begin(rev(3))
    flux.end_well(rev(3), "d3")
    assert watched(keeper, flux).outcome is Outcome.SUCCEEDED
    assert keeper.syncs[failed.id] == failed


def test_waiting_for_a_dependency_is_no_attempt() -> None:
    flux = Controller()
    keeper = settled(flux)
    baseline = keeper.last
    flux.wait_for_dependency()
    assert watched(keeper, flux) == baseline
    assert (keeper.kept.phase, keeper.kept.reason) == (Outcome.WAITING, "DependencyNotReady")
    flux.wait(10)
    flux.succeed(rev(2), "d2")
    assert watched(keeper, flux).outcome is Outcome.SUCCEEDED


def test_suspended_target_goes_on_where_it_was_resumed() -> None:
    flux = Controller()
    keeper = settled(flux)
    baseline = keeper.last
    flux.suspend()
    assert watched(keeper, flux) == baseline
    assert keeper.kept.is_suspended
    flux.suspend(False)
    flux.succeed(rev(3), "d3")
    sync = watched(keeper, flux)
    assert (sync.revision, sync.previous, sync.outcome) == (rev(3), rev(1), Outcome.SUCCEEDED)
    assert not sync.has_new_manifests  # the spec's generation moved as well: a commit need not be the cause


def test_suspended_while_failing_stays_failed() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.fail_build(rev(2))
    failed = watched(keeper, flux)
    flux.suspend()
    flux.wait(3600)
    flux.suspend(False)
    assert watched(keeper, flux) == failed


def test_revision_superseded_before_its_end_is_left_running() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.begin(rev(2))
    skipped = watched(keeper, flux)
    flux.succeed(rev(3), "d3")
    sync = watched(keeper, flux)
    assert (sync.revision, sync.previous) == (rev(3), rev(1))
    assert keeper.syncs[skipped.id].outcome is Outcome.RUNNING


def test_cancelled_health_checks_are_no_failure() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    flux.apply(rev(2))
    flux.wait(3)
    flux.end_badly(rev(2), "HealthCheckCanceled", "New reconciliation triggered by GitRepository/flux-system/fleet")
    cancelled = watched(keeper, flux)
    assert (cancelled.outcome, cancelled.failed) == (Outcome.CHECKING, None)
    flux.succeed(rev(3), "d3")
    assert watched(keeper, flux).revision == rev(3)
    assert keeper.syncs[cancelled.id] == cancelled


def test_push_without_effect_is_unchanged() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.succeed(rev(2), "d1")
    sync = watched(keeper, flux)
    assert flux.object.history[0].total == 2
    assert (sync.outcome, sync.is_unchanged, sync.has_new_manifests) == (Outcome.SUCCEEDED, True, False)
    assert sync.applied is not None
    assert sync.applied.precision is Precision.EXACT


def test_push_without_effect_but_with_another_spec_is_not_unchanged() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.write(generation=2)
    flux.succeed(rev(2), "d1")
    sync = watched(keeper, flux)
    assert not sync.is_unchanged
    assert not sync.has_new_manifests


def test_force_push_back_applies_the_old_revision_again() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.succeed(rev(2), "d2")
    watched(keeper, flux)
    flux.wait(60)
    back = flux.succeed(rev(1), "d1")
    sync = watched(keeper, flux)
    assert flux.object.history[0].first_reconciled == at(0)
    assert (sync.revision, sync.previous, sync.cause) == (rev(1), rev(2), Cause.REVISION)
    assert sync.applied is not None
    assert sync.applied.at == back.replace(microsecond=0)
    assert not sync.is_unchanged


def test_revert_brings_an_old_snapshot_back_under_a_new_revision() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.succeed(rev(2), "d2")
    watched(keeper, flux)
    flux.wait(60)
    reverted = flux.succeed(rev(3), "d1")
    sync = watched(keeper, flux)
    assert sync.applied is not None
    assert sync.applied.at == reverted.replace(microsecond=0)
    assert (sync.is_unchanged, sync.has_new_manifests) == (False, True)


def test_same_revision_with_other_manifests_is_a_change_of_configuration() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.write(generation=2)
    flux.succeed(rev(1), "d2")
    sync = watched(keeper, flux)
    assert (sync.cause, sync.revision, sync.previous) == (Cause.CONFIGURATION, rev(1), rev(1))
    assert sync.outcome is Outcome.SUCCEEDED
    assert keeper.kept.applied_digest == digest("d2")


def test_never_applied_target_awaits_its_baseline() -> None:
    flux = Controller(has_checks=True)
    keeper = Keeper()
    flux.write()
    keeper.watch(flux.writes)
    flux.writes.clear()
    assert keeper.kept.awaits_baseline
    assert not keeper.syncs
    flux.fail_health(rev(1))
    failed = watched(keeper, flux)
    assert (failed.cause, failed.outcome) == (Cause.BASELINE, Outcome.FAILED)
    assert keeper.kept.awaits_baseline
    flux.wait(60)
    flux.succeed(rev(2), "d2")
    sync = watched(keeper, flux)
    assert (sync.cause, sync.outcome) == (Cause.BASELINE, Outcome.SUCCEEDED)
    assert (keeper.kept.awaits_baseline, keeper.kept.baseline_sha) == (False, sha(2))


def test_branch_switch_is_a_baseline_for_a_repointed_target() -> None:
    flux = Controller()
    keeper = settled(flux)
    keeper.target = replace(keeper.kept, awaits_baseline=True)
    flux.succeed(rev(5, "release"), "d5")
    sync = watched(keeper, flux)
    assert (sync.cause, keeper.kept.baseline_sha) == (Cause.BASELINE, sha(5))
    assert not keeper.kept.awaits_baseline


def test_branch_switch_to_the_same_commit_is_a_baseline_too() -> None:
    flux = Controller()
    keeper = settled(flux)
    keeper.target = replace(keeper.kept, awaits_baseline=True)
    flux.succeed(rev(1, "release"), "d1")
    sync = watched(keeper, flux)
    assert (sync.revision, sync.cause) == (rev(1, "release"), Cause.BASELINE)
    assert not keeper.kept.awaits_baseline


def test_repointed_path_is_a_baseline_once_the_new_spec_is_reconciled() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.write(generation=2, path="./other")
    first = watched(keeper, flux)
    assert keeper.kept.awaits_baseline
    assert first.cause is Cause.BASELINE
    flux.succeed(rev(1), "d2")
    sync = watched(keeper, flux)
    assert (sync.id != first.id, sync.cause) == (True, Cause.BASELINE)
    assert not keeper.kept.awaits_baseline


def test_repointed_while_a_revision_is_under_way() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.begin(rev(2))
    begun = watched(keeper, flux)
    flux.write(generation=2, path="./other")
    flux.succeed(rev(2), "d2")
    sync = watched(keeper, flux)
    assert (sync.id, sync.cause, begun.cause) == (begun.id, Cause.BASELINE, Cause.REVISION)
    assert not keeper.kept.awaits_baseline


def test_older_flux_without_history_is_dated_by_its_conditions() -> None:
    flux = Controller(has_history=False)
    keeper = settled(flux)
    assert keeper.last.succeeded is not None
    assert keeper.last.succeeded.precision is Precision.ESTIMATED
    assert keeper.last.succeeded.not_after == at(0)
    ready = flux.succeed(rev(2))
    sync = watched(keeper, flux)
    assert sync.applied is not None
    assert (sync.applied.at, sync.applied.precision) == (ready.replace(microsecond=0), Precision.EXACT)
    assert (sync.manifests_digest, sync.is_unchanged, sync.has_new_manifests) == (None, False, False)


def test_success_whose_ready_condition_says_nothing_new_is_observed() -> None:
    """Another controller's condition, or one that was not moved: only our own look dates it."""
    flux = Controller()
    keeper = settled(flux)
    said = tuple(replace(item, message="all well") for item in flux.object.conditions)
    keeper.see(Write(flux.write(conditions=said, last_attempted=rev(2)), flux.object), was_held=True)
    before = flux.now
    flux.wait(5)
    keeper.see(Write(flux.write(last_applied=rev(2)), flux.object), was_held=True)
    applied = keeper.last.applied
    assert applied is not None
    assert (applied.precision, applied.evidence) == (Precision.OBSERVED, Evidence.STATUS_OBSERVED)
    assert (applied.at, applied.not_before) == (flux.now, before - SLACK)


def test_object_without_any_status_says_nothing() -> None:
    flux = Controller()
    keeper = Keeper()
    flux.write()
    flux.write(last_attempted=None)
    keeper.watch(flux.writes)
    assert (keeper.kept.phase, keeper.kept.reason, keeper.kept.phase_since) == (Outcome.UNKNOWN, "", None)
    assert not keeper.syncs


def test_failure_without_a_time_is_bracketed() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.begin(rev(2))
    started = watched(keeper, flux).started
    flux.write(
        conditions=(
            Condition("Reconciling", "True", "ProgressingWithRetry", f"Building manifests for revision {rev(2)}", None),
            Condition("Ready", "False", "BuildFailed", "broken", None),
        )
    )
    sync = watched(keeper, flux)
    assert sync.failed is not None
    assert (sync.failed.precision, sync.failed.not_after) == (Precision.ESTIMATED, flux.now)
    assert sync.failed.not_before is not None
    assert sync.failed.not_before <= started.at


def test_revisions_of_an_unknown_form_are_compared_as_text() -> None:
    flux = Controller()
    keeper = settled(flux, "what-is-this")
    baseline = keeper.last
    assert baseline.sha is None
    flux.succeed("what-is-this", "d1")
    assert watched(keeper, flux) == baseline
    flux.succeed("and-this", "d2")
    assert (watched(keeper, flux).revision, keeper.last.previous_sha) == ("and-this", None)


def test_artifact_digest_is_the_one_of_the_source_at_that_revision() -> None:
    flux = Controller()
    item = flux.object
    source = SourceRecord(
        id=SourceId(1),
        cluster=settled(Controller()).kept.cluster,
        key=item.source,
        uid=item.uid,
        url="https://example.com/fleet",
        repository_id=None,
        branch="main",
        follows_tags=False,
        is_suspended=False,
        ignore=None,
        sparse_checkout=(),
        revision=rev(2),
        digest="sha256:a",
        problem=None,
        observed_at=at(0),
    )
    keeper = settled(flux, source=source)
    assert keeper.last.artifact_digest is None
    flux.succeed(rev(2), "d2")
    assert watched(keeper, flux).artifact_digest == "sha256:a"
