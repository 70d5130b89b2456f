"""Five commits pushed within one Flux interval to three clusters: `python -m benchmarks.statuses_five`.

The real `fluxtrail run` beside the simulator's world. The clusters see none of the pushes before the last was exported,
and then apply them at once. What GitHub was told is printed, call by call: one final status for each commit and
environment, all that was told true, and no limit overrun; otherwise the command fails.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import log_warnings_only, report
from benchmarks.outcomes import folder_for
from benchmarks.statuses_world import STATUSES, calls_by_kind, write_fleet_settings, wrong_statuses

from fluxtrail.simulator.compare_statuses import repeated_statuses
from fluxtrail.simulator.forges.record import write_json
from fluxtrail.simulator.forges.settings import ENVIRONMENTS
from fluxtrail.simulator.layout import APPLICATIONS, SOURCE_REPOSITORY, values_file
from fluxtrail.simulator.processes import Listeners, RunProcess
from fluxtrail.simulator.script import Action, Step
from fluxtrail.simulator.world import World, WorldOptions

BAR = "75 a minute, 450 an hour"
TIME_SCALE = 2.0
STEADY_SECONDS = 3.0
POLL_SECONDS = 0.1

Json = dict[str, Any]


@dataclass
class Outcome:
    commits: int = 0
    """Exports too."""
    calls: dict[str, int] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    finals: dict[str, int] = field(default_factory=dict)
    """`<sha> <context>` -> how many final statuses there were."""
    seconds: float = 0.0
    """Real ones, from the fetch until all was told."""
    differences: list[str] = field(default_factory=list)


async def push_five(folder: Path, *, commits: int = 5, patience_seconds: float = 120.0) -> Outcome:
    """Push, let all clusters apply at once, and see what was told."""
    outcome = Outcome()
    script = [Step(Action.ASIDE)]  # concerns no target
    world = World(WorldOptions(directory=folder / "world", script=script, time_scale=TIME_SCALE))
    listeners, settings = Listeners().with_ports(), folder / "fluxtrail.yaml"
    async with world:
        route = {"name": "checks", "to": "github_status"}
        write_fleet_settings(
            settings, world.describe(), listeners=listeners, routes=[route], environments=list(ENVIRONMENTS)
        )
        run = RunProcess(settings, world.clock.text(), listeners, log=folder / "run.log")
        try:
            await run.start()
            await run.until_ready()
            world.begin()
            await _push(world, commits)
            began = time.monotonic()
            await _until_right(world, outcome, patience_seconds=patience_seconds)
            outcome.seconds = time.monotonic() - began - STEADY_SECONDS
            _count(world, outcome, commits)
        finally:
            await run.stop()
    return outcome


async def _push(world: World, commits: int) -> None:
    """Push while no cluster can fetch; then all of them may."""
    await _until(world.is_finished)
    for cluster in world.clusters.values():
        cluster.network.is_down = True
    for number in range(commits):
        app = sorted(APPLICATIONS)[number % len(APPLICATIONS)]
        change = {f"apps/{app}/values.yaml": values_file(100 + number)}
        await world.source.bring(change, f"Roll {app} forward")
        await world.clock.sleep(1.0)
    await _until(lambda: _of_source(world) >= commits * len(ENVIRONMENTS))  # all of them are seen, and said to come
    await _until(world.exporter.is_settled)
    for cluster in world.clusters.values():
        cluster.network.is_down = False
    world.announce()
    await _until(world.is_settled)


async def _until(condition: Callable[[], bool]) -> None:
    # The conditions are spread over the whole world; an event for each would say less than a look.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


def _of_source(world: World) -> int:
    return sum(key[1] == SOURCE_REPOSITORY for key in world.forges.final_statuses(STATUSES))


async def _until_right(world: World, outcome: Outcome, *, patience_seconds: float) -> None:
    deadline, right_since = time.monotonic() + patience_seconds, 0.0
    while time.monotonic() < deadline:
        statuses = world.forges.report()["statuses"]
        outcome.differences = wrong_statuses(world.report(), statuses, environments=ENVIRONMENTS, deployed_to=())
        right_since = 0.0 if outcome.differences else right_since or time.monotonic()
        if right_since and time.monotonic() - right_since > STEADY_SECONDS:
            return
        await asyncio.sleep(POLL_SECONDS)


def _count(world: World, outcome: Outcome, commits: int) -> None:
    told = world.forges.report()
    outcome.commits = len({key[2] for key in world.forges.final_statuses(STATUSES)})
    outcome.calls = calls_by_kind([write_json(write) for write in world.forges.recorder.writes])
    outcome.peaks = told["github_peaks"]
    standing = world.forges.final_statuses(STATUSES)
    outcome.finals = {f"{key[2][:9]} {key[3]}": status.finals for key, status in standing.items()}
    outcome.differences += repeated_statuses(told["statuses"])
    outcome.differences += [f"{kind}: {count} times" for kind, count in told["violations"]["by_kind"].items()]
    outcome.differences += [f"{what}: {count} final statuses" for what, count in outcome.finals.items() if count != 1]
    if _of_source(world) != commits * len(ENVIRONMENTS):
        outcome.differences.append(f"{_of_source(world)} statuses of source commits")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="keep the world, the ledger and the logs here")
    options = parser.parse_args()
    log_warnings_only()
    with folder_for(options.keep, "statuses") as folder:
        outcome = asyncio.run(push_five(folder, commits=options.commits))
    report(
        "statuses_five",
        f"{options.commits} commits within one interval, three clusters, two environments",
        bar=BAR,
        commits_with_exports=outcome.commits,
        calls=sum(outcome.calls.values()),
        **{key.replace(" ", "_"): count for key, count in outcome.calls.items()},
        final_statuses=len(outcome.finals),
        most_finals_of_one=max(outcome.finals.values(), default=0),
        peak_a_minute=outcome.peaks["per_minute"],
        peak_an_hour=outcome.peaks["per_hour"],
        seconds=outcome.seconds,
        wrong=len(outcome.differences),
    )
    for line in outcome.differences:
        print(line, file=sys.stderr)
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
