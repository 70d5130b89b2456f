"""How much CPU and memory pods cost: `python -m benchmarks.pods --pods 5000 50000`.

The real watcher and the real projection read from a simulated API server in another process; what is measured is this
process, HTTP included. Each part runs in a fresh process, so that memory is its own. Pods are as large as real ones
differ as real ones do: five to a ReplicaSet, an image and a digest to each, every container with its own start.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import Stopwatch, peak_rss_mib, report, reset_peak, rss_mib, run
from benchmarks.servers import ServerProcess
from benchmarks.watch import Sink, watching

from fluxtrail.clusters.subjects import Subject, WatchOptions
from fluxtrail.model.projecting import project_owner, project_pod
from fluxtrail.model.wire_workloads import WireOwned, WirePod

EVENTS_BAR = ">= 10,000 events per CPU second"
LIST_BARS = {5000: "<= 0.5 CPU s, <= 45 MiB above idle", 50_000: "<= 230 MiB above idle"}
PARTS = ("list", "pages", "metadata", "events")

PODS: Subject[Any] = Subject(group="", kind="Pod", versions=("v1",), wire=WirePod, project=project_pod)
METADATA: Subject[Any] = Subject(
    group="",
    kind="Pod",
    versions=(),
    wire=WireOwned,
    project=lambda wire: project_owner(wire, group="", kind="Pod"),
    is_metadata_only=True,
)
NOTHING: Subject[Any] = Subject(group="", kind="ConfigMap", versions=("v1",), wire=WireOwned, project=lambda wire: wire)


@asynccontextmanager
async def pods(count: int) -> AsyncIterator[tuple[ServerProcess, int]]:
    """Yield a server with so many pods and the mean size of one, once this process has watched something else."""
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        async with ServerProcess(Path(folder)) as server:
            filled = await server.ask("fill_pods", context="cluster-0", count=count)
            async with watching(server, NOTHING, WatchOptions()):
                pass
            yield server, filled["bytes"]


async def list_all(count: int, subject: Subject[Any], *, uses_watch_list: bool) -> None:
    async with pods(count) as (server, object_bytes):
        gc.collect()
        idle = rss_mib()
        reset_peak()
        watch = Stopwatch()
        async with watching(server, subject, WatchOptions(uses_watch_list=uses_watch_list)) as sink:
            cpu_seconds, seconds = watch.cpu_seconds, watch.seconds
            assert len(sink.objects) == count
            gc.collect()
            kept = rss_mib() - idle
            report(
                "pods",
                f"{count:,} pods listed and projected, "
                + ("WatchList" if uses_watch_list else "paged list")
                + (", metadata only" if subject.is_metadata_only else ""),
                bar="" if subject.is_metadata_only else LIST_BARS.get(count, ""),
                object_bytes=object_bytes,
                cpu_seconds=cpu_seconds,
                seconds=seconds,
                peak_mib_above_idle=peak_rss_mib() - idle,
                kept_mib_above_idle=kept,
                kept_bytes_a_pod=kept * 2**20 / count,
            )


async def follow(count: int, events: int) -> None:
    async with pods(count) as (server, object_bytes), watching(server, PODS, WatchOptions()) as sink:
        await _burst(server, sink, count, events // 4)  # the first time warms up
        gc.collect()
        before = rss_mib()
        watch = await _burst(server, sink, count, events)
        report(
            "pods",
            f"events of {count:,} pods, as fast as they come",
            bar=EVENTS_BAR,
            events=events,
            object_bytes=object_bytes,
            cpu_seconds=watch.cpu_seconds,
            events_per_cpu_second=events / watch.cpu_seconds,
            rss_growth_mib=rss_mib() - before,
        )


async def _burst(server: ServerProcess, sink: Sink, count: int, events: int) -> Stopwatch:
    done, watch = sink.expect(events), Stopwatch()
    await server.ask("burst_pods", context="cluster-0", count=count, events=events)
    await done.wait()
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, nargs="+", default=[5000])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--part", choices=PARTS, help="default: all, each in a fresh process")
    options = parser.parse_args()
    if options.part is None:
        _run_each(options.pods, options.events)
        return
    (count,) = options.pods
    match options.part:
        case "list" | "pages":
            run(list_all(count, PODS, uses_watch_list=options.part == "list"))
        case "metadata":
            run(list_all(count, METADATA, uses_watch_list=True))
        case _:
            run(follow(count, options.events))


def _run_each(counts: list[int], events: int) -> None:
    for count in counts:
        for part in PARTS:
            arguments = ["--pods", str(count), "--events", str(events), "--part", part]
            subprocess.run([sys.executable, "-m", "benchmarks.pods", *arguments], check=True)


if __name__ == "__main__":
    main()
