"""What telling events needs of the ledger, as Protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from fluxtrail.model.records import CommitId, SyncId
from fluxtrail.model.report import SaidRecord
from fluxtrail.model.telling import BuiltImage
from fluxtrail.reports.ports import Facts


class EventFacts(Facts, Protocol):
    """What CDEvents say besides. Raises StoreError."""

    async def first_syncs(self, ids: Sequence[SyncId]) -> set[SyncId]:
        """Return those of them before which nothing was applied on their target."""

    async def built_images(self, ids: Sequence[CommitId]) -> Mapping[CommitId, BuiltImage]:
        """Return the image that was built from each commit, where there is one and not several."""


class SaidBook(Protocol):
    """The ledger's memory of what was said. Raises StoreError."""

    async def below(self, sink: str, parents: Sequence[str]) -> Mapping[str, Sequence[SaidRecord]]: ...

    async def note(self, records: Sequence[SaidRecord]) -> None: ...
