"""What it costs to say how one commit stands: `python -m benchmarks.standings`.

A commit with 1,000 deliveries (200 clusters with five Kustomizations each) is read from a real ledger, folded into
four environments and put into words: what a route does for each report, once a second at most while syncs come in.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.ledger import SystemClock, World
from benchmarks.measuring import Stopwatch, report, run

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import SaidRecord
from fluxtrail.reports.routes import DEFAULT_CONTEXT, Route, RouteKind
from fluxtrail.reports.standings.glancing import Glance
from fluxtrail.reports.standings.saying import Compose
from fluxtrail.reports.standings.words import DEFAULT_DESCRIPTION, example_values
from fluxtrail.reports.templates import Text

SETTLE_AFTER = timedelta(minutes=10)
COMMITS = 60
ENVIRONMENTS = 4
ROUTE = Route(name="checks", kind=RouteKind.GITHUB_STATUS)


async def measure(folder: Path, *, targets: int, times: int, is_profiled: bool) -> None:
    ledger = await SqlLedger.open(folder / "ledger.sqlite", clock=SystemClock())
    try:
        world = World(ledger, targets, COMMITS)
        await world.fill()
        for name, number in (("deployed", 3), ("pending", COMMITS // 2 - 1)):
            # source commits are the first that are kept, in their order
            await _measure(world, name, CommitId(number + 1), times=times, is_profiled=is_profiled)
    finally:
        await ledger.close()


async def _measure(world: World, name: str, commit: CommitId, *, times: int, is_profiled: bool) -> None:
    composes = _compose()

    async def read() -> int:
        found = await world.ledger.trails([commit], now=world.now, settle_after=SETTLE_AFTER)
        return len(found[commit].view.deliveries)

    deliveries = await read()
    profile = cProfile.Profile()
    watch = Stopwatch()
    if is_profiled:
        profile.enable()
    for _ in range(times):
        await read()
    profile.disable()
    trail_ms = 1000 * watch.cpu_seconds / times
    watch = Stopwatch()
    for _ in range(times):
        outlines = await world.ledger.outlines([commit])
    outline_ms = 1000 * watch.cpu_seconds / times
    glance = Glance(ROUTE, composes.environment_of)
    said = [_said(commit, f"environment-{number}", world.now) for number in range(ENVIRONMENTS)]
    glance.has_nothing_new(outlines[commit], said, world.now)
    watch = Stopwatch()
    for _ in range(times):
        glance.has_nothing_new(outlines[commit], said, world.now)
    glance_ms = 1000 * watch.cpu_seconds / times
    trail = (await world.ledger.trails([commit], now=world.now, settle_after=SETTLE_AFTER))[commit]
    watch = Stopwatch()
    for _ in range(times):
        composes.speech(commit, trail, [], world.now)
    words_ms = 1000 * watch.cpu_seconds / times
    report(
        "standings",
        f"a commit that is {name}",
        deliveries=deliveries,
        outline_cpu_ms=outline_ms,
        glance_cpu_ms=glance_ms,
        trail_cpu_ms=trail_ms,
        words_cpu_ms=words_ms,
    )
    if is_profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


def _said(commit: CommitId, environment: str, now: datetime) -> SaidRecord:
    return SaidRecord(
        sink=ROUTE.sink, key=f"{commit}/{environment}", content="a.b", state="pending", times=1, said_at=now
    )


def _compose() -> Compose:
    example = example_values()
    sources = {"context": DEFAULT_CONTEXT, "description": DEFAULT_DESCRIPTION, "url": "{{ url }}"}
    return Compose(
        ROUTE,
        lambda cluster, target: f"environment-{sum(map(ord, cluster)) % ENVIRONMENTS}",
        {name: Text(source, example=example, subject=name) for name, source in sources.items()},
        public_url="https://trail.example",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        run(measure(Path(folder), targets=options.targets, times=options.times, is_profiled=options.profile))


if __name__ == "__main__":
    main()
