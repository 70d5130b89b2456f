"""Everything that is PostgreSQL's own: connections, isolation, locks, upserts, the raw stream of rows.

Isolation. A unit is written at READ COMMITTED under one advisory lock: it begins when the one before it, of whatever
process, has committed, and each of its statements sees all of that. A stricter level would take its snapshot
before it has the lock, and then see less than what it waited for, or fail. Answers are read at REPEATABLE READ, so
that each is of one instant. The outbox does not wait its turn: it locks single rows, in one order, and never during a
call to the outside. Should it and a unit wait for each other all the same, it gives way, and tries again.

The history's ids. They come from a sequence, which does not wait for anybody's commit; so who takes some holds a
second lock until its transaction ends. Ids are therefore committed in their order, and nobody who reads up to the
largest that he sees can miss a smaller one.

Behind PgBouncer (transaction pooling) nothing may outlive a transaction: no prepared statements, locks and settings for
the transaction only.

Sources: https://www.postgresql.org/docs/current/transaction-iso.html, …/explicit-locking.html#ADVISORY-LOCKS,
https://www.psycopg.org/psycopg3/docs/advanced/prepare.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    ColumnElement,
    Table,
    TextClause,
    TextualSelect,
    any_,
    column,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fluxtrail.ledger import schema
from fluxtrail.ledger.compiled import COMPILED, POSTGRES
from fluxtrail.ledger.dialect import Dialect
from fluxtrail.ledger.engine import connected
from fluxtrail.ledger.faults import translated
from fluxtrail.ledger.session import Session, finish
from fluxtrail.ledger.writes import Writes, new_writes
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact

CONNECTIONS = 8
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 120
LOCK_SECONDS = 60
IDLE_SECONDS = 60
"""A process that stops in the middle of a unit is cut off after this, so that the others can go on."""

_DEFAULTS: dict[str, Any] = {
    "application_name": "fluxtrail",
    "connect_timeout": CONNECT_SECONDS,
    # A peer that is gone without a word is noticed within a minute, whatever we wait for.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_LIMITS = f"""set_config('statement_timeout', '{STATEMENT_SECONDS * 1000}', true),
              set_config('lock_timeout', '{LOCK_SECONDS * 1000}', true),
              set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS * 1000}', true)"""
_PLANNER = "set_config('random_page_cost', '1.1', true), set_config('jit', 'off', true)"
"""Questions are of a few thousand rows at most, each by an index. A server that is set up for turning disks reads a
whole table for these (50 ms in place of 7), and compiles for longer than they take.
"""
_LOCK = "pg_advisory_xact_lock(hashtextextended(:name, 64037))"
_BEGIN = text(f"SELECT {_LIMITS}, {_PLANNER}")
_BEGIN_STREAM = text(f"SELECT {_LIMITS}")
_BEGIN_UNIT = text(f"SELECT {_LIMITS}, {_PLANNER}, {_LOCK}").bindparams(name="unit")
_GIVE_WAY = text("SELECT set_config('lock_timeout', '700', true)")
"""Below `deadlock_timeout` (1 s): who gives way is never the one that is looking for the circle."""
_LOCK_NAME = text(f"SELECT {_LOCK}")
_NEXT_IDS = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :number)")

_OURS = "relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname = ANY(:names)"
_SIZE = text(f"SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE {_OURS}")  # noqa: S608
_ROWS = text(f"SELECT relname, reltuples FROM pg_class WHERE {_OURS}")  # noqa: S608

KEYS = """(SELECT CAST(value->>0 AS bigint) AS commit_id, CAST(value->>1 AS bigint) AS target_id
           FROM json_array_elements(CAST(:keys AS json)))"""
_KEY_TABLE = text(f"SELECT commit_id, target_id FROM {KEYS} AS given")  # noqa: S608 - constants


class PostgresDialect:
    is_shared = True
    keys = KEYS

    def upsert(self, table: Table) -> Insert:
        return insert(table)

    def pack_keys(self, keys: Sequence[tuple[int, int]]) -> str:
        return msgspec.json.encode(keys).decode()

    def key_table(self, keys: Sequence[tuple[int, int]] | None = None) -> TextualSelect:
        wanted = _KEY_TABLE if keys is None else _KEY_TABLE.bindparams(keys=self.pack_keys(keys))
        return wanted.columns(column("commit_id", BigInteger), column("target_id", BigInteger))

    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        """As one parameter: its driver and its server read a statement of a hundred for longer than they answer it."""
        return column == any_(literal(list(values), ARRAY(column.type)))

    async def lock(self, session: Session, name: str) -> None:
        await session.run(_LOCK_NAME, {"name": name})

    async def give_way(self, session: Session) -> None:
        await session.run(_GIVE_WAY)

    async def reserve_ids(self, session: Session, table: Table, number: int) -> list[int]:
        await self.lock(session, f"ids of {table.name}")
        found = await session.all(_NEXT_IDS, {"name": table.name, "number": number})
        return sorted(row[0] for row in found)


_DIALECT = PostgresDialect()
"""One for all: statements are made once for each dialect."""


class PostgresEngine:
    """A pool of connections to one database, which other processes write to as well."""

    def __init__(self, url: str) -> None:
        parameters = parse_address(url)
        self.subject = describe_address(parameters)
        self.dialect: Dialect = _DIALECT
        self._engine = _create_engine(_DEFAULTS | parameters)
        self._readers = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._lock = asyncio.Lock()
        self.writes: Mapping[str, Writes] = new_writes()

    @asynccontextmanager
    async def write(self, *, is_unit: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Engine.write`."""
        async with AsyncExitStack() as stack:
            if is_unit:
                await stack.enter_async_context(self._lock)  # waiting here costs no connection
            connection = await stack.enter_async_context(connected(self._engine, self.subject))
            await self._begin(connection, _BEGIN_UNIT if is_unit else _BEGIN)
            yield connection
            with translated(self.subject):
                await finish(connection.commit())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """See `Engine.read`."""
        async with connected(self._readers, self.subject) as connection:
            await self._begin(connection, _BEGIN)
            yield Session(connection, self.subject, self.dialect)

    async def _begin(self, connection: AsyncConnection, first: TextClause) -> None:
        with translated(self.subject):
            await finish(connection.execute(first))

    async def stream(
        self, query: str, parameters: Sequence[Any], *, batch: int
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """See `Engine.stream`; through a cursor that lives in the server."""
        async with connected(self._readers, self.subject) as connection:
            await self._begin(connection, _BEGIN_STREAM)
            with translated(self.subject):
                asked = connection.stream(text(query), execution_options={"yield_per": batch})
                result = await finish(asked.start())
                try:
                    while rows := await finish(result.fetchmany(batch)):
                        yield [tuple(row) for row in rows]
                finally:
                    await finish(result.close())

    async def size_bytes(self) -> dict[str, int]:
        """See `Engine.size_bytes`: our tables alone, with their indexes; others may be in the database."""
        async with self.read() as session:
            return {"data": int(await session.scalar(_SIZE.bindparams(names=list(schema.metadata.tables))))}

    async def count_rows(self, tables: Sequence[str]) -> dict[str, int]:
        """See `Engine.count_rows`: the server's own estimate; none of a table that it never looked through."""
        async with self.read() as session:
            found = await session.all(_ROWS.bindparams(names=list(tables)))
        return {row.relname: int(row.reltuples) for row in found if row.reltuples >= 0}

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def parse_address(url: str) -> dict[str, Any]:
    """Return what libpq makes of an address: `sslmode`, several hosts, … are its own.

    Raises:
        ConfigError: it is none; the address, which may hold a password, is not repeated.
    """
    try:
        parameters = dict(conninfo_to_dict(url))
    except psycopg.Error:
        raise ConfigError(
            "the address cannot be read; write postgresql://user@host:5432/database?sslmode=verify-full, with special "
            "characters of the password as %XX",
            subject="ledger",
        ) from None  # libpq's words may hold the password
    if not parameters.get("dbname"):
        raise ConfigError("the address names no database; write postgresql://user@host/database", subject="ledger")
    return parameters


def describe_address(parameters: dict[str, Any]) -> str:
    """Return the address without user, password and options."""
    host = str(parameters.get("host") or parameters.get("hostaddr") or "")
    ports = str(parameters.get("port") or "").strip(",")
    port = f":{ports}" if ports else ""
    return redact(f"postgresql://{host.replace('/', '%2F')}{port}/{parameters['dbname']}", limit_bytes=300)


def _create_engine(parameters: dict[str, Any]) -> AsyncEngine:
    async def connect(*_: object, **__: object) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(prepare_threshold=None, **parameters)

    return create_async_engine(
        URL.create(POSTGRES),
        execution_options={"compiled_cache": COMPILED},
        async_creator=connect,
        isolation_level="READ COMMITTED",
        use_native_hstore=False,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=60,
        pool_pre_ping=True,
    )
