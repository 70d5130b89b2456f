"""The inbox: notices of outside systems, from the moment they are answered until they are dealt with.

Who posted a notice is told that it was taken once it is in here, and never before. What is taken is not removed: a
process that dies over it finds it again, and so may another process. To deal with a notice twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from sqlalchemy import BigInteger, Integer, Text, bindparam, delete, func, insert, select, type_coerce

from fluxtrail.ledger import schema
from fluxtrail.ledger.columns import from_micros, to_micros
from fluxtrail.ledger.engine import Engine, writing
from fluxtrail.ledger.faults import again
from fluxtrail.ledger.session import chunks
from fluxtrail.model.notices import AnyNotice, Hook, KeptNotice, NewNotice, NoticeId

log = structlog.get_logger(__name__)

UNREADABLE_FOR = timedelta(days=1)
"""How long a row that this version cannot read is kept: while a rollout lasts, another version may."""

_N = schema.notices
_INSERT = insert(_N)
_PAGE = (  # undecoded: one row that cannot be read must not stop the others
    select(
        _N.c.id,
        type_coerce(_N.c.hook, Text).label("hook"),
        _N.c.sender,
        type_coerce(_N.c.received_at, BigInteger).label("received_micros"),
        _N.c.key,
        _N.c.body,
    )
    .where(_N.c.id > bindparam("after_"))
    .order_by(_N.c.id)
    .limit(bindparam("limit_", type_=Integer))
)
_encode = msgspec.json.Encoder().encode
_decode: Callable[[bytes], AnyNotice] = msgspec.json.Decoder(AnyNotice).decode


class Inbox:
    """Every method is a transaction of its own, and raises StoreError where the ledger cannot be read or written."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    @again
    async def keep(self, notices: Sequence[NewNotice]) -> None:
        """Keep all of them, or none."""
        if not notices:
            return
        rows = [_row(notice) for notice in notices]
        async with writing(self._engine) as session:
            await session.run(_INSERT, rows)

    async def take(self, limit: int) -> list[KeptNotice]:
        """Return what is to be dealt with, the oldest first; it stays until it is settled.

        What cannot be read is passed over, and forgotten after a day.
        """
        found: list[KeptNotice] = []
        broken: list[NoticeId] = []
        after = 0
        async with self._engine.read() as session:
            while len(found) < limit:
                rows = await session.all(_PAGE, {"after_": after, "limit_": limit})
                for row in rows:
                    notice = _notice_of(row)
                    if notice is not None:
                        found.append(notice)
                    elif row.received_micros < to_micros(self._now() - UNREADABLE_FOR):
                        broken.append(NoticeId(row.id))
                if len(rows) < limit:
                    break
                after = rows[-1].id
        if broken:
            log.warning("notices_unreadable", forgotten=len(broken), first=broken[0])
            await self.settle(broken)
        return found[:limit]

    @again
    async def settle(self, ids: Sequence[NoticeId]) -> None:
        """Forget what was dealt with. One that is gone already changes nothing."""
        if not ids:
            return
        async with writing(self._engine) as session:
            for chunk in chunks(sorted(set(ids))):
                await session.run(delete(_N).where(_N.c.id.in_(chunk)))

    async def count(self) -> int:
        """Return how many wait. Its cost grows with them."""
        async with self._engine.read() as session:
            return int(await session.scalar(select(func.count()).select_from(_N)))


def _row(notice: NewNotice) -> dict[str, Any]:
    return {
        "hook": notice.hook,
        "sender": notice.sender,
        "received_at": notice.received_at,
        "key": notice.key,
        "body": _encode(notice.said),
    }


def _notice_of(row: Any) -> KeptNotice | None:
    """Return the notice, or None where this version cannot read it."""
    try:
        return KeptNotice(
            id=NoticeId(row.id),
            hook=Hook(row.hook),
            sender=row.sender,
            received_at=from_micros(row.received_micros),
            key=row.key,
            said=_decode(row.body),
        )
    except (ValueError, OverflowError, RecursionError):  # msgspec's errors are ValueErrors
        return None
