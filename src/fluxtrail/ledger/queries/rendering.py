"""Deliveries as they are shown: the stored row with its moments, its reason and its words."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, and_, exists, literal_column, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.blockers import find_blockers
from fluxtrail.ledger.queries.last_stage import of_last_stage
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.model.derive import open_message
from fluxtrail.model.moment import Moment, Precision
from fluxtrail.model.records import Attribution, TargetRecord
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.stage import Stage
from fluxtrail.model.verdict import PendingReason, Verdict, is_settled
from fluxtrail.model.views import BlockerView, DeliveryView

_STAGES = tuple(stage.value for stage in Stage)
_VERDICTS = {verdict: verdict.value for verdict in Verdict}

_D = schema.deliveries
_APPLIED = schema.syncs.alias("applied_with")
_HEALTHY = schema.syncs.alias("healthy_with")
_COMMIT = schema.commits.alias("own")
_CARRIER = schema.commits.alias("carried_by")
_UNDOING = schema.commits.alias("undone_with")


_IS_HANDING = and_(
    _APPLIED.c.attribution != Attribution.GAP,
    exists().where(schema.handovers.c.sync_id == _D.c.applied_sync, literal_column(schema.UNHANDED)),
)
"""Whether commits are still on their way from a Kustomization to a HelmRelease that it changed."""


def stored() -> Select[Any]:
    """Select deliveries with everything a view needs, in one row each."""
    return (
        select(
            _D,
            _COMMIT.c.sha,
            _COMMIT.c.merged,
            _COMMIT.c.built,
            _CARRIER.c.sha.label("carrier_sha"),
            _CARRIER.c.merged.label("exported"),
            _UNDOING.c.sha.label("undone_sha"),
            _APPLIED.c.sha.label("applied_sha"),
            _APPLIED.c.revision.label("applied_revision"),
            _APPLIED.c.fetched,
            _APPLIED.c.applied,
            of_last_stage("id", _APPLIED, _HEALTHY).label("running_sync"),
            of_last_stage("running", _APPLIED, _HEALTHY).label("running"),
            of_last_stage("running_state", _APPLIED, _HEALTHY).label("running_state"),
            _IS_HANDING.label("is_handing"),
            _HEALTHY.c.sha.label("healthy_sha"),
            _HEALTHY.c.revision.label("healthy_revision"),
            _HEALTHY.c.healthy,
        )
        .join(_COMMIT, _COMMIT.c.id == _D.c.commit_id)
        .outerjoin(_CARRIER, _CARRIER.c.id == _D.c.carrier_id)
        .outerjoin(_UNDOING, _UNDOING.c.id == _D.c.undone_by)
        .outerjoin(_APPLIED, _APPLIED.c.id == _D.c.applied_sync)
        .outerjoin(_HEALTHY, _HEALTHY.c.id == _D.c.healthy_sync)
    )


class Renderer:
    """Makes views in one situation, as of one instant."""

    def __init__(self, situation: Situation, *, now: datetime, settle_after: timedelta) -> None:
        self.situation = situation
        self._now = now
        self._settle_after = settle_after

    async def render(self, found: Sequence[Row[Any]]) -> list[DeliveryView]:
        """Return the views of rows of `stored`, in their order."""
        found = _quick(found)
        reasons = await self.reasons(found)
        waiting = [row.running_sync for row in found if row.running_state is RunningState.WAITING]
        blockers = await find_blockers(self.situation.session, waiting)
        return [
            self.stored_view(row, reasons.get((row.commit_id, row.target_id)), blockers.get(row.running_sync, []))
            for row in found
        ]

    async def reasons(self, found: Sequence[Row[Any]]) -> dict[tuple[int, int], PendingReason]:
        """Return what the pending ones wait for, by commit and target.

        Args:
            found: with the columns of `deliveries`, `sha` and `carrier_sha`.
        """
        pending = [row for row in found if row.verdict is Verdict.PENDING]
        if not pending:
            return {}
        situation = self.situation
        await situation.locate(situation.targets[row.target_id] for row in pending)
        places = await situation.standing([row.carrier_id or row.commit_id for row in pending])
        reasons = {}
        for row in pending:
            target = situation.targets[row.target_id]
            branch = situation.branch_of(target)
            position = places.get(row.carrier_id or row.commit_id, {}).get(branch) if branch else None
            reasons[row.commit_id, row.target_id] = situation.reason(
                target, position=position, sha=row.carrier_sha or row.sha
            )
        return reasons

    def stored_view(self, row: Row[Any], reason: PendingReason | None, blockers: list[BlockerView]) -> DeliveryView:
        target = self.situation.targets[row.target_id]
        return self._view(
            target,
            row.verdict,
            sha=row.sha,
            repository=self.situation.canonical(row.repository_id),
            reason=reason,
            failure=row.reason,
            since=row.since,
            via=via(row),
            carrier=row.carrier_sha,
            undone_by=row.undone_sha,
            is_scope_unknown=row.is_scope_unknown,
            revision=row.applied_revision or row.healthy_revision,
            stages=stages(
                merged=row.merged,
                built=row.built,
                exported=row.exported,
                fetched=row.fetched,
                applied=row.applied,
                healthy=row.healthy,
                running=row.running,
            ),
            running=_running_word(row),
            blockers=blockers,
        )

    def derived_view(
        self,
        target: TargetRecord,
        verdict: Verdict,
        *,
        sha: str,
        repository: str,
        reason: PendingReason | None,
        merged: Moment | None,
        built: Moment | None = None,
        exported: Moment | None = None,
        carrier: str | None = None,
        is_before_baseline: bool = False,
    ) -> DeliveryView:
        """Return the view of a delivery that has no row."""
        return self._view(
            target,
            verdict,
            sha=sha,
            repository=repository,
            reason=reason,
            carrier=carrier,
            is_before_baseline=is_before_baseline,
            stages=stages(merged=merged, built=built, exported=exported),
        )

    def _view(
        self,
        target: TargetRecord,
        verdict: Verdict,
        *,
        reason: PendingReason | None,
        since: datetime | None = None,
        failure: str = "",
        **fields: Any,
    ) -> DeliveryView:
        situation = self.situation
        message = ""
        if verdict in (Verdict.PENDING, Verdict.FAILED):
            message = open_message(target, situation.source_of(target), reason)
        return DeliveryView(
            cluster=situation.cluster_name(target.cluster),
            cluster_uid=target.cluster,
            target=str(target.key),
            target_id=target.id,
            verdict=_VERDICTS[verdict],
            reason=reason.value if reason else failure,
            message=message,
            since=since,
            is_settled=is_settled(verdict, since=since or self._now, now=self._now, settle_after=self._settle_after),
            **fields,
        )


def via(row: Row[Any]) -> str | None:
    """Return the sha of the applied revision that carried a delivery, where that is another commit."""
    carried_by: str | None = row.applied_sha or row.healthy_sha
    return None if carried_by in (row.sha, row.carrier_sha) or _is_carrier_unknown(row) else carried_by


def stages(
    *,
    merged: Moment | None,
    built: Moment | None = None,
    exported: Moment | None = None,
    fetched: Moment | None = None,
    applied: Moment | None = None,
    healthy: Moment | None = None,
    running: Moment | None = None,
) -> dict[str, Moment]:
    """Return the moments that are known, in the order of the stages."""
    known = zip(_STAGES, (merged, built, exported, fetched, applied, healthy, running), strict=True)
    return {name: moment for name, moment in known if moment is not None}


def _quick(found: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Return rows that are read by name as fast as by number: a `Row` looks each of a view's thirty columns up."""
    return list(map(_quick_class(found[0]._fields)._make, found)) if found else found


@lru_cache(maxsize=16)
def _quick_class(fields: tuple[str, ...]) -> Any:
    return namedtuple("_Quick", fields, rename=True)


def _running_word(row: Row[Any]) -> str:
    """How the last stage of the sync that brought it stands; empty before `applied`.

    Until all HelmReleases that the sync changed have its commits, more targets may be to wait for.
    """
    if row.applied is None:
        return ""
    if row.is_handing:
        return RunningState.UNREAD.value
    state: RunningState = row.running_state
    return state.value


def _is_carrier_unknown(row: Row[Any]) -> bool:
    """True if an earlier revision that nobody saw may have carried it: only a bracket, and no fetch that fits it."""
    return row.fetched is None and row.applied is not None and row.applied.precision is Precision.ESTIMATED
