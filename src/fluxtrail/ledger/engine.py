"""What a database must offer to be a ledger: connections, each in its transaction, and its dialect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fluxtrail.ledger.dialect import Dialect
from fluxtrail.ledger.faults import translated
from fluxtrail.ledger.session import Session, finish
from fluxtrail.ledger.writes import OTHER, UNIT, Writes


class Engine(Protocol):
    subject: str
    """The file or the address, without secrets: what errors are about."""
    dialect: Dialect
    writes: Mapping[str, Writes]
    """By kind of transaction, of this process alone."""

    def write(self, *, is_unit: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield a connection inside a transaction: committed at a clean exit, else rolled back.

        A commit that has begun is finished even if the caller is cancelled.

        Args:
            is_unit: one at a time, of all processes; each sees everything that those before it have kept.

        Raises:
            StoreError: the database refused to begin or to commit.
        """

    def read(self) -> AbstractAsyncContextManager[Session]:
        """Yield a session on one snapshot of everything committed."""

    def stream(
        self, query: str, parameters: Sequence[Any], *, batch: int
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """Yield the rows of `query` as tuples, `batch` at a time, from a connection of its own. For millions."""

    async def size_bytes(self) -> Mapping[str, int]:
        """Return how much room the ledger takes, by part; cheap. Raises StoreError."""

    async def count_rows(self, tables: Sequence[str]) -> Mapping[str, int]:
        """Return how many rows tables have, about; it may take a second for tens of millions. Raises StoreError."""

    async def close(self) -> None:
        """Close every connection."""


@asynccontextmanager
async def connected(engine: AsyncEngine, subject: str) -> AsyncIterator[AsyncConnection]:
    """Yield a connection of the pool; what was not committed on it is rolled back."""
    connection = engine.connect()
    try:
        with translated(subject):
            await finish(connection.start())
        yield connection
    finally:
        if connection.sync_connection is not None:
            with translated(subject):
                await finish(connection.close())


@asynccontextmanager
async def writing(engine: Engine, *, is_unit: bool = False, gives_way: bool = False) -> AsyncIterator[Session]:
    """Yield a session in a transaction of its own, see `Engine.write` and `Dialect.give_way`."""
    with engine.writes[UNIT if is_unit else OTHER].asked() as turn:
        async with engine.write(is_unit=is_unit) as connection:
            turn.begin()
            session = Session(connection, engine.subject, engine.dialect)
            if gives_way:
                await session.dialect.give_way(session)
            yield session
