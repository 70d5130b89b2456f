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

    async def put_stream_mark(self, cluster: ClusterUid, kind: str, current_at: datetime) -> None:
        """Note how far a stream has been kept; an older mark than the one held is ignored."""
        statement = self._session.dialect.upsert(schema.stream_marks).values(
            cluster=cluster, kind=kind, current_at=current_at
        )
        await self._session.run(
            statement.on_conflict_do_update(
                index_elements=["cluster", "kind"],
                set_={"current_at": statement.excluded.current_at},
                where=statement.excluded.current_at > schema.stream_marks.c.current_at,
            )
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
