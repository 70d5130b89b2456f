"""Ten thousand targets and a thousand commits in one repository: `python -m benchmarks.fanout`.

Each commit changes the directory of one target. Commits are recorded and syncs attributed in time that grows with what
is affected, not with targets times commits: the same is measured with fewer targets beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from benchmarks.core import Core, open_core
from benchmarks.histories import make_repository, push
from benchmarks.measuring import Stopwatch, report, run

from fluxtrail.model.verdict import Verdict

BAR = "linear in affected, not in targets x commits"


async def measure(folder: Path, *, targets: int, commits: int) -> None:
    """Commit 1 only lets the scopes be read; the range that is measured begins after it."""
    upstream = folder / "fleet.git"
    step = max(targets // commits, 1)
    touched = [index * step % targets for index in range(commits)]
    touches = [(0,), *((number,) for number in touched)]
    shas = await asyncio.to_thread(make_repository, upstream, targets=targets, touches=touches)
    name = f"{targets:,} targets"
    async with open_core(folder, upstream) as core:
        await _move(core, upstream, shas[0])
        await _attribute(core, f"{name}: baselines", targets, shas[0], frozenset())
        await _move(core, upstream, shas[1])
        watch = Stopwatch()
        await core.advance()
        report("fanout", f"{name}: 1 commit, all scopes read", seconds=watch.seconds, cpu_seconds=watch.cpu_seconds)
        await _attribute(core, f"{name}: syncs to it", targets, shas[1], frozenset({0}))
        await _move(core, upstream, shas[-1])
        watch = Stopwatch()
        await core.advance()
        report(
            "fanout",
            f"{name}: {commits:,} commits recorded",
            bar=BAR,
            seconds=watch.seconds,
            cpu_seconds=watch.cpu_seconds,
            deliveries_written=await core.count(Verdict.PENDING),
        )
        await _attribute(core, f"{name}: syncs to {commits:,} commits", targets, shas[-1], frozenset(touched), bar=BAR)


async def _move(core: Core, upstream: Path, sha: str) -> None:
    push(upstream, sha)
    await core.see_source(sha)


async def _attribute(core: Core, what: str, targets: int, sha: str, touched: frozenset[int], *, bar: str = "") -> None:
    """Let all targets apply `sha`, and measure following and attributing it."""
    before = await core.count(Verdict.DEPLOYED)
    watch = await core.see_targets(range(targets), sha, touched=touched)
    report("fanout", f"{what}, followed", seconds=watch.seconds, cpu_seconds=watch.cpu_seconds)
    watch = Stopwatch()
    await core.attribute_all()
    report(
        "fanout",
        f"{what}, attributed",
        bar=bar,
        seconds=watch.seconds,
        cpu_seconds=watch.cpu_seconds,
        cpu_ms_a_sync=1000 * watch.cpu_seconds / targets,
        deliveries_written=await core.count(Verdict.DEPLOYED) - before,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--commits", type=int, default=1000)
    options = parser.parse_args()
    for targets in options.targets:
        with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
            run(measure(Path(folder), targets=targets, commits=options.commits))


if __name__ == "__main__":
    main()
