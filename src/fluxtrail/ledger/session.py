"""Statements on one connection, each of them run to its end even when the caller is cancelled.

A statement takes milliseconds. Cut off in the middle it would leave the driver's thread at work on a
connection that SQLAlchemy has given up; so a cancelled caller waits for the statement, and is cancelled then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection

from fluxtrail.ledger.dialect import Dialect
from fluxtrail.ledger.faults import translated

T = TypeVar("T")

CHUNK = 1000
"""Values in one IN list; SQLite's limit on variables is 32,766, and was 999 before 3.32."""


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


async def finish(operation: Awaitable[T]) -> T:
    """Await `operation` to its end; a cancellation that comes meanwhile is raised after it."""
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue  # the first one is raised below
        if not task.cancelled():
            task.exception()  # seen: the cancellation is what the caller hears of
        raise


class Session:
    """One transaction on one connection."""

    def __init__(self, connection: AsyncConnection, subject: str, dialect: Dialect) -> None:
        self._connection = connection
        self._subject = subject
        self.dialect = dialect
        """What this engine says differently."""

    async def all(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Return every row; the caller bounds them."""
        return (await self._execute(statement, values)).all()

    async def first(self, statement: Executable) -> Row[Any] | None:
        return (await self._execute(statement, None)).first()

    async def scalar(self, statement: Executable) -> Any:
        return (await self._execute(statement, None)).scalar()

    async def insert(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Insert one row and return the id it was given."""
        key = (await self._execute(statement, values)).inserted_primary_key
        return int(key[0]) if key else 0

    async def run(self, statement: Executable, values: Mapping[str, Any] | Sequence[Any] | None = None) -> int:
        """Run a statement, or one for each element of a sequence; returns how many rows it touched."""
        if isinstance(values, Sequence) and not values:
            return 0
        return (await self._execute(statement, values)).rowcount

    async def _execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Any] | None
    ) -> CursorResult[Any]:
        with translated(self._subject):
            return await finish(self._connection.execute(statement, values))
