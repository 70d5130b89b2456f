"""Everything that is SQLite's own: connections and their settings, upserts, the raw stream of rows.

Another engine gets a module like this one; the schema and the statements are shared.

Durability: with the write-ahead log, `synchronous=NORMAL` keeps every committed unit when the process dies at
any instruction (what it wrote is the kernel's). When the machine loses power, the newest units may be gone, but
never half of one, and the file is whole. `FULL` syncs at each commit and keeps them too, for about one disk
flush a unit. Source: https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import URL, ColumnElement, Integer, Table, TextualSelect, column, event, func, select, table, text
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fluxtrail.ledger.compiled import COMPILED, SQLITE
from fluxtrail.ledger.dialect import Dialect
from fluxtrail.ledger.driver import connect
from fluxtrail.ledger.engine import connected
from fluxtrail.ledger.faults import translate, translated
from fluxtrail.ledger.session import Session, finish
from fluxtrail.ledger.writes import Writes, new_writes

Synchronous = Literal["normal", "full"]

READERS = 4
BUSY_MILLISECONDS = 5000
_WRITER_CACHE_KIB = 16 * 1024
_READER_CACHE_KIB = 8 * 1024
_LOG_LIMIT_BYTES = 64 * 1024 * 1024


KEYS = """(SELECT json_extract(value, '$[0]') AS commit_id, json_extract(value, '$[1]') AS target_id
           FROM json_each(:keys))"""
"""SQLite walks the whole table for `(a, b) IN (VALUES …)`; joined to this it looks each key up, and the text of the
statement stays the same whatever their number.
"""
_KEY_TABLE = text("SELECT commit_id, target_id FROM " + KEYS)  # noqa: S608 - constants
_LAST_ID = text("SELECT seq FROM sqlite_sequence WHERE name = :name")


class SqliteDialect:
    is_shared = False
    keys = KEYS

    def upsert(self, table: Table) -> Insert:
        return insert(table)

    def pack_keys(self, keys: Sequence[tuple[int, int]]) -> str:
        return msgspec.json.encode(keys).decode()

    def key_table(self, keys: Sequence[tuple[int, int]] | None = None) -> TextualSelect:
        wanted = _KEY_TABLE if keys is None else _KEY_TABLE.bindparams(keys=self.pack_keys(keys))
        return wanted.columns(column("commit_id", Integer), column("target_id", Integer))

    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        return column.in_(values)

    async def lock(self, session: Session, name: str) -> None:
        """Nothing: who writes has the whole file."""

    async def give_way(self, session: Session) -> None:
        """Nothing: who writes waits for nobody."""

    async def reserve_ids(self, session: Session, table: Table, number: int) -> range:
        last = int(await session.scalar(_LAST_ID.bindparams(name=table.name)) or 0)
        return range(last + 1, last + 1 + number)


_DIALECT = SqliteDialect()
"""One for all: statements are made once for each dialect."""


class SqliteEngine:
    """One connection that writes and a few that only read. Every unit is one `BEGIN IMMEDIATE … COMMIT`."""

    def __init__(self, path: Path, *, synchronous: Synchronous = "normal") -> None:
        self.path = path
        self.subject = str(path)
        self.dialect: Dialect = _DIALECT
        self._writer = _create_engine(path, connections=1)
        self._readers = _create_engine(path, connections=READERS)
        _configure(self._writer, "BEGIN IMMEDIATE", _writer_pragmas(synchronous))
        _configure(self._readers, "BEGIN", _reader_pragmas())
        self._lock = asyncio.Lock()
        self.writes: Mapping[str, Writes] = new_writes()

    @asynccontextmanager
    async def write(self, *, is_unit: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Engine.write`; one at a time, others wait."""
        async with self._lock, connected(self._writer, self.subject) as connection:
            with translated(self.subject):
                await finish(connection.begin().start())
            yield connection
            with translated(self.subject):
                await finish(connection.commit())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """See `Engine.read`."""
        async with connected(self._readers, self.subject) as connection:
            yield Session(connection, self.subject, self.dialect)

    async def stream(
        self, query: str, parameters: Sequence[Any], *, batch: int
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """Yield the rows of `query` as plain tuples, `batch` at a time, from a connection of its own.

        For millions of rows: nothing between sqlite3 and the caller but one thread switch a batch.
        """
        connection = self._connect_raw()
        try:
            with translated(self.subject):
                cursor = await finish(asyncio.to_thread(connection.execute, query, tuple(parameters)))
                while rows := await finish(asyncio.to_thread(cursor.fetchmany, batch)):
                    yield rows
        finally:
            connection.close()

    async def size_bytes(self) -> dict[str, int]:
        """See `Engine.size_bytes`: the file, and the write-ahead log beside it."""
        log = self.path.with_name(self.path.name + "-wal")
        return {"data": await asyncio.to_thread(_file_size, self.path), "log": await asyncio.to_thread(_file_size, log)}

    async def count_rows(self, tables: Sequence[str]) -> dict[str, int]:
        """See `Engine.count_rows`; exact."""
        counts = dict[str, int]()
        for name in tables:
            async with self.read() as session:
                counts[name] = int(await session.scalar(select(func.count()).select_from(table(name))))
        return counts

    def _connect_raw(self) -> sqlite3.Connection:
        try:
            return connect_reader(self.path)
        except sqlite3.Error as exc:
            raise translate(exc, self.subject) from exc

    async def close(self) -> None:
        """Close every connection; the log is merged into the file by the last one."""
        await self._readers.dispose()
        await self._writer.dispose()


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _create_engine(path: Path, *, connections: int) -> AsyncEngine:
    return create_async_engine(
        URL.create(SQLITE, database=str(path)),
        execution_options={"compiled_cache": COMPILED},
        async_creator=partial(connect, path, timeout_seconds=BUSY_MILLISECONDS / 1000),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=60,
        pool_reset_on_return=None,  # a connection is given back with its transaction ended, see `connected`
    )


def connect_reader(path: Path) -> sqlite3.Connection:
    """Return a plain connection that cannot write, usable from any one thread at a time."""
    connection = sqlite3.connect(path, timeout=BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False)
    for pragma in _reader_pragmas():
        connection.execute(pragma)
    return connection


def _writer_pragmas(synchronous: Synchronous) -> list[str]:
    return [
        f"PRAGMA busy_timeout={BUSY_MILLISECONDS}",
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={synchronous.upper()}",
        "PRAGMA foreign_keys=ON",
        f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}",
        f"PRAGMA journal_size_limit={_LOG_LIMIT_BYTES}",
        "PRAGMA temp_store=MEMORY",
    ]


def _reader_pragmas() -> list[str]:
    return [
        f"PRAGMA busy_timeout={BUSY_MILLISECONDS}",
        "PRAGMA query_only=ON",
        f"PRAGMA cache_size=-{_READER_CACHE_KIB}",
        "PRAGMA temp_store=MEMORY",
    ]


def _configure(engine: AsyncEngine, begin: str, pragmas: list[str]) -> None:
    """Take transactions into our own hands: sqlite3 would begin them late and deferred.

    A deferred transaction that reads first fails at its first write as soon as anybody else has written,
    whatever the busy timeout. Source: SQLAlchemy, dialects/sqlite, "Enabling Non-Legacy SQLite Transactional Modes".
    """

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)
