"""What of a failure's words is no news: the hour, the attempt, the pod, the port."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.reports.standings.conftest import MakeRoom
from tests.reports.standings.rooms import Room, failed
from tests.reports.worlds import FakeClock

from fluxtrail.reports.routes import RouteKind
from fluxtrail.reports.standings.sameness import without_passing

SAME = [
    (
        "timeout waiting for: [Deployment/shop/web status: 'InProgress'] after 2m0s",
        "timeout waiting for: [Deployment/shop/web status: 'InProgress'] after 2m0.031s",
    ),
    ("health check failed after 1m30.5s: timeout", "health check failed after 45s: timeout"),
    ("install retries exhausted: attempt 3/5", "install retries exhausted: attempt 4/5"),
    ("back-off 40s restarting pod web-7d9f8c6b5-x2x4z", "back-off 5m0s restarting pod web-7d9f8c6b5-b7k9p"),
    ("last seen 2026-11-21T20:00:01Z", "last seen 2026-11-21T20:05:01.25+02:00"),
    ("dial tcp 10.0.0.5:53422->10.0.0.9:443: i/o timeout", "dial tcp 10.0.0.5:41101->10.0.0.9:443: i/o timeout"),
    ("restarted 17 times", "restarted 18 times"),
    ("0f8fad5b-d9cb-469f-a165-70867728950e was denied", "7c9e6679-7425-40de-944b-e07fc1f90ae7 was denied"),
]  # fmt: skip
OTHER = [
    ("Deployment/shop/web is not ready", "Deployment/shop/api is not ready"),
    ("image app:v1.2.3 not found", "image app:v1.2.4 not found"),
    ("chart version 1.2.3 not found", "chart version 1.2.4 not found"),
    ("main@sha1:aaaa1111 failed", "main@sha1:bbbb2222 failed"),
    ("unexpected status 503", "unexpected status 404"),
    ("ended with exit code 1", "ended with exit code 137"),
    ("dial tcp 10.0.0.9:443: refused", "dial tcp 10.0.0.9:8443: refused"),
    ("apps/web-1 failed", "apps/web-2 failed"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_only_passes_makes_no_difference(one: str, other: str) -> None:
    assert without_passing(one) == without_passing(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_failure_is_another(one: str, other: str) -> None:
    assert without_passing(one) != without_passing(other)


@pytest.mark.parametrize(("one", "other"), SAME)
async def test_a_failure_in_other_words_is_not_told_again(room: Room, clock: FakeClock, one: str, other: str) -> None:
    clock.turn(31)
    await room.tell(failed(message=one))
    clock.turn(3600)
    await room.tell(failed(message=other))
    assert [state for _, state in room.said] == ["failure"]
    assert one in room.forge.written[0].description


async def test_another_failure_is_told_after_a_while(room: Room, clock: FakeClock) -> None:
    clock.turn(31)
    await room.tell(failed(message="Deployment/shop/web: after 2m0s"))
    clock.turn(3600)
    await room.tell(failed(message="Deployment/shop/api: after 2m0s"))
    assert [state for _, state in room.said] == ["failure", "failure"]


async def test_a_message_of_all_environments_is_not_changed_for_that_either(
    make_room: MakeRoom, clock: FakeClock
) -> None:
    room = make_room(kind=RouteKind.SLACK, refresh=timedelta(0))
    clock.turn(31)
    await room.tell(failed(message="after 2m0s"), failed("staging", message="attempt 1"))
    clock.turn(60)
    await room.tell(failed(message="after 3m0s"), failed("staging", message="attempt 2"))
    assert len(room.said) == 1
