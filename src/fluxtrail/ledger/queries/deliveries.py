"""The list of stored deliveries, what changed last first.

One page must cost about the same whatever it is filtered by, with millions of rows. So it never sorts: within one
verdict (and one repository, or one target) an index holds the rows in the order of the list, and a page is merged
from the first rows of each. Among many targets, only those count whose newest row is among the newest: a
page of n rows comes from at most n targets, and none of its rows is older than the newest row of the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Subquery, Tuple, func, literal, select, tuple_, union_all

from fluxtrail.ledger import schema
from fluxtrail.ledger.columns import VERDICT_CODES, Instant, from_micros, to_micros
from fluxtrail.ledger.dialect import Dialect
from fluxtrail.ledger.queries.pages import Page, bounded, read_cursor, write_cursor
from fluxtrail.ledger.queries.rendering import Renderer, stored
from fluxtrail.ledger.queries.resolving import find_commits, repositories_named
from fluxtrail.ledger.queries.targets import named_targets
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.records import CommitId, RepositoryId, TargetId
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import DeliveryView

_D = schema.deliveries
LOOKED_AT = 2000
_ROUNDS = 10
"""A page filtered by targets and by repository may need several looks, each at so many rows of every verdict; then it
comes short, with a cursor."""

Key = tuple[datetime, CommitId, TargetId]


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What the list is narrowed to; None for everything."""

    cluster: str | None = None
    """A name or a uid."""
    namespace: str | None = None
    target: str | None = None
    """A name, `kind/name` or `kind/namespace/name`."""
    repository: str | None = None
    sha: str | None = None
    """A sha or a prefix of one."""
    verdict: Verdict | None = None
    since: datetime | None = None


async def list_deliveries(
    session: Session, renderer: Renderer, wanted: DeliveryFilter, *, limit: int, cursor: str | None
) -> Page[DeliveryView]:
    limit = bounded(limit)
    after = _read(cursor)
    listing = await _Listing.prepare(session, renderer, wanted)
    keys, last = await listing.keys(after, limit)
    rows = await _rows(session, keys)
    cursor = write_cursor((to_micros(last[0]), last[1], last[2])) if last is not None else None
    return Page(items=await renderer.render(rows), next=cursor)


def _read(cursor: str | None) -> Key | None:
    if cursor is None:
        return None
    micros, commit_id, target_id = read_cursor(cursor, tuple[int, int, int])
    return from_micros(micros), CommitId(commit_id), TargetId(target_id)


async def _rows(session: Session, keys: Sequence[Key]) -> list[Any]:
    named = session.dialect.pack_keys([(commit_id, target_id) for _, commit_id, target_id in keys])
    rows = await session.all(_named(session.dialect), {"keys": named})
    found = {(row.commit_id, row.target_id): row for row in rows}
    return [found[commit_id, target_id] for _, commit_id, target_id in keys]


@cache
def _named(dialect: Dialect) -> Select[Any]:
    """Select deliveries, named by `keys`: one statement for every list, as it takes a while to make."""
    wanted = dialect.key_table().cte("wanted")
    return stored().join(wanted, (wanted.c.target_id == _D.c.target_id) & (wanted.c.commit_id == _D.c.commit_id))


def _as_tuple(key: Key) -> Tuple:
    """A key to compare with; without its type the time would be sent as text, which is more than any number."""
    return tuple_(literal(key[0], Instant()), key[1], key[2])


def _first(conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    """Return the first keys that meet conditions for which an index has this order."""
    order = (_D.c.since.desc(), _D.c.commit_id.desc(), _D.c.target_id.desc())
    return select(_D.c.since, _D.c.commit_id, _D.c.target_id).where(*conditions).order_by(*order).limit(limit)


class _Listing:
    def __init__(
        self,
        session: Session,
        *,
        verdicts: Sequence[Verdict],
        since: datetime | None,
        targets: list[TargetId] | None,
        repositories: list[RepositoryId] | None,
        commits: list[CommitId] | None,
    ) -> None:
        self._session = session
        self._verdicts = verdicts
        self._since = since
        self._targets = targets
        self._repositories = repositories
        self._commits = commits

    @classmethod
    async def prepare(cls, session: Session, renderer: Renderer, wanted: DeliveryFilter) -> _Listing:
        situation = renderer.situation
        repositories = None if wanted.repository is None else repositories_named(situation, wanted.repository)
        return cls(
            session,
            verdicts=list(VERDICT_CODES) if wanted.verdict is None else [wanted.verdict],
            since=wanted.since,
            targets=named_targets(situation, cluster=wanted.cluster, namespace=wanted.namespace, target=wanted.target),
            repositories=repositories,
            commits=None if wanted.sha is None else await find_commits(session, wanted.sha, repositories),
        )

    async def keys(self, after: Key | None, limit: int) -> tuple[list[Key], Key | None]:
        """Return the keys of one page, and the key behind which the next one begins (None at the end)."""
        if self._commits is not None:
            found = await self._of_commits(self._commits, after, limit + 1)
        elif self._targets is None:
            found = await self._of_all(after, limit + 1)
        elif self._repositories is None:
            found = await self._of_targets(self._targets, after, limit + 1)
        else:
            return await self._of_both_in_rounds(self._repositories, self._targets, after, limit)
        return found[:limit], found[limit - 1] if len(found) > limit else None

    async def _of_all(self, after: Key | None, limit: int) -> list[Key]:
        """Merge the first rows of each verdict, in each repository where some are named."""
        if self._repositories is not None:
            return await self._merge(self._parts(self._repositories, after), limit)
        return await self._merge([(_D.c.verdict == verdict, *self._bounds(after)) for verdict in self._verdicts], limit)

    def _parts(self, repositories: Sequence[RepositoryId], after: Key | None) -> list[tuple[ColumnElement[bool], ...]]:
        return [
            (_D.c.repository_id == repository, _D.c.verdict == verdict, *self._bounds(after))
            for repository in repositories
            for verdict in self._verdicts
        ]

    async def _of_commits(self, commits: list[CommitId], after: Key | None, limit: int) -> list[Key]:
        """All rows of a few commits: as many as there are targets."""
        condition = [_D.c.commit_id.in_(commits), _D.c.verdict.in_(self._verdicts), *self._bounds(after)]
        if self._targets is not None:
            condition.append(_D.c.target_id.in_(self._targets))
        return await self._merge([tuple(condition)], limit)

    async def _of_both_in_rounds(
        self, repositories: list[RepositoryId], targets: list[TargetId], after: Key | None, limit: int
    ) -> tuple[list[Key], Key | None]:
        """Go through what the repositories have, of which the index tells the targets too."""
        page: list[Key] = []
        for _ in range(_ROUNDS):
            found, floor = await self._window(repositories, targets, after, limit + 1 - len(page))
            page.extend(found)
            if len(page) > limit:
                return page[:limit], page[limit - 1]
            if floor is None:
                return page, None
            after = floor
        return page, after

    async def _window(
        self, repositories: list[RepositoryId], targets: list[TargetId], after: Key | None, limit: int
    ) -> tuple[list[Key], Key | None]:
        """Return the first rows of some targets among so many of each repository and verdict, and how far all of these
        reach; None for to the end.
        """
        table = self._session.dialect.key_table([(0, target) for target in targets]).cte("among")
        parts = self._parts(repositories, after)
        looked_at = [_first(part, LOOKED_AT).subquery() for part in parts]
        matched = [
            select(inner)
            .where(inner.c.target_id.in_(select(table.c.target_id)))
            .order_by(inner.c.since.desc(), inner.c.commit_id.desc(), inner.c.target_id.desc())
            .limit(limit)
            .subquery()
            for inner in looked_at
        ]
        last = [_first(part, 1).offset(LOOKED_AT - 1).subquery() for part in parts]
        floor = max(await self._union(last), default=None)
        found = sorted(await self._union(matched), reverse=True)
        return [key for key in found if floor is None or key >= floor][:limit], floor

    async def _union(self, parts: Sequence[Subquery]) -> list[Key]:
        found: list[Key] = []
        for chunk in chunks(parts, 100):
            rows = await self._session.all(union_all(*(select(part) for part in chunk)))
            found.extend((row.since, row.commit_id, row.target_id) for row in rows)
        return found

    async def _of_targets(self, targets: list[TargetId], after: Key | None, limit: int) -> list[Key]:
        """Return the first rows of some targets, by going down from the instants at which they changed last."""
        found: list[Key] = []
        while len(found) < limit:
            rows, floor = await self._above_floor(targets, after, limit - len(found))
            found += rows
            if floor is None:
                break
            # The cursor stood amid the rows of that instant: there may be too few of them, and more below.
            after = (floor, CommitId(0), TargetId(0))
        return found

    async def _above_floor(
        self, targets: list[TargetId], after: Key | None, limit: int
    ) -> tuple[list[Key], datetime | None]:
        """Return the first rows that are no older than the last change of as many targets, and that instant; or all."""
        newest = sorted(await self._newest(targets, after), reverse=True)
        if not newest:
            return [], None
        lowest = newest[limit - 1][0] if len(newest) >= limit else None
        floor = from_micros(lowest) if lowest is not None else None
        # All that changed last at that very instant: nobody comes back to it.
        chosen = [target_id for since, target_id in newest if lowest is None or since >= lowest]
        bounds = self._bounds(after)
        if floor is not None:
            bounds = (*bounds, _D.c.since >= floor)
        conditions = [
            (_D.c.target_id.in_(chunk), _D.c.verdict.in_(self._verdicts), *bounds) for chunk in chunks(chosen)
        ]
        return await self._merge(conditions, limit), floor

    async def _newest(self, targets: list[TargetId], after: Key | None) -> list[tuple[int, TargetId]]:
        """Return (newest change in microseconds, target) of the targets that have any, at or before the cursor."""
        targets_table = schema.targets
        found = []
        for chunk in chunks(targets):
            newest = [
                select(func.max(_D.c.since))
                .where(_D.c.target_id == targets_table.c.id, _D.c.verdict == verdict, *self._coarse_bounds(after))
                .scalar_subquery()
                for verdict in self._verdicts
            ]
            for row in await self._session.all(
                select(targets_table.c.id, *newest).where(targets_table.c.id.in_(chunk))
            ):
                instants: list[datetime | None] = list(row[1:])
                known = [to_micros(since) for since in instants if since is not None]
                if known:
                    found.append((max(known), TargetId(row[0])))
        return found

    async def _merge(self, conditions: Sequence[tuple[ColumnElement[bool], ...]], limit: int) -> list[Key]:
        """Return the first rows that meet any of `conditions`, which exclude each other."""
        return sorted(await self._union([_first(part, limit).subquery() for part in conditions]), reverse=True)[:limit]

    def _bounds(self, after: Key | None) -> tuple[ColumnElement[bool], ...]:
        bounds: tuple[ColumnElement[bool], ...] = ()
        if self._since is not None:
            bounds = (*bounds, _D.c.since >= self._since)
        if after is not None:
            bounds = (*bounds, tuple_(_D.c.since, _D.c.commit_id, _D.c.target_id) < _as_tuple(after))
        return bounds

    def _coarse_bounds(self, after: Key | None) -> tuple[ColumnElement[bool], ...]:
        bounds: tuple[ColumnElement[bool], ...] = ()
        if self._since is not None:
            bounds = (*bounds, _D.c.since >= self._since)
        if after is not None:
            since, commit_id, _ = after
            bounds = (*bounds, _D.c.since <= since if commit_id else _D.c.since < since)
        return bounds
