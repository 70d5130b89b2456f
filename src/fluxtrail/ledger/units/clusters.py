"""A unit's clusters, stream marks and notes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select

from fluxtrail.ledger import schema
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.observation import ClusterUid


class ClusterPart(UnitPart):
    async def put_cluster(self, uid: ClusterUid, name: str, seen_at: datetime) -> None:
        statement = self._session.dialect.upsert(schema.clusters).values(uid=uid, name=name, seen_at=seen_at)
        await self._session.run(
            statement.on_conflict_do_update(index_elements=["uid"], set_={"name": name, "seen_at": seen_at})
        )

    async def put_stream_marks(self, marks: Mapping[tuple[ClusterUid, str], datetime]) -> None:
        """Note how far streams have been kept, by cluster and kind; an older mark than the one held is ignored."""
        if not marks:
            return
        statement = self._session.dialect.upsert(schema.stream_marks)
        await self._session.run(
            statement.on_conflict_do_update(
                index_elements=["cluster", "kind"],
                set_={"current_at": statement.excluded.current_at},
                where=statement.excluded.current_at > schema.stream_marks.c.current_at,
            ),
            # In one order: two processes that note the same streams must not wait for each other.
            [{"cluster": cluster, "kind": kind, "current_at": at} for (cluster, kind), at in sorted(marks.items())],
        )

    async def stream_marks(self) -> Mapping[tuple[ClusterUid, str], datetime]:
        rows = await self._session.all(select(schema.stream_marks))
        return {(ClusterUid(row.cluster), row.kind): row.current_at for row in rows}

    async def get_note(self, name: str) -> str | None:
        found: str | None = await self._session.scalar(select(schema.notes.c.value).where(schema.notes.c.name == name))
        return found

    async def put_note(self, name: str, value: str) -> None:
        statement = self._session.dialect.upsert(schema.notes).values(name=name, value=value)
        await self._session.run(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
