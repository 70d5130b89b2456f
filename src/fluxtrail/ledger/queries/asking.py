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


class Asking:
    """A share of the reading side of a ledger."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog

    @asynccontextmanager
    async def _situation(self) -> AsyncIterator[tuple[Session, Situation]]:
        async with self._engine.read() as session:
            yield session, await Situation.load(session, self._catalog)


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
