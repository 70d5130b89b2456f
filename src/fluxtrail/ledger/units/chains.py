"""A unit's chains: which first-parent commits stand on a branch, in which order.

A chain is numbered by positions that only grow. What a force-push takes off stays in the table as cut, so that
a baseline that was cut is still somewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.errors import StoreError
from fluxtrail.model.records import CommitId, CommitRecord, RepositoryId

_LINKS = schema.links
_CHAINS = schema.chains
_COMMITS = schema.commits
_STANDING = _LINKS.c.cut_at.is_(None)
_POSITIONS = (
    select(_COMMITS.c.sha, _LINKS.c.position)
    .select_from(_LINKS)
    .join(_COMMITS, _COMMITS.c.id == _LINKS.c.commit_id)
    .join(_CHAINS, _CHAINS.c.id == _LINKS.c.chain_id)
    .where(_COMMITS.c.repository_id == bindparam("repository_id"))
    .where(_COMMITS.c.sha.in_(bindparam("shas", expanding=True)), _STANDING)
    .where(_CHAINS.c.repository_id == bindparam("repository_id"), _CHAINS.c.branch == bindparam("branch"))
)


class ChainPart(UnitPart):
    async def extend_chain(self, repository_id: RepositoryId, branch: str, commits: Sequence[CommitId]) -> None:
        """Append commits, oldest first; those that stand on the branch already stay where they are."""
        chain_id, position = await self._chain(repository_id, branch)
        standing: set[CommitId] = set()
        for chunk in chunks(commits):
            wanted = select(_LINKS.c.commit_id).where(
                _LINKS.c.chain_id == chain_id, _LINKS.c.commit_id.in_(chunk), _STANDING
            )
            standing.update(CommitId(row.commit_id) for row in await self._session.all(wanted))
        added = [commit for commit in dict.fromkeys(commits) if commit not in standing]
        links = [
            {"chain_id": chain_id, "position": position + index, "commit_id": commit}
            for index, commit in enumerate(added)
        ]
        await self._session.run(insert(_LINKS), links)
        moved = update(_CHAINS).where(_CHAINS.c.id == chain_id).values(next_position=position + len(added))
        await self._session.run(moved)

    async def cut_chain(self, repository_id: RepositoryId, branch: str, *, after: CommitId | None) -> list[CommitId]:
        """Take what stands behind `after` (None: everything) off the branch; returns it, oldest first.

        Raises:
            StoreError: `after` does not stand on the branch.
        """
        chain_id, _ = await self._chain(repository_id, branch)
        condition = [_LINKS.c.chain_id == chain_id, _STANDING]
        if after is not None:
            at = await self._session.scalar(select(_LINKS.c.position).where(*condition, _LINKS.c.commit_id == after))
            if at is None:
                raise StoreError(f"commit {after} does not stand on branch {branch!r}: nothing can be cut behind it")
            condition.append(_LINKS.c.position > at)
        found = await self._session.all(select(_LINKS.c.commit_id).where(*condition).order_by(_LINKS.c.position))
        await self._session.run(update(_LINKS).where(*condition).values(cut_at=self._now()))
        return [CommitId(row.commit_id) for row in found]

    async def chain_position(self, repository_id: RepositoryId, branch: str, sha: str) -> int | None:
        return (await self.chain_positions(repository_id, branch, [sha])).get(sha)

    async def chain_positions(self, repository_id: RepositoryId, branch: str, shas: Sequence[str]) -> dict[str, int]:
        """Return where commits stand on a branch; those that do not are left out."""
        found: dict[str, int] = {}
        for chunk in chunks(list(dict.fromkeys(shas))):
            values = {"repository_id": repository_id, "branch": branch, "shas": chunk}
            found.update((row.sha, row.position) for row in await self._session.all(_POSITIONS, values))
        return found

    async def chain_slice(
        self, repository_id: RepositoryId, branch: str, *, after: int | None, through: int | None, limit: int
    ) -> list[CommitRecord]:
        """Return the commits that stand at positions in (`after`, `through`], oldest first."""
        commits = schema.commits
        wanted = (
            select(commits)
            .join(_LINKS, commits.c.id == _LINKS.c.commit_id)
            .join(_CHAINS, _CHAINS.c.id == _LINKS.c.chain_id)
            .where(_CHAINS.c.repository_id == repository_id, _CHAINS.c.branch == branch, _STANDING)
            .order_by(_LINKS.c.position)
            .limit(limit)
        )
        if after is not None:
            wanted = wanted.where(_LINKS.c.position > after)
        if through is not None:
            wanted = wanted.where(_LINKS.c.position <= through)
        return [rows.commit_of(row) for row in await self._session.all(wanted)]

    async def reverters(
        self, repository_id: RepositoryId, branch: str, *, after: int, through: int
    ) -> list[tuple[int, CommitRecord]]:
        """Return the commits that revert others and stand in (`after`, `through`], or were exported by what does."""
        commits, exports = schema.commits, schema.exports
        standing = (
            select(_LINKS.c.position, _LINKS.c.commit_id)
            .join(_CHAINS, _CHAINS.c.id == _LINKS.c.chain_id)
            .where(_CHAINS.c.repository_id == repository_id, _CHAINS.c.branch == branch, _STANDING)
            .where(_LINKS.c.position > after, _LINKS.c.position <= through)
            .subquery()
        )
        own = select(standing.c.position, commits).join(commits, commits.c.id == standing.c.commit_id)
        exported = (
            select(standing.c.position, commits)
            .join(exports, exports.c.carrier_id == standing.c.commit_id)
            .join(commits, commits.c.id == exports.c.source_id)
        )
        found: list[tuple[int, CommitRecord]] = []
        for wanted in (own, exported):
            reverting = await self._session.all(wanted.where(commits.c.reverts != ()))
            found += [(row.position, rows.commit_of(row)) for row in reverting]
        return sorted(found, key=lambda item: (item[0], item[1].id))

    async def _chain(self, repository_id: RepositoryId, branch: str) -> tuple[int, int]:
        """Return (id, next position) of a branch's chain, made where there is none."""
        wanted = select(_CHAINS).where(_CHAINS.c.repository_id == repository_id, _CHAINS.c.branch == branch)
        row = await self._session.first(wanted)
        if row is not None:
            return row.id, row.next_position
        made = {"repository_id": repository_id, "branch": branch, "next_position": 1}
        return await self._session.insert(insert(_CHAINS), made), 1
