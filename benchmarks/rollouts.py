"""Hundreds of Deployments rolled at once in hostile order, and then: is each `running` moment the truth?

    python -m benchmarks.rollouts --deployments 500 --kustomizations 5              # the simulator's API server
    python -m benchmarks.rollouts --deployments 500 --kubeconfig ~/.kube/config
    python -m benchmarks.rollouts --deployments 500 --kills 3

A driver plays Flux and the controllers on an API server (FLUXTRAIL_TEST_KUBECONFIG names a real one, too), in a
namespace that is made for this and deleted afterwards: observedGeneration late, counts back and forth, done before
`applied` and after it, done for an instant only, ReplicaSets and pods for some, an autoscaler in the middle, roll-outs
that never end or that only a later sync ends, and a branch that goes back. The real `fluxtrail run` follows; what its
ledger says is compared with when the API server took the write that made it true.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from benchmarks.histories import make_repository, push
from benchmarks.measuring import percentile, rss_mib
from benchmarks.outcomes import folder_for, summary_of, told
from benchmarks.rollouts_git import git_server
from benchmarks.rollouts_script import Rolling
from benchmarks.rollouts_truth import Comparison, Followed, compare, read_kept
from benchmarks.rollouts_world import Flux, FluxApi, Member, Target, make_manner
from benchmarks.servers import ServerProcess

from fluxtrail.clusters.connection import open_connection
from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.processes import Listeners, RunProcess

KUBECONFIG_VARIABLE = "FLUXTRAIL_TEST_KUBECONFIG"
SAMPLE_SECONDS = 0.5
POLL_SECONDS = 0.5
START_PATIENCE_SECONDS = 180.0
SEEN_SECONDS = 3.0
"""How long `run` must have been there, by default, before the next sync begins: one that it missed is another
benchmark's."""
SHARE = 20
"""One in so many Deployments is in each of the Kustomizations that are stuck, undone, or gone back on."""
RESTS = (0.0, 0.3, 2.0, 6.0)
"""From the last object applied until that is written: roll-outs end before it, and after."""
SHOWN = 40

Json = dict[str, Any]


@dataclass
class Outcome:
    """What a run came to. Seconds of CPU and memory are those of `fluxtrail run` alone."""

    deployments: int
    kustomizations: int
    kills: int
    server: str
    seconds: float = 0.0
    """From the first sync to the last write."""
    told_after_seconds: float = 0.0
    """From the last write until the ledger had all of it, or patience was over."""
    moments: int = 0
    """Of workloads."""
    within_a_second: int = 0
    running: int = 0
    """Moments of syncs."""
    running_within_a_second: int = 0
    offsets: Json = field(default_factory=dict)
    evidence: dict[str, int] = field(default_factory=dict)
    widest_bracket_seconds: float = 0.0
    cpu_seconds: float = 0.0
    rss_before_mib: float = 0.0
    rss_most_mib: float = 0.0
    differences: list[str] = field(default_factory=list)

    def summary(self) -> Json:
        return summary_of(self, digits=2)


class Watched:
    """The process, and who kills it."""

    def __init__(self, run: RunProcess, outcome: Outcome, seen_seconds: float) -> None:
        self.run = run
        self._seen_seconds = seen_seconds
        self._outcome = outcome
        self._is_up = asyncio.Event()

    async def start(self) -> None:
        await self.run.start()
        await self.run.until_ready()
        self._is_up.set()

    async def until_seen(self) -> None:
        """Wait until it was there for a while without a gap."""
        while True:
            await self._is_up.wait()
            starts = self.run.starts
            await asyncio.sleep(self._seen_seconds)
            if self._is_up.is_set() and self.run.starts == starts:
                return

    async def kill_often(self, kills: int, dice: random.Random) -> None:
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(1, 5))
            self._is_up.clear()
            self._count()
            await self.run.kill()
            await asyncio.sleep(dice.uniform(0.2, 2))
            await self.start()

    def _count(self) -> None:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(self.run.pid).cpu_times()
            self._outcome.cpu_seconds += times.user + times.system

    async def sample(self) -> None:
        while True:
            self.note_memory()
            await asyncio.sleep(SAMPLE_SECONDS)

    def note_memory(self) -> None:
        if self._is_up.is_set() and self.run.pid is not None:
            with suppress(FileNotFoundError):  # it has ended, which is told in the end
                self._outcome.rss_most_mib = max(self._outcome.rss_most_mib, rss_mib(self.run.pid))

    def finish(self, before: float) -> None:
        self._count()
        self._outcome.cpu_seconds -= before


class Play:
    """All that happens to the Deployments of one run."""

    def __init__(self, api: FluxApi, folder: Path, watched: Watched | None, dice: random.Random) -> None:
        self.deployments: dict[str, Followed] = {}
        self.targets: list[Target] = []
        self.watched = watched
        self._api = api
        self._folder = folder
        self._dice = dice
        self._shas: dict[str, list[str]] = {}
        self._gone_back = asyncio.Event()
        self._has_moved = False

    def plan(self, deployments: int, kustomizations: int) -> None:
        few = max(deployments // SHARE, 2)
        sizes = {"stuck": few, "undone": few, "kept": few}
        rest = deployments - 3 * few
        for number in range(kustomizations):
            sizes[f"shop-{number:02d}"] = (rest + number) // kustomizations
        for name, size in sizes.items():
            source = "back" if name in ("undone", "kept") else "fleet"
            has_checks = name.startswith("shop") and int(name[-2:]) % 3 == 1
            target = Target(name, len(self.targets), source, has_checks)
            target.members = [self._member(len(self.deployments)) for _ in range(size)]
            self.targets.append(target)

    def _member(self, number: int) -> Member:
        item = Followed(f"web-{number:04d}", self._dice.randint(1, 8))
        manner = make_manner(number)
        if manner.has_pods:
            item.wanted = min(item.wanted, 4)
        self.deployments[item.name] = item
        dice = random.Random(self._dice.random())
        rolling = Rolling(self._api, item, manner, dice, is_simulated=self._api.is_simulated)
        return Member(item, rolling, has_replicas=not (manner.is_scaled or manner.is_scaled_late))

    async def fill(self, flux: Flux, url: str) -> None:
        """Make all as it was before, rolled out since long."""
        touches = [tuple(range(len(self.targets)))] * 2
        for name in ("fleet", "back"):
            path = self._repository(name)
            self._shas[name] = await asyncio.to_thread(
                make_repository, path, targets=len(self.targets), touches=touches
            )
            await flux.make_source(name, f"{url}/{path.name}", self._shas[name][0])
        for target in self.targets:
            await flux.make(target, self._shas[target.source][0])

    def _repository(self, source: str) -> Path:
        """A cluster may have others of these names: a port does not tell repositories apart."""
        return self._folder / f"{source}-{self._api.namespace}.git"

    async def _move(self, flux: Flux, source: str, number: int) -> None:
        """Let the branch be at a commit, and Flux fetch it."""
        sha = self._shas[source][number]
        push(self._repository(source), sha)
        await flux.fetch(source, sha)

    async def go(self, flux: Flux) -> None:
        """Roll everything; each Kustomization by itself."""
        for source in self._shas:
            await self._move(flux, source, 1)
        await asyncio.gather(self._go_back(flux), *(self._play(flux, target) for target in self.targets))

    async def _play(self, flux: Flux, target: Target) -> None:
        shas, names = self._shas[target.source], [member.item.name for member in target.members]
        held = self._held(target)
        await flux.sync(
            target,
            shas[1],
            "1",
            names,
            ending=[name for name in names if name not in held],
            rest_seconds=self._dice.choice(RESTS),
            is_undone=target.name == "undone",
        )
        if target.name == "stuck":
            return
        if target.source == "back":
            await self._gone_back.wait()
            await flux.sync(target, shas[0], "0", names, ending=names, rest_seconds=self._dice.choice(RESTS))
            return
        await self._until_seen()
        if not self._has_moved:
            self._has_moved = True
            await self._move(flux, target.source, 2)
        rest = self._dice.choice(RESTS)
        await flux.sync(target, shas[2], "2", held, ending=held, rest_seconds=rest)

    def _held(self, target: Target) -> list[str]:
        """Return the Deployments whose first roll-out does not end."""
        if target.name == "kept":
            return []
        names = [member.item.name for member in target.members]
        if target.name in ("stuck", "undone"):
            return names[::2]
        return [member.item.name for member in target.members if member.rolling.manner.is_held]

    async def _go_back(self, flux: Flux) -> None:
        """Move the branch back once one Kustomization runs what it had, and the other does not."""
        kept = next(target for target in self.targets if target.name == "kept")
        while not all(member.item.first(2) and member.item.holds for member in kept.members):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(max(RESTS))
        await self._until_seen()
        await self._move(flux, "back", 0)
        self._gone_back.set()

    async def _until_seen(self) -> None:
        if self.watched is not None:
            await self.watched.until_seen()


async def roll_hostile(
    directory: Path,
    *,
    deployments: int,
    kustomizations: int,
    kills: int = 0,
    kubeconfig: Path | None = None,
    context: str | None = None,
    seed: int = 1,
    patience_seconds: float = 60.0,
    gap_seconds: float = SEEN_SECONDS,
) -> Outcome:
    """Fill a namespace, roll everything, and compare.

    Args:
        kustomizations: besides three: one that is stuck, two of a branch that goes back.
        kubeconfig: of a real server; None: the simulator's.
        gap_seconds: from one sync of a Kustomization to the next, at least.
    """
    outcome = Outcome(deployments, kustomizations, kills, "real" if kubeconfig else "simulator")
    dice = random.Random(seed)
    async with AsyncExitStack() as stack:
        is_simulated = kubeconfig is None
        if kubeconfig is None:
            server = await stack.enter_async_context(ServerProcess(directory))
            kubeconfig, context = server.kubeconfig, server.contexts[0]
        connection = await stack.enter_async_context(open_connection(context, {"KUBECONFIG": str(kubeconfig)}))
        api = FluxApi(connection, f"rollouts-{uuid.uuid4().hex[:8]}", is_simulated=is_simulated)
        await stack.enter_async_context(api.inside())
        url = await stack.enter_async_context(git_server(directory))
        run = _prepare(directory, kubeconfig, connection.name if context is None else context, api.namespace)
        watched = Watched(run, outcome, gap_seconds)
        play = Play(api, directory, watched, dice)
        play.plan(deployments, kustomizations)
        async with asyncio.TaskGroup() as tasks:
            flux = Flux(api, dice, tasks)
            await play.fill(flux, url)
            await watched.start()
            stack.push_async_callback(run.stop)
            await _until_known(directory / "ledger.sqlite", play)
            assert run.pid is not None
            before = sum(psutil.Process(run.pid).cpu_times()[:2])
            outcome.rss_before_mib = rss_mib(run.pid)
            began = time.monotonic()
            async with _sampling(watched):
                async with asyncio.TaskGroup() as acts:
                    acts.create_task(play.go(flux))
                    acts.create_task(watched.kill_often(kills, dice))
                await asyncio.gather(*flux.rolls)
                outcome.seconds = time.monotonic() - began
                found = await _until_told(directory / "ledger.sqlite", flux, play, patience_seconds, any_time=kills > 0)
            outcome.told_after_seconds = time.monotonic() - began - outcome.seconds
            watched.finish(before)
            _conclude(outcome, found)
        if run.returncode is not None:
            outcome.differences.append(f"`fluxtrail run` ended with {run.returncode}: {run.last_words()}")
    return outcome


@asynccontextmanager
async def _sampling(watched: Watched) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(watched.sample())
        yield
        sampling.cancel()


async def _until_known(ledger: Path, play: Play) -> None:
    """Wait until every Kustomization is a target, and every Deployment a workload of one."""
    asked = "SELECT (SELECT count(*) FROM syncs WHERE applied IS NOT NULL), (SELECT count(*) FROM workloads)"
    wanted, found = (len(play.targets), len(play.deployments)), (0, 0)
    deadline = time.monotonic() + START_PATIENCE_SECONDS
    while found < wanted or found[1] < wanted[1]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"`run` knows {found} targets and workloads after all patience, of {wanted}")
        await asyncio.sleep(POLL_SECONDS)
        with suppress(sqlite3.OperationalError), closing(connect_reader(ledger)) as connection:
            found = connection.execute(asked).fetchone()
    await asyncio.sleep(SEEN_SECONDS)


async def _until_told(ledger: Path, flux: Flux, play: Play, patience_seconds: float, *, any_time: bool) -> Comparison:
    deadline = time.monotonic() + patience_seconds
    while True:
        kept = await asyncio.to_thread(read_kept, ledger)
        found = compare(flux.truths, play.deployments, kept, any_time=any_time)
        if not found.missing or time.monotonic() > deadline:
            return found
        await asyncio.sleep(POLL_SECONDS)


def _conclude(outcome: Outcome, found: Comparison) -> None:
    for what, kinds in (("workloads", found.workloads), ("syncs", found.syncs)):
        for precision, offsets in sorted(kinds.items()):
            outcome.offsets[f"{what} {precision}"] = _distribution(offsets)
    moments = [offset for offsets in found.workloads.values() for offset in offsets]
    running = [offset for offsets in found.syncs.values() for offset in offsets]
    outcome.moments, outcome.running = len(moments), len(running)
    outcome.within_a_second = sum(abs(offset) <= 1 for offset in moments)
    outcome.running_within_a_second = sum(abs(offset) <= 1 for offset in running)
    outcome.evidence = dict(sorted(found.evidence.items()))
    outcome.widest_bracket_seconds = max(found.widths, default=0.0)
    for kind, lines in (("missing", found.missing), ("wrong", found.wrong), ("far", found.far)):
        outcome.differences += [f"{kind}: {line}" for line in lines]


def _distribution(offsets: Sequence[float]) -> Json:
    sizes = [abs(offset) for offset in offsets]
    figures = {"p50": percentile(sizes, 0.5), "p99": percentile(sizes, 0.99), "max": max(sizes)}
    figures |= {"earliest": min(offsets), "latest": max(offsets)}
    return {"count": len(sizes)} | {name: round(value, 3) for name, value in figures.items()}


def _prepare(directory: Path, kubeconfig: Path, context: str, namespace: str) -> RunProcess:
    listeners = Listeners().with_ports()
    settings = {
        "ledger": {"path": str(directory / "ledger.sqlite")},
        "kubeconfig": str(kubeconfig),
        "kube_contexts": [context],
        "namespaces": [namespace],
        "git": {"directory": str(directory / "clones")},
        "allow": ["127.0.0.1"],
        "api": {"listen": listeners.api},
        "metrics": {"listen": listeners.metrics},
        "health": {"listen": listeners.health},
    }
    path = directory / "fluxtrail.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return RunProcess(path, SimulatedClock().text(), listeners, log=directory / "run.log")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=100)
    parser.add_argument("--kustomizations", type=int, default=5)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kubeconfig", type=Path, default=os.environ.get(KUBECONFIG_VARIABLE) or None)
    parser.add_argument("--context", help="default: the kubeconfig's current one")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for the ledger to have everything")
    parser.add_argument(
        "--gap",
        type=float,
        default=SEEN_SECONDS,
        help="seconds between two syncs: below a second, what each changed mixes",
    )
    parser.add_argument("--keep", type=Path, help="keep the ledger and the log here")
    options = parser.parse_args()
    with folder_for(options.keep, "rollouts") as directory:
        outcome = asyncio.run(
            roll_hostile(
                directory,
                deployments=options.deployments,
                kustomizations=options.kustomizations,
                kills=options.kills,
                kubeconfig=options.kubeconfig,
                context=options.context,
                seed=options.seed,
                patience_seconds=options.patience,
                gap_seconds=options.gap,
            )
        )
    return told(outcome)


if __name__ == "__main__":
    sys.exit(main())
