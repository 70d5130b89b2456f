"""Given writes of which some were never seen: `judge` claims nothing that did not happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trail.transcripts import Controller, Keeper, Write, at, digest, rev, settled

from fluxtrail.model.moment import Evidence, Moment, Precision, exact
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, SyncId, SyncRecord

SECOND = timedelta(seconds=1)


def look_late(keeper: Keeper, flux: Controller, after: float = 300) -> SyncRecord:
    flux.wait(after)
    flux.writes.clear()
    keeper.see(Write(flux.now, flux.object), was_held=False)
    return keeper.last


@pytest.mark.parametrize("has_checks", [False, True], ids=["plain", "checked"])
def test_late_success_is_exact_where_its_snapshot_is_new_and_single(has_checks: bool) -> None:
    flux = Controller(has_checks=has_checks)
    keeper = settled(flux)
    last_look = flux.now - timedelta(seconds=62)
    ready = flux.succeed(rev(2), "d2")
    sync = look_late(keeper, flux)
    assert sync.succeeded is not None
    assert (sync.succeeded.precision, sync.succeeded.evidence) == (Precision.EXACT, Evidence.STATUS_HISTORY)
    assert abs(sync.succeeded.at - ready) <= SECOND
    assert sync.applied is not None
    if has_checks:
        assert (sync.applied.precision, sync.applied.not_before) == (Precision.ESTIMATED, last_look)
        assert sync.applied.not_after == sync.succeeded.at
    else:
        assert sync.applied == sync.succeeded
    assert sync.started.precision is Precision.ESTIMATED


@pytest.mark.parametrize("is_missed", [False, True], ids=["last", "missed"])
def test_late_success_is_exact_where_manifests_came_back_once(is_missed: bool) -> None:
    flux = Controller()
    keeper = settled(flux, rev(1), "d1")
    flux.wait(60)
    flux.succeed(rev(2), "d2")
    keeper.watch(flux.writes)
    flux.wait(60)
    back = flux.succeed(rev(3), "d1")
    if is_missed:
        flux.wait(60)
        flux.succeed(rev(4), "d4")
    look_late(keeper, flux)
    sync = next(item for item in keeper.syncs.values() if item.revision == rev(3))
    assert sync.applied == exact(back.replace(microsecond=0), Evidence.STATUS_HISTORY)


def test_late_success_is_a_bracket_where_manifests_came_back_twice() -> None:
    flux = Controller()
    keeper = settled(flux, rev(1), "d1")
    flux.wait(60)
    flux.succeed(rev(2), "d2")
    keeper.watch(flux.writes)
    flux.wait(60)
    back = flux.succeed(rev(3), "d1")
    flux.wait(60)
    flux.succeed(rev(3), "d1")
    applied = look_late(keeper, flux).applied
    assert applied is not None
    assert applied.precision is Precision.ESTIMATED
    assert applied.earliest <= back <= applied.latest


def test_late_success_is_a_bracket_where_the_snapshot_tells_of_others_too() -> None:
    flux = Controller()
    keeper = settled(flux)
    last_look = flux.now - timedelta(seconds=62)
    ready = flux.succeed(rev(2), "d2")
    for _ in range(3):
        flux.wait(60)
        again = flux.succeed(rev(2), "d2")
    sync = look_late(keeper, flux)
    assert sync.succeeded is not None
    assert sync.succeeded.precision is Precision.ESTIMATED
    assert sync.succeeded.not_before is not None
    assert last_look <= sync.succeeded.not_before
    assert sync.succeeded.not_before - SECOND <= ready
    assert sync.succeeded.latest <= again + SECOND


def test_late_success_is_a_bracket_where_its_manifests_changed_under_it() -> None:
    """The newest snapshot is new and single, but an older one tells of an earlier success of the same revision."""
    flux = Controller()
    keeper = settled(flux)
    ready = flux.succeed(rev(2), "d2")
    flux.wait(60)
    flux.succeed(rev(2), "d3")
    sync = look_late(keeper, flux)
    assert sync.succeeded is not None
    assert sync.succeeded.precision is Precision.ESTIMATED
    assert sync.succeeded.not_before is not None
    assert sync.succeeded.not_before - SECOND <= ready <= sync.succeeded.latest + SECOND


def test_late_success_without_history_ends_with_the_ready_condition() -> None:
    flux = Controller(has_history=False)
    keeper = settled(flux)
    last_look = flux.now - timedelta(seconds=62)
    ready = flux.succeed(rev(2))
    sync = look_late(keeper, flux)
    assert sync.succeeded is not None
    assert (sync.succeeded.not_before, sync.succeeded.not_after) == (last_look, ready.replace(microsecond=0))


def test_late_success_whose_condition_moved_on_ends_with_the_look() -> None:
    flux = Controller(has_history=False)
    keeper = settled(flux)
    flux.succeed(rev(2))
    flux.wait(60)
    flux.begin(rev(3))
    keeper.see(Write(flux.now, flux.object), was_held=False)
    done, working = keeper.syncs[keeper.last.id - 1], keeper.last  # type: ignore[index]
    assert (done.revision, done.outcome) == (rev(2), Outcome.SUCCEEDED)
    assert done.succeeded is not None
    assert done.succeeded.not_after == flux.now
    assert (working.revision, working.outcome, working.previous) == (rev(3), Outcome.RUNNING, rev(2))


def test_one_look_may_show_an_end_and_a_failure() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    flux.succeed(rev(2), "d2")
    flux.wait(60)
    flux.fail_health(rev(3), "d3")
    keeper.see(Write(flux.now, flux.object), was_held=False)
    done, failed = keeper.syncs[keeper.last.id - 1], keeper.last  # type: ignore[index]
    assert (done.revision, done.outcome, done.manifests_digest) == (rev(2), Outcome.SUCCEEDED, digest("d2"))
    assert (failed.revision, failed.outcome) == (rev(3), Outcome.FAILED)
    assert failed.failed is not None
    assert failed.failed.precision is Precision.ESTIMATED
    assert failed.applied is not None
    assert failed.applied.not_after == failed.failed.not_after


def test_what_was_applied_in_between_is_found_in_the_history() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.wait(60)
    between = flux.succeed(rev(2), "d2")
    flux.wait(60)
    flux.succeed(rev(3), "d3")
    sync = look_late(keeper, flux)
    assert (sync.revision, sync.previous) == (rev(3), rev(2))
    missed = keeper.syncs[SyncId(2)]
    assert (missed.revision, missed.previous, missed.outcome) == (rev(2), rev(1), Outcome.SUCCEEDED)
    assert missed.succeeded == exact(between.replace(microsecond=0), Evidence.STATUS_HISTORY)


def test_a_push_without_effect_in_between_is_found_as_such() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.wait(60)
    flux.succeed(rev(2), "d1")
    flux.wait(60)
    flux.succeed(rev(3), "d2")
    sync = look_late(keeper, flux)
    missed = keeper.syncs[2]  # type: ignore[index]
    assert (missed.revision, missed.is_unchanged) == (rev(2), True)
    assert (sync.revision, sync.is_unchanged, sync.has_new_manifests) == (rev(3), False, True)


def test_a_return_to_the_same_manifests_in_between_is_no_push_without_effect() -> None:
    flux = Controller()
    keeper = settled(flux)
    for number, made in ((2, "d2"), (3, "d1"), (4, "d2")):
        flux.wait(60)
        flux.succeed(rev(number), made)
    look_late(keeper, flux)
    assert [(item.revision, item.is_unchanged) for item in keeper.syncs.values()][1:] == [
        (rev(3), False),
        (rev(4), False),
    ]


def test_what_was_applied_in_between_and_gave_the_same_as_the_next_is_not_seen() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.wait(60)
    between = flux.succeed(rev(2), "d2")
    flux.wait(60)
    flux.succeed(rev(3), "d2")
    sync = look_late(keeper, flux)
    assert (sync.revision, sync.previous) == (rev(3), rev(1))
    assert sorted(keeper.syncs) == [1, 2]
    assert sync.applied is not None
    assert sync.applied.precision is Precision.ESTIMATED
    assert sync.applied.not_before == between.replace(microsecond=0)


def test_late_push_without_effect_is_unchanged_only_if_nothing_else_succeeded_meanwhile() -> None:
    flux = Controller()
    keeper = settled(flux)
    flux.succeed(rev(2), "d1")
    assert look_late(keeper, flux).is_unchanged
    flux.wait(60)
    flux.succeed(rev(3), "d2")
    flux.wait(60)
    flux.succeed(rev(4), "d1")
    assert not look_late(keeper, flux).is_unchanged


def test_checks_first_seen_after_a_gap_may_be_a_retry() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    last_look = flux.now - timedelta(seconds=62)
    flux.fail_health(rev(2))
    flux.wait(15)
    flux.begin(rev(2))
    sync = look_late(keeper, flux, after=0)
    assert sync.applied is None
    checking = flux.check(rev(2))
    keeper.watch(flux.writes)
    assert keeper.last.applied is not None
    assert keeper.last.applied.precision is Precision.ESTIMATED
    assert keeper.last.applied.not_before == last_look
    assert keeper.last.applied.not_after == checking.replace(microsecond=0)
    assert keeper.last.outcome is Outcome.CHECKING


def test_gap_in_the_middle_of_an_attempt_costs_exactness() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    flux.begin(rev(2))
    keeper.watch(flux.writes)
    flux.writes.clear()
    assert keeper.last.started.precision is Precision.OBSERVED
    flux.fail_health(rev(2))
    flux.wait(15)
    flux.begin(rev(2))
    look_late(keeper, flux, after=0)
    flux.check(rev(2))
    flux.wait(30)
    flux.end_badly(rev(2), "HealthCheckFailed", "timeout", "bad")
    keeper.watch(flux.writes)
    sync = keeper.last
    assert sync.applied is not None
    assert sync.failed is not None
    assert (sync.applied.precision, sync.failed.precision) == (Precision.ESTIMATED, Precision.ESTIMATED)
    assert sync.started.not_before is not None
    assert sync.failed.not_before == sync.started.not_before


def test_gap_in_which_nothing_was_written_costs_nothing() -> None:
    flux = Controller(has_checks=True)
    keeper = settled(flux)
    flux.begin(rev(2))
    keeper.watch(flux.writes)
    flux.writes.clear()
    flux.wait(2)
    keeper.see(Write(flux.now, flux.object), was_held=False)
    checking = flux.check(rev(2))
    keeper.watch(flux.writes)
    assert keeper.last.applied is not None
    assert keeper.last.applied.precision is Precision.EXACT
    assert keeper.last.applied.at == checking.replace(microsecond=0)


def test_bracket_begins_with_the_stream_mark() -> None:
    """A bookmark said that nothing had changed until then."""
    flux = Controller(has_history=False)
    keeper = settled(flux)
    flux.wait(600)
    keeper.mark = flux.now
    flux.succeed(rev(2))
    sync = look_late(keeper, flux)
    assert sync.succeeded is not None
    assert sync.succeeded.not_before == keeper.mark - timedelta(seconds=2)


# -- a true timeline, and looks at some of it ---------------------------------------------------------------------


@dataclass
class Attempt:
    """A stretch of work on one revision, until another one is begun or it has succeeded."""

    revision: str
    applied: datetime | None = None
    succeeded: datetime | None = None
    failed: datetime | None = None


@dataclass
class Truth:
    flux: Controller
    attempts: list[Attempt] = field(default_factory=list)
    successes: list[tuple[datetime, str, str]] = field(default_factory=list)
    """When, which manifests, which revision."""
    delivered: list[str] = field(default_factory=list)
    """Revisions in the order in which they came to be the applied one."""
    newest: int = 1

    def attempt(self, revision: str) -> Attempt:
        last = self.attempts[-1] if self.attempts else None
        if last is None or last.revision != revision or last.succeeded:
            self.attempts.append(Attempt(revision))
        return self.attempts[-1]

    def play(self, what: str, made: str, *, is_retry: bool, is_back: bool) -> None:
        """Let the controller do one reconcile, and note what truly happened."""
        flux = self.flux
        if not is_retry:
            self.newest += 1
        revision = rev(max(self.newest - 2, 1) if is_back else self.newest)
        if what == "wait":
            flux.wait_for_dependency()
            return
        if what == "suspend":
            flux.suspend(not flux.object.is_suspended)
            return
        was_applied = revision == flux.object.last_applied
        attempt = self.attempt(revision)
        if what in ("build", "artifact"):
            failed = flux.fail_build(revision) if what == "build" else flux.fail_artifact(revision)
            attempt.failed = attempt.failed or failed
            return
        checking = flux.apply(revision)
        attempt.applied = attempt.applied or checking
        flux.wait(7)
        if what == "cancel":
            ended = flux.end_badly(
                revision, "HealthCheckCanceled" if flux.object.has_checks else "ReconciliationFailed"
            )
            attempt.failed = attempt.failed or (None if flux.object.has_checks else ended)
        elif what == "health" and flux.object.has_checks:
            failed = flux.end_badly(revision, "HealthCheckFailed", "timeout", made)
            attempt.failed = attempt.failed or failed
        else:
            ready = flux.end_well(revision, made)
            self.successes.append((flux.now, digest(made), revision))
            if not was_applied:
                self.delivered.append(revision)
            if not was_applied or attempt.succeeded is None:
                attempt.succeeded = ready
                attempt.applied = attempt.applied or ready


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["good", "good", "good", "build", "artifact", "health", "cancel", "wait", "suspend"]),
        st.sampled_from(["d1", "d2", "d3"]),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([0.0, 3.0, 61.0]),
    ),
    min_size=1,
    max_size=9,
)


def make_timeline(
    steps: list[tuple[str, str, bool, bool, float]], *, has_checks: bool, has_history: bool
) -> tuple[Truth, Keeper]:
    flux = Controller(has_checks=has_checks, has_history=has_history)
    keeper = settled(flux)
    truth = Truth(flux)
    truth.attempts.append(Attempt(rev(1), applied=at(0), succeeded=at(0)))
    for what, made, is_retry, is_back, pause in steps:
        truth.play(what, made, is_retry=is_retry, is_back=is_back)
        flux.wait(pause)
    return truth, keeper


def holds(moment: Moment, instant: datetime) -> bool:
    """True if the instant lies where the moment says it does; Flux's own timestamps are cut to seconds."""
    if moment.precision is Precision.EXACT:
        return abs(moment.at - instant) <= SECOND
    earliest = moment.not_before is None or moment.not_before - SECOND <= instant
    return earliest and instant <= moment.latest + SECOND


def check(sync: SyncRecord, truth: Truth) -> None:
    if sync.cause is not Cause.REVISION:
        return
    attempts = [item for item in truth.attempts if item.revision == sync.revision]
    assert attempts, sync.revision
    if sync.outcome is Outcome.SUCCEEDED:
        assert any(item.succeeded for item in attempts)
    for name in ("applied", "succeeded", "failed"):
        moment: Moment | None = getattr(sync, name)
        if moment is not None:
            instants = [instant for item in attempts if (instant := getattr(item, name))]
            assert any(holds(moment, instant) for instant in instants), (name, moment, instants)


@settings(max_examples=120, deadline=None)
@given(st.data(), STEPS, st.booleans(), st.booleans())
def test_nothing_is_claimed_that_did_not_happen(
    data: st.DataObject, steps: list[tuple[str, str, bool, bool, float]], has_checks: bool, has_history: bool
) -> None:
    truth, keeper = make_timeline(steps, has_checks=has_checks, has_history=has_history)
    writes = truth.flux.writes
    gaps = data.draw(st.lists(st.tuples(st.integers(0, len(writes)), st.integers(1, 25)), max_size=4), label="gaps")
    dropped = {index for start, length in gaps for index in range(start, start + length)} - {len(writes) - 1}
    is_held = True
    for index, write in enumerate(writes):
        if index in dropped:
            is_held = False
            continue
        since = keeper.kept.observed_at
        for sync in keeper.see(write, was_held=is_held):
            check(sync, truth)
            if sync.is_unchanged:
                later = [item for item in truth.successes if since < item[0] <= write.at]
                own = next(when for when, _, revision in later if revision == sync.revision)
                assert {made for when, made, _ in later if when <= own} == {sync.manifests_digest}
        is_held = True
        kept = keeper.kept
        assert keeper.see(write, was_held=data.draw(st.booleans(), label="seen again, held")) == []
        assert keeper.kept == kept
    final, flux = keeper.kept, truth.flux.object
    assert final.applied == flux.last_applied
    ready = flux.find_condition("Ready")
    assert ready is not None
    if ready.status == "True":
        assert final.phase is Outcome.SUCCEEDED
    attempt = truth.attempts[-1]
    if attempt.failed and not attempt.succeeded and ready.reason not in ("DependencyNotReady", "HealthCheckCanceled"):
        assert final.phase is Outcome.FAILED
        if attempt.revision != final.applied:
            assert (keeper.last.revision, keeper.last.outcome) == (attempt.revision, Outcome.FAILED)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.booleans(), st.booleans())
def test_watched_without_a_gap_every_moment_is_exact(
    steps: list[tuple[str, str, bool, bool, float]], has_checks: bool, has_history: bool
) -> None:
    truth, keeper = make_timeline(steps, has_checks=has_checks, has_history=has_history)
    keeper.watch(truth.flux.writes)
    for sync in keeper.syncs.values():
        check(sync, truth)
        if sync.cause is Cause.REVISION:
            known = [item for item in (sync.applied, sync.succeeded, sync.failed) if item]
            assert all(item.precision is Precision.EXACT for item in known), sync
    done = [sync for sync in keeper.syncs.values() if sync.outcome is Outcome.SUCCEEDED]
    assert [sync.revision for sync in done if sync.cause is Cause.REVISION] == truth.delivered
