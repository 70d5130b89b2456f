"""A connection to SQLite that crosses into its thread once for each statement.

aiosqlite crosses four times: to make the cursor, to execute, to fetch, to close. Each crossing costs more than a small
statement itself; a unit is a dozen small statements. Here the cursor lives and dies in the thread, and what comes back
is its rows. Everything else is aiosqlite's and SQLAlchemy's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import aiosqlite

Rows = list[Any]


async def connect(path: Path, *, timeout_seconds: float) -> Connection:
    """Return an open connection, in autocommit: transactions are begun by the statements that say so."""

    def open_it() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=timeout_seconds, isolation_level=None, check_same_thread=False)

    connection = Connection(open_it, iter_chunk_size=64)
    connection._thread.daemon = True  # as SQLAlchemy does with those it makes itself
    await connection
    return connection


class Connection(aiosqlite.Connection):
    def cursor(self) -> Cursor:  # type: ignore[override]
        return Cursor(self)


class Cursor:
    """What SQLAlchemy's adapter asks of a cursor. Every row is fetched at once; the caller bounds them."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: Rows = []
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()  # what SQLAlchemy 2.0 does

    async def execute(self, statement: str, parameters: Any = ()) -> Self:
        return await self._run(sqlite3.Cursor.execute, statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Any]) -> Self:
        return await self._run(sqlite3.Cursor.executemany, statement, parameters)

    async def fetchall(self) -> Rows:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._rows = []

    async def _run(self, method: Any, statement: str, parameters: Any) -> Self:
        connection = self._connection
        await connection._execute(self._in_thread, connection._conn, method, statement, parameters)  # type: ignore[no-untyped-call]
        return self

    def _in_thread(self, connection: sqlite3.Connection, method: Any, statement: str, parameters: Any) -> None:
        cursor = connection.cursor()
        try:
            method(cursor, statement, parameters)
            self.description = cursor.description
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()
