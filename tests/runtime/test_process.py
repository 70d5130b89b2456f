"""The real process: it starts, says where it listens, stops on a signal, and comes back with what it had."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    Running,
    make_repository,
    push,
    revision,
    until,
)

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.runtime.clock import SystemClock
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]
COMMAND = (sys.executable, "-c", "from fluxtrail.cli.main import main; main()", "run")
ADDRESSES = ("--api-addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0")
START_SECONDS = 60.0
STOP_SECONDS = 8.0
TOKEN = "ghp_" + "s3cret" * 6


class Process(Running):
    """`fluxtrail run` in a process of its own, and questions to it."""

    def __init__(self, child: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.child = child
        self.addresses = {}
        self.lines: list[str] = []
        self._session = session

    async def read(self) -> None:
        """Take its lines until its end; the addresses are in one of them."""
        assert self.child.stdout is not None
        while line := (await self.child.stdout.readline()).decode():
            self.lines.append(line)
            if '"serving"' in line:
                said = json.loads(line)
                self.addresses = {name: said[name] for name in ("api", "metrics", "health")}

    async def until_serving(self) -> None:
        await until(lambda: self.addresses or self.child.returncode is not None, "addresses", seconds=START_SECONDS)
        assert self.addresses, "".join(self.lines)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.child.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.child.wait()


@asynccontextmanager
async def process(folder: Path, *arguments: str, **environ: str) -> AsyncIterator[Process]:
    """Start it with a kubeconfig in `folder`, the ledger beside; whatever happens, it is gone afterwards."""
    child = await asyncio.create_subprocess_exec(
        *COMMAND,
        *ADDRESSES,
        *arguments,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(folder),
            "KUBECONFIG": str(folder / "kubeconfig"),
            "FLUXTRAIL_GIT__ALLOW_FILE_PROTOCOL": "true",
            "FLUXTRAIL_GIT__POLL_SECONDS": "0.2",
            **environ,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            found = Process(child, session)
            group.create_task(found.read())
            try:
                yield found
            finally:
                with suppress(ProcessLookupError):
                    child.kill()
    finally:
        await child.wait()


async def outcome(folder: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """Run it to its end; return the exit code and what it said."""
    async with process(folder, *arguments, **environ) as found:
        async with asyncio.timeout(START_SECONDS):
            code = await found.child.wait()
    return code, "".join(found.lines)


def can_connect(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


async def test_signal_ends_the_process_and_everything_it_held(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster(tokens={"kube-s3cret-t0ken": "tracker"})
    async with cluster.server:
        write_kubeconfig(tmp_path / "kubeconfig", [cluster.server])
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        environ = {"GITHUB_TOKEN": TOKEN, "RUNTIME_NAMESPACE": NAMESPACE, "LOG_LEVEL": "debug"}
        async with process(tmp_path, "--telemetry-mode=stdout-logs+otlp", **environ) as found:
            await found.until_serving()
            await found.until_ready()
            await found.until_applied(repository.head_commit)
            open_request = asyncio.create_task(held_open(found.addresses["api"]))
            assert await found.stop() == 0
            await open_request
            assert not any(can_connect(url) for url in found.addresses.values())
        said = "".join(found.lines)
        await until(lambda: cluster.server.watch_count == 0, "the end of the watches")
    ledger = await SqlLedger.open(tmp_path / "fluxtrail.sqlite", clock=SystemClock())
    await ledger.close()
    assert not (tmp_path / "fluxtrail.sqlite-wal").exists()
    assert '"stopping"' in said
    assert TOKEN not in said
    assert "kube-s3cret-t0ken" not in said
    assert "Traceback" not in said


async def test_crash_leaves_a_stack(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server:
        write_kubeconfig(tmp_path / "kubeconfig", [cluster.server])
        async with process(tmp_path) as found:
            await found.until_serving()
            assert await found.stop(signal.SIGSEGV) == -signal.SIGSEGV
    said = "".join(found.lines)
    assert "Fatal Python error: Segmentation fault" in said
    assert "most recent call first" in said


async def held_open(url: str) -> None:
    """Keep an idle connection: it must not delay the end."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    await reader.read()
    writer.close()


async def test_killed_process_comes_back_with_everything(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        write_kubeconfig(tmp_path / "kubeconfig", [cluster.server])
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        async with process(tmp_path) as found:
            await found.until_serving()
            await found.until_applied(repository.head_commit)
            await found.until_attributed()
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            before = await found.until_read(commit, "deployed")
            counted = await until(lambda: lead_times(found), "its lead time")
            assert await found.stop(signal.SIGKILL) == -signal.SIGKILL
        later = await push(repository, {"apps/web.yaml": "replicas: 2\n"})
        cluster.fetch(later, url=repository.url)
        cluster.apply(later)
        async with process(tmp_path) as found:
            await found.until_serving()
            assert await lead_times(found) == counted
            assert await found.until_read(commit, "deployed") == before
            missed = await found.until_verdict(later, "deployed")
            assert missed["revision"] == revision(later)
            assert await found.stop(signal.SIGINT) == 0


async def lead_times(run: Running) -> float:
    return await run.sample("fluxtrail_lead_time_seconds_count")


async def test_full_disk_is_said_and_recovered_from(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the kernel refuses the ledger's writes."""
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        write_kubeconfig(tmp_path / "kubeconfig", [cluster.server])
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        async with process(tmp_path) as found:
            await found.until_serving()
            await found.until_ready()
            await found.until_applied(repository.head_commit)
            await found.until_attributed()
            _, hard = resource.prlimit(found.child.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(found.child.pid, resource.RLIMIT_FSIZE, (4096, hard))

            async def is_said() -> bool:
                status, text = await found.readiness()
                return status == 503 and "[-]ledger not ready: " in text

            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            await until(is_said, "the ledger's problem", seconds=30)
            assert await found.get("health", "/healthz") == (200, "ok\n")
            assert await found.targets()
            resource.prlimit(found.child.pid, resource.RLIMIT_FSIZE, (hard, hard))
            await found.until_verdict(commit, "deployed", seconds=20)
            await found.until_ready()
            assert await found.stop() == 0


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("log_level: loud", 2, ["Error: setting log_level", "'loud'"]),
        ("api: {listen: '0.0.0.0:0'}", 2, ["Error: ", "token"]),
        ("metrik: 1", 2, ["Error: ", "metrik", "there is no such setting"]),
        ("ledger: {path: /sys/fluxtrail/ledger.sqlite}", 1, ["Error: /sys/fluxtrail/ledger.sqlite"]),
    ],
    ids=["value", "token", "name", "ledger"],
)
async def test_what_cannot_run_ends_in_one_line(text: str, code: int, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    cluster = Cluster()
    async with cluster.server:
        write_kubeconfig(tmp_path / "kubeconfig", [cluster.server])
        arguments: tuple[Any, ...] = ("--config", "settings.yaml")
        if "listen" in text:
            arguments += ("--api-addr", "0.0.0.0:0")
        found, said = await outcome(tmp_path, *arguments)
    assert found == code, said
    for word in words:
        assert word in said
    assert "Traceback" not in said


async def test_no_kubeconfig_ends_in_one_line(tmp_path: Path) -> None:
    code, said = await outcome(tmp_path)
    assert code == 2, said
    assert "Error: " in said
    assert "Traceback" not in said
    assert str(tmp_path / "kubeconfig") in said
