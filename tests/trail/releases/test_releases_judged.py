"""Given the writes of helm-controller, watched without a gap: what `judge_release` says became of a release."""

from __future__ import annotations

import msgspec
import pytest
from tests.trail.releases.controller import HelmController, ReleaseKeeper, config, installed

from fluxtrail.model.moment import Evidence, Precision
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, SyncRecord

replace = msgspec.structs.replace
OCI = f"sha256:{'a1' * 32}"
MOVED = f"sha256:{'b2' * 32}"


def watched(keeper: ReleaseKeeper, flux: HelmController) -> SyncRecord:
    keeper.watch(flux)
    return keeper.last


def test_installation_is_a_baseline() -> None:
    keeper = installed(HelmController())
    assert (keeper.kept.applied, keeper.kept.applied_digest, keeper.kept.applied_generation) == (
        "1.0.0",
        config("v1"),
        1,
    )
    assert not keeper.kept.awaits_baseline
    assert (keeper.kept.phase, keeper.kept.reason) == (Outcome.SUCCEEDED, "InstallSucceeded")
    assert list(keeper.syncs) == [1]
    assert (keeper.last.cause, keeper.last.outcome, keeper.last.action) == (
        Cause.BASELINE,
        Outcome.SUCCEEDED,
        "install",
    )


def test_other_values_are_a_change_dated_by_its_conditions() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    ended = flux.release()
    sync = watched(keeper, flux)
    assert (sync.cause, sync.outcome, sync.action, sync.generation) == (
        Cause.CONFIGURATION,
        Outcome.SUCCEEDED,
        "upgrade",
        2,
    )
    assert (sync.revision, sync.previous, sync.manifests_digest) == ("1.0.0", "1.0.0", config("v2"))
    assert sync.started.precision is Precision.OBSERVED
    assert sync.succeeded is not None
    assert sync.applied is not None
    assert (sync.succeeded.at, sync.succeeded.precision) == (ended, Precision.EXACT)
    assert sync.healthy == sync.succeeded
    assert (sync.applied.evidence, sync.applied.precision) == (Evidence.HELM_RELEASE, Precision.ESTIMATED)
    assert sync.applied.not_before == flux.object.history[0].last_deployed
    assert sync.applied.not_after == ended


def test_without_waiting_applied_is_when_it_ended() -> None:
    flux = HelmController(has_checks=False)
    keeper = installed(flux)
    flux.change("v2")
    ended = flux.release()
    sync = watched(keeper, flux)
    assert sync.applied == sync.succeeded
    assert sync.applied is not None
    assert (sync.applied.at, sync.healthy) == (ended, None)


def test_other_chart_of_the_same_generation_is_a_new_revision() -> None:
    flux = HelmController(chart="0.1.0+c5ad06e79733")
    keeper = installed(flux)
    flux.chart = "0.1.0+2b09cb8a9db6"
    flux.release()
    sync = watched(keeper, flux)
    assert (sync.cause, sync.revision, sync.previous, sync.generation) == (
        Cause.REVISION,
        "0.1.0+2b09cb8a9db6",
        "0.1.0+c5ad06e79733",
        1,
    )


def test_moved_tag_of_an_oci_chart_is_a_new_revision() -> None:
    flux = HelmController(chart="0.2.0+a1a1a1a1a1a1")
    flux.digest = OCI
    keeper = installed(flux)
    assert keeper.kept.applied == f"0.2.0@{OCI}"
    flux.chart, flux.digest = "0.2.0+b2b2b2b2b2b2", MOVED
    flux.release()
    sync = watched(keeper, flux)
    assert (sync.cause, sync.revision, sync.artifact_digest) == (Cause.REVISION, f"0.2.0@{MOVED}", MOVED)


def test_artifact_without_a_version_tag_has_its_own_revision() -> None:
    flux = HelmController(chart="0.2.0+a1a1a1a1a1a1")
    flux.digest = f"latest@{OCI}"
    keeper = installed(flux)
    assert keeper.kept.applied == f"latest@{OCI}"
    assert keeper.last.artifact_digest == OCI


def test_steps_are_said_as_they_come() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    flux.release()
    said = [(len(keeper.see(write, was_held=True)), keeper.last.outcome) for write in flux.writes]
    assert said == [
        (0, Outcome.SUCCEEDED),  # the spec
        (0, Outcome.SUCCEEDED),  # Fulfilling prerequisites
        (0, Outcome.SUCCEEDED),  # Ready=Unknown
        (1, Outcome.RUNNING),  # lastAttempted…
        (0, Outcome.RUNNING),  # Ready=True
        (1, Outcome.SUCCEEDED),  # the history
        (0, Outcome.SUCCEEDED),  # no Reconciling
        (0, Outcome.SUCCEEDED),  # observedGeneration
    ]


def test_generation_that_changes_nothing_is_handled_and_unchanged() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change()
    flux.find_in_sync()
    sync = watched(keeper, flux)
    assert (sync.cause, sync.outcome, sync.generation) == (Cause.CONFIGURATION, Outcome.SUCCEEDED, 2)
    assert sync.is_unchanged
    assert sync.action == ""
    assert keeper.kept.applied_generation == 2


def test_generation_with_the_same_values_that_was_released_is_no_unchanged_one() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change()  # post-renderers, say
    flux.release()
    sync = watched(keeper, flux)
    assert (sync.outcome, sync.generation, sync.is_unchanged) == (Outcome.SUCCEEDED, 2, False)
    assert len(keeper.syncs) == 2


def test_interval_repair_of_drift_and_forced_upgrade_are_no_change() -> None:
    flux = HelmController()
    keeper = installed(flux)
    before = keeper.last
    flux.find_in_sync()
    flux.prepare()
    flux.say(("Ready", "Unknown", "Progressing", "correcting cluster drift"))
    flux.find_in_sync()
    flux.release()  # forced
    flux.attempt("upgrade")
    flux.end_badly("upgrade")  # forced, and failed
    flux.settle()
    assert watched(keeper, flux) == before
    assert keeper.kept.phase is Outcome.FAILED
    assert keeper.kept.applied == "1.0.0"


def test_failed_upgrade_stays_failed_through_retries_until_it_succeeds() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    flux.attempt("upgrade")
    flux.end_badly("upgrade")
    sync = watched(keeper, flux)
    failed = flux.actions[-1].replace(microsecond=0)
    assert (sync.outcome, sync.reason, sync.action, sync.is_remediated) == (
        Outcome.FAILED,
        "UpgradeFailed",
        "upgrade",
        False,
    )
    assert sync.failed is not None
    assert (sync.failed.at, sync.failed.precision) == (failed, Precision.EXACT)
    assert sync.applied is not None
    assert sync.applied.not_before == flux.object.history[0].last_deployed
    flux.wait(30)
    flux.attempt("upgrade")
    again = watched(keeper, flux)
    assert (again.outcome, again.failed, keeper.kept.phase) == (Outcome.FAILED, sync.failed, Outcome.RUNNING)
    flux.end_badly("upgrade")
    assert watched(keeper, flux).failed == sync.failed
    flux.release()
    last = watched(keeper, flux)
    assert (last.id, last.outcome, last.failed, last.applied) == (sync.id, Outcome.SUCCEEDED, None, sync.applied)


def test_failure_to_apply_was_never_applied() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    flux.attempt("upgrade")
    flux.end_badly("upgrade", "Deployment is invalid")
    flux.give_up()
    sync = watched(keeper, flux)
    assert (sync.outcome, sync.applied) == (Outcome.FAILED, None)
    assert (keeper.kept.phase, keeper.kept.reason) == (Outcome.FAILED, "UpgradeFailed")


def test_rolled_back_is_failed_and_remediated_and_the_older_one_is_applied() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    flux.attempt("upgrade")
    flux.end_badly("upgrade")
    flux.roll_back()
    sync = watched(keeper, flux)
    assert (sync.outcome, sync.is_remediated, sync.reason) == (Outcome.FAILED, True, "UpgradeFailed")
    assert sync.action == "upgrade"
    assert "timeout waiting" in sync.message
    assert (keeper.kept.applied_digest, keeper.kept.applied_generation) == (config("v1"), 1)
    assert len(keeper.syncs) == 2


def test_going_back_to_what_was_rolled_back_to_changes_nothing() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    flux.attempt("upgrade")
    flux.end_badly("upgrade")
    flux.roll_back()
    keeper.watch(flux)
    flux.change("v1")
    flux.find_in_sync()
    sync = watched(keeper, flux)
    assert (sync.outcome, sync.generation, sync.is_unchanged) == (Outcome.SUCCEEDED, 3, True)
    assert [item.outcome for item in keeper.syncs.values()][-2] is Outcome.FAILED


@pytest.mark.parametrize("is_good", [True, False])
def test_tests_decide_what_was_applied_before_them(is_good: bool) -> None:
    flux = HelmController(has_tests=True)
    keeper = installed(flux)
    flux.change("v2")
    flux.attempt("upgrade")
    flux.end_well("upgrade")
    checking = watched(keeper, flux)
    released = flux.actions[-1].replace(microsecond=0)
    assert checking.outcome is Outcome.CHECKING
    assert checking.applied is not None
    assert checking.applied.not_after == released
    flux.test(is_good=is_good)
    sync = watched(keeper, flux)
    assert sync.applied == checking.applied
    ended = sync.succeeded if is_good else sync.failed
    assert ended is not None
    assert ended.at == flux.actions[-1].replace(microsecond=0)
    assert sync.outcome is (Outcome.SUCCEEDED if is_good else Outcome.FAILED)
    assert sync.reason == ("TestSucceeded" if is_good else "TestFailed")


def test_waiting_for_a_dependency_or_a_chart_is_no_sync() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    before = keeper.last
    for reason, message in (
        ("DependencyNotReady", "dependency 'shop/db' is not ready"),
        ("SourceNotReady", "HelmChart 'x' is not ready: latest generation of object has not been reconciled"),
    ):
        flux.refuse(reason, message)
        assert watched(keeper, flux) == before
        assert (keeper.kept.phase, keeper.kept.reason) == (Outcome.WAITING, reason)


@pytest.mark.parametrize("reason", ["ArtifactFailed", "SourceNotReady", "ValuesError"])
def test_chart_that_cannot_be_had_fails_the_generation_that_asked_for_it(reason: str) -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    flux.refuse(reason, "no chart with version 9.9.9")
    sync = watched(keeper, flux)
    assert (sync.outcome, sync.reason, sync.generation, sync.revision) == (Outcome.FAILED, reason, 2, "1.0.0")
    assert (sync.manifests_digest, sync.applied) == (None, None)
    flux.release()
    done = watched(keeper, flux)
    assert (done.id, done.outcome, done.manifests_digest) == (sync.id, Outcome.SUCCEEDED, config("v2"))


def test_chart_that_is_gone_does_not_fail_what_was_applied() -> None:
    flux = HelmController()
    keeper = installed(flux)
    before = keeper.last
    flux.refuse("ArtifactFailed", "Source not ready: artifact not found")
    assert watched(keeper, flux) == before
    assert keeper.kept.phase is Outcome.FAILED


def test_controller_that_was_killed_goes_on_with_the_same_change() -> None:
    flux = HelmController()
    keeper = installed(flux)
    flux.change("v2")
    flux.attempt("upgrade")
    flux.prepare()
    unlocked = "Unlocked Helm release shop/cart.v2 with chart cart@1.0.0 in pending-upgrade state"
    flux.say(("Ready", "False", "PendingRelease", unlocked), ("Released", "False", "PendingRelease", unlocked))
    flux.note(history=())
    assert watched(keeper, flux).outcome is Outcome.RUNNING
    flux.release()
    sync = watched(keeper, flux)
    assert (sync.id, sync.outcome, sync.is_unchanged) == (2, Outcome.SUCCEEDED, False)


def test_release_that_is_being_deleted_is_left_alone() -> None:
    flux = HelmController()
    keeper = installed(flux)
    before = keeper.last
    flux.change(is_deleting=True)
    message = "Helm uninstall succeeded for release shop/cart.v1 with chart cart@1.0.0"
    flux.say(("Ready", "False", "UninstallSucceeded", message), ("Released", "False", "UninstallSucceeded", message))
    flux.note(history=())
    assert watched(keeper, flux) == before


def test_release_of_old_flux_is_followed_by_what_it_says_it_applied() -> None:
    flux = HelmController()
    old = replace(flux.object, attempted_generation=None)
    keeper = ReleaseKeeper()

    def say(seconds: float, ready: tuple[str, str], **fields: object) -> None:
        nonlocal old
        flux.object, flux.now = old, flux.now
        flux.wait(seconds)
        flux.say(("Ready", *ready, "Release reconciliation"))
        flux.note(**fields)
        old = flux.object

    noted = {"last_attempted": "1.0.0", "last_attempted_config": "sha1:a", "observed_generation": 1}
    say(1, ("Unknown", "Progressing"), **noted)
    say(9, ("True", "ReconciliationSucceeded"), last_applied="1.0.0", last_release=1)
    keeper.watch(flux)
    assert (keeper.last.cause, keeper.last.outcome, keeper.kept.applied) == (
        Cause.BASELINE,
        Outcome.SUCCEEDED,
        "1.0.0",
    )
    say(1, ("Unknown", "Progressing"), generation=2, observed_generation=2, last_attempted="1.1.0")
    say(9, ("False", "UpgradeFailed"), failures=1)
    assert watched(keeper, flux).outcome is Outcome.FAILED
    say(9, ("False", "UpgradeFailed"), failures=1)
    say(9, ("True", "ReconciliationSucceeded"), last_applied="1.1.0", last_release=3)
    sync = watched(keeper, flux)
    assert (sync.id, sync.outcome, sync.revision, sync.cause) == (2, Outcome.SUCCEEDED, "1.1.0", Cause.REVISION)
