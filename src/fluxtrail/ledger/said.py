"""What outside systems were last told: the same is not said twice, and what was said can be changed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, exists, or_, select, text

from fluxtrail.ledger import schema
from fluxtrail.ledger.engine import Engine, writing
from fluxtrail.ledger.faults import again
from fluxtrail.ledger.session import chunks
from fluxtrail.model.report import ReportState, SaidRecord

_S, _R = schema.said, schema.reports
_FIELDS = SaidRecord.__struct_fields__
_COLUMNS = [_S.c[name] for name in _FIELDS]
_KEPT = ("content", "state", "remote_id", "times", "said_at")
BELOW = "/"
"""Parts a key: what is before it names a commit."""


class Said:
    """Every method is a transaction of its own, and raises StoreError where the ledger cannot be read or written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def below(self, sink: str, parents: Sequence[str]) -> dict[str, list[SaidRecord]]:
        """Return what was said under `<parent>` and `<parent>/…`, by parent; none where nothing was."""
        found: dict[str, list[SaidRecord]] = {}
        async with self._engine.read() as session:
            for some in chunks(list(dict.fromkeys(parents))):
                for row in await session.all(select(*_COLUMNS).where(_S.c.sink == sink, _S.c.parent.in_(some))):
                    found.setdefault(_parent(row.key), []).append(_record_of(row))
        return found

    async def note(self, records: Sequence[SaidRecord]) -> None:
        """Remember the last that was said under each key."""
        values = [
            {name: getattr(record, name) for name in _FIELDS} | {"parent": _parent(record.key)} for record in records
        ]
        await self._write(values)

    @again
    async def _write(self, values: Sequence[Mapping[str, Any]]) -> None:
        async with writing(self._engine, gives_way=True) as session:
            statement = session.dialect.upsert(_S)
            new = statement.excluded
            changed = {name: new[name] for name in _KEPT}
            statement = statement.on_conflict_do_update(index_elements=["sink", "key"], set_=changed)
            await session.run(statement, sorted(values, key=lambda value: (value["sink"], value["key"])))

    async def open_parents(self, sink: str, *, after: int, limit: int) -> tuple[list[str], int]:
        """Return what stands before the `/` of keys whose state is not final, a page at a time.

        Left out is what its receiver refuses: it has been given up, or its report has a time to be tried again.

        Args:
            after: 0, or what the last page said.

        Returns:
            The parents, and where the next page begins; 0 where there is none.
        """
        is_refused = exists().where(
            _R.c.sink == _S.c.sink,
            _R.c.key == _S.c.parent,
            or_(_R.c.state == ReportState.DEAD, and_(_R.c.state == ReportState.WAITING, _R.c.answer != "")),
        )
        wanted = select(_S.c.id, _S.c.parent).where(_S.c.sink == sink, text(schema.OPEN), _S.c.id > after, ~is_refused)
        async with self._engine.read() as session:
            rows = await session.all(wanted.order_by(_S.c.id).limit(limit))
        return list(dict.fromkeys(row.parent for row in rows)), rows[-1].id if len(rows) == limit else 0

    @again
    async def forget(self, before: datetime, *, limit: int = 1000) -> int:
        """Forget what was said before an instant; returns how much there was, at most `limit`."""
        old = select(_S.c.id).where(_S.c.said_at < before).order_by(_S.c.said_at).limit(limit)
        async with writing(self._engine, gives_way=True) as session:
            return await session.run(delete(_S).where(_S.c.id.in_(old)))


def _parent(key: str) -> str:
    return key.partition(BELOW)[0]


def _record_of(row: Any) -> SaidRecord:
    return msgspec.convert({name: getattr(row, name) for name in _FIELDS}, SaidRecord)
