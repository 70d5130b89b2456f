"""How long attribution of a range of 1,000 commits takes, among 100,000: `python -m benchmarks.attribution`.

Twenty targets; the clone is there. The branch watcher's recording of the commits is measured by itself; what remains is
one sync, from its place among those that wait to its verdicts in the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
from pathlib import Path

from benchmarks.core import Core, open_core
from benchmarks.histories import make_repository, push
from benchmarks.measuring import Stopwatch, report, run

from fluxtrail.model.verdict import Verdict

BAR = "<= 200 ms"


async def measure(folder: Path, *, commits: int, in_range: int, targets: int) -> None:
    upstream = folder / "fleet.git"
    dice, watch = random.Random(1), Stopwatch()
    touches = [(dice.randrange(targets),) for _ in range(commits - 1)]
    shas = await asyncio.to_thread(make_repository, upstream, targets=targets, touches=touches)
    before, after = shas[-1 - in_range], shas[-1]
    report("attribution", f"repository of {len(shas):,} commits made", seconds=watch.seconds)
    push(upstream, before)
    async with open_core(folder, upstream) as core:
        watch = Stopwatch()
        await core.see_source(before)
        await core.see_targets(range(targets), before)
        await core.attribute_all()
        report("attribution", f"first clone and {targets} baselines", seconds=watch.seconds, cpu=watch.cpu_seconds)
        push(upstream, after)
        await core.see_source(after)
        watch = Stopwatch()
        await core.advance()
        report("attribution", f"recording {in_range:,} commits", seconds=watch.seconds, cpu=watch.cpu_seconds)
        await _syncs(core, after, targets, in_range)


async def _syncs(core: Core, sha: str, targets: int, in_range: int) -> None:
    """One sync after the other, half of them by themselves, then the rest together."""
    everyone, alone = frozenset(range(targets)), targets // 2
    taken = []
    for number in range(alone):
        await core.see_targets([number], sha, touched=everyone)
        watch = Stopwatch()
        await core.attribute_all()
        taken.append(1000 * watch.seconds)
    report(
        "attribution",
        f"one sync of {in_range:,} commits",
        bar=BAR,
        first_ms=taken[0],
        median_ms=statistics.median(taken),
        worst_ms=max(taken),
        deployed=await core.count(Verdict.DEPLOYED),
    )
    await core.see_targets(range(alone, targets), sha, touched=everyone)
    watch = Stopwatch()
    await core.attribute_all()
    report(
        "attribution",
        f"{targets - alone} syncs of {in_range:,} commits at once",
        ms=1000 * watch.seconds,
        deployed=await core.count(Verdict.DEPLOYED),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=100_000)
    parser.add_argument("--range", type=int, default=1000, dest="in_range")
    parser.add_argument("--targets", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        run(
            measure(Path(folder), commits=options.commits, in_range=options.in_range, targets=options.targets),
        )


if __name__ == "__main__":
    main()
