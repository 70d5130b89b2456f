"""What every part of the answers works with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TypeVar

from fluxtrail.ledger.catalog import Catalog
from fluxtrail.ledger.engine import Engine
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session
from fluxtrail.model.errors import ConfigError

LIMIT = 100

W = TypeVar("W", bound=StrEnum)


class Instant:
    """One snapshot that several questions are asked of, one after another."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.situation: Situation | None = None
        """Read by the first question that needs it."""


class Asking:
    """A share of the reading side of a ledger.

    Args:
        instant: what all is asked of; None for a new snapshot with each question.
    """

    def __init__(self, engine: Engine, catalog: Catalog, instant: Instant | None = None) -> None:
        self._engine = engine
        self._catalog = catalog
        self._instant = instant

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Session]:
        if self._instant is not None:
            yield self._instant.session
            return
        async with self._engine.read() as session:
            yield session

    @asynccontextmanager
    async def _situation(self) -> AsyncIterator[tuple[Session, Situation]]:
        async with self._read() as session:
            known = self._instant.situation if self._instant is not None else None
            situation = known or await Situation.load(session, self._catalog)
            if self._instant is not None:
                self._instant.situation = situation
            yield session, situation


def find_word(words: type[W], given: str | None, subject: str) -> W | None:
    """Return the member that `given` names, None for None.

    Raises:
        ConfigError: there is none.
    """
    if given is None:
        return None
    try:
        return words(given)
    except ValueError as exc:
        known = ", ".join(word.value for word in words)
        raise ConfigError(f"{given[:40]!r} is none of {known}", subject=subject) from exc
