"""What the figures need of deliveries, row by row, as fast as the engine gives it.

All of them are read at each start. Beyond the join itself a row costs one small object: moments are decoded once a
sync and once a commit, and names come from the catalog.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, text

from fluxtrail.ledger.columns import VERDICT_CODES, from_micros, unpack_moment
from fluxtrail.ledger.engine import Engine
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.moment import Moment
from fluxtrail.model.records import CommitId, TargetId, TargetRecord
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import DeliveryFacts

BATCH = 5000
_KEPT = 20_000

_PENDING = VERDICT_CODES[Verdict.PENDING]
_SELECT = """
    SELECT d.commit_id, d.target_id, d.carrier_id, d.is_scope_unknown,
           c.merged, c.is_carrier, c.committed_at,
           k.merged, k.committed_at, e.stated_at,
           a.fetched, a.applied, a.succeeded,
           CASE WHEN d.healthy_sync = d.applied_sync THEN a.healthy ELSE h.healthy END,
           h.succeeded, CASE WHEN a.running IS NULL AND a.is_remediated THEN h.running ELSE a.running END
    FROM {deliveries}
    JOIN commits AS c ON c.id = d.commit_id
    LEFT JOIN commits AS k ON k.id = d.carrier_id
    LEFT JOIN exports AS e ON e.carrier_id = d.carrier_id AND e.source_id = d.commit_id
    LEFT JOIN syncs AS a ON a.id = d.applied_sync
    LEFT JOIN syncs AS h ON h.id = d.healthy_sync AND d.healthy_sync <> d.applied_sync
    WHERE +d.applied_sync IS NOT NULL
      AND NOT (d.verdict = {pending} AND a.outcome IN ('running', 'checking'))
"""
# What was taken back runs with the sync that brought it anew (`queries/last_stage.py`).
# While its checks run, a sync may still turn out to have changed nothing: what it seems to apply is no figure yet.
# `+` keeps the engine from an index on the column: the table lies in the order of targets, as their syncs nearly do.
_ALL = _SELECT.format(deliveries="deliveries AS d", pending=_PENDING)


@lru_cache(maxsize=2)
def _some(keys: str) -> TextClause:
    wanted = f"{keys} AS w JOIN deliveries AS d ON d.target_id = w.target_id AND d.commit_id = w.commit_id"
    return text(_SELECT.format(deliveries=wanted, pending=_PENDING))


Key = tuple[CommitId, TargetId]


async def stream_facts(
    engine: Engine, situation: Situation, keys: Sequence[Key] | None
) -> AsyncGenerator[list[DeliveryFacts], None]:
    """Yield the facts of these deliveries, of all for None, in batches; those never applied are left out."""
    decoder = FactsDecoder(situation)
    if keys is None:
        async with aclosing(engine.stream(_ALL, (), batch=BATCH)) as batches:
            async for batch in batches:
                yield list(decoder.decode(batch))
        return
    for chunk in chunks(keys, BATCH):
        async with engine.read() as session:
            yield await read_facts(session, decoder, chunk)


async def read_facts(session: Session, decoder: FactsDecoder, keys: Sequence[Key]) -> list[DeliveryFacts]:
    """Return the facts of these deliveries as the session sees them."""
    found = await session.all(_some(session.dialect.keys), {"keys": session.dialect.pack_keys(keys)})
    return list(decoder.decode(found))


class FactsDecoder:
    """Makes facts of raw rows."""

    def __init__(self, situation: Situation) -> None:
        self._targets: Mapping[TargetId, TargetRecord] = situation.targets
        self._names = {target.id: situation.cluster_name(target.cluster) for target in situation.targets.values()}
        self._moments = _Moments()
        self._instants = _Instants()

    def decode(self, found: Iterable[Sequence[Any]]) -> Iterator[DeliveryFacts]:
        keys = {target.id: target.key for target in self._targets.values()}
        names, moments, instants = self._names, self._moments, self._instants
        for row in found:
            (
                commit_id, target_id, carrier_id, is_scope_unknown,
                merged, is_carrier, committed_at,
                exported, carrier_committed_at, stated_at,
                fetched, applied, succeeded, healthy, healthy_succeeded, running,
            ) = row  # fmt: skip
            if is_carrier:
                carrier_committed_at = committed_at
            if healthy_succeeded is not None:
                succeeded = healthy_succeeded
            key = keys[target_id]
            yield DeliveryFacts(
                commit_id=commit_id,
                target_id=target_id,
                cluster=names[target_id],
                namespace=key.namespace,
                name=key.name,
                kind=key.kind,
                is_carrier=bool(is_carrier),
                has_carrier=carrier_id is not None,
                merged=moments[merged],
                exported=moments[exported],
                stated_at=instants[stated_at],
                carrier_committed_at=instants[carrier_committed_at],
                fetched=moments[fetched],
                applied=moments[applied],
                healthy=moments[healthy],
                succeeded=moments[succeeded],
                is_scope_unknown=bool(is_scope_unknown),
                running=moments[running],
            )


class _Moments(dict[str | None, Moment | None]):
    """Decoded moments by their text: many rows share a sync, and more share a commit."""

    def __missing__(self, packed: str | None) -> Moment | None:
        if len(self) >= _KEPT:
            self.clear()
        moment = self[packed] = None if packed is None else unpack_moment(packed)
        return moment


class _Instants(dict[int | None, datetime | None]):
    def __missing__(self, micros: int | None) -> datetime | None:
        if len(self) >= _KEPT:
            self.clear()
        instant = self[micros] = None if micros is None else from_micros(micros)
        return instant
