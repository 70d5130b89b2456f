"""A unit's deliveries and the history of what changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Subquery, bindparam, delete, func, insert, select, union_all

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.reports import ReportPart
from fluxtrail.model.errors import StoreError
from fluxtrail.model.records import CommitId, DeliveryRecord, RepositoryId, TargetId, Transition
from fluxtrail.model.verdict import Verdict

_DELIVERIES = schema.deliveries
_REPLACED = [column.name for column in _DELIVERIES.columns if not column.primary_key]


class DeliveryPart(ReportPart):
    async def put_deliveries(self, records: Sequence[DeliveryRecord]) -> None:
        """Insert or replace by (commit, target).

        Raises:
            StoreError: a commit or a target that is not in the ledger.
        """
        repositories = await self._repositories_of([record.commit_id for record in records])
        missing = next((record.commit_id for record in records if record.commit_id not in repositories), None)
        if missing is not None:
            raise StoreError(f"there is no commit {missing} to keep a delivery of; it was pruned or never kept")
        stated = [rows.values_of(record) | {"repository_id": repositories[record.commit_id]} for record in records]
        statement = self._session.dialect.upsert(_DELIVERIES)
        statement = statement.on_conflict_do_update(
            index_elements=["target_id", "commit_id"], set_={name: statement.excluded[name] for name in _REPLACED}
        )
        await self._session.run(statement, stated)
        await self._touch((record.commit_id, record.target_id) for record in records)

    async def drop_deliveries(self, records: Sequence[DeliveryRecord]) -> None:
        """Forget these, by (commit, target): the target was never meant."""
        same = (_DELIVERIES.c.commit_id == bindparam("commit_"), _DELIVERIES.c.target_id == bindparam("target_"))
        stated = [{"commit_": record.commit_id, "target_": record.target_id} for record in records]
        await self._session.run(delete(_DELIVERIES).where(*same), stated)
        await self._touch((record.commit_id, record.target_id) for record in records)

    async def deliveries(self, target_id: TargetId, commits: Sequence[CommitId]) -> dict[CommitId, DeliveryRecord]:
        found: dict[CommitId, DeliveryRecord] = {}
        for chunk in chunks(list(dict.fromkeys(commits))):
            wanted = select(_DELIVERIES).where(_DELIVERIES.c.target_id == target_id, _DELIVERIES.c.commit_id.in_(chunk))
            found.update((CommitId(row.commit_id), rows.delivery_of(row)) for row in await self._session.all(wanted))
        return found

    async def deliveries_of(self, commits: Sequence[CommitId]) -> list[DeliveryRecord]:
        found: list[DeliveryRecord] = []
        for chunk in chunks(list(dict.fromkeys(commits))):
            wanted = select(_DELIVERIES).where(_DELIVERIES.c.commit_id.in_(chunk))
            wanted = wanted.order_by(_DELIVERIES.c.commit_id, _DELIVERIES.c.target_id)
            found.extend(rows.delivery_of(row) for row in await self._session.all(wanted))
        return found

    async def open_deliveries(
        self, target_id: TargetId, *, verdicts: Sequence[Verdict], after: int | None = None, through: int | None = None
    ) -> list[DeliveryRecord]:
        """Return the deliveries of a target that have one of `verdicts`.

        With a bound, only those whose deciding commit (the carrier, else the commit) stands on the target's
        branch (its repository's default branch where it follows tags) at a position in (`after`, `through`].
        """
        chosen = (_DELIVERIES.c.target_id == target_id, _DELIVERIES.c.verdict.in_(verdicts))
        if after is None and through is None:
            wanted = select(_DELIVERIES).where(*chosen).order_by(_DELIVERIES.c.commit_id)
            return [rows.delivery_of(row) for row in await self._session.all(wanted)]
        positioned = _positioned(target_id, after, through)
        by_carrier = select(_DELIVERIES).join(positioned, _DELIVERIES.c.carrier_id == positioned.c.commit_id)
        by_itself = select(_DELIVERIES).join(positioned, _DELIVERIES.c.commit_id == positioned.c.commit_id)
        both = union_all(
            by_carrier.where(*chosen), by_itself.where(*chosen, _DELIVERIES.c.carrier_id.is_(None))
        ).subquery()
        found = await self._session.all(select(both).order_by(both.c.commit_id))
        return [rows.delivery_of(row) for row in found]

    async def standing_deliveries(
        self, repository_id: RepositoryId, branch: str, targets: Sequence[TargetId], *, verdicts: Sequence[Verdict]
    ) -> list[tuple[int, DeliveryRecord]]:
        """Return deliveries of many targets, each behind its deciding commit's position on the branch."""
        chains, links = schema.chains, schema.links
        found: list[tuple[int, DeliveryRecord]] = []
        for chunk in chunks(list(dict.fromkeys(targets))):
            wanted = (
                select(_DELIVERIES, links.c.position)
                .select_from(_DELIVERIES)
                .join(chains, (chains.c.repository_id == repository_id) & (chains.c.branch == branch))
                .join(
                    links,
                    (links.c.chain_id == chains.c.id)
                    & (links.c.commit_id == func.coalesce(_DELIVERIES.c.carrier_id, _DELIVERIES.c.commit_id)),
                )
                .where(_DELIVERIES.c.target_id.in_(chunk), _DELIVERIES.c.verdict.in_(verdicts))
                .where(links.c.cut_at.is_(None))
                .order_by(_DELIVERIES.c.target_id, _DELIVERIES.c.commit_id)
            )
            found += [(row.position, rows.delivery_of(row, "position")) for row in await self._session.all(wanted)]
        return found

    async def add_transitions(self, transitions: Sequence[Transition]) -> None:
        """Append to the history, the ledger gives the ids in this order; and plan what must be said of it."""
        if not transitions:
            return
        table = schema.transitions
        ids = await self._session.dialect.reserve_ids(self._session, table, len(transitions))
        added = [msgspec.structs.replace(line, id=id_) for id_, line in zip(ids, transitions, strict=True)]
        await self._session.run(insert(table), [rows.values_of(line) for line in added])
        if self._plan is not None:
            await self.add_reports(self._plan(added))

    async def _repositories_of(self, commits: Sequence[CommitId]) -> dict[CommitId, RepositoryId]:
        table = schema.commits
        found: dict[CommitId, RepositoryId] = {}
        for chunk in chunks(list(dict.fromkeys(commits))):
            wanted = select(table.c.id, table.c.repository_id).where(table.c.id.in_(chunk))
            found.update((row.id, row.repository_id) for row in await self._session.all(wanted))
        return found


def _positioned(target_id: TargetId, after: int | None, through: int | None) -> Subquery:
    """The commits that stand on a target's branch within the bounds."""
    targets, repositories, chains, links = schema.targets, schema.repositories, schema.chains, schema.links
    wanted = (
        select(links.c.commit_id)
        .select_from(targets)
        .join(repositories, repositories.c.id == targets.c.repository_id)
        .join(
            chains,
            (chains.c.repository_id == targets.c.repository_id)
            & (chains.c.branch == func.coalesce(targets.c.branch, repositories.c.default_branch)),
        )
        .join(links, links.c.chain_id == chains.c.id)
        .where(targets.c.id == target_id, links.c.cut_at.is_(None))
    )
    if after is not None:
        wanted = wanted.where(links.c.position > after)
    if through is not None:
        wanted = wanted.where(links.c.position <= through)
    return wanted.subquery()
