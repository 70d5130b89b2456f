"""`gotk_resource_info` of many objects: what the series take, what a scrape costs, and how soon a change is told.

    python -m benchmarks.resources --objects 1000 10000 100000

Kustomizations of 4.5 KB are listed and watched from a simulated API server in another process; `curl`, another one
too, scrapes. CPU and memory are of what is left here: the watcher, the series and the listener of `/metrics`. Each size
runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.exposition import NOON, Answered
from benchmarks.measuring import MIB, Stopwatch, peak_rss_mib, percentile, report, reset_peak, rss_mib, run
from benchmarks.servers import ServerProcess

from fluxtrail.clusters.connection import open_connection
from fluxtrail.clusters.subjects import Subject
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.figures import Figures
from fluxtrail.model.observation import Listed, Observation, Seen
from fluxtrail.reports.resource_metrics.blocks import Block
from fluxtrail.reports.resource_metrics.flux import flux_resources
from fluxtrail.reports.resource_metrics.rendering import Lines, Renderer
from fluxtrail.reports.resource_metrics.series import KindSeries, ResourceSeries
from fluxtrail.runtime.clock import SystemClock
from fluxtrail.web.metrics import Metrics, create_metrics_app
from fluxtrail.web.server import Listener, WebServer

NAME = "resources"
SHA = "a" * 40
BARS = {100_000: "≤ 20 ms of CPU a scrape, ≤ 150 MiB more than without"}
CONTEXT = "cluster-0"
PATCH_SECONDS = 30.0


class Series:
    """The series, as `runtime/resources.py` holds them, and word of what came."""

    def __init__(self) -> None:
        (resource,) = [item for item in flux_resources() if item.kind == "Kustomization"]
        self.renderer = Renderer(resource)
        self.all = ResourceSeries(10_000_000)
        self.kind = KindSeries(resource, cluster="prod", budget=self.all.budget, now=SystemClock().now)
        self.all.add(self.kind)
        self.listed = asyncio.Event()
        self.changed = asyncio.Event()

    async def take(self, batch: Sequence[Observation[Lines]]) -> None:
        self.all.observe(self.kind, batch)
        for observation in batch:
            if isinstance(observation, Listed):
                self.listed.set()
            elif isinstance(observation, Seen):
                self.changed.set()

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


async def measure(count: int, scrapes: int, patches: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        async with ServerProcess(Path(folder)) as server:
            await server.ask("fill", context=CONTEXT, first=0, count=count, url="https://git.example/acme", sha=SHA)
            await _watch(server, count, scrapes, patches)


async def _watch(server: ServerProcess, count: int, scrapes: int, patches: int) -> None:
    environ = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
    series, answers = Series(), _answers()
    metrics = Metrics(
        figures=Figures, answers=answers, created_at=NOON, now=SystemClock().now, resources=series, leads=lambda: False
    )
    listener = Listener(name="metrics", app=create_metrics_app(metrics), host="127.0.0.1", port=0)
    async with WebServer([listener]) as web, open_connection(CONTEXT, environ) as connection:
        reset_peak()
        before, watch = rss_mib(), Stopwatch()
        async with asyncio.TaskGroup() as group:
            watcher: Watcher[Lines] = Watcher(connection, series.subject())
            task = group.create_task(watcher.run(series.take), name="watch")
            await series.listed.wait()
            report(
                NAME,
                f"{count:,} Kustomizations listed and rendered",
                seconds=watch.seconds,
                cpu_seconds=watch.cpu_seconds,
                more_mib=rss_mib() - before,
                peak_more_mib=peak_rss_mib() - before,
            )
            for packing in (False, True):
                await _scrape(f"{web.addresses['metrics'].url}/metrics", count, scrapes, is_gzipped=packing)
            report(
                NAME,
                f"memory after scrapes of {count:,} series",
                bar=BARS.get(count, ""),
                more_mib=rss_mib() - before,
                peak_more_mib=peak_rss_mib() - before,
            )
            await _patch(server, series, count, patches)
            task.cancel()


def _answers() -> Any:
    return Answered([])


async def _scrape(url: str, count: int, times: int, *, is_gzipped: bool) -> None:
    seconds, cpu, idle_cpu, size = [], [], [], 0.0
    for _ in range(times):
        *_, without = await _curl(f"{url}?resources=none", is_gzipped=is_gzipped)
        idle_cpu.append(without)
        took, size, used = await _curl(url, is_gzipped=is_gzipped)
        seconds.append(took)
        cpu.append(used)
    report(
        NAME,
        f"a scrape of {count:,} series, {'gzip' if is_gzipped else 'identity'}",
        bar=BARS.get(count, "") if not is_gzipped else "",
        mib=size / MIB,
        p50_ms=percentile(seconds, 0.5) * 1000,
        p95_ms=percentile(seconds, 0.95) * 1000,
        cpu_ms=(percentile(cpu, 0.5) - percentile(idle_cpu, 0.5)) * 1000,
    )


async def _curl(url: str, *, is_gzipped: bool) -> tuple[float, float, float]:
    """Return seconds, bytes, and the CPU seconds here; to start curl is among the latter."""
    arguments = ["curl", "-sS", "-o", os.devnull, "-w", "%{time_total} %{size_download}", url]
    if is_gzipped:
        arguments += ["-H", "Accept-Encoding: gzip"]
    watch = Stopwatch()
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    seconds, _, size = told.decode().partition(" ")
    return float(seconds), float(size), watch.cpu_seconds


async def _patch(server: ServerProcess, series: Series, count: int, times: int) -> None:
    """From the write, the way to the other process included, to the line that the next scrape has."""
    took = []
    for number in range(times):
        series.changed.clear()
        begun = time.perf_counter()
        # It writes the same again, which is no change, to all but the last one.
        asking = asyncio.ensure_future(server.ask("burst", context=CONTEXT, objects_count=count, events=number + 1))
        async with asyncio.timeout(PATCH_SECONDS):
            await series.changed.wait()
        took.append(time.perf_counter() - begun)
        await asking
    report(
        NAME,
        f"patch → line among {count:,}",
        p50_ms=percentile(took, 0.5) * 1000,
        p95_ms=percentile(took, 0.95) * 1000,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--scrapes", type=int, default=20)
    parser.add_argument("--patches", type=int, default=50)
    options = parser.parse_args()
    if len(options.objects) == 1:
        run(measure(options.objects[0], options.scrapes, options.patches))
        return
    for count in options.objects:
        more = ["--scrapes", str(options.scrapes), "--patches", str(options.patches)]
        subprocess.run([sys.executable, "-m", "benchmarks.resources", "--objects", str(count), *more], check=True)


if __name__ == "__main__":
    main()
