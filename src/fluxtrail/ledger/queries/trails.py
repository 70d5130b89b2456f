"""The trail of one commit: everything known of it on every target that it is, or will be, delivered to.

Rows are stored only where a target is affected, so a trail is the stored rows and what follows from there
being none (`model/derive.py`). A source commit also goes wherever its exports go, and will go where it waits for an
export of its own (`awaiting.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.awaiting import Awaiting
from fluxtrail.ledger.queries.commits import commit_views
from fluxtrail.ledger.queries.outlines import only_theirs
from fluxtrail.ledger.queries.rendering import Renderer, stages, stored
from fluxtrail.ledger.queries.resolving import CANDIDATES, Match, resolve
from fluxtrail.ledger.queries.situation import Branch
from fluxtrail.ledger.queries.telling import find_branches
from fluxtrail.ledger.queries.unattributed import find_unattributed
from fluxtrail.ledger.session import CHUNK, Session, chunks
from fluxtrail.model.ci import CiRun, PullRequest
from fluxtrail.model.derive import absent_verdict
from fluxtrail.model.moment import Moment
from fluxtrail.model.records import CommitId, RepositoryId, TargetId, TargetRecord
from fluxtrail.model.standing import CommitTrail
from fluxtrail.model.verdict import PendingReason, Verdict, union
from fluxtrail.model.views import Candidate, DeliveryView, ExportView, TrailView

_C = schema.commits

_OFF_BRANCH = frozenset({Verdict.LOST.value, Verdict.DEPLOYED.value})
"""What becomes of a commit that has left its branch: it came there before, or did not."""

Rows = dict[CommitId, dict[TargetId, DeliveryView]]
Places = dict[CommitId, dict[Branch, int]]

CI_RUNS = 200
"""Of one commit, at most; a monorepo's push may set off dozens."""


async def find_trail(
    session: Session, renderer: Renderer, query: str, *, now: Any, limit_targets: int | None
) -> TrailView | list[Candidate] | None:
    """Return the trail of what `query` means, its candidates where it means several things, None for nothing."""
    situation = renderer.situation
    matches = await resolve(session, situation, query)
    if not matches:
        return None
    found = await session.all(select(_C).where(_C.c.id.in_([match.commit_id for match in matches])))
    if len(found) > 1:
        return [
            Candidate(sha=row.sha, repository=situation.canonical(row.repository_id), subject=row.subject)
            for row in found[:CANDIDATES]
        ]
    return await _Trail(session, renderer, found[0], has_ci=True).make(
        matches[0], query, now=now, limit_targets=limit_targets
    )


async def read_trails(
    session: Session, renderer: Renderer, ids: Sequence[CommitId], *, now: Any, is_whole: bool
) -> dict[CommitId, CommitTrail]:
    """Return the trails of these commits, with the targets that they do not affect where `is_whole`."""
    found: dict[CommitId, CommitTrail] = {}
    unattributed = await find_unattributed(session, now)
    for chunk in chunks(list(dict.fromkeys(ids))):
        branches = await find_branches(session, chunk)
        for row in await session.all(select(_C).where(_C.c.id.in_(chunk))):
            trail = _Trail(session, renderer, row, is_whole=is_whole)
            view = await trail.make(Match(row.id), row.sha, now=now, limit_targets=None)
            unsure = trail.find_unsure(view, unattributed) if unattributed else frozenset[int]()
            found[row.id] = CommitTrail(view=view, branch=branches.get(row.id, ""), unsure=unsure)
    return found


class _Trail:
    """Args:
    is_whole: with the targets that the commit does not affect.
    has_ci: with the CI runs and the pull request behind it: what people look at, and statuses need not.
    """

    def __init__(
        self,
        session: Session,
        renderer: Renderer,
        commit: Row[Any],
        *,
        is_whole: bool = True,
        has_ci: bool = False,
    ) -> None:
        self._session = session
        self._is_whole = is_whole
        self._has_ci = has_ci
        self._renderer = renderer
        self._situation = renderer.situation
        self._commit = commit
        self._places: Places = {}
        self._carrier_ids: dict[str, CommitId] = {}

    def find_unsure(self, view: TrailView, unattributed: frozenset[int]) -> frozenset[int]:
        """Return the targets whose verdict a sync that is known may change, for the commit is not on their branch."""
        return frozenset(
            item.target_id
            for item in view.deliveries
            if item.target_id in unattributed and item.verdict in _OFF_BRANCH and not self._stands(item)
        )

    def _stands(self, item: DeliveryView) -> bool:
        decider = self._carrier_ids.get(item.carrier, self._commit.id) if item.carrier else self._commit.id
        branch = self._situation.branch_of(self._situation.targets[TargetId(item.target_id)])
        return branch in self._places.get(decider, {})

    async def make(self, match: Match, query: str, *, now: Any, limit_targets: int | None) -> TrailView:
        commit = self._commit
        carriers = await self._carriers()
        carrier_ids = [row.id for row in carriers]
        rows = await self._stored(carrier_ids)
        places = self._places = await self._situation.standing([commit.id, *carrier_ids])
        self._carrier_ids = {row.sha: row.id for row in carriers}
        deliveries = dict(rows.get(commit.id, {}))
        if self._is_whole:
            await self._add_own(deliveries, places.get(commit.id, {}))
        if carriers:
            await self._add_carried(deliveries, carriers, rows, places)
            await self._add_awaited(deliveries, carriers, rows, places)
        elif not commit.is_carrier and places.get(commit.id):
            await self._add_awaiting_export(deliveries, places[commit.id])
        shown = sorted(deliveries.values(), key=_order)
        return TrailView(
            commit=(await commit_views(self._session, self._situation, [commit], now=now))[0],
            queried=query,
            via=match.via,
            exports=[self._export_view(row) for row in carriers],
            deliveries=shown if limit_targets is None else shown[:limit_targets],
            ci_runs=await self._ci_runs() if self._has_ci else [],
            pull_request=await self._pull_request() if self._has_ci else None,
            is_settled=bool(shown) and all(delivery.is_settled for delivery in shown),
        )

    async def _ci_runs(self) -> list[CiRun]:
        """Return the runs of the commit and of what it is known as, the first begun first."""
        runs, aliases = schema.ci_runs.c, schema.aliases.c
        others = await self._session.all(select(aliases.sha).where(aliases.commit_id == self._commit.id))
        shas = [self._commit.sha, *(row.sha for row in others)]
        wanted = select(runs.facts).where(runs.sha.in_(shas[:CHUNK]), runs.repository == self._repository)
        found = await self._session.all(wanted.order_by(runs.at, runs.id).limit(CI_RUNS))
        return [row.facts for row in found]

    async def _pull_request(self) -> PullRequest | None:
        if self._commit.pull_request is None:
            return None
        table = schema.pull_requests.c
        same = (table.repository == self._repository, table.number == self._commit.pull_request)
        row = await self._session.first(select(table.facts).where(*same))
        return row.facts if row else None

    @property
    def _repository(self) -> str:
        return self._situation.canonical(self._commit.repository_id)

    async def _carriers(self) -> Sequence[Row[Any]]:
        exports = schema.exports
        wanted = (
            select(_C, exports.c.build_link, exports.c.evidence)
            .join(exports, exports.c.carrier_id == _C.c.id)
            .where(exports.c.source_id == self._commit.id)
            .order_by(_C.c.at, _C.c.id)
        )
        return await self._session.all(wanted)

    async def _stored(self, carriers: Sequence[CommitId]) -> Rows:
        """Return the commit's own rows, and those of its carriers on targets where it has none of its own."""
        commit, target = schema.deliveries.c.commit_id, schema.deliveries.c.target_id
        wanted = [stored().where(commit == self._commit.id)]
        for chunk in chunks(carriers):
            others = await only_theirs(self._session, self._commit.id, chunk)
            wanted += [stored().where(commit.in_(chunk), target.in_(some)) for some in chunks(others)]
        found: Rows = {}
        for statement in wanted:
            rows = await self._session.all(statement)
            for row, view in zip(rows, await self._renderer.render(rows), strict=True):
                found.setdefault(row.commit_id, {})[row.target_id] = view
        return found

    async def _add_own(self, deliveries: dict[TargetId, DeliveryView], places: dict[Branch, int]) -> None:
        """Add the targets that follow a branch the commit stands on."""
        commit = self._commit
        targets = [target for target in self._situation.followers(set(places)) if target.id not in deliveries]
        await self._situation.locate(targets)
        for target in targets:
            absent = self._absent(target, commit, places)
            if absent is not None:
                verdict, is_before, reason = absent
                deliveries[target.id] = self._derived(target, verdict, reason=reason, is_before_baseline=is_before)

    async def _add_carried(
        self, deliveries: dict[TargetId, DeliveryView], carriers: Sequence[Row[Any]], rows: Rows, places: Places
    ) -> None:
        """Add the targets that the exports go to, each with the union of what became of them there."""
        branches = {branch for row in carriers for branch in places.get(row.id, {})}
        followers = self._situation.followers(branches) if self._is_whole else []
        targets = {target.id: target for target in followers}
        stored_there = {target_id for row in carriers for target_id in rows.get(row.id, {})}
        targets |= {id_: self._situation.targets[id_] for id_ in stored_there}
        await self._situation.locate(targets.values())
        for target in targets.values():
            if target.id not in deliveries:
                view = self._carried(target, carriers, rows, places)
                if view is not None:
                    deliveries[target.id] = view

    def _carried(
        self, target: TargetRecord, carriers: Sequence[Row[Any]], rows: Rows, places: Places
    ) -> DeliveryView | None:
        views = []
        for carrier in carriers:
            row = rows.get(carrier.id, {}).get(target.id)
            if row is not None:
                views.append(self._as_source(row, carrier))
                continue
            absent = self._absent(target, carrier, places.get(carrier.id, {}))
            if absent is not None:
                verdict, is_before, reason = absent
                views.append(
                    self._derived(target, verdict, reason=reason, carrier=carrier, is_before_baseline=is_before)
                )
        if not views:
            return None
        verdict = union([Verdict(view.verdict) for view in views])
        return next(view for view in views if view.verdict == verdict.value)

    async def _add_awaited(
        self, deliveries: dict[TargetId, DeliveryView], carriers: Sequence[Row[Any]], rows: Rows, places: Places
    ) -> None:
        """Add the targets that wait for an export of their own, in place of being unaffected by those that came."""
        own = places.get(self._commit.id, {})
        pruned_before = self._situation.pruned_before
        is_pruned = pruned_before is not None and self._commit.at < pruned_before
        if self._commit.is_carrier or not own or is_pruned:
            return
        branch, position = next(iter(own.items()))
        awaiting = Awaiting(
            self._session,
            self._situation,
            repository=self._commit.repository_id,
            branch=branch,
            position=position,
        )
        reached = {target_id for there in rows.values() for target_id in there}
        awaited = await awaiting.find(reached, {row.repository_id for row in carriers})
        for target in awaited if awaited and not await self._situation.is_history(own) else ():
            known = deliveries.get(target.id)
            if known is None or (target.id not in reached and known.verdict == Verdict.UNAFFECTED.value):
                deliveries[target.id] = self._derived(target, Verdict.PENDING, reason=PendingReason.AWAITING_EXPORT)

    async def _add_awaiting_export(self, deliveries: dict[TargetId, DeliveryView], places: dict[Branch, int]) -> None:
        """Add the targets of the repositories that this one is exported to, while no export names the commit."""
        is_history = await self._situation.is_history(places)
        table = schema.repository_exports
        found = await self._session.all(
            select(table.c.manifests_repository_id).where(table.c.source_repository_id == self._commit.repository_id)
        )
        manifests: set[RepositoryId] = {row.manifests_repository_id for row in found}
        for target in self._situation.targets.values():
            if target.repository_id in manifests and target.deleted_at is None and target.id not in deliveries:
                deliveries[target.id] = (
                    self._derived(target, Verdict.DEPLOYED, reason=None, is_before_baseline=True)
                    if is_history
                    else self._derived(target, Verdict.PENDING, reason=PendingReason.AWAITING_EXPORT)
                )

    def _absent(
        self, target: TargetRecord, commit: Row[Any], places: dict[Branch, int]
    ) -> tuple[Verdict, bool, PendingReason | None] | None:
        """What no row means; None where the row may have been pruned, or the commit left the target's branch."""
        branch = self._situation.branch_of(target)
        position = places.get(branch) if branch else None
        if position is None:
            return None
        verdict, is_before, reason = absent_verdict(
            position=position,
            baseline_position=self._situation.position(target, target.baseline_sha),
            has_baseline=target.baseline_sha is not None and not target.awaits_baseline,
            was_scoped=commit.at is not None and commit.at >= target.first_seen_at,
        )
        pruned_before = self._situation.pruned_before
        if verdict is Verdict.UNAFFECTED and pruned_before is not None and commit.at < pruned_before:
            return None
        return verdict, is_before, reason

    def _derived(
        self,
        target: TargetRecord,
        verdict: Verdict,
        *,
        reason: PendingReason | None,
        carrier: Row[Any] | None = None,
        is_before_baseline: bool = False,
    ) -> DeliveryView:
        return self._renderer.derived_view(
            target,
            verdict,
            sha=self._commit.sha,
            repository=self._situation.canonical(self._commit.repository_id),
            reason=reason,
            merged=self._commit.merged,
            built=self._commit.built,
            exported=self._exported(carrier, reason),
            carrier=carrier.sha if carrier else None,
            is_before_baseline=is_before_baseline,
        )

    def _exported(self, carrier: Row[Any] | None, reason: PendingReason | None) -> Moment | None:
        """Return when it was exported: by the carrier, else by a run that says so of what no export is known of yet."""
        if carrier is not None and carrier.merged is not None:
            return carrier.merged  # type: ignore[no-any-return]
        is_awaited = carrier is not None or reason is PendingReason.AWAITING_EXPORT
        return self._commit.exported if is_awaited else None

    def _as_source(self, view: DeliveryView, carrier: Row[Any]) -> DeliveryView:
        """A carrier's delivery as its source commit's."""
        return msgspec.structs.replace(
            view,
            sha=self._commit.sha,
            repository=self._situation.canonical(self._commit.repository_id),
            carrier=carrier.sha,
            stages=stages(
                merged=self._commit.merged,
                built=self._commit.built,
                exported=carrier.merged or self._commit.exported,
                fetched=view.stages.get("fetched"),
                applied=view.stages.get("applied"),
                healthy=view.stages.get("healthy"),
                running=view.stages.get("running"),
            ),
        )

    def _export_view(self, row: Row[Any]) -> ExportView:
        return ExportView(
            sha=row.sha,
            repository=self._situation.canonical(row.repository_id),
            committed_at=row.committed_at,
            build_link=row.build_link,
            evidence=row.evidence.value if row.evidence is not None else None,
        )


def _order(view: DeliveryView) -> tuple[bool, str, str]:
    """Where something happens first, then by name."""
    return view.verdict == Verdict.UNAFFECTED.value, view.cluster, view.target
