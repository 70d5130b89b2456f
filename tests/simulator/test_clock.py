from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fluxtrail.model.errors import ConfigError
from fluxtrail.simulator.clock import SimulatedClock, parse_clock, parse_precise_time, precise_time, wire_time


def test_time_passes_faster_by_the_scale() -> None:
    origin = datetime.now(UTC) - timedelta(seconds=10)
    ahead = SimulatedClock(origin=origin, scale=60).now() - datetime.now(UTC)
    assert timedelta(seconds=580) < ahead < timedelta(seconds=600)


def test_another_process_gets_the_same_clock_from_its_text() -> None:
    clock = SimulatedClock(scale=30)
    other = parse_clock(clock.text())
    assert (other.origin, other.scale) == (clock.origin, clock.scale)


async def test_sleep_takes_simulated_seconds() -> None:
    clock = SimulatedClock(scale=1000)
    before = clock.now()
    await clock.sleep(20)
    assert clock.now() - before >= timedelta(seconds=20)


@pytest.mark.parametrize("text", ["", "10", "@10", "now@10", "2026-01-01T00:00:00+00:00@fast"])
def test_a_clock_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not <origin>@<scale>"):
        parse_clock(text)


@pytest.mark.parametrize("scale", [0, -1, 100_000])
def test_a_scale_out_of_bounds_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="time scale"):
        SimulatedClock(scale=scale)


def test_times_are_written_as_kubernetes_and_as_the_truth_log_do() -> None:
    at = datetime(2026, 3, 1, 12, 0, 5, 999_000, tzinfo=UTC)
    assert wire_time(at) == "2026-03-01T12:00:05Z"
    assert parse_precise_time(precise_time(at)) == at
