"""Pods patched at full speed, and then: does GitHub hold every final digest exactly as the cluster ends?

    python -m benchmarks.records --pods 5000 --seconds 60                        # the simulator's API server
    python -m benchmarks.records --pods 5000 --seconds 60 --kubeconfig ~/.kube/config

The real `fluxtrail run --deployment-records` watches one namespace of an API server (FLUXTRAIL_TEST_KUBECONFIG names a
real one, too), which is made for this and deleted afterwards, and tells a simulated GitHub. New image ids, late ones,
none, readiness, nulls, pods that end and come again, rollbacks A, B, A and revisions that change places are written as
fast as the server takes them. At the end the server's own lists, judged by the documented rule, say what must be told.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from aiohttp import web
from benchmarks.hostile_pods import Api, Hostility
from benchmarks.measuring import rss_mib
from benchmarks.outcomes import folder_for, summary_of, told
from benchmarks.records_rule import differences, read_expected
from benchmarks.servers import ServerProcess

from fluxtrail.clusters.connection import open_connection
from fluxtrail.simulator.artifact_metadata import ArtifactMetadata
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.processes import Listeners, RunProcess

KUBECONFIG_VARIABLE = "FLUXTRAIL_TEST_KUBECONFIG"
ORGANIZATION = "acme"
SAMPLE_SECONDS = 0.5
POLL_SECONDS = 0.1
FILL_PATIENCE_SECONDS = 300.0
STEADY_SECONDS = 2.0

Json = dict[str, Any]


@dataclass
class Outcome:
    """What a run came to. Seconds of CPU and memory are those of `fluxtrail run` alone."""

    pods: int
    seconds: float
    server: str
    names: int = 0
    running: int = 0
    """Names of which a container ran in the end."""
    writes: int = 0
    writes_per_second: float = 0.0
    rss_idle_mib: float = 0.0
    """Of a `run` on the namespace before there was anything in it."""
    first_bulk_seconds: float = 0.0
    """From the start of `run` on the filled namespace until its first job was at GitHub."""
    first_told_seconds: float = 0.0
    """From there until GitHub held everything."""
    first_cpu_seconds: float = 0.0
    """For all of that: start, lists, judgement, jobs."""
    cpu_seconds: float = 0.0
    """While pods were patched, and until GitHub held everything."""
    rss_before_mib: float = 0.0
    rss_most_mib: float = 0.0
    told_after_seconds: float = 0.0
    """From the last patch until GitHub held everything."""
    requests: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def summary(self) -> Json:
        return summary_of(self, digits=2)


async def follow_hostile_pods(
    directory: Path,
    *,
    pods: int,
    seconds: float,
    kubeconfig: Path | None = None,
    context: str | None = None,
    seed: int = 1,
    patience_seconds: float = 120.0,
) -> Outcome:
    """Fill a namespace, patch its pods for so long, and compare what GitHub holds in the end.

    Args:
        kubeconfig: of a real server; None: the simulator's.
    """
    outcome = Outcome(pods=pods, seconds=seconds, server="real" if kubeconfig else "simulator")
    async with AsyncExitStack() as stack:
        if kubeconfig is None:
            server = await stack.enter_async_context(ServerProcess(directory))
            kubeconfig, context = server.kubeconfig, server.contexts[0]
        connection = await stack.enter_async_context(open_connection(context, {"KUBECONFIG": str(kubeconfig)}))
        api = Api(connection, f"hostile-{uuid.uuid4().hex[:8]}")
        await stack.enter_async_context(api.inside())
        github, url = await stack.enter_async_context(_github())
        where = connection.name if context is None else context
        outcome.rss_idle_mib = await _read_idle(_prepare(directory, kubeconfig, where, api.namespace, url))
        hostility = Hostility(api, seed)
        await hostility.fill(pods)
        run = _prepare(directory, kubeconfig, where, api.namespace, url)
        began = time.monotonic()
        await run.start()
        stack.push_async_callback(run.stop)
        outcome.first_bulk_seconds = await _until_first_job(github) - began
        outcome.differences = await _until_told(hostility, github, patience_seconds=FILL_PATIENCE_SECONDS)
        outcome.first_told_seconds = time.monotonic() - began
        assert run.pid is not None
        outcome.first_cpu_seconds = _cpu_seconds(psutil.Process(run.pid))
        if not outcome.differences:
            await _rage(hostility, github, run, outcome, patience_seconds=patience_seconds)
        if run.returncode is not None:
            outcome.differences.append(f"`fluxtrail run` ended with {run.returncode}: {run.last_words()}")
    return outcome


async def _read_idle(run: RunProcess) -> float:
    """Return the RSS in MiB of a run that has nothing to record."""
    await run.start()
    try:
        await run.until_ready()
        await asyncio.sleep(STEADY_SECONDS)
        assert run.pid is not None
        return rss_mib(run.pid)
    finally:
        await run.stop()


async def _until_first_job(github: ArtifactMetadata) -> float:
    """Return when the first job, or what else came first, was at GitHub (monotonic seconds)."""
    async with asyncio.timeout(FILL_PATIENCE_SECONDS):
        while not github.counts:  # noqa: ASYNC110 - another process
            await asyncio.sleep(POLL_SECONDS / 4)
    return time.monotonic()


async def _rage(
    hostility: Hostility, github: ArtifactMetadata, run: RunProcess, outcome: Outcome, *, patience_seconds: float
) -> None:
    assert run.pid is not None
    process = psutil.Process(run.pid)
    used, outcome.rss_before_mib = _cpu_seconds(process), rss_mib(run.pid)
    before, began = hostility.writes, time.monotonic()
    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(_sample(run.pid, outcome))
        await hostility.rage(outcome.seconds)
        ended = time.monotonic()
        outcome.writes = hostility.writes - before
        outcome.writes_per_second = outcome.writes / (ended - began)
        outcome.differences = await _until_told(hostility, github, patience_seconds=patience_seconds)
        outcome.told_after_seconds = time.monotonic() - ended
        outcome.cpu_seconds = _cpu_seconds(process) - used
        sampling.cancel()
    await asyncio.sleep(STEADY_SECONDS)
    expected, names = await read_expected(hostility.api)
    outcome.differences = differences(expected, names, github.listed(), ever=hostility.digests)
    outcome.names, outcome.running = len(names), len(expected)
    for (call, status), count in sorted(github.counts.items()):
        outcome.requests[f"{call} {status}"] = count


async def _until_told(hostility: Hostility, github: ArtifactMetadata, *, patience_seconds: float) -> list[str]:
    """Wait until GitHub holds what the server's lists say; return what is still wrong after all patience.

    Nobody may write meanwhile: the lists are read once.
    """
    expected, names = await read_expected(hostility.api)
    deadline = time.monotonic() + patience_seconds
    while wrong := differences(expected, names, github.listed(), ever=hostility.digests):
        if time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(POLL_SECONDS)
    return []


async def _sample(pid: int, outcome: Outcome) -> None:
    while True:
        outcome.rss_most_mib = max(outcome.rss_most_mib, rss_mib(pid))
        await asyncio.sleep(SAMPLE_SECONDS)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def _github() -> AsyncIterator[tuple[ArtifactMetadata, str]]:
    """Yield a GitHub that knows every artifact, and its address."""
    github = ArtifactMetadata(clock=SimulatedClock(), organization=ORGANIZATION)
    app = web.Application(client_max_size=64 * 2**20)
    github.add_routes(app.router)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield github, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _prepare(directory: Path, kubeconfig: Path, context: str, namespace: str, github: str) -> RunProcess:
    listeners = Listeners().with_ports()
    token = directory / "token"
    token.write_text("simulated-token", encoding="utf-8")
    token.chmod(0o600)
    settings = {
        "ledger": {"path": str(directory / "ledger.sqlite")},
        "kubeconfig": str(kubeconfig),
        "kube_contexts": [context],
        "namespaces": [namespace],
        "git": {"directory": str(directory / "clones")},
        "api": {"listen": listeners.api},
        "metrics": {"listen": listeners.metrics},
        "health": {"listen": listeners.health},
        "deployment_records": {
            "enabled": True,
            "organization": ORGANIZATION,
            "logical_environment": "production",
            "cluster": "hostile",
            "base_url": github,
            "token_file": str(token),
            "namespaces": [namespace],
        },
    }
    path = directory / "fluxtrail.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return RunProcess(path, SimulatedClock().text(), listeners, log=directory / "run.log")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kubeconfig", type=Path, default=os.environ.get(KUBECONFIG_VARIABLE) or None)
    parser.add_argument("--context", help="default: the kubeconfig's current one")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for GitHub to hold everything")
    parser.add_argument("--keep", type=Path, help="keep the ledger and the log here")
    options = parser.parse_args()
    with folder_for(options.keep, "hostile") as directory:
        outcome = asyncio.run(
            follow_hostile_pods(
                directory,
                pods=options.pods,
                seconds=options.seconds,
                kubeconfig=options.kubeconfig,
                context=options.context,
                seed=options.seed,
                patience_seconds=options.patience,
            )
        )
    return told(outcome)


if __name__ == "__main__":
    sys.exit(main())
