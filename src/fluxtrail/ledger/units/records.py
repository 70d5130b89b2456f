"""A unit's deployment records: what should be told of each deployment name, and what GitHub said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import Update, bindparam, delete, insert, select, update

from fluxtrail.ledger import schema
from fluxtrail.ledger.record_rows import (
    ANSWERED,
    COLUMNS,
    apply_outcome,
    apply_sending,
    merge_record,
    new_record,
    record_of,
    values_of_record,
)
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.deployment import Content, DeploymentStatus, KeptRecord, RecordId, Told, ToldOutcome
from fluxtrail.model.observation import ClusterUid

_R = schema.deployment_records
_BATCH = 2000
_INSERT = insert(_R)
_KEY = ("id", "cluster", "deployment_name")
_ALL = [column.name for column in _R.columns if column.name not in _KEY]
_NAMED = select(*COLUMNS).where(
    _R.c.cluster == bindparam("cluster_"), _R.c.deployment_name.in_(bindparam("names", expanding=True))
)
_BY_ID = select(*COLUMNS).where(_R.c.id.in_(bindparam("ids", expanding=True)))
_NEXT = (
    select(*COLUMNS)
    .where(_R.c.cluster == bindparam("cluster_"), _R.c.deployment_name > bindparam("after"))
    .order_by(_R.c.deployment_name)
    .limit(_BATCH)
)

_Key = tuple[ClusterUid, str]


class RecordPart(UnitPart):
    async def put_deployment_records(self, records: Sequence[KeptRecord]) -> list[KeptRecord]:
        """Insert or update by (cluster, deployment name); returns what is kept now, in the same order.

        Only place, content and the two times are taken from a record that is known: what GitHub was told is kept. A
        content that changed, and whatever is new, is to be told.
        """
        held = await self._named(records)
        known = dict(held)
        for record in records:
            key = _key(record)
            known[key] = merge_record(known[key], record) if key in known else new_record(record.id, record)
        fresh = sorted(key for key in known if key not in held)
        ids = await self._session.dialect.reserve_ids(self._session, _R, len(fresh)) if fresh else []
        known.update((key, new_record(id_, known[key])) for id_, key in zip(ids, fresh, strict=True))
        await self._session.run(_INSERT, [values_of_record(known[key]) for key in fresh])
        await self._update((known[key] for key, record in held.items() if known[key] != record), _ALL)
        return [known[_key(record)] for record in records]

    async def note_told(self, outcomes: Sequence[ToldOutcome]) -> list[KeptRecord]:
        """Keep what GitHub said, in this order; returns the records as they are now, without those that are gone.

        An answer changes how a record stands only while its content is still what was sent; see `apply_outcome`.
        """
        held = {record.id: record for record in await self.records_by_id([outcome.id for outcome in outcomes])}
        known = dict(held)
        for outcome in outcomes:
            if outcome.id in known:
                known[outcome.id] = apply_outcome(known[outcome.id], outcome)
        await self._update((record for id_, record in known.items() if record != held[id_]), ANSWERED)
        return list(known.values())

    async def note_sending(self, sendings: Mapping[RecordId, Content]) -> None:
        """Keep that these are about to be sent, where GitHub holds nothing as deployed; see `apply_sending`."""
        held = await self.records_by_id(list(sendings))
        marked = ((record, apply_sending(record, sendings[record.id])) for record in held)
        await self._update((after for before, after in marked if after != before), ANSWERED)

    async def deployment_records(
        self,
        cluster: ClusterUid,
        *,
        status: DeploymentStatus | None = None,
        told: Told | None = None,
        told_since: datetime | None = None,
    ) -> list[KeptRecord]:
        """Return those of a cluster by deployment name; read in batches, so that others get a turn in between.

        Jobs of other names every minute leave many that are over, which few ask for.

        Args:
            status, told: only these; all where None.
            told_since: only those of which GitHub took something then or later.
        """
        wanted = _NEXT if status is None else _NEXT.where(_R.c.status == status)
        if told is not None:
            wanted = wanted.where(_R.c.told == told)
        if told_since is not None:
            wanted = wanted.where(_R.c.told_at >= told_since)
        found: list[KeptRecord] = []
        after = ""
        while True:
            batch = await self._session.all(wanted, {"cluster_": cluster, "after": after})
            found += map(record_of, batch)
            if len(batch) < _BATCH:
                return found
            after = found[-1].deployment_name

    async def records_by_id(self, ids: Sequence[RecordId]) -> list[KeptRecord]:
        """Return records by cluster and deployment name, without those that are gone."""
        found: list[KeptRecord] = []
        for chunk in chunks(list(dict.fromkeys(ids))):
            found += map(record_of, await self._session.all(_BY_ID, {"ids": chunk}))
        return sorted(found, key=_key)

    async def forget_deployment_records(self, ids: Sequence[RecordId]) -> None:
        """Remove records; nothing is told of it."""
        for chunk in chunks(sorted(set(ids))):
            await self._session.run(delete(_R).where(_R.c.id.in_(chunk)))

    async def _named(self, records: Sequence[KeptRecord]) -> dict[_Key, KeptRecord]:
        names: dict[ClusterUid, dict[str, None]] = {}
        for record in records:
            names.setdefault(record.cluster, {})[record.deployment_name] = None
        held: dict[_Key, KeptRecord] = {}
        for cluster, wanted in names.items():
            for chunk in chunks(list(wanted)):
                rows = await self._session.all(_NAMED, {"cluster_": cluster, "names": chunk})
                held.update((_key(record), record) for record in map(record_of, rows))
        return held

    async def _update(self, records: Iterable[KeptRecord], columns: Sequence[str]) -> None:
        stated = []
        for record in sorted(records, key=_key):
            values = values_of_record(record)
            stated.append({name: values[name] for name in columns} | {"id_": record.id})
        await self._session.run(_update_of(tuple(columns)), stated)


@cache
def _update_of(columns: tuple[str, ...]) -> Update:
    return update(_R).where(_R.c.id == bindparam("id_")).values({name: bindparam(name) for name in columns})


def _key(record: KeptRecord) -> _Key:
    return record.cluster, record.deployment_name
