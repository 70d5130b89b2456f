"""Where a commit that has been exported still waits for another export: the facts behind `model/exporting.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, exists, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.situation import Branch, Situation
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.exporting import places_apart
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import CommitId, RepositoryId, TargetId, TargetRecord

EARLIER = 5
"""Exported commits before one that are looked at for how its exports come: so many, and so many with several exports.
The nearest may themselves wait for more."""
LOOKED_THROUGH = 500
"""Commits of the branch among which these are searched."""
ASKED_OF_A_PLACE = 20
"""Targets of a place that are asked whether a later commit came there."""

Place = tuple[Branch, ClusterUid]
_L, _H, _E, _D = schema.links, schema.chains, schema.exports, schema.deliveries


class Awaiting:
    """Of one commit that stands on a branch and has exports."""

    def __init__(
        self,
        session: Session,
        situation: Situation,
        *,
        repository: RepositoryId,
        branch: Branch,
        position: int,
    ) -> None:
        self._session = session
        self._situation = situation
        self._repository = repository
        self._branch = branch
        self._position = position

    async def find(self, reached: Collection[TargetId], carriers: Collection[RepositoryId]) -> list[TargetRecord]:
        """Return the live targets that the commit is still to be exported to.

        Args:
            reached: targets that its exports changed.
            carriers: repositories that its exports are in.
        """
        earlier = await self._earlier()
        if not earlier:
            return await self._first(carriers)
        if all(len(exports) < 2 for exports in earlier):
            return []  # each was exported once, to everywhere
        reach = await self._reach({carrier for exports in earlier for carrier in exports})
        places = {carrier: frozenset(self._by_place(targets)) for carrier, targets in reach.items()}
        apart = places_apart(
            frozenset(self._by_place(reached)),
            [{carrier: places.get(carrier, frozenset()) for carrier in exports} for exports in earlier],
        )
        found: dict[Place, set[TargetId]] = defaultdict(set)
        for targets in reach.values():
            for place, mine in self._by_place(targets).items():
                if place in apart:
                    found[place] |= mine
        passed = await self._passed(found)
        return [self._situation.targets[id_] for place, ids in found.items() if place not in passed for id_ in ids]

    async def _first(self, carriers: Collection[RepositoryId]) -> list[TargetRecord]:
        """Return the targets of the other repositories that the settings name, while nothing else was exported."""
        if await self._is_later_exported():
            return []
        table = schema.repository_exports.c
        wanted = select(table.manifests_repository_id).where(table.source_repository_id == self._repository)
        stated = {row.manifests_repository_id for row in await self._session.all(wanted)} - set(carriers)
        return [item for item in self._situation.targets.values() if item.repository_id in stated and _is_live(item)]

    async def _earlier(self) -> Sequence[Collection[CommitId]]:
        """Return the exports of exported commits before this one, the nearest first."""
        before = (
            select(_L.c.commit_id, _L.c.position)
            .join(_H, _H.c.id == _L.c.chain_id)
            .where(self._on_branch(), _L.c.position < self._position, _L.c.cut_at.is_(None))
            .order_by(_L.c.position.desc())
            .limit(LOOKED_THROUGH)
            .subquery()
        )
        wanted = (
            select(before.c.commit_id, _E.c.carrier_id)
            .join(_E, _E.c.source_id == before.c.commit_id)
            .order_by(before.c.position.desc())
        )
        found: dict[CommitId, list[CommitId]] = {}
        for row in await self._session.all(wanted):
            found.setdefault(row.commit_id, []).append(row.carrier_id)
        several = [commit for commit, exports in found.items() if len(exports) > 1]
        kept = {*list(found)[:EARLIER], *several[:EARLIER]}
        return [exports for commit, exports in found.items() if commit in kept]

    async def _is_later_exported(self) -> bool:
        wanted = (
            select(_L.c.commit_id)
            .join(_H, _H.c.id == _L.c.chain_id)
            .where(self._on_branch(), _L.c.position > self._position, _L.c.cut_at.is_(None))
            .where(exists().where(_E.c.source_id == _L.c.commit_id))
            .limit(1)
        )
        return bool(await self._session.all(wanted))

    async def _reach(self, carriers: Collection[CommitId]) -> Mapping[CommitId, Collection[TargetId]]:
        """Return the targets that each export changed: a carrier has a row wherever it is in scope."""
        found: dict[CommitId, set[TargetId]] = defaultdict(set)
        for chunk in chunks(sorted(carriers)):
            wanted = select(_D.c.commit_id, _D.c.target_id).where(_D.c.commit_id.in_(chunk))
            for row in await self._session.all(wanted):
                found[row.commit_id].add(row.target_id)
        return found

    async def _passed(self, found: Mapping[Place, Collection[TargetId]]) -> set[Place]:
        """Return the places that a later commit of the branch was exported to."""
        places = {id_: place for place, ids in found.items() for id_ in sorted(ids)[:ASKED_OF_A_PLACE]}
        passed: set[Place] = set()
        table = schema.targets
        newest = (
            select(_D.c.commit_id)
            .where(_D.c.target_id == table.c.id, _D.c.repository_id == self._repository, _D.c.carrier_id.is_not(None))
            .order_by(_D.c.commit_id.desc())
            .limit(1)
            .scalar_subquery()
        )
        for chunk in chunks(list(places)):
            last = select(table.c.id, newest.label("commit_id")).where(table.c.id.in_(chunk)).subquery()
            wanted = (
                select(last.c.id)
                .join(_L, _L.c.commit_id == last.c.commit_id)
                .join(_H, _H.c.id == _L.c.chain_id)
                .where(self._on_branch(), _L.c.position > self._position, _L.c.cut_at.is_(None))
            )
            passed |= {places[row.id] for row in await self._session.all(wanted)}
        return passed

    def _by_place(self, targets: Iterable[TargetId]) -> dict[Place, set[TargetId]]:
        found: dict[Place, set[TargetId]] = defaultdict(set)
        for id_ in targets:
            target = self._situation.targets.get(id_)
            branch = self._situation.branch_of(target) if target is not None and _is_live(target) else None
            if target is not None and branch is not None:
                found[branch, target.cluster].add(id_)
        return found

    def _on_branch(self) -> ColumnElement[bool]:
        return and_(_H.c.repository_id == self._branch[0], _H.c.branch == self._branch[1])


def _is_live(target: TargetRecord) -> bool:
    return target.deleted_at is None
