"""`gotk_resource_info` of many objects: what the series take, what a scrape costs, and how soon a change is told.

    python -m benchmarks.resources --objects 1000 10000 100000

Kustomizations of 4.5 KB are listed and watched from a simulated API server in another process; another one too scrapes,
over one connection. CPU and memory are of what is left here: the watcher, the series and the listener of `/metrics`.
Each size runs in a process of its own, and everything twice: on a quiet cluster, and while 200 lines change every
second, all over. A table comes last.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.exposition import NOON, Answered
from benchmarks.measuring import MIB, Stopwatch, peak_rss_mib, percentile, report, reset_peak, rss_mib, run
from benchmarks.scraper import Scraper
from benchmarks.servers import ServerProcess

from fluxtrail.clusters.connection import Connection, open_connection
from fluxtrail.clusters.subjects import Subject
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.figures import Figures
from fluxtrail.model.observation import Listed, Observation
from fluxtrail.reports.resource_metrics.blocks import Block
from fluxtrail.reports.resource_metrics.flux import flux_resources
from fluxtrail.reports.resource_metrics.rendering import Lines, Renderer
from fluxtrail.reports.resource_metrics.series import KindSeries, ResourceSeries
from fluxtrail.runtime.clock import SystemClock
from fluxtrail.web.metrics import Metrics, create_metrics_app
from fluxtrail.web.ports import Answers
from fluxtrail.web.server import Listener, WebServer

NAME = "resources"
SHA = "a" * 40
BARS = {100_000: "≤ 20 ms of CPU a scrape, ≤ 150 MiB more than without"}
CONTEXT = "cluster-0"
CHANGES_PER_SECOND = 200
QUIET, BUSY = "quiet", f"{CHANGES_PER_SECOND} changes/s"
STRIDE = 104_729
IDLE_SECONDS = 3.0
PAUSE_SECONDS = 0.5
TABLE = """
| Kustomizations | served after (start CPU) | RSS peak above idle | `/metrics` (gzip) | scrape p50/p95 ms (gzip) | \
CPU per scrape ms (gzip) | patch → line p50/p95 ms |
|---|---|---|---|---|---|---|"""


class Series:
    """The series, as `runtime/resources.py` holds them, and word of what came."""

    def __init__(self) -> None:
        (resource,) = [item for item in flux_resources() if item.kind == "Kustomization"]
        self.renderer = Renderer(resource)
        self.all = ResourceSeries(10_000_000)
        self.kind = KindSeries(resource, cluster="prod", budget=self.all.budget, now=SystemClock().now)
        self.all.add(self.kind)
        self.listed = asyncio.Event()

    async def take(self, batch: Sequence[Observation[Lines]]) -> None:
        self.all.observe(self.kind, batch)
        if any(isinstance(observation, Listed) for observation in batch):
            self.listed.set()

    async def pieces(
        self, *, is_openmetrics: bool, resources: frozenset[str] | None, excluded: frozenset[str]
    ) -> list[bytes | Block]:
        return self.all.pieces(is_openmetrics=is_openmetrics, resources=resources, excluded=excluded)

    def subject(self) -> Subject[Lines]:
        resource = self.renderer.resource
        return Subject(
            group=resource.group,
            kind=resource.kind,
            versions=(),
            wire=self.renderer.wire,
            project=self.renderer.project,
        )


async def measure(count: int, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        # What is started later starts out with a copy of all our tables of pages, and we write anew to each page.
        async with ServerProcess(Path(folder)) as server, Scraper() as scraper:
            await server.ask("fill", context=CONTEXT, first=0, count=count, url="https://git.example/acme", sha=SHA)
            environ = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
            async with open_connection(CONTEXT, environ) as connection:
                await _watch(_Run(count, server, scraper, options.scrapes, options.patches), connection)


@dataclass
class _Run:
    count: int
    server: ServerProcess
    scraper: Scraper
    scrapes: int
    patches: int
    revision: int = 0

    async def scrape(self, where: str, *, is_gzipped: bool) -> list[str]:
        """Return p50 and p95 in milliseconds, and the CPU milliseconds, beside what goes on anyway."""
        began = Stopwatch()
        await asyncio.sleep(IDLE_SECONDS)
        load = began.cpu_seconds / began.seconds
        seconds, cpu, empty, size = [], [], [], 0
        for _ in range(self.scrapes):
            watch = Stopwatch()
            await self.scraper.scrape("/metrics?resources=none", is_gzipped=is_gzipped)
            empty.append(watch.cpu_seconds - load * watch.seconds)
            watch = Stopwatch()
            took, size = await self.scraper.scrape("/metrics", is_gzipped=is_gzipped)
            cpu.append(watch.cpu_seconds - load * watch.seconds)
            seconds.append(took)
            await asyncio.sleep(PAUSE_SECONDS)
        figures = [percentile(seconds, 0.5), percentile(seconds, 0.95), percentile(cpu, 0.5)]
        report(
            NAME,
            f"a scrape of {self.count:,} series, {'gzip' if is_gzipped else 'identity'}, {where}",
            bar=BARS.get(self.count, ""),
            mib=size / MIB,
            p50_ms=figures[0] * 1000,
            p95_ms=figures[1] * 1000,
            cpu_ms=figures[2] * 1000,
            cpu_of_an_empty_one_ms=percentile(empty, 0.5) * 1000,
        )
        return [f"{_short(size / 1e6)} MB", *(_short(figure * 1000) for figure in figures)]

    async def patch(self, where: str) -> str:
        """From the write to the line in an answer, of a scraper that never rests."""
        took = []
        for _ in range(self.patches):
            self.revision += 1
            number, revision = self.revision * STRIDE % self.count, f"main@sha1:{self.revision:040d}"
            begun = await self.server.ask("revise", context=CONTEXT, number=number, revision=revision)
            took.append(await self.scraper.until("/metrics?resources=kustomizations", revision) - begun["at"])
        p50, p95 = percentile(took, 0.5) * 1000, percentile(took, 0.95) * 1000
        report(NAME, f"patch → line among {self.count:,}, {where}", p50_ms=p50, p95_ms=p95)
        return f"{_short(p50)}/{_short(p95)}"


async def _watch(run: _Run, connection: Connection) -> None:
    series = Series()
    metrics = Metrics(
        figures=Figures,
        answers=cast("Answers", Answered([])),
        created_at=NOON,
        now=SystemClock().now,
        resources=series,
        leads=lambda: False,
    )
    listener = Listener(name="metrics", app=create_metrics_app(metrics), host="127.0.0.1", port=0)
    async with WebServer([listener]) as web, asyncio.TaskGroup() as group:
        address = web.addresses["metrics"]
        await run.scraper.connect(address.host, address.port)
        await run.scraper.scrape("/metrics", is_gzipped=True)
        reset_peak()
        before, watch = rss_mib(), Stopwatch()
        watcher: Watcher[Lines] = Watcher(connection, series.subject())
        task = group.create_task(watcher.run(series.take), name="watch")
        await series.listed.wait()
        await run.scraper.scrape("/metrics", is_gzipped=False)
        served, used = watch.seconds, watch.cpu_seconds
        report(NAME, f"{run.count:,} served", seconds=served, cpu_seconds=used, more_mib=rss_mib() - before)
        for where in (QUIET, BUSY):
            if where == BUSY:
                await run.server.ask("churn", context=CONTEXT, objects_count=run.count, per_second=CHANGES_PER_SECOND)
            plain = await run.scrape(where, is_gzipped=False)
            small = await run.scrape(where, is_gzipped=True)
            patched = await run.patch(where)
            more, peak = rss_mib() - before, peak_rss_mib() - before
            report(NAME, f"memory for {run.count:,}, {where}", more_mib=more, peak_more_mib=peak)
            print(
                _row(
                    run.count, where, f"{_short(served)} s ({_short(used)} s)", f"{peak:.0f} MiB", plain, small, patched
                )
            )
        await run.server.ask("calm")
        task.cancel()


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 10 else f"{figure:.2g}"


def _row(count: int, where: str, served: str, memory: str, plain: list[str], small: list[str], patched: str) -> str:
    shown = [
        f"{count:,}, {where}",
        served,
        memory,
        f"{plain[0]} ({small[0]})",
        f"{plain[1]}/{plain[2]} ({small[1]}/{small[2]})",
        f"{plain[3]} ({small[3]})",
        patched,
    ]
    return f"| {' | '.join(shown)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--scrapes", type=int, default=20)
    parser.add_argument("--patches", type=int, default=50)
    options = parser.parse_args()
    if len(options.objects) == 1:
        run(measure(options.objects[0], options))
        return
    rows: list[str] = []
    for count in options.objects:
        more = ["--scrapes", str(options.scrapes), "--patches", str(options.patches)]
        command = [sys.executable, "-m", "benchmarks.resources", "--objects", str(count), *more]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                (rows.append if line.startswith("|") else print)(line.rstrip())
        if process.returncode:
            sys.exit(process.returncode)
    print("\n".join([TABLE, *rows]))


if __name__ == "__main__":
    main()
