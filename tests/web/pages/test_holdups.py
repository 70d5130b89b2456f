from __future__ import annotations

from msgspec.structs import replace
from tests.web import runs
from tests.web.pages.test_trails import place
from tests.web.worlds import at, stages

from fluxtrail.web.pages.holdups import NAMED, SHOWN, describe_standing


def test_what_many_wait_for_is_said_once_and_what_failed_first() -> None:
    views = [place(f"c{n}", n, "pending", reason="awaiting_fetch", since=at(60 + n)) for n in range(5)]
    views.append(place("c7", 7, "failed", reason="BuildFailed", message="kustomize build failed", since=at(9)))
    views += [place("c8", 8, "deployed"), place("c9", 9, "unaffected")]
    found = describe_standing(views)
    failed, waiting = found.holdups
    assert (failed.count, failed.why, failed.message) == (
        1,
        "Flux gave up with BuildFailed.",
        "kustomize build failed",
    )
    assert failed.only is views[5]
    assert (waiting.count, waiting.why, waiting.only) == (5, "Flux has not fetched it yet.", None)
    assert waiting.since == at(60)
    assert (waiting.clusters, waiting.more_clusters) == (["c0", "c1", "c2"][:NAMED], 5 - NAMED)
    assert not found.is_everywhere


def test_deployed_with_a_workload_that_does_not_get_on_is_held_up() -> None:
    [held] = describe_standing([place("c1", 1, "deployed", running="waiting", blockers=[runs.BLOCKED])]).holdups
    assert (held.verdict, held.blocker) == ("deployed", runs.BLOCKED)


def test_what_has_arrived_is_dated_from_the_first_to_the_last() -> None:
    arrived = [replace(place("c1", n, "deployed"), stages=stages(0, ("applied", n))) for n in (30, 90, 60)]
    found = describe_standing([*arrived, place("c2", 4, "unaffected")])
    assert (found.first, found.last, found.is_everywhere, found.holdups) == (at(30), at(90), True, [])


def test_what_was_there_before_our_first_look_is_not_dated() -> None:
    found = describe_standing([place("c1", 1, "deployed", is_before_baseline=True)])
    assert (found.first, found.last) == (None, None)


def test_causes_are_few_however_many_there_are() -> None:
    found = describe_standing([place("c1", n, "failed", reason=f"Reason{n}") for n in range(20)])
    assert (len(found.holdups), found.more) == (SHOWN, 20 - SHOWN)
