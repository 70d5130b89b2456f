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
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


_LARGEST_BYTES = 64 * 1024
"""Of a table or an index in a database that is used again: others would be read more slowly, and planned otherwise."""
_SHAPE = """
SELECT datconnlimit,
       (SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'),
       (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = d.oid),
       (SELECT count(*) FROM pg_statistic JOIN pg_class c ON c.oid = starelid
        WHERE c.relnamespace = 'public'::regnamespace),
       (SELECT string_agg(concat_ws(' ', relname, relkind, relnatts, relchecks, relhastriggers, reltuples), ','
                          ORDER BY relname)
        FROM pg_class WHERE relnamespace = 'public'::regnamespace)
FROM pg_database d WHERE datname = current_database()
"""
_END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_SEQUENCES = (
    "SELECT quote_ident(sequencename), coalesce(last_value, start_value), last_value IS NOT NULL FROM pg_sequences"
)


@dataclass(frozen=True)
class _Fresh:
    """What a database is like before its first test."""

    shape: tuple[Any, ...]
    rows: dict[str, bytes]
    """Table -> what is in it."""
    sequences: list[tuple[Any, ...]]

    @classmethod
    def read(cls, connection: psycopg.Connection) -> _Fresh:
        tables = [
            str(name)
            for (name,) in connection.execute(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
            )
        ]
        rows = {}
        for table in tables:
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                rows[table] = b"".join(copy)
        return cls(connection.execute(_SHAPE).fetchone() or (), rows, connection.execute(_SEQUENCES).fetchall())

    def restore(self, connection: psycopg.Connection) -> bool:
        """Make it so again; False if there is more to it than rows."""
        connection.execute(_END_OTHERS)
        largest = connection.execute(
            "SELECT max(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
        if connection.execute(_SHAPE).fetchone() != self.shape or largest is None or largest[0] > _LARGEST_BYTES:
            return False
        connection.execute("SET session_replication_role = replica")  # no checks of references meanwhile
        for table, rows in self.rows.items():
            connection.execute(f"DELETE FROM {table}")
            if rows:
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(rows)
        for sequence in self.sequences:
            connection.execute("SELECT setval(%s, %s, %s)", sequence)
        return True


class PostgresServer:
    """Listens on a socket in its own folder only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._fresh: dict[str, _Fresh] = {}
        self._spare: dict[str, list[str]] = defaultdict(list)
        """Addresses of copies of a template that nobody uses."""

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

    @contextmanager
    def lend(self, template: str) -> Iterator[str]:
        """Yield the address of a copy of a template: emptying one that was used costs a tenth of making one."""
        spare = self._spare[template]
        url = spare.pop() if spare else self.create(template=template)
        if template not in self._fresh:
            with psycopg.connect(url) as connection:
                self._fresh[template] = _Fresh.read(connection)
        try:
            yield url
        finally:
            if self._restore(url, self._fresh[template]):
                spare.append(url)
            else:
                self.drop(url)

    @staticmethod
    def _restore(url: str, fresh: _Fresh) -> bool:
        try:
            with psycopg.connect(url) as connection:
                return fresh.restore(connection)
        except psycopg.Error:
            return False

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
