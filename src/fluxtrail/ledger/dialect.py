"""What the engines say differently: a module for each implements this, everything else is shared."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import ColumnElement, Table, TextualSelect
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from fluxtrail.ledger.session import Session

Upsert = sqlite.Insert | postgresql.Insert


class Dialect(Hashable, Protocol):
    is_shared: bool
    """Whether other processes may write too."""
    keys: str
    """A table of (commit_id, target_id) as text of SQL, from the one parameter `keys` that `pack_keys` makes."""

    def upsert(self, table: Table) -> Upsert:
        """Return an INSERT that can be given `on_conflict_do_…`."""

    def pack_keys(self, keys: Sequence[tuple[int, int]]) -> str: ...

    def key_table(self, keys: Sequence[tuple[int, int]] | None = None) -> TextualSelect:
        """Return keys as something to join with: columns `commit_id` and `target_id`.

        Args:
            keys: None leaves the parameter `keys` open: to be given, packed, when the statement is run.
        """

    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition that a column has one of up to a few hundred values."""

    async def lock(self, session: Session, name: str) -> None:
        """Wait until nobody else holds the lock of this name, and hold it until the transaction ends."""

    async def give_way(self, session: Session) -> None:
        """Let this transaction fail, to be tried again, where it would wait for long: of two that wait in a circle,
        the other one goes on.
        """

    async def reserve_ids(self, session: Session, table: Table, number: int) -> Sequence[int]:
        """Return growing ids for so many new rows. Nobody else is given any until this transaction ends.

        So they are committed in their order, and whoever sees one sees all that are smaller. The rows are inserted
        with them: to insert many does not tell their ids without a statement for each.
        """
