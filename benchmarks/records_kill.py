"""SIGKILLs while GitHub is told what runs, and GitHub is unwell; then: does it hold what is true?

    python -m benchmarks.records_kill --kills 50 --seed 1

The simulated world with its pods and its GitHub is a process of its own that is not killed; `fluxtrail run` is, at
seeded random moments, some of them while a job of its is pending. Meanwhile GitHub fails, refuses, is slow, cuts
connections after it has carried out what they asked for, and hears of some attestations late. In the end it must hold
every deployment name as it is; no report may be dead, and none may wait.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.outcomes import folder_for, summary_of, told
from benchmarks.records_world import WorldPlan, find_differences, recorded_world, until_quiet

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.clock import parse_clock
from fluxtrail.simulator.processes import RunProcess, SimulatorProcess, request_json

EARLY_CHANCE = 0.3
EARLY_SECONDS = (0.05, 1.5)
LATE_SECONDS = (0.2, 2.0)
JOB_KILLS = 2
"""So many of the first kills wait for a job to be pending."""
CALL_KILLS = 2
"""So many of the next ones come while everything is told again, without jobs."""
CALL_PATIENCE_SECONDS = 30.0
FIRST_PATIENCE_SECONDS = 120.0
JOB_SECONDS = 80.0
"""How much longer the first jobs take, in simulated time."""
LOST_JOB_SECONDS = 560.0
"""Longer than it takes to play a short script, and less than `run` waits before it tells everything once more."""
JOB_PATIENCE_SECONDS = 60.0
TROUBLE_SECONDS = (0.2, 1.2)
UNATTESTED_SECONDS = (0.5, 3.0)
QUIET_PATIENCE_SECONDS = 300.0

Json = dict[str, Any]


@dataclass
class Outcome:
    """What one run of kills came to."""

    kills: int
    seed: int
    kills_with_jobs: int = 0
    kills_with_calls: int = 0
    troubles: int = 0
    late_attestations: int = 0
    syncs: int = 0
    names: int = 0
    requests: dict[str, dict[str, int]] = field(default_factory=dict)
    """Call -> status -> how many."""
    seconds: float = 0.0
    catch_up_seconds: float = 0.0
    differences: list[str] = field(default_factory=list)

    def summary(self) -> Json:
        return summary_of(self)


async def kill_while_telling(
    directory: Path,
    plan: WorldPlan,
    *,
    kills: int,
    bulk: bool = True,
    ledger: str = "",
    patience_seconds: float = 120.0,
) -> Outcome:
    """Play a world with kills and trouble, and compare what GitHub holds in the end.

    Args:
        bulk: False tells every record by itself.
        patience_seconds: for which, after the world is quiet, what a killed process had leased must wait, and what is
            unknown is asked about again.
    """
    outcome = Outcome(kills=kills, seed=plan.seed)
    began = time.monotonic()
    async with recorded_world(directory, plan, ledger=ledger, bulk=bulk) as (simulator, run):
        await simulator.fail_records(action="slow_job", delay_seconds=JOB_SECONDS, count=3)
        await simulator.fail_records(action="drop", is_after=True, calls=["job"], count=1)
        await run.start()
        job_kills = min(JOB_KILLS, kills) if bulk else 0
        await _kill_at_jobs(simulator, run, outcome, kills=job_kills)
        await _until_told(simulator, run)
        call_kills = min(CALL_KILLS, kills - job_kills) if bulk else 0
        await _kill_at_calls(simulator, run, outcome, kills=call_kills)
        await simulator.begin()
        trouble = Trouble(simulator, run, random.Random(plan.seed + 1), outcome)
        async with asyncio.TaskGroup() as group:
            troubling = group.create_task(trouble.make(), name="trouble")
            await _kill(run, random.Random(plan.seed), kills=kills - job_kills - call_kills)
            await until_quiet(simulator, patience_seconds=QUIET_PATIENCE_SECONDS)
            troubling.cancel()
        await trouble.end()
        ended = time.monotonic()
        outcome.differences = await find_differences(simulator, run, patience_seconds=patience_seconds, was_away=True)
        outcome.catch_up_seconds = time.monotonic() - ended
        outcome.names = len((await simulator.records_truth())["records"])
        outcome.requests = (await simulator.records())["counts"]
    outcome.seconds = time.monotonic() - began
    return outcome


async def _kill_at_jobs(simulator: SimulatorProcess, run: RunProcess, outcome: Outcome, *, kills: int) -> None:
    """Kill while a job is pending: what is told first goes in jobs, a cluster's in one."""
    for _ in range(kills):
        outcome.kills_with_jobs += await _is_job_pending(simulator)
        await run.kill()
        await run.start()
    await run.until_ready()


async def _kill_at_calls(simulator: SimulatorProcess, run: RunProcess, outcome: Outcome, *, kills: int) -> None:
    """Kill while a cluster's records are told in one call, or one by one: so is told what GitHub holds already."""
    for _ in range(kills):
        before = await _direct_calls(simulator)
        await request_json("POST", f"{run.api}/api/v1/records/sync", body={})
        deadline = time.monotonic() + CALL_PATIENCE_SECONDS
        while await _direct_calls(simulator) == before:
            if time.monotonic() > deadline:
                raise UpstreamError(f"nothing was told again within {CALL_PATIENCE_SECONDS:g} s")
            await asyncio.sleep(0.01)
        await run.kill()
        outcome.kills_with_calls += 1
        await run.start()
        await run.until_ready()
        await _until_told(simulator, run)


async def _direct_calls(simulator: SimulatorProcess) -> int:
    """Return how many calls GitHub took that were no jobs."""
    counts = (await simulator.records())["counts"]
    return sum(counts.get(call, {}).get("200", 0) for call in ("single", "cluster"))


async def _until_told(simulator: SimulatorProcess, run: RunProcess) -> None:
    """Wait until GitHub was told of all that runs: of what comes and goes while nobody looks, nobody can tell.

    Raises:
        UpstreamError: it was not.
    """
    wrong = await find_differences(simulator, run, patience_seconds=FIRST_PATIENCE_SECONDS)
    if wrong:
        raise UpstreamError(f"not told after {FIRST_PATIENCE_SECONDS:g} s: {wrong[:5]}")


async def _kill(run: RunProcess, dice: random.Random, *, kills: int) -> None:
    """Kill and start again; the last life goes on. Never early twice in a row."""
    is_early = False
    for _ in range(kills):
        await asyncio.sleep(dice.uniform(*(EARLY_SECONDS if is_early else LATE_SECONDS)))
        await run.kill()
        await run.start()
        is_early = not is_early and dice.random() < EARLY_CHANCE
        if not is_early:
            await run.until_ready()
    await run.until_ready()


async def _is_job_pending(simulator: SimulatorProcess) -> bool:
    """Wait for a job that GitHub has taken and not carried out; False if none comes."""
    deadline = time.monotonic() + JOB_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = await request_json("GET", f"{simulator.description['control']}/records")
        if answer["jobs_pending"]:
            return True
        await asyncio.sleep(0.01)
    return False


async def kill_beside_lost_jobs(directory: Path, plan: WorldPlan, *, patience_seconds: float = 120.0) -> Outcome:
    """Let GitHub carry out jobs whose answers were cut off, long after newer things were told and `run` was killed."""
    outcome = Outcome(kills=1, seed=plan.seed)
    began = time.monotonic()
    async with recorded_world(directory, plan) as (simulator, run):
        await simulator.fail_records(action="slow_job", delay_seconds=LOST_JOB_SECONDS, count=3)
        await simulator.fail_records(action="drop", is_after=True, calls=["job"], count=3)
        await run.start()
        await run.until_ready()
        await _until_held(simulator)
        await simulator.begin()
        await until_quiet(simulator, patience_seconds=QUIET_PATIENCE_SECONDS)
        await _until_held(simulator)
        outcome.kills_with_jobs += await _is_job_pending(simulator)
        await run.kill()
        await run.start()
        await run.until_ready()
        ended = time.monotonic()
        outcome.differences = await find_differences(simulator, run, patience_seconds=patience_seconds)
        outcome.catch_up_seconds = time.monotonic() - ended
        outcome.requests = (await simulator.records())["counts"]
    outcome.seconds = time.monotonic() - began
    return outcome


async def _until_held(simulator: SimulatorProcess) -> None:
    """Wait until GitHub holds what is true, whatever it will make of it later.

    Raises:
        UpstreamError: it does not.
    """
    deadline = time.monotonic() + FIRST_PATIENCE_SECONDS
    while wrong := (await simulator.records_truth())["differences"]:
        if time.monotonic() > deadline:
            raise UpstreamError(f"GitHub does not hold what runs after {FIRST_PATIENCE_SECONDS:g} s: {wrong[:5]}")
        await asyncio.sleep(0.1)


class Trouble:
    """What is wrong with GitHub, one thing after the other."""

    def __init__(self, simulator: SimulatorProcess, run: RunProcess, dice: random.Random, outcome: Outcome) -> None:
        self._simulator = simulator
        self._run = run
        self._time_scale = parse_clock(simulator.clock).scale
        self._dice = dice
        self._outcome = outcome
        self._unattested: set[str] = set()

    async def make(self) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(*TROUBLE_SECONDS))
            chance = self._dice.random()
            if chance < 0.2:
                await self._attest_late()
            elif chance < 0.25:
                await self._tell_all()
            else:
                await self._simulator.fail_records(**self._fault())
                self._outcome.troubles += 1

    async def end(self) -> None:
        """GitHub is well from now on."""
        await self._simulator.fail_records(action="clear")
        await self._simulator.attest(attested=sorted(self._unattested))

    def _fault(self) -> Json:
        dice = self._dice
        count, is_after = dice.randint(1, 4), dice.random() < 0.5
        choices: list[Json] = [
            {"action": "status", "status": dice.choice((500, 502, 503)), "is_after": is_after},
            {"action": "drop", "is_after": True},
            {"action": "drop", "is_after": is_after},
            {"action": "status", "status": 429, "retry_after_seconds": dice.randint(1, 60)},
            {
                "action": "status",
                "status": 403,
                "retry_after_seconds": dice.randint(1, 60),
                "is_retry_after_date": True,
            },
            {"action": "status", "status": 403, "reset_seconds": dice.randint(1, 60)},
            {"action": "delay", "delay_seconds": dice.uniform(0.1, 1.0) * self._time_scale},
            {"action": "fail_job"},
        ]
        return dice.choice(choices) | {"count": count}

    async def _tell_all(self) -> None:
        """Have everything told again, as `records sync` does."""
        with suppress(UpstreamError):  # just killed
            await request_json("POST", f"{self._run.api}/api/v1/records/sync", body={})
            self._outcome.syncs += 1

    async def _attest_late(self) -> None:
        truth = (await self._simulator.records_truth())["records"]
        known = sorted({row["digest"] for row in truth if row["is_attested"]})
        chosen = self._dice.sample(known, k=min(3, len(known)))
        self._unattested.update(chosen)
        await self._simulator.attest(unattested=chosen)
        self._outcome.late_attestations += len(chosen)
        await asyncio.sleep(self._dice.uniform(*UNATTESTED_SECONDS))
        await self._simulator.attest(attested=chosen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, help="default: half as many as kills")
    parser.add_argument("--rounds", type=int, help="of what people do by hand; default: as long as the kills take")
    parser.add_argument("--time-scale", type=float, default=40.0)
    parser.add_argument("--singles", action="store_true", help="tell every record by itself: no jobs")
    parser.add_argument("--ledger", default="", help="postgresql://…; default: a file")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds for the end to come out right")
    parser.add_argument("--keep", type=Path, help="keep the world, the ledger and the logs here")
    options = parser.parse_args()
    plan = WorldPlan(
        seed=options.seed,
        changes=options.changes or max(6, options.kills // 2),
        rounds=options.rounds or max(1, round(options.kills * 3 * options.time_scale / 60)),
        time_scale=options.time_scale,
    )
    with folder_for(options.keep, "records") as directory:
        outcome = asyncio.run(
            kill_while_telling(
                directory,
                plan,
                kills=options.kills,
                bulk=not options.singles,
                ledger=options.ledger,
                patience_seconds=options.patience,
            )
        )
    return told(outcome)


if __name__ == "__main__":
    sys.exit(main())
