"""Two hundred clusters and fifty commits an hour, told to GitHub: `python -m benchmarks.statuses`.

The real `fluxtrail run` in a process of its own watches 200 simulated API servers on a clock that runs faster, and
tells statuses of source and manifests commits, deployments to two environments and a webhook, all but the last within
one budget. The world, its Flux and its GitHub, with the limits of the real one, are in this process; its CPU is not
counted. Commits skip clusters, fail and recover, are rolled back, dropped and overtaken.

At the end every status must be what the simulator knows to be true, and no limit may have been overrun; otherwise the
command fails. Lags are from the verdict in the ledger to GitHub having it; a clock that runs S times as fast makes
waits that are meant in real seconds (a second of gathering, among others) S times as long in simulated ones.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import log_warnings_only, percentile, report, rss_mib
from benchmarks.outcomes import folder_for
from benchmarks.statuses_lags import History, Lag, read_lags
from benchmarks.statuses_world import (
    ENVIRONMENTS,
    FleetPlan,
    FleetWorld,
    calls_by_kind,
    routes_of,
    write_fleet_settings,
    wrong_statuses,
)

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.compare_statuses import repeated_statuses
from fluxtrail.simulator.forges.record import write_json
from fluxtrail.simulator.processes import Listeners, RunProcess

SHARED_MEMORY = Path("/dev/shm")
LIMITS = "80 a minute, 500 an hour"
TICKS = 100
"""A second, in /proc. Source: proc(5), _SC_CLK_TCK."""
PROGRESS_SECONDS = 20.0
LOOK_SECONDS = 0.1
COMPARE_EVERY = 20
"""Looks."""
STEADY_SECONDS = 5.0
READY_SECONDS = 600.0
SHOWN = 20

Json = dict[str, Any]


@dataclass
class Outcome:
    """What one fleet came to."""

    commits: int = 0
    source_commits: int = 0
    hours: float = 0.0
    seconds: float = 0.0
    """Real ones, of the script."""
    cpu_seconds: float = 0.0
    rss_mib: float = 0.0
    caught_up_seconds: float = 0.0
    """Real ones, from the end of the script until all was told right."""
    calls: Json = field(default_factory=dict)
    requests: Json = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    violations: Json = field(default_factory=dict)
    finals: int = 0
    pending_calls: int = 0
    repeated: list[str] = field(default_factory=list)
    lags: list[Lag] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Watching:
    """Looks at the process and its ledger again and again, and says now and then how far it is."""

    def __init__(self, world: FleetWorld, run: RunProcess, history: History) -> None:
        self._world = world
        self._run = run
        self._history = history
        self._next_word = time.monotonic()
        self.rss_mib = 0.0

    def look(self) -> None:
        assert self._run.pid is not None
        self._history.look(self._world.clock.now())
        self.rss_mib = max(self.rss_mib, rss_mib(self._run.pid))
        if time.monotonic() < self._next_word:
            return
        self._next_word = time.monotonic() + PROGRESS_SECONDS
        status, forges = self._world.status(), self._world.forges
        print(
            f"{status['steps_done']}/{status['steps']} steps, {len(status['pushed'])} commits, "
            f"{forges.recorder.total_writes} writes, peak {forges.github_limits.peaks()}, "
            f"{cpu_seconds(self._run.pid):.0f} CPU s, {self.rss_mib:.0f} MiB",
            file=sys.stderr,
            flush=True,
        )


async def play_fleet(folder: Path, shared: Path, plan: FleetPlan, *, patience_seconds: float) -> Outcome:
    """Play the fleet's script before a real `run`; compare at the end.

    Args:
        folder: for the ledger and the settings.
        shared: for the world.
        patience_seconds: real ones, after the script, for what was put off to be told.
    """
    outcome = Outcome()
    listeners = Listeners().with_ports()
    world = FleetWorld(shared / "world", plan)
    async with world:
        settings = folder / "fluxtrail.yaml"
        write_fleet_settings(settings, world.describe(), listeners=listeners, routes=routes_of(world.github.url))
        run = RunProcess(settings, world.clock.text(), listeners, log=folder / "run.log")
        history = History(folder / "ledger.sqlite")
        try:
            await run.start()
            await _until_ready(run)
            watching = Watching(world, run, history)
            await _play(world, run, watching, outcome)
            await _until_right(world, watching, outcome, patience_seconds=patience_seconds)
            _count(world, outcome)
            outcome.lags = read_lags(history, list(world.forges.recorder.writes), ENVIRONMENTS)
        finally:
            history.close()
            await run.stop()
    return outcome


async def _until_ready(run: RunProcess) -> None:
    """Wait for it as long as it takes to list so many clusters: meanwhile it may answer late."""
    began = time.monotonic()
    while True:
        try:
            await run.until_ready(timeout_seconds=READY_SECONDS)
            break
        except UpstreamError:
            if run.returncode is not None or time.monotonic() - began > READY_SECONDS:
                raise
    assert run.pid is not None
    print(
        f"ready after {time.monotonic() - began:.1f} s, {cpu_seconds(run.pid):.1f} CPU s", file=sys.stderr, flush=True
    )


async def _play(world: FleetWorld, run: RunProcess, watching: Watching, outcome: Outcome) -> None:
    assert run.pid is not None
    used, began, began_at = cpu_seconds(run.pid), time.monotonic(), world.clock.now()
    world.begin()
    while not (world.is_finished() and world.is_settled() and world.is_quiet()):
        watching.look()
        await asyncio.sleep(LOOK_SECONDS)
    outcome.seconds = time.monotonic() - began
    outcome.hours = (world.clock.now() - began_at).total_seconds() / 3600
    outcome.cpu_seconds = cpu_seconds(run.pid) - used
    outcome.rss_mib = watching.rss_mib


async def _until_right(world: FleetWorld, watching: Watching, outcome: Outcome, *, patience_seconds: float) -> None:
    """Wait until what stands is right and stays so; what is wrong after all patience is the difference."""
    truth = world.report()
    outcome.commits = len(truth)
    outcome.source_commits = sum(not commit["is_carrier"] for commit in truth)
    began, right_since = time.monotonic(), 0.0
    while time.monotonic() - began < patience_seconds:
        outcome.differences = wrong_statuses(truth, world.forges.report()["statuses"])
        right_since = 0.0 if outcome.differences else right_since or time.monotonic()
        if right_since and time.monotonic() - right_since > STEADY_SECONDS:
            outcome.caught_up_seconds = right_since - began
            return
        for _ in range(COMPARE_EVERY):
            watching.look()
            await asyncio.sleep(LOOK_SECONDS)


def _count(world: FleetWorld, outcome: Outcome) -> None:
    recorder, told = world.forges.recorder, world.forges.report()
    writes = [write_json(write) for write in recorder.writes]
    outcome.calls = calls_by_kind([write for write in writes if write["system"].startswith("github")])
    outcome.requests = told["calls"]
    outcome.peaks = told["github_peaks"]
    outcome.violations = told["violations"]["by_kind"]
    outcome.finals = sum(write["is_final"] for write in writes if write["system"].startswith("github"))
    outcome.pending_calls = sum(outcome.calls.values()) - outcome.finals
    outcome.repeated = repeated_statuses(told["statuses"])


def cpu_seconds(pid: int) -> float:
    """Return what a process has used. Source: proc(5), /proc/pid/stat, fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def tell(outcome: Outcome, plan: FleetPlan) -> int:
    name = f"{plan.clusters} clusters, {plan.per_hour:g} commits an hour"
    report(
        "statuses",
        name,
        commits=outcome.commits,
        source_commits=outcome.source_commits,
        hours=outcome.hours,
        seconds=outcome.seconds,
        time_scale=plan.time_scale,
        cpu_seconds=outcome.cpu_seconds,
        cpu_seconds_a_commit=outcome.cpu_seconds / max(outcome.commits, 1),
        rss_mib=outcome.rss_mib,
        caught_up_seconds=outcome.caught_up_seconds,
    )
    report("statuses", "calls", **{key.replace(" ", "_"): count for key, count in outcome.calls.items()})
    requests = {
        f"{system}_{call}_{status}": count
        for system, calls in outcome.requests.items()
        for call, statuses in calls.items()
        for status, count in statuses.items()
    }
    report("statuses", "requests by answer", **requests)
    report(
        "statuses",
        "limits",
        bar=LIMITS,
        peak_a_minute=outcome.peaks["per_minute"],
        peak_an_hour=outcome.peaks["per_hour"],
        violations=sum(outcome.violations.values()),
        repeated=len(outcome.repeated),
    )
    _tell_lags(outcome.lags, plan)
    report("statuses", "finals", wrong=len(outcome.differences), finals=outcome.finals, pending=outcome.pending_calls)
    for line in [*outcome.differences[:SHOWN], *outcome.repeated[:SHOWN], *map(str, outcome.violations.items())]:
        print(line, file=sys.stderr)
    return 1 if outcome.differences or outcome.violations else 0


def _tell_lags(lags: list[Lag], plan: FleetPlan) -> None:
    finals, pending = ([lag for lag in lags if lag.is_final is is_final] for is_final in (True, False))
    for what, some in (
        ("final: ledger to GitHub", [lag.since_ledger for lag in finals]),
        ("final: cluster to GitHub", [lag.since_cluster for lag in finals]),
        ("pending: ledger to GitHub", [lag.since_ledger for lag in pending]),
    ):
        if some:
            figures: dict[str, float] = {"count": len(some), "worst_simulated_s": max(some)}
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
                figures[f"{name}_simulated_s"] = percentile(some, share)
                figures[f"{name}_real_s"] = percentile(some, share) / plan.time_scale
            report("statuses", what, bar="", **figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--per-hour", type=float, default=50.0, help="commits that people make")
    parser.add_argument("--hours", type=float, default=1.0, help="simulated; episodes make it somewhat longer")
    parser.add_argument("--spread", type=float, default=120.0, help="simulated seconds until the last hears of a push")
    parser.add_argument("--time-scale", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pods", action="store_true", help="simulate workloads and pods too")
    parser.add_argument("--patience", type=float, default=900.0, help="real seconds for the end to come out right")
    parser.add_argument("--keep", type=Path, help="keep the ledger and the logs here")
    options = parser.parse_args()
    plan = FleetPlan(
        clusters=options.clusters,
        per_hour=options.per_hour,
        hours=options.hours,
        spread_seconds=options.spread,
        time_scale=options.time_scale,
        seed=options.seed,
        has_pods=options.pods,
    )
    log_warnings_only()
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with folder_for(options.keep, "statuses") as folder, tempfile.TemporaryDirectory(dir=place) as shared:
        outcome = asyncio.run(play_fleet(folder, Path(shared), plan, patience_seconds=options.patience))
    return tell(outcome, plan)


if __name__ == "__main__":
    sys.exit(main())
