"""SIGKILLs while forges are told how commits stand, and forges are unwell; then: does what stands say what is true?

    python -m benchmarks.statuses_kill --kills 50 --seed 1

The simulated world with its forges is a process of its own that is not killed; `fluxtrail run` is, at seeded random
moments, while it tells statuses, deployments and a webhook. Meanwhile GitHub fails, refuses, limits, is slow, and cuts
connections after it has taken what they brought. In the end every status of every commit and environment must be what
the simulator knows to be true, the ledger must remember the same, and no report may be dead or wait. That something is
told twice is right only where a kill or a cut connection hid the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from benchmarks.kill import HOLD_SECONDS, kill_again_and_again, start_ready
from benchmarks.outcomes import folder_for, summary_of, told
from benchmarks.records_world import sink_metrics, until_quiet
from benchmarks.statuses_world import calls_by_kind, wrong_statuses

from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.clock import parse_clock, parse_precise_time
from fluxtrail.simulator.processes import Listeners, RunProcess, SimulatorProcess, write_settings

ROUTES = ("checks", "deployments", "hook")
TOLD = ("acme/shop", "acme/manifests", "acme/assistant")
DEPLOYED_TO = ("staging",)
SECONDS_A_KILL = 4.0
"""Real ones, on an idle machine: so long the script lasts."""
TROUBLE_SECONDS = (0.5, 2.5)
QUIET_PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.5
STEADY_SECONDS = 1.0
HIDDEN_SECONDS = 3.0
"""Real ones, after a write: whoever is killed then may not have heard of its answer, or not have kept it."""
_GITHUB = {"pending": "pending", "running": "pending", "neutral": "success"}
"""GitHub's words for states of ours, where they are others."""

Json = dict[str, Any]


@dataclass
class Outcome:
    """What one run of kills came to."""

    kills: int
    seed: int
    troubles: int = 0
    commits: int = 0
    statuses: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    requests: dict[str, dict[str, int]] = field(default_factory=dict)
    """GitHub's calls -> status -> how many; 0: the connection was cut."""
    violations: int = 0
    repeated: int = 0
    """Writes that said what stood there already."""
    repeated_by_kills: int = 0
    hidden_answers: int = 0
    """Writes that GitHub took and did not say so."""
    seconds: float = 0.0
    catch_up_seconds: float = 0.0
    differences: list[str] = field(default_factory=list)

    def summary(self) -> Json:
        return summary_of(self)


async def kill_while_saying(
    directory: Path,
    *,
    kills: int,
    seed: int,
    changes: int,
    time_scale: float = 20.0,
    hold_seconds: float = HOLD_SECONDS,
    patience_seconds: float = 300.0,
) -> Outcome:
    """Play a world with kills and trouble, and compare what stands on its commits in the end.

    Args:
        hold_seconds: real ones, for which what will be undone stays: longer than two restarts in a row, for of what
            came and went while it was away nobody can tell.
        patience_seconds: for which, after the world is quiet, what was put off is waited for.
    """
    outcome = Outcome(kills=kills, seed=seed)
    began = time.monotonic()
    rate = changes / (max(kills, 1) * SECONDS_A_KILL * time_scale)
    arguments = [f"--seed={seed}", f"--changes={changes}", f"--rate={rate:g}", f"--time-scale={time_scale:g}"]
    listeners, settings = Listeners().with_ports(), directory / "fluxtrail.yaml"
    async with SimulatorProcess(f"--directory={directory / 'world'}", f"--hold={hold_seconds}", *arguments) as world:
        _write_settings(settings, world, listeners)
        run = RunProcess(settings, world.clock, listeners, log=directory / "run.log")
        try:
            killed_at = await _play(world, run, outcome)
            ended = time.monotonic()
            outcome.differences = await _find_differences(world, run, patience_seconds=patience_seconds)
            outcome.catch_up_seconds = time.monotonic() - ended
            await run.stop()
            await _look_back(world, directory / "ledger.sqlite", outcome, killed_at)
        finally:
            await run.stop()
    outcome.seconds = time.monotonic() - began
    return outcome


def _write_settings(path: Path, world: SimulatorProcess, listeners: Listeners) -> None:
    write_settings(path, world.description, listeners=listeners, settle_seconds=5.0, poll_seconds=0.5, has_routes=True)
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    told = [f"*/{name}" for name in TOLD]
    settings["routes"] = [
        {"name": "checks", "to": "github_status", "repositories": told},
        {
            "name": "deployments",
            "to": "github_deployment",
            "repositories": told,
            "commits": "source",
            "environments": list(DEPLOYED_TO),
        },
        {"name": "hook", "to": "webhook", "address": f"{world.description['github']}/webhooks/kills"},
    ]
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


async def _play(world: SimulatorProcess, run: RunProcess, outcome: Outcome) -> list[datetime]:
    """Play, kill and make trouble until the world is quiet; returns when it was killed, in simulated time."""
    killed_at: list[datetime] = []
    clock = parse_clock(world.clock)
    trouble = Trouble(world, random.Random(outcome.seed + 1), outcome)
    ready: list[float] = []
    await start_ready(run, ready)
    await world.begin()
    async with asyncio.TaskGroup() as group:
        troubling = group.create_task(trouble.make(), name="trouble")
        await kill_again_and_again(
            run,
            random.Random(outcome.seed),
            kills=outcome.kills,
            ready_seconds=ready,
            on_kill=lambda: killed_at.append(clock.now()),
        )
        await until_quiet(world, patience_seconds=QUIET_PATIENCE_SECONDS)
        troubling.cancel()
    await world.fail_forges(action="clear")
    return killed_at


class Trouble:
    """What is wrong with GitHub and the receiver of the webhook, one thing after the other."""

    def __init__(self, world: SimulatorProcess, dice: random.Random, outcome: Outcome) -> None:
        self._world = world
        self._time_scale = parse_clock(world.clock).scale
        self._dice = dice
        self._outcome = outcome

    async def make(self) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(*TROUBLE_SECONDS))
            await self._world.fail_forges(**self._fault())
            self._outcome.troubles += 1

    def _fault(self) -> Json:
        dice = self._dice
        count, is_after, wait = dice.randint(1, 4), dice.random() < 0.5, dice.randint(1, 60)
        choices: list[Json] = [
            {"action": "status", "status": dice.choice((500, 502, 503)), "is_after": is_after},
            {"action": "status", "status": dice.choice((500, 502, 503)), "seconds": wait, "count": None},
            {"action": "drop", "is_after": True},
            {"action": "drop", "is_after": is_after},
            {"action": "status", "status": 429, "retry_after_seconds": wait},
            {"action": "status", "status": 403, "retry_after_seconds": wait, "is_retry_after_date": True},
            {"action": "status", "status": 403, "reset_seconds": wait},
            {"action": "delay", "delay_seconds": dice.uniform(0.1, 1.0) * self._time_scale},
        ]
        systems = dice.choice((["github"], ["github"], ["webhook"], []))
        return {"count": count, "systems": systems} | dice.choice(choices)


async def _find_differences(world: SimulatorProcess, run: RunProcess, *, patience_seconds: float) -> list[str]:
    """Wait until what stands is true, and nothing is under way; return what is still wrong after all patience."""
    deadline = time.monotonic() + patience_seconds
    truth = await world.truth()
    while True:
        wrong = await _all_wrong(world, run, truth)
        if not wrong:
            await asyncio.sleep(STEADY_SECONDS)
            wrong = await _all_wrong(world, run, truth)
        if not wrong or time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(POLL_SECONDS)


async def _all_wrong(world: SimulatorProcess, run: RunProcess, truth: Sequence[Json]) -> list[str]:
    statuses = (await world.forges())["statuses"]
    environments = world.description["forges"]["environments"]
    wrong = wrong_statuses(truth, statuses, environments=environments, told=TOLD, deployed_to=DEPLOYED_TO)
    for name in ROUTES:
        for what in ("waiting", "dead"):
            try:
                count = (await sink_metrics(run, sink=f"route.{name}")).get(f"fluxtrail_reports_{what}")
            except UpstreamError as exc:
                wrong.append(str(exc))
                continue
            if count != 0:
                wrong.append(f"route {name}: {'unknown' if count is None else int(count)} reports are {what}")
    return wrong


async def _look_back(world: SimulatorProcess, ledger: Path, outcome: Outcome, killed_at: Sequence[datetime]) -> None:
    """Compare what the ledger remembers, and what was told twice, with the forges' record."""
    forges, writes = await world.forges(), await all_writes(world)
    outcome.commits = len(await world.truth())
    outcome.statuses = len(forges["statuses"])
    outcome.calls = calls_by_kind([write for write in writes if write["system"].startswith("github")])
    outcome.requests = forges["calls"].get("github", {})
    outcome.violations = forges["violations"]["total"]
    outcome.differences += [f"a limit was overrun: {item}" for item in forges["latest_violations"]]
    outcome.differences += differences_of_said(ledger, forges["statuses"])
    repeats = list(repeated_writes(writes))
    hidden = timedelta(seconds=HIDDEN_SECONDS * parse_clock(world.clock).scale)
    unexplained = [pair for pair in repeats if not any(pair[0] <= at <= pair[0] + hidden for at in killed_at)]
    outcome.repeated, outcome.repeated_by_kills = len(repeats), len(repeats) - len(unexplained)
    outcome.hidden_answers = _hidden_answers(forges, writes)
    if len(unexplained) > outcome.hidden_answers:
        outcome.differences += [f"told again at {again}, without a reason: {what}" for _, again, what in unexplained]


def _hidden_answers(forges: Json, writes: Sequence[Json]) -> int:
    """Return how many writes were taken whose answers said nothing of it: more of them than answers with 201."""
    calls = ("status", "deployment", "deployment_status")
    said = sum(int(forges["calls"].get("github", {}).get(call, {}).get("201", 0)) for call in calls)
    return sum(1 for w in writes if w["call"] in calls and w["system"].startswith("github")) - said


async def all_writes(world: SimulatorProcess) -> list[Json]:
    """Return all that forges took, oldest first."""
    found: list[Json] = []
    while some := await world.writes(after=found[-1]["number"] if found else 0):
        found += some
    return found


def repeated_writes(writes: Sequence[Json]) -> Iterator[tuple[datetime, datetime, str]]:
    """Yield (first, again, what) of writes that said what stood there already."""
    last: dict[tuple[str, ...], Json] = {}
    for write in writes:
        if not write["system"].startswith("github"):
            continue
        key = (write["system"], write["repository"], write["sha"], write["context"].lower())
        before, last[key] = last.get(key), write
        if before is not None and _said(before) == _said(write):
            at, again = (parse_precise_time(item["at"]) for item in (before, write))
            yield at, again, f"{write['sha'][:9]} {write['context']} is {write['state']} ({write['description']})"


def _said(write: Json) -> tuple[str, ...]:
    return write["id"] if write["environment"] else "", write["state"], write["description"], write["url"]


def differences_of_said(ledger: Path, statuses: Sequence[Json]) -> list[str]:
    """Return where the ledger remembers another status than the one that stands."""
    with closing(connect_reader(ledger)) as connection:
        rows = connection.execute(
            "SELECT c.sha, s.key, s.state, s.content FROM said s JOIN commits c ON c.id = CAST(s.parent AS INTEGER) "
            "WHERE s.sink = 'route.checks'"
        ).fetchall()
        dead = connection.execute("SELECT sink, key, answer FROM reports WHERE state = 'dead'").fetchall()
    remembered = defaultdict(str)
    for sha, key, state, content in rows:
        remembered[sha, f"fluxtrail/{key.partition('/')[2]}"] = _GITHUB.get(state, state) if content else ""
    standing = {(item["sha"], item["context"]): item["state"] for item in statuses if item["system"] == "github"}
    return [f"{sink} {key} is dead: {answer}" for sink, key, answer in dead] + [
        f"{sha[:9]} {context} is {standing.get((sha, context), 'nothing')}, the ledger remembers "
        f"{remembered.get((sha, context)) or 'nothing'}"
        for sha, context in sorted(remembered.keys() | standing.keys())
        if remembered.get((sha, context)) != standing.get((sha, context))
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, help="default: as many as kills, 20 at least")
    parser.add_argument("--time-scale", type=float, default=20.0)
    parser.add_argument(
        "--hold", type=float, default=HOLD_SECONDS, help="real seconds for which what will be undone stays"
    )
    parser.add_argument("--patience", type=float, default=600.0, help="seconds for the end to come out right")
    parser.add_argument("--keep", type=Path, help="keep the world, the ledger and the logs here")
    options = parser.parse_args()
    with folder_for(options.keep, "statuses") as directory:
        outcome = asyncio.run(
            kill_while_saying(
                directory,
                kills=options.kills,
                seed=options.seed,
                changes=options.changes or max(20, options.kills),
                time_scale=options.time_scale,
                hold_seconds=options.hold,
                patience_seconds=options.patience,
            )
        )
    return told(outcome)


if __name__ == "__main__":
    sys.exit(main())
