"""How much memory `fluxtrail run` takes: `python -m benchmarks.memory`.

A real process on three simulated clusters, a fresh one for each number of Kustomizations; read once everything listed
is followed, its baselines attributed, and some seconds have passed. git's reader is a process of its own, told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path

import aiohttp
import psutil
import yaml
from benchmarks.histories import make_repository, push
from benchmarks.measuring import report, rss_mib, run
from benchmarks.servers import ServerProcess

from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.simulator.processes import Listeners, RunProcess

CLUSTERS = 3
FEW = 9
QUIET_SECONDS = 8.0
IDLE_BAR = "<= 160 MiB"
LOADED_BAR = "1,000 Kustomizations <= 15 MiB above idle"


async def measure(kustomizations: int, idle_mib: float | None) -> float:
    """Return the RSS in MiB of a run that follows so many."""
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as temporary:
        folder = Path(temporary)
        upstream = folder / "fleet.git"
        touches = [(number % kustomizations,) for number in range(200)]
        shas = await asyncio.to_thread(make_repository, upstream, targets=kustomizations, touches=touches)
        push(upstream, shas[-1])
        listeners = Listeners().with_ports()
        async with ServerProcess(folder, clusters=CLUSTERS) as server:
            share = kustomizations // CLUSTERS
            for index, context in enumerate(server.contexts):
                count = share + (kustomizations % CLUSTERS if index == 0 else 0)
                await server.ask(
                    "fill", context=context, first=index * share, count=count, url=upstream.as_uri(), sha=shas[-1]
                )
            process = RunProcess(_settings(folder, server, listeners), "", listeners, log=folder / "run.log")
            await process.start()
            try:
                await process.until_ready()
                await _until_quiet(folder / "ledger.sqlite", kustomizations)
                return await _read(process, kustomizations, idle_mib)
            finally:
                await process.stop()


async def _read(process: RunProcess, kustomizations: int, idle_mib: float | None) -> float:
    assert process.pid is not None
    mib = rss_mib(process.pid)
    children = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            children += child.memory_info().rss / 2**20
    figures: dict[str, float | int] = {"rss_mib": mib, "git_rss_mib": children}
    if idle_mib is not None:
        figures["above_idle_mib"] = mib - idle_mib
    await _scrape(process)
    figures["rss_mib_once_scraped"] = rss_mib(process.pid)
    bar = IDLE_BAR if idle_mib is None else LOADED_BAR
    report("memory", f"run with {kustomizations:,} Kustomizations on {CLUSTERS} clusters", bar=bar, **figures)
    return mib


def _settings(folder: Path, server: ServerProcess, listeners: Listeners) -> Path:
    path = folder / "fluxtrail.yaml"
    document = {
        "ledger": {"path": str(folder / "ledger.sqlite")},
        "kubeconfig": str(server.kubeconfig),
        "kube_contexts": server.contexts,
        "git": {"allow_file_protocol": True},
        "api": {"listen": listeners.api},
        "metrics": {"listen": listeners.metrics},
        "health": {"listen": listeners.health},
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


async def _until_quiet(ledger: Path, kustomizations: int) -> None:
    """Wait until every Kustomization is a target and none waits for attribution, then some seconds more.

    The file is asked, not the process: what it would render for us would be memory of its own.
    """
    async with asyncio.timeout(600):
        while await asyncio.to_thread(_attributed, ledger) < kustomizations:  # noqa: ASYNC110 - another process
            await asyncio.sleep(1)
    await asyncio.sleep(QUIET_SECONDS)


def _attributed(ledger: Path) -> int:
    with contextlib.closing(connect_reader(ledger)) as connection:
        wanted = "SELECT count(DISTINCT target_id) FROM syncs WHERE attributed_version >= version"
        return int(connection.execute(wanted).fetchone()[0])


async def _scrape(process: RunProcess, times: int = 3) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            async with session.get(process.metrics) as answer:
                await answer.read()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kustomizations", type=int, nargs="*", default=[1000, 10_000])
    options = parser.parse_args()
    idle = await measure(FEW, None)
    for count in options.kustomizations:
        await measure(count, idle)


if __name__ == "__main__":
    run(main())
