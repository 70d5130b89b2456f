"""Syncs that nobody watched: when the history shows that manifests rested, and when it cannot."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trail.transcripts import Controller, Keeper, Write, at, digest, new_target, rev, settled

from fluxtrail.model.flux import Snapshot
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncRecord, TargetRecord
from fluxtrail.trail.missed import SUCCEEDED_STATUS, has_rested, successes_of

replace = msgspec.structs.replace


def snapshot(first: float, last: float, total: int, made: str = "x") -> Snapshot:
    return Snapshot(digest(made), SUCCEEDED_STATUS, at(first), at(last), total, rev(1))


def target(**successes: int) -> TargetRecord:
    flux = Controller()
    flux.succeed(rev(1))
    return replace(new_target(flux.object, at(0)), successes={digest(name): total for name, total in successes.items()})


@pytest.mark.parametrize(
    ("total", "had", "last", "expected"),
    [
        (3, 3, 50, True),
        (3, 3, 150, True),
        (4, 3, 150, False),
        (4, 3, 100, False),
        (4, 3, 99, True),
        (1, None, 150, False),
        (1, None, 50, True),
        (2, 3, 150, False),
    ],
    ids=[
        "as often as before",
        "as often, whatever the clocks say",
        "again since",
        "again in the very second",
        "again before the last look",
        "new since",
        "forgotten, and older",
        "dropped from the history, and back",
    ],
)
def test_manifests_rest_where_they_have_not_succeeded_again(
    total: int, had: int | None, last: float, expected: bool
) -> None:
    before = target(**({"x": had} if had is not None else {}))
    assert has_rested(snapshot(0, last, total), before, since=at(100)) is expected


def test_manifests_of_an_unknown_time_rest_only_by_their_count() -> None:
    item = replace(snapshot(0, 0, 2), last_reconciled=None)
    assert has_rested(item, target(x=2), since=at(100))
    assert not has_rested(item, target(x=1), since=at(100))


def test_successes_are_counted_by_manifests() -> None:
    flux = Controller(has_checks=True)
    for number, made in ((1, "d1"), (2, "d2"), (3, "d1")):
        flux.succeed(rev(number), made)
    flux.fail_health(rev(4), "bad")
    assert successes_of(flux.object) == {digest("d1"): 2, digest("d2"): 1}


def look(keeper: Keeper, flux: Controller) -> dict[str, bool]:
    """Look after a gap; returns whether each sync by then left the manifests unchanged, by revision."""
    flux.wait(300)
    flux.writes.clear()
    keeper.see(Write(flux.now, flux.object), was_held=False)
    return {sync.revision: sync.is_unchanged for sync in keeper.syncs.values()}


def play(flux: Controller, *made: str, number: int = 2) -> None:
    for index, name in enumerate(made):
        flux.wait(60)
        flux.succeed(rev(number + index), name)


def begun(*made: str) -> tuple[Controller, Keeper]:
    """A target that has had these manifests, the last of them watched, a minute before the gap begins."""
    flux = Controller()
    keeper = settled(flux, rev(1), made[0])
    play(flux, *made[1:])
    keeper.watch(flux.writes)
    flux.writes.clear()
    flux.wait(60)
    return flux, keeper


def test_manifests_that_come_back_once_and_last_leave_the_sync_between_unchanged() -> None:
    """d2 had succeeded before the gap; in it a push without effect on d1, and then d2 again."""
    flux, keeper = begun("d2", "d1")
    play(flux, "d1", "d2", number=10)
    found = look(keeper, flux)
    assert found[rev(10)] is True
    assert found[rev(11)] is False
    last = keeper.last
    assert (last.revision, last.previous, last.outcome) == (rev(11), rev(10), Outcome.SUCCEEDED)


def test_manifests_that_come_back_twice_may_have_come_between() -> None:
    flux, keeper = begun("d2", "d1")
    play(flux, "d2", "d1", "d2", number=10)
    assert look(keeper, flux)[rev(11)] is False


def test_manifests_that_came_back_before_the_sync_between_make_it_a_change() -> None:
    """Configuration brought d2 back under the revision that was applied; the push after it undid that."""
    flux, keeper = begun("d2", "d1")
    flux.wait(60)
    flux.succeed(keeper.kept.applied or "", "d2")
    play(flux, "d1", "d3", number=10)
    assert look(keeper, flux)[rev(10)] is False


def test_manifests_that_are_new_since_leave_the_sync_between_unchanged() -> None:
    flux, keeper = begun("d1")
    play(flux, "d1", "d3", number=10)
    assert look(keeper, flux)[rev(10)] is True


def test_manifests_that_were_never_counted_may_have_come_between() -> None:
    flux, keeper = begun("d2", "d1")
    keeper.target = replace(keeper.kept, successes={})
    play(flux, "d1", "d2", number=10)
    assert look(keeper, flux)[rev(10)] is False


def test_a_new_spec_is_no_push_without_effect() -> None:
    flux, keeper = begun("d2", "d1")
    flux.write(generation=flux.object.generation + 1)
    play(flux, "d1", "d2", number=10)
    assert look(keeper, flux)[rev(10)] is False


def true_changes(made: list[str], before: str) -> list[bool]:
    """Whether each success found the manifests as it left them."""
    return [name == last for name, last in zip(made, [before, *made], strict=False)]


@given(
    st.lists(st.sampled_from(["d1", "d2", "d3"]), min_size=1, max_size=3),
    st.lists(st.sampled_from(["d1", "d2", "d3"]), min_size=1, max_size=5),
)
def test_no_sync_is_said_to_be_unchanged_that_changed_something(watched: list[str], unwatched: list[str]) -> None:
    """Whatever happened in a gap: `is_unchanged` is only ever said of syncs that found what they left."""
    flux, keeper = begun(*watched)
    known = set(keeper.syncs)
    play(flux, *unwatched, number=10)
    look(keeper, flux)
    truth = {rev(10 + index): same for index, same in enumerate(true_changes(unwatched, watched[-1]))}
    found: list[SyncRecord] = [sync for number, sync in keeper.syncs.items() if number not in known]
    said = {sync.revision: (sync.is_unchanged, sync.previous) for sync in found}
    for revision, (is_unchanged, previous) in said.items():
        if is_unchanged:
            assert truth[revision] or between_is_the_same(unwatched, watched[-1], revision, previous)


def between_is_the_same(made: list[str], before: str, revision: str, previous: str | None) -> bool:
    """All successes after `previous` up to `revision` gave the manifests that were there before."""
    numbers = {rev(10 + index): index for index in range(len(made))}
    first = numbers[previous] + 1 if previous in numbers else 0
    base = made[first - 1] if first else before
    return all(name == base for name in made[first : numbers[revision] + 1])


def test_a_gap_that_saw_nothing_adds_nothing() -> None:
    flux, keeper = begun("d2", "d1")
    known = dict(keeper.syncs)
    look(keeper, flux)
    assert keeper.syncs == known


def test_the_time_of_a_missed_success_is_its_own() -> None:
    flux, keeper = begun("d1")
    began: datetime = flux.now
    play(flux, "d2", "d3", number=10)
    look(keeper, flux)
    (missed,) = [sync for sync in keeper.syncs.values() if sync.revision == rev(10)]
    assert missed.succeeded is not None
    assert began < missed.succeeded.at <= began + timedelta(seconds=62)
