"""How much CPU watching costs: `python -m benchmarks.watch`.

The real watcher reads from simulated API servers in another process; what is measured is the CPU of this process, HTTP
included. Pods have a benchmark of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import Stopwatch, report, run
from benchmarks.servers import ServerProcess

from fluxtrail.clusters.connection import open_connection
from fluxtrail.clusters.subjects import Subject, WatchOptions
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.flux import KUSTOMIZE_GROUP, KUSTOMIZE_VERSIONS, project_kustomization
from fluxtrail.model.observation import Gone, Listed, ObjectKey, Observation, Seen
from fluxtrail.model.wire import WireKustomization

EVENTS_BAR = ">= 10,000 events per CPU second"
SHA = "a" * 40


class Sink:
    """Keeps the newest projection of each object, as a follower does, and tells when enough has come."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Any] = {}
        self.seen = 0
        self.listed = asyncio.Event()
        self._wanted = 0
        self._enough = asyncio.Event()

    async def take(self, batch: Sequence[Observation[Any]]) -> None:
        for observation in batch:
            match observation:
                case Seen():
                    self.seen += 1
                    self.objects[observation.key] = observation.object
                case Gone():
                    self.objects.pop(observation.key, None)
                case Listed():
                    self.listed.set()
        if self.seen >= self._wanted:
            self._enough.set()

    def expect(self, count: int) -> asyncio.Event:
        """Return what is set once so many more were seen."""
        self._wanted = self.seen + count
        self._enough.clear()
        return self._enough


KUSTOMIZATION_SUBJECT = Subject(
    group=KUSTOMIZE_GROUP,
    kind="Kustomization",
    versions=KUSTOMIZE_VERSIONS,
    wire=WireKustomization,
    project=project_kustomization,
)


@asynccontextmanager
async def watching(server: ServerProcess, subject: Subject[Any], options: WatchOptions) -> AsyncIterator[Sink]:
    """Yield a sink after the first complete listing."""
    sink = Sink()
    environ = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
    async with open_connection(server.contexts[0], environ) as connection, asyncio.TaskGroup() as group:
        watcher: Watcher[Any] = Watcher(connection, subject, options=options)
        task = group.create_task(watcher.run(sink.take), name="watch")
        await sink.listed.wait()
        yield sink
        task.cancel()


async def watch_kustomizations(count: int, events: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        async with ServerProcess(Path(folder)) as server:
            filled = await server.ask(
                "fill", context="cluster-0", first=0, count=count, url="https://git.example/acme/fleet", sha=SHA
            )
            async with watching(server, KUSTOMIZATION_SUBJECT, WatchOptions()) as sink:
                await _count(server, sink, filled["bytes"], "burst", count, events)
                await _count(server, sink, filled["bytes"], "steady", count, events // 5, per_second=1000.0)


async def _count(
    server: ServerProcess, sink: Sink, size_bytes: int, how: str, count: int, events: int, **more: float
) -> None:
    """Let the server make events, and measure until the last one was projected."""
    for _ in range(2):  # the first time warms up
        done, watch = sink.expect(events), Stopwatch()
        await server.ask(how, context="cluster-0", objects_count=count, events=events, **more)
        await done.wait()
    rhythm = f"{more['per_second']:,.0f} a second" if more else "as fast as they come"
    report(
        "watch",
        f"Kustomization events, {rhythm}",
        bar="" if more else EVENTS_BAR,
        events=events,
        object_bytes=size_bytes,
        cpu_seconds=watch.cpu_seconds,
        events_per_cpu_second=events / watch.cpu_seconds,
        seconds=watch.seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kustomizations", type=int, default=1000)
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    run(watch_kustomizations(options.kustomizations, options.events))


if __name__ == "__main__":
    main()
