"""GitHub refuses everything for an hour while the world goes on: is anything lost, and is it asked gently?

    python -m benchmarks.records_outage --outage 3600 --time-scale 20

All answers are 403: for the first half of the outage with `Retry-After: 60`, then with what is left of it. `run`
goes on seeing what changes. Afterwards GitHub must hold every deployment name as it is; meanwhile no more reports may
wait than there are names, memory must not grow, and requests must keep the pace and the hourly budget, which the
simulated GitHub counts. The outage, the pauses and the hour are simulated time; the pace is real, as in production.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import rss_mib
from benchmarks.outcomes import folder_for, summary_of, told
from benchmarks.records_world import (
    WorldPlan,
    find_differences,
    list_records,
    recorded_world,
    sink_metrics,
    until_quiet,
)

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.clock import parse_precise_time
from fluxtrail.simulator.processes import RunProcess, SimulatorProcess, request_json

PER_SECOND = 3.0
BURST = 20
HOUR_SECONDS = 3600.0
JITTER_SECONDS = 0.5
"""By which a request may be late, and the next one nearer to it."""
RETRY_AFTER_SECONDS = 60
"""Simulated; longer than a call waits by itself: reports go back to the outbox."""
REPETITIONS = 4
"""Attempts of one call: so many may exceed the budget, and are paid for afterwards."""
GROWTH_MIB = 20.0
SAMPLE_SECONDS = 0.5
FIRST_PATIENCE_SECONDS = 120.0

Json = dict[str, Any]


@dataclass
class Outcome:
    """What an outage came to."""

    outage_seconds: float
    requests_per_hour: int
    names: int = 0
    changed: int = 0
    """Times that what is true changed while GitHub refused."""
    most_waiting: int = 0
    rss_before_mib: float = 0.0
    rss_most_mib: float = 0.0
    rss_after_mib: float = 0.0
    requests: dict[str, dict[str, int]] = field(default_factory=dict)
    requests_in_outage: int = 0
    most_in_an_hour: int = 0
    drain_seconds: float = 0.0
    """Real ones, from the end of the outage, or of the changes if that is later."""
    seconds: float = 0.0
    differences: list[str] = field(default_factory=list)

    def summary(self) -> Json:
        return summary_of(self)


async def ride_out(
    directory: Path, plan: WorldPlan, *, outage_seconds: float, requests_per_hour: int, patience_seconds: float
) -> Outcome:
    """Let GitHub refuse everything for a while, and compare what it holds in the end.

    Args:
        patience_seconds: real ones, for the rest to be told after the outage and the last change.
    """
    outcome = Outcome(outage_seconds=outage_seconds, requests_per_hour=requests_per_hour)
    began = time.monotonic()
    settings: Json = {"requests_per_hour": requests_per_hour, "bulk": False}  # one by one: the most requests
    async with recorded_world(directory, plan, **settings) as (simulator, run):
        await run.start()
        await run.until_ready()
        if wrong := await find_differences(simulator, run, patience_seconds=FIRST_PATIENCE_SECONDS):
            raise UpstreamError(f"not told after {FIRST_PATIENCE_SECONDS:g} s: {wrong[:5]}")
        steps_before = _steps(simulator)
        outcome.rss_before_mib = _rss(run)
        await simulator.begin()
        await _refuse(simulator, outage_seconds)
        await _watch(run, outcome, seconds=outage_seconds / plan.time_scale)
        outcome.changed = _steps(simulator) - steps_before
        await until_quiet(simulator, patience_seconds=600.0)
        ended = time.monotonic()
        outcome.differences = await find_differences(simulator, run, patience_seconds=patience_seconds)
        outcome.drain_seconds = time.monotonic() - ended
        outcome.rss_after_mib = _rss(run)
        outcome.names = len((await simulator.records_truth())["records"])
        await _count(simulator, outcome, time_scale=plan.time_scale)
        if outcome.most_waiting > outcome.names:
            outcome.differences.append(f"{outcome.most_waiting} reports waited for {outcome.names} names")
    outcome.seconds = time.monotonic() - began
    return outcome


async def _refuse(simulator: SimulatorProcess, seconds: float) -> None:
    """Refuse everything for so many simulated seconds."""
    refused: Json = {"action": "status", "status": 403}
    await simulator.fail_records(**refused, seconds=seconds / 2, retry_after_seconds=RETRY_AFTER_SECONDS)
    await simulator.fail_records(**refused, seconds=seconds, is_retry_after_rest=True)


def _steps(simulator: SimulatorProcess) -> int:
    """Return how often what is true of a deployment name has changed."""
    text = Path(simulator.description["truth"]).read_text(encoding="utf-8")
    return sum('"record"' in line for line in text.splitlines())


async def _watch(run: RunProcess, outcome: Outcome, *, seconds: float) -> None:
    """Look at the outbox and at memory for so many real seconds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        waiting = (await sink_metrics(run)).get("fluxtrail_reports_waiting", 0.0)
        outcome.most_waiting = max(outcome.most_waiting, int(waiting))
        outcome.rss_most_mib = max(outcome.rss_most_mib, _rss(run))
        outcome.names = len(await list_records(run))
        if waiting > outcome.names:
            outcome.differences.append(f"{waiting:g} reports wait for {outcome.names} names")
        await asyncio.sleep(SAMPLE_SECONDS)


def _rss(run: RunProcess) -> float:
    assert run.pid is not None
    return rss_mib(run.pid)


async def _count(simulator: SimulatorProcess, outcome: Outcome, *, time_scale: float) -> None:
    """Look at every request that came: how many there were at once, and in any hour."""
    answer = await request_json("GET", f"{simulator.description['control']}/records/requests")
    asked = [item for item in answer["requests"] if item["status"] != 401]
    times = [parse_precise_time(item["at"]).timestamp() for item in asked]
    outcome.requests = (await simulator.records())["counts"]
    outcome.requests_in_outage = sum(item["status"] == 403 for item in asked)
    excess = excess_over_pace([at / time_scale for at in times])
    outcome.most_in_an_hour = most_within(times, HOUR_SECONDS)
    if outcome.most_in_an_hour > outcome.requests_per_hour + REPETITIONS:
        outcome.differences.append(
            f"{outcome.most_in_an_hour} requests in an hour; {outcome.requests_per_hour} are allowed"
        )
    if excess > PER_SECOND * JITTER_SECONDS:
        outcome.differences.append(f"{excess:.0f} requests more at once than the pace allows")


def most_within(times: Sequence[float], seconds: float) -> int:
    """Return how many of these, in order, lie within any so many seconds."""
    first = most = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def excess_over_pace(times: Sequence[float], *, per_second: float = PER_SECOND, burst: int = BURST) -> float:
    """Return by how many requests the pace was exceeded at most: a bucket of `burst`, filled `per_second`."""
    tokens, least, before = float(burst), 0.0, times[0] if times else 0.0
    for at in times:
        tokens = min(burst, tokens + (at - before) * per_second) - 1
        least, before = min(least, tokens), at
    return -least


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument(
        "--rounds", type=int, help="of what people do by hand; default: a little longer than the outage"
    )
    parser.add_argument("--requests-per-hour", type=int, default=200)
    parser.add_argument("--time-scale", type=float, default=20.0)
    parser.add_argument("--patience", type=float, default=600.0, help="real seconds for the rest to be told")
    parser.add_argument("--keep", type=Path, help="keep the world, the ledger and the logs here")
    options = parser.parse_args()
    plan = WorldPlan(
        seed=options.seed,
        changes=options.changes,
        rounds=options.rounds or max(1, round(options.outage * 1.1 / 55)),
        time_scale=options.time_scale,
    )
    with folder_for(options.keep, "outage") as directory:
        outcome = asyncio.run(
            ride_out(
                directory,
                plan,
                outage_seconds=options.outage,
                requests_per_hour=options.requests_per_hour,
                patience_seconds=options.patience,
            )
        )
    grown = outcome.rss_most_mib - outcome.rss_before_mib
    if grown > GROWTH_MIB:
        outcome.differences.append(f"memory grew by {grown:.1f} MiB, {GROWTH_MIB:g} are allowed")
    return told(outcome)


if __name__ == "__main__":
    sys.exit(main())
