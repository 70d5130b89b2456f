"""A glance passes over nothing that the whole trail has to say, and passes over what is mostly looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.standings.rooms import (
    GROUPING,
    ONE,
    TEMPLATES,
    Room,
    delivery,
    deployed,
    failed,
    outline_of,
    trail,
)
from tests.reports.worlds import FakeClock, moment

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.report import SaidRecord
from fluxtrail.model.verdict import PendingReason, Verdict
from fluxtrail.model.views import DeliveryView
from fluxtrail.reports.routes import Commits, Route, RouteKind, Until
from fluxtrail.reports.standings.glancing import Glance
from fluxtrail.reports.standings.saying import Compose
from fluxtrail.reports.standings.words import example_values
from fluxtrail.reports.templates import Text

CLUSTERS = ("prod-eu", "prod-us", "staging")
NOW = moment(1000).at

_deliveries = st.dictionaries(
    st.tuples(st.sampled_from(CLUSTERS), st.sampled_from(("apps", "infra"))),
    st.tuples(st.sampled_from(list(Verdict)), st.sampled_from(list(PendingReason)), st.booleans()),
    max_size=6,
)
_routes = st.builds(
    Route,
    name=st.just("checks"),
    kind=st.sampled_from(
        (RouteKind.GITHUB_STATUS, RouteKind.GITHUB_DISPATCH, RouteKind.AZURE_DEVOPS_TASK, RouteKind.SLACK)
    ),
    commits=st.sampled_from(list(Commits)),
    environments=st.sampled_from(((), ("production",))),
    targets=st.sampled_from(((), ("*/apps",))),
    verdicts=st.sampled_from((frozenset[Verdict](), frozenset({Verdict.FAILED}))),
    until=st.sampled_from(list(Until)),
    fail_after=st.sampled_from((timedelta(0), timedelta(seconds=300))),
    says_pending=st.booleans(),
    says_unaffected=st.booleans(),
)


def views(given: dict[tuple[str, str], tuple[Verdict, PendingReason, bool]]) -> list[DeliveryView]:
    return [
        delivery(
            cluster,
            verdict.value,
            target=f"Kustomization/flux-system/{target}",
            reason=reason.value if verdict is Verdict.PENDING else "",
            running="running" if is_running else "waiting",
            since=moment(800).at,
        )
        for (cluster, target), (verdict, reason, is_running) in given.items()
    ]


def compose(route: Route) -> Compose:
    names = ("text",) if route.kind.is_per_commit else tuple(TEMPLATES)
    texts = TEMPLATES | {"text": "{{ environments | length }} {{ summary }}"}
    return Compose(
        route,
        GROUPING.environment_of,
        {name: Text(texts[name], example=_example(), subject=name) for name in names},
        public_url="https://trail.example",
    )


def _example() -> dict[str, Any]:
    return {**example_values(), "environments": [example_values()]}


def say(
    composed: Compose, deliveries: Sequence[DeliveryView], said: list[SaidRecord], at: datetime
) -> list[SaidRecord]:
    """Return what is known to be said after everything new was said."""
    known = {record.key: record for record in said}
    for one in composed.speech(ONE, trail(*deliveries), said, at).sayings:
        known[one.key] = SaidRecord(
            sink="route.checks", key=one.key, content=one.content, state=one.state.value, times=1, said_at=at
        )
    return list(known.values())


@given(_routes, _deliveries, _deliveries, _deliveries, st.sampled_from((5, 500)))
def test_what_is_new_is_never_passed_over(
    route: Route, first: Any, second: Any, now_there: Any, seconds_ago: int
) -> None:
    composed = compose(route)
    earlier = NOW - timedelta(seconds=seconds_ago)
    said = say(composed, views(second), say(composed, views(first), [], earlier), earlier)
    found = trail(*views(now_there))
    kept = outline_of(found)
    speech = composed.speech(ONE, found, said, NOW)
    if Glance(route, GROUPING.environment_of).has_nothing_new(kept, said, NOW):
        assert (speech.sayings, speech.again_at) == ((), None)


async def test_arrivals_before_the_last_are_glanced_at_only(room: Room, clock: FakeClock) -> None:
    clusters = [f"prod-{number}" for number in range(5)]
    await room.tell(*[delivery(name) for name in clusters])
    room.trails.read.clear()
    for there in range(1, 5):
        clock.turn(10)
        await room.tell(*[deployed(name) for name in clusters[:there]], *[delivery(name) for name in clusters[there:]])
    assert room.trails.read == []
    assert await room.left() == {}
    await room.tell(*[deployed(name) for name in clusters])
    assert room.trails.read == [ONE]
    assert [state for _, state in room.said] == ["pending", "success"]


async def test_the_first_failure_is_not_passed_over(room: Room) -> None:
    await room.tell(delivery("prod-eu"), delivery("prod-us"))
    await room.tell(failed("prod-eu"), delivery("prod-us"))
    assert [state for _, state in room.said] == ["pending", "failure"]


@pytest.mark.parametrize("seconds", [200, 400])
async def test_what_stays_under_way_is_read_again_when_other_words_may_be_said(
    room: Room, clock: FakeClock, seconds: int
) -> None:
    await room.tell(delivery("prod-eu"), delivery("prod-us"))
    clock.turn(seconds)
    await room.tell(deployed("prod-eu"), delivery("prod-us"))
    assert len(room.said) == (1 if seconds < 300 else 2)


async def test_what_only_its_carriers_have_takes_a_look(room: Room) -> None:
    """An environment where the commit has no row of its own is not told by verdicts alone."""
    kept = outline_of(trail(delivery("prod-eu")))
    record = SaidRecord(
        sink="route.checks", key=f"{ONE}/production", content="a.b", state="pending", times=1, said_at=NOW
    )
    glance = Glance(room.route, GROUPING.environment_of)
    assert glance.has_nothing_new(kept, [record], NOW)
    others = msgspec.structs.replace(kept, verdicts=(*kept.verdicts, ("prod-us", "Kustomization/flux-system/apps", "")))
    assert not glance.has_nothing_new(others, [record], NOW)


@pytest.fixture
def room(ledger: SqlLedger, clock: FakeClock) -> Room:
    return Room(ledger, clock)
