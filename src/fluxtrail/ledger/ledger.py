"""The ledger: opens the file or the database, gives units to write with, and answers questions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import delete, insert, select, update

from fluxtrail.ledger import schema
from fluxtrail.ledger.backup import Progress, copy_ledger
from fluxtrail.ledger.catalog import Catalog
from fluxtrail.ledger.engine import Engine, writing
from fluxtrail.ledger.facts import Key, stream_facts
from fluxtrail.ledger.inbox import Inbox
from fluxtrail.ledger.leadership import Leadership
from fluxtrail.ledger.migrate import upgrade
from fluxtrail.ledger.outbox import Outbox
from fluxtrail.ledger.place import FileLock, is_postgres, prepare_place
from fluxtrail.ledger.queries.answers import Answers
from fluxtrail.ledger.queries.touches import Touched, newest_touch, read_touches
from fluxtrail.ledger.said import Said
from fluxtrail.ledger.session import Session, finish
from fluxtrail.ledger.sqlite import SqliteEngine, Synchronous
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.ledger.units.base import Plan
from fluxtrail.ledger.writes import Writes
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.views import DeliveryFacts

log = structlog.get_logger(__name__)

_SQLITE = "sqlite:///"
COUNTED = ("commits", "syncs", "deliveries", "transitions", "reports", "deployment_records", "rollouts", "image_runs")
"""Tables that grow with what is delivered."""


class Clock(Protocol):
    def now(self) -> datetime: ...


class SqlLedger(Answers):
    """What keeps everything: a file for one process at a time, or a database for any number.

    Open it with `SqlLedger.open`, and close it.
    """

    def __init__(
        self,
        engine: Engine,
        lock: FileLock | None,
        clock: Clock,
        *,
        instance_id: str,
        created_at: datetime,
        plan: Plan | None = None,
    ) -> None:
        super().__init__(engine, Catalog())
        self._lock = lock
        self._clock = clock
        self._plan = plan
        self.outbox = Outbox(engine, clock.now)
        self.inbox = Inbox(engine, clock.now)
        self.leadership = Leadership(engine, clock.now)
        self.said = Said(engine)
        self.address = engine.subject
        """The file, or the database's address without user, password and options."""
        self.is_shared = engine.dialect.is_shared
        """Whether other processes may write to it too."""
        self.instance_id = instance_id
        """A random id given when the ledger was made: what its figures are the figures of."""
        self.created_at = created_at

    @classmethod
    async def open(
        cls, where: Path | str, *, clock: Clock, synchronous: Synchronous = "normal", plan: Plan | None = None
    ) -> SqlLedger:
        """Open the ledger at a path, `sqlite:///` or `postgresql://` URL, made and migrated where needed.

        Args:
            synchronous: `normal` survives the process, `full` also a power cut (see `sqlite.py`).
            plan: what must be reported of new history; its reports are kept in the unit that adds to it.

        Raises:
            ConfigError: an address of another kind.
            StoreError: it cannot lie there, another process has it, it is damaged, of a newer version, or away.
        """
        engine, lock = _prepare(where, synchronous)
        try:
            async with engine.write(is_unit=True) as connection:
                migrated = await upgrade(connection, engine.subject)
                session = Session(connection, engine.subject, engine.dialect)
                identity = await _identity(session, clock)
                if lock is not None:
                    await _end_leases(session)
        except BaseException:
            await finish(engine.close())
            if lock is not None:
                lock.release()
            raise
        log.info("ledger_opened", address=engine.subject, migrated=migrated, instance_id=identity[0])
        return cls(engine, lock, clock, instance_id=identity[0], created_at=identity[1], plan=plan)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        """Yield a transaction: everything in it is kept at a clean exit, and nothing otherwise.

        One at a time, others wait: never call the outside while holding one.

        Raises:
            StoreError: it could not be begun or kept.
        """
        async with writing(self._engine, is_unit=True) as session:
            yield SqlUnit(session, now=self._clock.now, catalog=self._catalog, plan=self._plan)

    async def delivery_facts(self, keys: Sequence[Key] | None = None) -> AsyncIterator[list[DeliveryFacts]]:
        """Yield what the figures need of deliveries, of all for None, in batches; those never applied are left out.

        Args:
            keys: (commit, target) of the deliveries, such as a unit's `touched_deliveries`.
        """
        async with self._situation() as (_, situation):
            pass
        async with aclosing(stream_facts(self._engine, situation, keys)) as batches:
            async for batch in batches:
                yield batch

    async def newest_touch(self) -> int:
        """Return where `touched` goes on after everything written so far."""
        async with self._engine.read() as session:
            return await newest_touch(session)

    async def touched(self, *, after: int, limit: int = 1000) -> Touched:
        """Return which deliveries were written behind an id, by any process; always none where one alone may write."""
        async with self._engine.read() as session:
            return await read_touches(session, after=after, limit=limit)

    async def size_bytes(self) -> Mapping[str, int]:
        """Return how much room it takes: `data`, and of a file also the `log` beside it. Raises StoreError."""
        return await self._engine.size_bytes()

    async def count_rows(self) -> Mapping[str, int]:
        """Return about how many rows the tables that grow have; not at every scrape. Raises StoreError."""
        return await self._engine.count_rows(COUNTED)

    @property
    def writes(self) -> Mapping[str, Writes]:
        """What this process has written, by kind of transaction."""
        return self._engine.writes

    async def backup(self, destination: Path, progress: Progress | None = None) -> None:
        """Copy everything committed to a new file, while work goes on.

        Raises:
            StoreError: it exists, or cannot be written.
            ConfigError: the ledger is no file.
        """
        await copy_ledger(self.path, destination, progress)

    async def close(self) -> None:
        """Close the file and let others have it."""
        await finish(self._engine.close())
        if self._lock is not None:
            self._lock.release()

    @property
    def path(self) -> Path:
        """The ledger's file.

        Raises:
            ConfigError: it is a database, which has none.
        """
        if not isinstance(self._engine, SqliteEngine):
            raise ConfigError("the ledger is in PostgreSQL and has no file; copy it with pg_dump", subject=self.address)
        return self._engine.path


def _prepare(where: Path | str, synchronous: Synchronous) -> tuple[Engine, FileLock | None]:
    if is_postgres(where):
        from fluxtrail.ledger.postgres import PostgresEngine  # noqa: PLC0415 - its driver is only loaded where it is used

        return PostgresEngine(str(where)), None
    path = parse_place(where)
    prepare_place(path)
    lock = FileLock(path)
    lock.acquire()
    return SqliteEngine(path, synchronous=synchronous), lock


def parse_place(where: Path | str) -> Path:
    """Return the file that a path or `sqlite:///` URL names (four slashes for an absolute path).

    Raises:
        ConfigError: another scheme, or no file.
    """
    text = str(where)
    if text.startswith(_SQLITE):
        text = text.removeprefix(_SQLITE)
    elif "://" in text:
        scheme = text.partition("://")[0]
        raise ConfigError(
            f"{scheme!r} is not supported; use a path, sqlite:///path or postgresql://…", subject="ledger"
        )
    if not text or text == ":memory:":
        raise ConfigError("it must be a file; use a path, sqlite:///path or postgresql://…", subject="ledger")
    return Path(text).expanduser().absolute()


async def _end_leases(session: Session) -> None:
    """Whoever had this file before us is dead: what it was about to send need not wait for its leases to end."""
    leased = schema.reports.c.owner.is_not(None)
    await session.run(update(schema.reports).where(leased).values(owner=None, leased_until=None))
    await session.run(delete(schema.leases))


async def _identity(session: Session, clock: Clock) -> tuple[str, datetime]:
    row = await session.first(select(schema.meta.c.instance_id, schema.meta.c.created_at))
    if row is not None:
        return row.instance_id, row.created_at
    instance_id, created_at = str(uuid.uuid4()), clock.now()
    await session.run(insert(schema.meta), {"id": 1, "instance_id": instance_id, "created_at": created_at})
    return instance_id, created_at
