"""Forgets what is old and over, a bounded bite at a time.

Never taken: what is open (pending, failed), the newest sync of a target, syncs that attribution is not done
with, and what these need: their commits, carriers and syncs; nor the commits that branches and targets stand on;
nor a report that was not sent; nor a deployment record of what runs, or that GitHub is still to be told of;
nor a workload or an image that runs, a sync that waits for a workload of a live target, or one whose commits a live
release has not taken over yet.
What the figures had counted of a delivery is handed back, so that the caller keeps it in the same unit.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)

from fluxtrail.ledger import schema
from fluxtrail.ledger.facts import FactsDecoder, Key, read_facts
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.queries.touches import FORGOTTEN_NOTE
from fluxtrail.ledger.schema import HEALED_LATER
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.ci import CiPart
from fluxtrail.ledger.units.images import ImagePart
from fluxtrail.model.deployment import Told
from fluxtrail.model.records import Attribution, CommitId, RepositoryId, SyncId
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.model.views import DeliveryFacts

_C, _D, _E = schema.commits, schema.deliveries, schema.exports
_S, _F, _T = schema.syncs, schema.fetches, schema.transitions
_R = schema.reports
_K = schema.deployment_records
_W, _O, _H = schema.workloads, schema.rollouts, schema.handovers
_I, _N = schema.images, schema.image_runs

REMEMBERED = timedelta(days=7)
"""How long the key of a report that was sent is not sent again; what plans it does so within a restart or two."""


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What one bite took."""

    facts: list[DeliveryFacts]
    """Of the deliveries taken that the figures may have counted."""
    deliveries: int
    syncs: int
    commits: int
    fetches: int
    transitions: int
    reports: int
    """Sent or dropped ones, whose keys need not be remembered any more."""
    records: int
    """Deployment records of what is gone, and of which nothing is left to tell."""
    workloads: int
    """Those that were deleted, and that no sync is left to name."""
    image_runs: int
    images: int
    """Those that run nowhere, and of which no run is left."""
    ci_runs: int
    """CI runs, or pull requests: whichever were more."""
    is_complete: bool
    """Nothing older is left to take now."""


class RetentionPart(ImagePart, CiPart):
    async def prune(self, before: datetime, *, limit: int = 1000) -> Pruned:
        """Take at most `limit` of each kind that was over before `before`; call again until it is complete."""
        situation = await Situation.load(self._session, self._catalog)
        keys = await self._settled_deliveries(before, limit)
        facts = await read_facts(self._session, FactsDecoder(situation), keys)
        taken = delete(_D).where(_D.c.target_id == bindparam("t"), _D.c.commit_id == bindparam("c"))
        await self._session.run(taken, [{"c": commit_id, "t": target_id} for commit_id, target_id in keys])
        syncs = await self._prune_syncs(before, limit)
        commits = await self._prune_commits(before, limit, await self._footholds(situation))
        fetches = await self._prune_fetches(before, limit)
        transitions = await self._prune_transitions(before, limit)
        reports = await self._prune_reports(limit)
        records = await self._prune_records(before, limit)
        workloads = await self._prune_workloads(before, limit)
        runs = await self._prune_runs(before, limit)
        images = await self._prune_images(before, limit)
        ci_runs = await self.prune_ci(before, limit)
        await self._prune_touches()
        meta = schema.meta
        later = or_(meta.c.pruned_before.is_(None), meta.c.pruned_before < before)
        await self._session.run(update(meta).where(later).values(pruned_before=before))
        return Pruned(
            facts=facts,
            deliveries=len(keys),
            syncs=syncs,
            commits=commits,
            fetches=fetches,
            transitions=transitions,
            reports=reports,
            records=records,
            workloads=workloads,
            image_runs=runs,
            images=images,
            ci_runs=ci_runs,
            is_complete=max(
                *(len(keys), syncs, commits, fetches, transitions, reports, records, workloads, runs, images, ci_runs)
            )
            < limit,
        )

    async def _settled_deliveries(self, before: datetime, limit: int) -> list[Key]:
        keys: list[Key] = []
        for verdict in Verdict:
            if verdict in OPEN or len(keys) >= limit:
                continue
            wanted = (
                select(_D.c.commit_id, _D.c.target_id)
                .where(_D.c.verdict == verdict, _D.c.since < before)
                .order_by(_D.c.since)
                .limit(limit - len(keys))
            )
            keys.extend((row.commit_id, row.target_id) for row in await self._session.all(wanted))
        return keys

    async def _prune_syncs(self, before: datetime, limit: int) -> int:
        targets = schema.targets
        wanted = (
            select(_S.c.id)
            .where(_S.c.started_at < before)
            .where(text("NOT (syncs.attributed_version < syncs.version AND syncs.attribution <> 'gap')"))
            .where(~exists().where(targets.c.id == _S.c.target_id, targets.c.sync_id == _S.c.id))
            .where(~exists().where(_D.c.applied_sync == _S.c.id))
            .where(~exists().where(_D.c.healthy_sync == _S.c.id, text(HEALED_LATER)))
            .where(~_is_waiting(), ~_is_to_hand_over())
            .order_by(_S.c.started_at)
            .limit(limit)
        )
        found = [SyncId(row.id) for row in await self._session.all(wanted)]
        for chunk in chunks(found):
            await self._session.run(delete(_O).where(_O.c.sync_id.in_(chunk)))
            await self._session.run(delete(_H).where(_H.c.sync_id.in_(chunk)))
            await self._session.run(delete(_S).where(_S.c.id.in_(chunk)))
        return len(found)

    async def _prune_workloads(self, before: datetime, limit: int) -> int:
        is_named = exists().where(_O.c.workload_id == _W.c.id)
        wanted = select(_W.c.id).where(_W.c.deleted_at < before, ~is_named).order_by(_W.c.deleted_at, _W.c.id)
        found = [row.id for row in await self._session.all(wanted.limit(limit))]
        for chunk in chunks(found):
            await self._session.run(delete(_W).where(_W.c.id.in_(chunk)))
        return len(found)

    async def _prune_runs(self, before: datetime, limit: int) -> int:
        wanted = select(_N.c.id, _N.c.digest).where(_N.c.until < before).order_by(_N.c.until, _N.c.id).limit(limit)
        found = await self._session.all(wanted)
        for chunk in chunks(found):
            await self._session.run(delete(_N).where(_N.c.id.in_([row.id for row in chunk])))
        await self._relate(dict.fromkeys(row.digest for row in found))
        return len(found)

    async def _prune_images(self, before: datetime, limit: int) -> int:
        has_run = exists().where(_N.c.head == _I.c.head)
        wanted = select(_I.c.digest).where(_I.c.noted_at < before, ~has_run).order_by(_I.c.noted_at, _I.c.digest)
        found = [row.digest for row in await self._session.all(wanted.limit(limit))]
        for chunk in chunks(found):
            await self._session.run(delete(_I).where(_I.c.digest.in_(chunk)))
        return len(found)

    async def _footholds(self, situation: Situation) -> set[tuple[RepositoryId, str]]:
        """The commits that branches end with, and that live targets and sources are at."""
        branches = schema.branches
        heads = await self._session.all(select(branches.c.repository_id, branches.c.head))
        held = {(row.repository_id, row.head) for row in heads if row.head}
        for target in situation.targets.values():
            if target.deleted_at is None and target.repository_id is not None:
                shas = (target.baseline_sha, target.applied_sha, target.attempted_sha)
                held.update((target.repository_id, sha) for sha in shas if sha)
                source = situation.source_of(target)
                if source is not None and source.sha:
                    held.add((target.repository_id, source.sha))
        return held

    async def _prune_commits(self, before: datetime, limit: int, held: set[tuple[RepositoryId, str]]) -> int:
        wanted = (
            select(_C.c.id, _C.c.repository_id, _C.c.sha)
            .where(_C.c.at < before)
            .where(*_is_needed_by_none())
            .order_by(_C.c.at, _C.c.id)
            .limit(limit + len(held))
        )
        found = [row for row in await self._session.all(wanted) if (row.repository_id, row.sha) not in held][:limit]
        for chunk in chunks([CommitId(row.id) for row in found]):
            await self._forget(chunk)
        return len(found)

    async def _forget(self, commits: Sequence[CommitId]) -> None:
        links, aliases = schema.links, schema.aliases
        await self._session.run(delete(_E).where(_E.c.carrier_id.in_(commits)))
        await self._session.run(delete(links).where(links.c.commit_id.in_(commits)))
        await self._session.run(delete(aliases).where(aliases.c.commit_id.in_(commits)))
        await self._session.run(delete(_C).where(_C.c.id.in_(commits)))

    async def _prune_fetches(self, before: datetime, limit: int) -> int:
        sources = schema.sources
        present = exists().where(sources.c.id == _F.c.source_id, sources.c.revision == _F.c.revision)
        wanted = select(_F.c.source_id, _F.c.revision, _F.c.digest).where(_F.c.at < before, ~present).order_by(_F.c.at)
        found = await self._session.all(wanted.limit(limit))
        same = (_F.c.source_id == bindparam("s"), _F.c.revision == bindparam("r"), _F.c.digest == bindparam("d"))
        await self._session.run(
            delete(_F).where(*same), [{"s": row.source_id, "r": row.revision, "d": row.digest} for row in found]
        )
        return len(found)

    async def _prune_transitions(self, before: datetime, limit: int) -> int:
        """Take the oldest lines, up to the first one that is young enough: what is left has no holes."""
        oldest = select(_T.c.id, _T.c.at).order_by(_T.c.id).limit(limit).subquery()
        young = select(func.min(oldest.c.id)).where(oldest.c.at >= before).scalar_subquery()
        last = select(func.max(oldest.c.id)).where(oldest.c.id < func.coalesce(young, oldest.c.id + 1))
        through = await self._session.scalar(last)
        return await self._session.run(delete(_T).where(_T.c.id <= through)) if through is not None else 0

    async def _prune_reports(self, limit: int) -> int:
        """Take the keys of what was sent long ago; what was not sent is never taken."""
        over = select(_R.c.id).where(_R.c.ended_at < self._now() - REMEMBERED).order_by(_R.c.ended_at).limit(limit)
        found = [row.id for row in await self._session.all(over)]
        for chunk in chunks(found):
            await self._session.run(delete(_R).where(_R.c.id.in_(chunk)))
        return len(found)

    async def _prune_records(self, before: datetime, limit: int) -> int:
        is_over = or_(
            _K.c.told.in_([Told.TOLD, Told.SILENT, Told.REFUSED]),
            and_(_K.c.told == Told.UNKNOWN, _K.c.retry_at.is_(None)),
        )
        wanted = select(_K.c.id).where(literal_column(schema.GONE), _K.c.changed_at < before, is_over)
        found = await self._session.all(wanted.order_by(_K.c.changed_at, _K.c.id).limit(limit))
        for chunk in chunks([row.id for row in found]):
            await self._session.run(delete(_K).where(_K.c.id.in_(chunk)))
        return len(found)

    async def _prune_touches(self) -> None:
        """Take what every process has looked at long ago; who was away for longer is told to look at everything."""
        touches, notes = schema.touches, schema.notes
        old = select(func.max(touches.c.id)).where(touches.c.at < self._now() - REMEMBERED)
        last = await self._session.scalar(old)
        if last is None:
            return
        await self._session.run(delete(touches).where(touches.c.id <= last))
        noted = self._session.dialect.upsert(notes).values(name=FORGOTTEN_NOTE, value=str(last))
        await self._session.run(noted.on_conflict_do_update(index_elements=["name"], set_={"value": str(last)}))


def _is_waiting() -> ColumnElement[bool]:
    """A live target's sync, one of whose workloads is still to roll out."""
    targets = schema.targets
    return and_(
        _S.c.running_state == RunningState.WAITING,
        exists().where(targets.c.id == _S.c.target_id, targets.c.deleted_at.is_(None)),
        exists().where(_O.c.sync_id == _S.c.id, _O.c.running.is_(None), _O.c.is_dropped.is_(False)),
    )


def _is_to_hand_over() -> ColumnElement[bool]:
    """A live release is still to take over its commits; of a gap nobody ever will."""
    targets = schema.targets
    return and_(
        _S.c.attribution != Attribution.GAP,
        exists().where(
            _H.c.sync_id == _S.c.id,
            _H.c.is_handed.is_(False),
            targets.c.id == _H.c.release_id,
            targets.c.deleted_at.is_(None),
        ),
    )


def _is_needed_by_none() -> list[ColumnElement[bool]]:
    """No delivery is of it, carried or undone by it, and no export of it is left."""
    return [
        ~exists().where(_D.c.commit_id == _C.c.id),
        ~exists().where(_D.c.carrier_id == _C.c.id),
        ~exists().where(_D.c.undone_by == _C.c.id),
        ~exists().where(_E.c.source_id == _C.c.id),
    ]
