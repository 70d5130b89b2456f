"""The shared pace: tokens, holds that only grow, cancelled callers, clocks that jump."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remotes.github.artifacts import VirtualClock

from fluxtrail.model.errors import RateLimitedError
from fluxtrail.remotes.github.artifact_pacing import Pacer, TokenBucket, backoff_seconds


def make(clock: VirtualClock, *, longest: float = 7200.0, burst: int = 20) -> Pacer:
    return Pacer(clock, TokenBucket(clock, per_second=3.0, burst=burst), longest_wait_seconds=longest)


@pytest.mark.parametrize(("attempt", "jitter", "seconds"), [
    (0, 0.9, 0.0), (1, 0.0, 0.2), (1, 0.98, 0.249), (2, 0.0, 0.4), (3, 0.5, 0.825), (5, 0.0, 3.2), (6, 0.0, 5.0),
    (10_000, 0.0, 5.0),
])  # fmt: skip
def test_the_pause_doubles_up_to_five_seconds(attempt: int, jitter: float, seconds: float) -> None:
    assert backoff_seconds(attempt, jitter) == pytest.approx(seconds)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=80), st.integers(1, 20))
def test_no_window_has_more_than_its_tokens(pauses: list[float], burst: int) -> None:
    clock = VirtualClock()
    bucket = TokenBucket(clock, per_second=3.0, burst=burst)
    moments = []
    for pause in pauses:
        clock.elapsed += pause
        moments.append(clock.elapsed + bucket.take())
    assert moments == sorted(moments)
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            assert last - first + 1 <= burst + 3.0 * (moments[last] - begin) + 1e-6


def test_a_rest_fills_no_more_than_the_burst() -> None:
    clock = VirtualClock()
    bucket = TokenBucket(clock, per_second=3.0, burst=2)
    clock.elapsed = 1000.0
    bucket.give_back()
    assert [bucket.take() for _ in range(4)] == pytest.approx([0, 0, 1 / 3, 2 / 3])


def test_a_hold_only_grows() -> None:
    clock = VirtualClock()
    pacer = make(clock)
    pacer.hold(60)
    pacer.hold(5)
    pacer.hold(0)
    assert pacer.remaining_seconds() == 60
    clock.elapsed = 30
    pacer.hold(60)
    assert pacer.remaining_seconds() == 60


@pytest.mark.parametrize("shift", [timedelta(hours=-3), timedelta(days=-400)])
def test_a_wall_clock_set_back_makes_nobody_wait_longer(shift: timedelta) -> None:
    clock = VirtualClock()
    pacer = make(clock)
    pacer.hold(60)
    clock.wall_shift = shift
    assert pacer.remaining_seconds() == 60
    clock.elapsed = 60
    assert pacer.remaining_seconds() == 0


def test_a_simulations_clock_counts() -> None:
    clock = VirtualClock()
    pacer = make(clock)
    pacer.hold(3600)
    clock.wall_shift = timedelta(hours=1)
    assert pacer.remaining_seconds() == 0


async def test_a_long_hold_is_refused_and_costs_no_token() -> None:
    clock = VirtualClock()
    pacer = make(clock, longest=5.0, burst=1)
    pacer.hold(5.5)
    for _ in range(10):
        with pytest.raises(RateLimitedError) as caught:
            await pacer.admit()
        assert caught.value.retry_after_seconds == pytest.approx(5.5)
    clock.elapsed = 0.5
    await pacer.admit()
    assert clock.slept == [5.0]


async def test_a_hold_that_comes_while_waiting_for_a_token_counts() -> None:
    clock = VirtualClock(is_still=True)
    pacer = make(clock, burst=1)
    await pacer.admit()
    call = asyncio.create_task(pacer.admit())
    await clock.asleep(1)
    pacer.hold(10)
    clock.advance(0.5)
    await clock.asleep(1)
    assert not call.done()
    clock.advance(9.5)
    await call


async def test_a_cancelled_caller_gives_its_token_back() -> None:
    clock = VirtualClock(is_still=True)
    pacer = make(clock, burst=1)
    await pacer.admit()
    calls = [asyncio.create_task(pacer.admit()) for _ in range(5)]
    await clock.asleep(5)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert all(call.cancelled() for call in calls)
    clock.advance(1 / 3)
    before = len(clock.slept)
    await pacer.admit()
    assert len(clock.slept) == before, "the token is there: nobody else took it"
