"""What the ledger says of its own writing: how many wait for their turn, how long that and the writing take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fluxtrail.model.distribution import Distribution

UNIT, OTHER = "unit", "other"
"""Kinds of transactions: history, one at a time; and the outbox's, the inbox's and the leader's."""


class Writes:
    """Of one kind, since the start of the process; the distributions are in seconds."""

    def __init__(self) -> None:
        self.waiting = 0
        """Transactions that have not begun."""
        self.waited = Distribution()
        """From the wish for one to its beginning."""
        self.lasted = Distribution()
        """From its beginning to its end."""
        self.undone = 0
        """Those of which nothing was kept, or that could not begin."""

    @contextmanager
    def asked(self) -> Iterator[Turn]:
        """Surround one transaction, its wait included."""
        turn = Turn(self)
        try:
            yield turn
        except BaseException:
            self.undone += 1
            raise
        finally:
            turn.end()


class Turn:
    """One transaction."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes
        self._since = time.perf_counter()
        self._has_begun = False
        writes.waiting += 1

    def begin(self) -> None:
        now = time.perf_counter()
        self._writes.waiting -= 1
        self._writes.waited.add(now - self._since)
        self._since, self._has_begun = now, True

    def end(self) -> None:
        if self._has_begun:
            self._writes.lasted.add(time.perf_counter() - self._since)
        else:
            self._writes.waiting -= 1


def new_writes() -> dict[str, Writes]:
    """Return one of each kind."""
    return {UNIT: Writes(), OTHER: Writes()}
