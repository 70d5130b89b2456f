"""A PostgreSQL of the tests' own, from the system's binaries: made once a run, thrown away behind it."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

_STARTING_SECONDS = 20.0
_USERS = ("postgres", "nobody")
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "log_min_messages": "fatal",
}


def find_binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL that Debian's packages brought, or whose programs are on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("postgres")
    return Path(program).resolve().parent if program else None


class PostgresServer:
    """Listens on a socket in its own folder only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        return f"postgresql://fluxtrail@/{database}?host={self._folder}"

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def create(self, *, template: str = "template0") -> str:
        """Return the address of a new database."""
        name = f"ledger_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.partition("@/")[2].partition("?")[0]
        self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Yield a fresh server; skips the test where there are no binaries."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql (Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        user = _other_user(folder)
        data = folder / "data"
        made: list[str | Path] = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "fluxtrail",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-N",
        ]
        subprocess.run(made, check=True, capture_output=True, timeout=60, **user)
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        settings += ["-c", f"unix_socket_directories={folder}"]
        process = subprocess.Popen([binaries / "postgres", "-D", data, *settings], stderr=subprocess.DEVNULL, **user)
        try:
            server = PostgresServer(folder)
            _wait_for(server, process)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _other_user(folder: Path) -> dict[str, Any]:
    """PostgreSQL does not run as root: give the folder to somebody else then."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(names[name] for name in _USERS if name in names)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": folder}


def _wait_for(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while True:
        try:
            return server.run("SELECT 1")
        except psycopg.OperationalError as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL does not start") from exc
            time.sleep(0.05)
