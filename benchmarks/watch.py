"""How much CPU watching costs: `python -m benchmarks.watch`.

The real watcher reads from simulated API servers in another process; what is measured is the CPU of this process, HTTP
included. Each part runs in a fresh process, so that memory is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from benchmarks.measuring import Stopwatch, peak_rss_mib, report, reset_peak, rss_mib, run
from benchmarks.servers import ServerProcess

from fluxtrail.clusters.connection import open_connection
from fluxtrail.clusters.subjects import Subject, WatchOptions
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.flux import KUSTOMIZE_GROUP, KUSTOMIZE_VERSIONS, project_kustomization
from fluxtrail.model.observation import Gone, Listed, ObjectKey, Observation, Seen
from fluxtrail.model.wire import WireKustomization

EVENTS_BAR = ">= 10,000 events per CPU second"
LIST_BAR = "5,000 pods listed and projected <= 0.5 CPU s, <= 45 MiB above idle"
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


# -- pods through a small projection --------------------------------------------------------------------------------


class _WireOwner(msgspec.Struct):
    kind: str
    uid: str


class _WireMeta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    namespace: str = ""
    owner_references: list[_WireOwner] = []


class _WireContainer(msgspec.Struct):
    name: str
    ready: bool = False
    image_id: str = msgspec.field(default="", name="imageID")


class _WireStatus(msgspec.Struct, rename="camel"):
    phase: str = ""
    container_statuses: list[_WireContainer] = []


class WirePod(msgspec.Struct):
    metadata: _WireMeta
    status: _WireStatus | None = None


class Pod(msgspec.Struct, frozen=True, gc=False):
    """What following workloads needs of a pod."""

    uid: str
    owner: str
    phase: str
    images: tuple[str, ...]
    ready: int


def project_pod(wire: WirePod) -> Pod:
    containers = wire.status.container_statuses if wire.status else []
    return Pod(
        uid=wire.metadata.uid,
        owner=next((owner.uid for owner in wire.metadata.owner_references), ""),
        phase=sys.intern(wire.status.phase) if wire.status else "",
        images=tuple(container.image_id for container in containers),
        ready=sum(container.ready for container in containers),
    )


async def list_pods(count: int, *, uses_watch_list: bool) -> None:
    subject = Subject(group="", kind="Pod", versions=("v1",), wire=WirePod, project=project_pod)
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        async with ServerProcess(Path(folder)) as server:
            filled = await server.ask("fill_pods", context="cluster-0", count=count)
            gc.collect()
            idle = rss_mib()
            reset_peak()
            watch = Stopwatch()
            async with watching(server, subject, WatchOptions(uses_watch_list=uses_watch_list)) as sink:
                used = watch.cpu_seconds
                assert len(sink.objects) == count
                report(
                    "watch",
                    f"{count:,} pods listed and projected, " + ("WatchList" if uses_watch_list else "paged list"),
                    bar=LIST_BAR,
                    object_bytes=filled["bytes"],
                    cpu_seconds=used,
                    seconds=watch.seconds,
                    peak_mib_above_idle=peak_rss_mib() - idle,
                    kept_mib_above_idle=rss_mib() - idle,
                    idle_mib=idle,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kustomizations", type=int, default=1000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--part", choices=("events", "pods", "pods-paged"), help="default: each in a fresh process")
    options = parser.parse_args()
    match options.part:
        case "events":
            run(watch_kustomizations(options.kustomizations, options.events))
        case "pods" | "pods-paged":
            run(list_pods(options.pods, uses_watch_list=options.part == "pods"))
        case _:
            for part in ("events", "pods", "pods-paged"):
                subprocess.run([sys.executable, "-m", "benchmarks.watch", *sys.argv[1:], "--part", part], check=True)


if __name__ == "__main__":
    main()
