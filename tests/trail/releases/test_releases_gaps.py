"""Who looks only now and then learns the same of a release as who watched, and never claims to know more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trail.releases.controller import HelmController, ReleaseKeeper, Write, config, installed

from fluxtrail.model.moment import Moment, Precision
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, SyncRecord

RESOLUTION = timedelta(seconds=1)


def upgrade(flux: HelmController) -> None:
    flux.change(f"v{flux.object.generation + 1}")
    flux.release()


def new_chart(flux: HelmController) -> None:
    flux.chart = f"{int(flux.chart.partition('.')[0]) + 1}.0.0"
    flux.release()


def no_effect(flux: HelmController) -> None:
    flux.change()
    flux.find_in_sync()


def fail(flux: HelmController) -> None:
    flux.change(f"v{flux.object.generation + 1}")
    flux.attempt("upgrade")
    flux.end_badly("upgrade")
    flux.give_up()


def fail_and_roll_back(flux: HelmController) -> None:
    flux.change(f"v{flux.object.generation + 1}")
    flux.attempt("upgrade")
    flux.end_badly("upgrade")
    flux.roll_back()


def fail_and_retry(flux: HelmController) -> None:
    flux.change(f"v{flux.object.generation + 1}")
    for _ in range(2):
        flux.attempt("upgrade")
        flux.end_badly("upgrade")
        flux.wait(15)
    flux.release()


def no_chart(flux: HelmController) -> None:
    flux.change()
    flux.refuse("SourceNotReady", "HelmChart 'x' is not ready: latest generation of object has not been reconciled")
    flux.find_in_sync()


STEPS: list[Callable[[HelmController], None]] = [
    upgrade,
    new_chart,
    fail,
    fail_and_roll_back,
    fail_and_retry,
    upgrade,
]
QUIET: list[Callable[[HelmController], None]] = [no_effect, no_chart]


def played(steps: list[Callable[[HelmController], None]], *, has_checks: bool) -> list[Write]:
    """Return all writes of a release that lives through these steps and ends well."""
    flux = HelmController(has_checks=has_checks)
    flux.release("install")
    for step in [*steps, upgrade]:
        flux.wait(30)
        is_steady = flux.object.history[0].status == "deployed" and flux.object.history[0].action != "rollback"
        if is_steady or step not in QUIET:
            step(flux)
    return flux.writes


def keep(writes: list[Write], seen: set[int]) -> ReleaseKeeper:
    keeper = ReleaseKeeper()
    for index, write in enumerate(writes):
        if index in seen:
            keeper.see(write, was_held=index - 1 in seen)
    return keeper


def may_be(late: Moment, true: Moment) -> bool:
    if late.precision is Precision.EXACT and true.precision is Precision.EXACT:
        return late.at == true.at
    is_open = late.precision is Precision.ESTIMATED and late.not_before is None
    return (is_open or late.earliest - RESOLUTION <= true.latest) and true.earliest - RESOLUTION <= late.latest


def agrees(late: SyncRecord, watched: list[SyncRecord]) -> bool:
    """True if somebody who watched knows of this very change, and of nothing that contradicts it."""
    for true in watched:
        has_ended = late.outcome in (Outcome.SUCCEEDED, Outcome.FAILED)
        is_same = late.outcome is true.outcome or (late.outcome is Outcome.FAILED and true.outcome is Outcome.SUCCEEDED)
        if has_ended and not is_same:
            continue
        if late.is_unchanged and not true.is_unchanged:
            continue
        pairs = [(late.succeeded, true.succeeded), (late.applied, true.applied)]
        if late.outcome is true.outcome and late.outcome is Outcome.FAILED:
            pairs.append((late.failed, true.failed))
        is_baseline = late.cause is Cause.BASELINE
        if is_baseline or all(may_be(left, right) for left, right in pairs if left and right):
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.sampled_from(STEPS + QUIET), max_size=5),
    has_checks=st.booleans(),
    share=st.sampled_from([0.1, 0.4, 0.8]),
    random=st.randoms(use_true_random=False),
)
def test_gaps_change_no_outcome_and_no_key(
    steps: list[Callable[[HelmController], None]], has_checks: bool, share: float, random: object
) -> None:
    draw: Callable[[], float] = random.random  # type: ignore[attr-defined]
    writes = played(steps, has_checks=has_checks)
    watched = keep(writes, set(range(len(writes))))
    late = keep(writes, {index for index in range(len(writes) - 1) if draw() < share} | {len(writes) - 1})
    assert (late.kept.applied, late.kept.applied_digest, late.kept.applied_generation, late.kept.phase) == (
        watched.kept.applied,
        watched.kept.applied_digest,
        watched.kept.applied_generation,
        watched.kept.phase,
    )
    for sync in late.syncs.values():
        same = [
            true
            for true in watched.syncs.values()
            if (true.revision, true.manifests_digest) == (sync.revision, sync.manifests_digest)
        ]
        assert agrees(sync, same), sync
    last, true = late.last, watched.last
    assert (last.revision, last.manifests_digest, last.generation, last.outcome) == (
        true.revision,
        true.manifests_digest,
        true.generation,
        true.outcome,
    )


def test_success_that_was_missed_is_found_in_the_history() -> None:
    flux = HelmController()
    keeper = installed(flux)
    upgrade(flux)
    flux.wait(60)
    second = flux.object.history[0].last_deployed
    upgrade(flux)
    third = flux.object.history[0].last_deployed
    ended = flux.actions[-1].replace(microsecond=0)
    keeper.come_late(flux)
    missed, newest = keeper.syncs.values() if len(keeper.syncs) == 2 else list(keeper.syncs.values())[1:]
    assert (missed.manifests_digest, missed.outcome, missed.generation) == (config("v2"), Outcome.SUCCEEDED, 1)
    assert missed.succeeded is not None
    assert (missed.succeeded.not_before, missed.succeeded.not_after) == (second, third)
    assert (newest.manifests_digest, newest.outcome, newest.generation) == (config("v3"), Outcome.SUCCEEDED, 3)
    assert newest.succeeded is not None
    assert (newest.succeeded.at, newest.succeeded.precision) == (ended, Precision.EXACT)
    assert newest.started.precision is Precision.ESTIMATED


def test_failure_that_was_missed_is_found_too() -> None:
    flux = HelmController()
    keeper = installed(flux)
    fail(flux)
    flux.wait(60)
    upgrade(flux)
    keeper.come_late(flux)
    _, missed, newest = keeper.syncs.values()
    assert (missed.manifests_digest, missed.outcome, missed.reason) == (config("v2"), Outcome.FAILED, "UpgradeFailed")
    assert missed.failed is not None
    assert missed.failed.precision is Precision.ESTIMATED
    assert newest.outcome is Outcome.SUCCEEDED
    assert (newest.previous, keeper.kept.applied_digest) == ("1.0.0", config("v3"))


def test_first_failure_that_was_missed_is_dated_where_flux_counted_one() -> None:
    flux = HelmController()
    keeper = installed(flux)
    fail_and_roll_back(flux)
    ended = flux.actions[-1].replace(microsecond=0)
    keeper.come_late(flux)
    assert keeper.last.failed is not None
    assert (keeper.last.failed.at, keeper.last.failed.precision) == (ended, Precision.EXACT)
    assert (keeper.last.is_remediated, keeper.last.reason) == (True, "UpgradeFailed")


def test_first_sight_amid_a_failure_has_the_older_release_for_a_baseline() -> None:
    flux = HelmController()
    flux.release("install")
    fail_and_roll_back(flux)
    keeper = ReleaseKeeper()
    keeper.come_late(flux)
    baseline, failed = keeper.syncs.values()
    assert (baseline.cause, baseline.outcome, baseline.manifests_digest) == (
        Cause.BASELINE,
        Outcome.SUCCEEDED,
        config("v1"),
    )
    assert (failed.cause, failed.outcome, failed.manifests_digest) == (
        Cause.CONFIGURATION,
        Outcome.FAILED,
        config("v2"),
    )
    assert failed.is_remediated
    assert not keeper.kept.awaits_baseline


def test_first_sight_amid_an_action_knows_what_stands_and_what_is_coming() -> None:
    flux = HelmController()
    flux.release("install")
    flux.change("v2")
    flux.attempt("upgrade")
    keeper = ReleaseKeeper()
    keeper.come_late(flux)
    baseline, running = keeper.syncs.values()
    assert (baseline.outcome, baseline.manifests_digest) == (Outcome.SUCCEEDED, config("v1"))
    assert (running.outcome, running.manifests_digest, running.generation) == (Outcome.RUNNING, config("v2"), 2)


def test_success_seen_once_the_next_action_runs_is_not_lost() -> None:
    flux = HelmController()
    keeper = installed(flux)
    upgrade(flux)
    flux.change("v3")
    flux.prepare()
    flux.say(("Ready", "Unknown", "Progressing", "Running 'upgrade' action with timeout of 5m0s"))
    keeper.come_late(flux)
    assert (keeper.last.outcome, keeper.last.manifests_digest) == (Outcome.SUCCEEDED, config("v2"))


def test_end_of_tests_that_was_missed() -> None:
    flux = HelmController(has_tests=True)
    keeper = installed(flux)
    flux.change("v2")
    flux.attempt("upgrade")
    flux.end_well("upgrade")
    keeper.watch(flux)
    flux.test()
    flux.settle()
    flux.change("v3")
    flux.attempt("upgrade")
    flux.end_well("upgrade")
    flux.test(is_good=False)
    flux.give_up()
    keeper.come_late(flux)
    outcomes = [(sync.manifests_digest, sync.outcome) for sync in keeper.syncs.values()]
    assert outcomes == [
        (config("v1"), Outcome.SUCCEEDED),
        (config("v2"), Outcome.SUCCEEDED),
        (config("v3"), Outcome.FAILED),
    ]
    assert keeper.kept.applied_digest == config("v2")


def unseen(*steps: Callable[[HelmController], None]) -> list[SyncRecord]:
    """Return what is known of these steps by who saw the release before the first and after the last of them."""
    flux = HelmController()
    flux.release("install")
    begin = len(flux.writes) - 1
    for step in steps:
        flux.wait(30)
        step(flux)
    return list(keep(flux.writes, {begin, len(flux.writes) - 1}).syncs.values())[1:]


def test_values_tell_the_generation_of_a_missed_release_where_the_spec_was_changed_once() -> None:
    assert [sync.generation for sync in unseen(upgrade, new_chart)] == [2, 2]
    assert [sync.generation for sync in unseen(new_chart, upgrade)] == [1, 2]
    assert next(sync.generation for sync in unseen(upgrade, upgrade, new_chart)) == 1
