"""The real `fluxtrail run` on a ledger that was made before, beside one small simulated cluster that it watches."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml
from benchmarks.histories import make_repository, push
from benchmarks.pages_world import CLUSTERS, ENVIRONMENTS
from benchmarks.servers import ServerProcess
from tests.ledger.postgres import find_binaries

from fluxtrail.simulator.processes import Listeners, RunProcess

READY_SECONDS = 900.0
"""The figures are rebuilt at the start."""
WATCHED = "cluster-0"
"""The one cluster that is watched; those of the world are silent."""
EVENTS = 60
"""Commits that the watched cluster can be given."""
_CONNECT_SECONDS = 30.0


@dataclass
class Watched:
    """`run`, and what makes something happen in front of it."""

    process: RunProcess
    server: ServerProcess
    upstream: Path
    shas: list[str]
    turn: int = 1
    """The next commit to be delivered."""

    @property
    def url(self) -> str:
        return self.process.api

    async def start(self) -> float:
        """Return after how many seconds it was ready."""
        began = time.monotonic()
        await self.process.start()
        await self.process.until_ready(timeout_seconds=READY_SECONDS)
        return time.monotonic() - began

    async def restart(self) -> float:
        await self.process.stop()
        return await self.start()

    async def deliver(self) -> str:
        """Let the next commit be pushed, fetched and applied within 50 ms; return its sha."""
        sha = self.shas[self.turn]
        await self.server.ask(
            "deliver", context=WATCHED, objects_count=1, upstream=str(self.upstream), shas=[sha],
            first_turn=self.turn, touched=1, per_second=100.0,
        )  # fmt: skip
        self.turn += 1
        return sha


@asynccontextmanager
async def watched_run(folder: Path, ledger: str) -> AsyncIterator[Watched]:
    """Yield a `run` that is not started.

    Args:
        ledger: where it is: a file or the address of a database.
    """
    upstream = folder / "fleet.git"
    # A ledger that is kept knows the commits of the runs before.
    shas = await asyncio.to_thread(
        make_repository, upstream, targets=1, touches=[(0,)] * EVENTS, begin=int(time.time()) - 60 * (EVENTS + 1)
    )
    push(upstream, shas[0])
    listeners = Listeners().with_ports()
    async with ServerProcess(folder, clusters=1) as server:
        await server.ask("fill", context=WATCHED, first=0, count=1, url=upstream.as_uri(), sha=shas[0])
        settings = folder / "fluxtrail.yaml"
        settings.write_text(yaml.safe_dump(_settings(folder, ledger, server, listeners)), encoding="utf-8")
        process = RunProcess(settings, "", listeners, log=folder / "run.log")
        try:
            yield Watched(process, server, upstream, shas)
        finally:
            await process.stop()


def _settings(folder: Path, ledger: str, server: ServerProcess, listeners: Listeners) -> dict[str, Any]:
    token = folder / "token"
    token.write_text("0" * 40, encoding="utf-8")
    token.chmod(0o600)
    return {
        "ledger": {"path": ledger},
        "kubeconfig": str(server.kubeconfig),
        "kube_contexts": server.contexts,
        "git": {"allow_file_protocol": True, "directory": str(folder / "clones")},
        "environments": [
            {"name": name, "clusters": [f"{name}-*"]}
            for name in ENVIRONMENTS
            if any(cluster.startswith(name) for cluster in CLUSTERS)
        ],
        "deployment_records": {
            "enabled": True, "dry_run": True, "organization": "acme", "logical_environment": "all",
            "token_file": str(token),
        },
        "retention_days": 3650,
        "api": {"listen": listeners.api},
        "metrics": {"listen": listeners.metrics},
        "health": {"listen": listeners.health},
    }  # fmt: skip


def forget_pages(folder: Path) -> None:
    """Let the kernel drop what it holds of the files in a folder, as if the machine had just come up."""
    for file in folder.rglob("*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


@contextmanager
def postgres_server(data: Path) -> Iterator[str]:
    """Yield the address of a database in a server of our own, as its packages set it up; its data stay in `data`."""
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("no PostgreSQL in /usr/lib/postgresql (Debian: apt install postgresql)")
    socket = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _other_user()
    is_new = not (data / "PG_VERSION").exists()
    data.mkdir(parents=True, exist_ok=True)
    for place in (socket, data) if user else ():
        os.chown(place, user["user"], user["group"])
    if is_new:
        data.chmod(0o700)
        made: list[str | Path] = [binaries / "initdb", "-D", data, "-U", "fluxtrail", "-A", "trust"]
        made += ["-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(made, check=True, capture_output=True, **user)
    arguments = ["-c", f"unix_socket_directories={socket}", "-c", "listen_addresses=", "-c", "max_wal_size=4GB"]
    process = subprocess.Popen([binaries / "postgres", "-D", data, *arguments], stderr=subprocess.DEVNULL, **user)
    try:
        _until_it_answers(socket, process)
        if is_new:
            with psycopg.connect(f"postgresql://fluxtrail@/postgres?host={socket}", autocommit=True) as connection:
                connection.execute("CREATE DATABASE ledger")
        yield f"postgresql://fluxtrail@/ledger?host={socket}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
        shutil.rmtree(socket, ignore_errors=True)


def _other_user() -> dict[str, Any]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return {}
    entry = next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}


def _until_it_answers(socket: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            psycopg.connect(f"postgresql://fluxtrail@/postgres?host={socket}").close()
            return
        except psycopg.OperationalError as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("PostgreSQL does not start") from exc
            time.sleep(0.1)
