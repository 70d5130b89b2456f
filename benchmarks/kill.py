"""SIGKILLs at seeded random moments, and then the one question: is everything as the simulator knows it was?

    python -m benchmarks.kill --kills 200 --seed 1

The simulated world is a process of its own that is not killed; `fluxtrail run` is, again and again, while the
script plays. At the end every verdict, every moment and the counts of the histograms are compared with the truth.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.outcomes import folder_for, told

from fluxtrail.simulator.compare import compare, compare_counts
from fluxtrail.simulator.compare_figures import compare_running, count_lead_times, count_unknown, worst_lead_time
from fluxtrail.simulator.observer import Observer, as_answer
from fluxtrail.simulator.processes import Listeners, RunProcess, SimulatorProcess, write_settings

EARLY_CHANCE = 0.3
EARLY_SECONDS = (0.05, 1.5)
"""After a start: while it opens its ledger, lists, looks back."""
LATE_SECONDS = (0.2, 3.0)
"""After it was ready: while it follows."""
HOLD_SECONDS = 8.0
"""For which the world keeps a state that it will undo: longer than two restarts in a row."""


@dataclass
class Outcome:
    """What one run of kills came to."""

    kills: int
    seed: int
    changes: int
    commits: int = 0
    deliveries: int = 0
    lead_times: int = 0
    """To running, that are in the histograms."""
    worst_lead_time_seconds: float = 0.0
    """How far the worst of them is from the true one."""
    unknown: int = 0
    """Deliveries that ran, and of which it is said that nobody knows."""
    seconds: float = 0.0
    ready_seconds: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        ready = sorted(self.ready_seconds)
        return {
            "kills": self.kills,
            "seed": self.seed,
            "changes": self.changes,
            "commits": self.commits,
            "deliveries": self.deliveries,
            "lead_times": self.lead_times,
            "unknown": self.unknown,
            "worst_lead_time_seconds": round(self.worst_lead_time_seconds, 2),
            "differences": len(self.differences),
            "seconds": round(self.seconds, 1),
            "ready_seconds_median": round(ready[len(ready) // 2], 2) if ready else None,
        }


async def kill_repeatedly(
    directory: Path,
    *,
    kills: int,
    seed: int,
    changes: int,
    time_scale: float = 1.0,
    hold_seconds: float = HOLD_SECONDS,
    patience_seconds: float = 60.0,
) -> Outcome:
    """Play a world of `changes` commits, kill `run` so many times meanwhile, and compare at the end."""
    outcome = Outcome(kills=kills, seed=seed, changes=changes)
    began = time.monotonic()
    listeners = Listeners().with_ports()
    settings = directory / "fluxtrail.yaml"
    arguments = [f"--seed={seed}", f"--changes={changes}", f"--time-scale={time_scale}", f"--hold={hold_seconds}"]
    async with SimulatorProcess(f"--directory={directory / 'world'}", *arguments) as simulator:
        write_settings(settings, simulator.description, listeners=listeners, settle_seconds=2.0, poll_seconds=0.5)
        run = RunProcess(settings, simulator.clock, listeners, log=directory / "run.log")
        try:
            await start_ready(run, outcome.ready_seconds)
            await simulator.begin()
            await kill_again_and_again(run, random.Random(seed), kills=kills, ready_seconds=outcome.ready_seconds)
            trails = await Observer(run).until_settled(simulator, patience_seconds=patience_seconds)
            truth = await simulator.truth()
            told = as_answer(trails)["commits"]
            outcome.differences = [
                *compare(truth, told, slack_seconds=0.3 * time_scale, was_away=True),
                *compare_counts(truth, await Observer(run).histogram_counts()),
                *compare_running(truth, trails, await Observer(run).running_figures()),
            ]
            outcome.lead_times = count_lead_times(truth, trails)
            outcome.unknown = count_unknown(truth, trails)
            outcome.worst_lead_time_seconds = worst_lead_time(truth, trails)
            outcome.commits = len(truth)
            outcome.deliveries = sum(len(commit["deliveries"]) for commit in truth)
        finally:
            await run.stop()
    outcome.seconds = time.monotonic() - began
    return outcome


async def start_ready(run: RunProcess, ready_seconds: list[float]) -> None:
    """Start it and wait until it is ready; how long that took is added to `ready_seconds`."""
    began = time.monotonic()
    await run.start()
    await run.until_ready()
    ready_seconds.append(time.monotonic() - began)


async def kill_again_and_again(
    run: RunProcess,
    dice: random.Random,
    *,
    kills: int,
    ready_seconds: list[float],
    on_kill: Callable[[], None] = lambda: None,
) -> None:
    """Kill and start again: while it follows, or early in its new life; never early twice in a row."""
    is_early = False
    for remaining in range(kills, 0, -1):
        await asyncio.sleep(dice.uniform(*(EARLY_SECONDS if is_early else LATE_SECONDS)))
        on_kill()
        await run.kill()
        is_early = not is_early and remaining > 1 and dice.random() < EARLY_CHANCE
        if is_early:
            await run.start()
        else:
            await start_ready(run, ready_seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, help="default: as many as keep the world busy for so many kills")
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument(
        "--hold", type=float, default=HOLD_SECONDS, help="real seconds for which what will be undone stays"
    )
    parser.add_argument("--keep", type=Path, help="keep the world, the ledger and the logs here")
    options = parser.parse_args()
    changes = options.changes or max(25, options.kills * 2)
    with folder_for(options.keep, "kill") as directory:
        outcome = asyncio.run(
            kill_repeatedly(
                directory,
                kills=options.kills,
                seed=options.seed,
                changes=changes,
                time_scale=options.time_scale,
                hold_seconds=options.hold,
            )
        )
    return told(outcome)


if __name__ == "__main__":
    sys.exit(main())
