"""Which failures a receiver was told of, so that it learns when they are over, once. Kept with what was said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fluxtrail.model.records import CommitId
from fluxtrail.model.report import SaidRecord
from fluxtrail.model.telling import TellingKey
from fluxtrail.reports.events.ports import SaidBook

_DETECTED, _RESOLVED = "detected", "resolved"


class Incidents:
    """Those of one claim. What is noted before it is sent is sent in the end: the report stays until it is."""

    def __init__(self, sink: str, records: dict[str, SaidRecord], *, now: datetime) -> None:
        self._sink = sink
        self._records = records
        self._now = now
        self.changed: dict[str, SaidRecord] = {}

    @classmethod
    async def read(cls, book: SaidBook, sink: str, commits: Sequence[CommitId], *, now: datetime) -> Incidents:
        """Raises StoreError."""
        found = await book.below(sink, [str(one) for one in dict.fromkeys(commits)])
        return cls(sink, {record.key: record for records in found.values() for record in records}, now=now)

    def detect(self, key: TellingKey, event: str) -> None:
        """Args:
        event: the id of the event that tells it.
        """
        self._note(key, state=_DETECTED, content="", event=event)

    def resolve(self, key: TellingKey, report: str) -> str:
        """Return the id of the event that told the failure which is over now; empty where there is none.

        Args:
            report: its key: when it is sent again, it says the same again.
        """
        known = self._records.get(_place(key))
        if known is None or (known.state == _RESOLVED and known.content != report):
            return ""
        self._note(key, state=_RESOLVED, content=report, event=known.remote_id)
        return known.remote_id

    def _note(self, key: TellingKey, *, state: str, content: str, event: str) -> None:
        place = _place(key)
        record = SaidRecord(
            sink=self._sink, key=place, content=content, state=state, remote_id=event, said_at=self._now
        )
        self._records[place] = self.changed[place] = record


def _place(key: TellingKey) -> str:
    return f"{key.commit_id}/{key.target_id}"
