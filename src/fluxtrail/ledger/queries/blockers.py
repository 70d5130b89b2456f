"""What the last stage of a sync waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, literal_column, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.records import SyncId
from fluxtrail.model.rollout import RolloutState
from fluxtrail.model.views import BlockerView
from fluxtrail.model.workloads import APPS_GROUP, BATCH_GROUP, CORE_GROUP

SHOWN = 20
STATES = (
    RolloutState.FAILED,
    RolloutState.BLOCKED,
    RolloutState.PROGRESSING,
    RolloutState.ABSENT,
    RolloutState.ROLLED_OUT,
)
"""What people look at first, first."""

_FAMILIAR = frozenset({APPS_GROUP, BATCH_GROUP, CORE_GROUP})
_W, _R = schema.workloads, schema.rollouts
_IS_OPEN: ColumnElement[bool] = literal_column("rollouts.running IS NULL AND NOT rollouts.is_dropped")
_RANK = case(*((_W.c.state == state, rank) for rank, state in enumerate(STATES)), else_=len(STATES))


async def find_blockers(session: Session, syncs: Sequence[SyncId]) -> dict[SyncId, list[BlockerView]]:
    """Return the first workloads that these syncs wait for, by sync; nothing for one that waits for none.

    What has rolled out holds up nothing, though its roll-out stays open where the sync itself failed.
    """
    found: dict[SyncId, list[BlockerView]] = {}
    for chunk in chunks(list(dict.fromkeys(syncs))):
        place = func.row_number().over(partition_by=_R.c.sync_id, order_by=(_RANK, _W.c.namespace, _W.c.name, _W.c.id))
        ordered = (
            select(_R.c.sync_id, _R.c.workload_id, place.label("place"))
            .join(_W, _W.c.id == _R.c.workload_id)
            .where(_R.c.sync_id.in_(chunk), _IS_OPEN, _W.c.state != RolloutState.ROLLED_OUT)
            .subquery()
        )
        wanted = (
            select(_W, ordered.c.sync_id)
            .join(ordered, ordered.c.workload_id == _W.c.id)
            .where(ordered.c.place <= SHOWN)
            .order_by(ordered.c.sync_id, ordered.c.place)
        )
        for row in await session.all(wanted):
            found.setdefault(row.sync_id, []).append(_view(row))
    return found


def workload_text(api_group: str, kind: str, namespace: str, name: str) -> str:
    """Return `<Kind>/<namespace>/<name>`; the kind has its group where it is none of Kubernetes' own."""
    shown = kind if api_group in _FAMILIAR else f"{kind}.{api_group}"
    return f"{shown}/{namespace}/{name}"


def _view(row: Row[Any]) -> BlockerView:
    return BlockerView(
        workload=workload_text(row.api_group, row.kind, row.namespace, row.name),
        state=row.state.value,
        cause=row.cause.value if row.cause else None,
        message=row.message,
        pod=row.pod,
        container=row.container,
        since=row.since,
    )
