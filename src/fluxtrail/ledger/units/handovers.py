"""A unit's handovers: commits that a Kustomization passed on to the HelmReleases it applied."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import bindparam, func, literal_column, or_, select, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.dialect import Dialect, Upsert
from fluxtrail.ledger.running_rows import handover_of
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import Attribution, TargetId
from fluxtrail.model.running_records import HandoverRecord

_H, _S, _D, _T = schema.handovers, schema.syncs, schema.deliveries, schema.targets

_OF_RELEASES = select(_H).where(_H.c.release_id.in_(bindparam("releases", expanding=True)))
_NEWEST = (
    select(_H.c.release_id, func.max(_H.c.generation).label("newest"))
    .join(_T, _T.c.id == _H.c.release_id)
    .where(_T.c.cluster == bindparam("cluster_"))
    .group_by(_H.c.release_id)
)
_UNHANDED = (
    select(_H)
    .join(_S, _S.c.id == _H.c.sync_id)
    .join(_T, _T.c.id == _H.c.release_id)
    .where(literal_column(schema.UNHANDED), _T.c.deleted_at.is_(None))
    .where(_S.c.attributed_version == _S.c.version, _S.c.attribution == Attribution.DONE)
    .order_by(_H.c.sync_id, _H.c.release_id)
    .limit(bindparam("limit_"))
)
_MARK = update(_H).where(_H.c.sync_id == bindparam("sync"), _H.c.release_id == bindparam("release"))
_MARK = _MARK.values(is_handed=True)


class HandoverPart(UnitPart):
    async def put_handovers(self, records: Sequence[HandoverRecord]) -> None:
        """Insert or update by (sync, release). What has been handed stays so."""
        stated = {(record.sync_id, record.release_id): rows.values_of(record) for record in records}
        await self._session.run(_put(self._session.dialect), [stated[key] for key in sorted(stated)])

    async def handovers_of(self, releases: Sequence[TargetId]) -> list[HandoverRecord]:
        """Return everything handed, or to be handed, to these releases, by release, generation and sync."""
        found: list[HandoverRecord] = []
        for chunk in chunks(list(dict.fromkeys(releases))):
            found += map(handover_of, await self._session.all(_OF_RELEASES, {"releases": chunk}))
        return sorted(found, key=lambda record: (record.release_id, record.generation, record.sync_id))

    async def handed_generations(self, cluster: ClusterUid) -> dict[TargetId, int]:
        """Return up to which generation something was handed over to each release of a cluster."""
        found = await self._session.all(_NEWEST, {"cluster_": cluster})
        return {TargetId(row.release_id): row.newest for row in found}

    async def unhanded(self, limit: int) -> list[HandoverRecord]:
        """Return handovers to live releases whose sync is attributed and whose commits are not handed, oldest first."""
        return [handover_of(row) for row in await self._session.all(_UNHANDED, {"limit_": limit})]

    async def mark_handed(self, records: Sequence[HandoverRecord]) -> None:
        """Note that their commits have their deliveries on the release."""
        stated = sorted({(record.sync_id, record.release_id) for record in records})
        await self._session.run(_MARK, [{"sync": sync_id, "release": release_id} for sync_id, release_id in stated])


@cache
def _put(dialect: Dialect) -> Upsert:
    statement = dialect.upsert(_H)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["sync_id", "release_id"],
        set_={
            "generation": new.generation,
            "taken_by": new.taken_by,
            "is_handed": or_(_H.c.is_handed, new.is_handed),
        },
    )
