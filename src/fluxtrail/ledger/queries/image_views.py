"""Images as they are shown: what each was built from, and where it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, func, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.deployment import Told
from fluxtrail.model.image import split_image
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.views import ImageRunView, ImageView

TAGS = 10
RUNS = 200
"""The most that are shown of one image."""

_I, _R, _K, _C = schema.images, schema.image_runs, schema.deployment_records, schema.commits


class _Runs(msgspec.Struct, kw_only=True):
    """Where one image runs and ran."""

    running: int = 0
    clusters: set[str] = msgspec.field(default_factory=set)
    since: datetime | None = None
    """When the oldest that runs began."""
    began: datetime | None = None
    """When the newest of all began."""
    tags: dict[str, datetime] = msgspec.field(default_factory=dict)
    """With the newest run under each; of those that run, where any does."""


class ImageRenderer:
    def __init__(self, session: Session, situation: Situation) -> None:
        self._session = session
        self._situation = situation

    async def heads(self, found: Sequence[Row[Any]]) -> list[ImageView]:
        """Return the views of heads, each with what runs, and is known, of all its digests."""
        heads = [row.digest for row in found]
        family = await self._family(heads)
        told = await self._told([row.digest for rows in family.values() for row in rows])
        runs = await self._runs(heads, by_head=True)
        followed = await self._followed(row for rows in family.values() for row in rows)
        views = []
        for row in found:
            members = [row, *(other for other in family.get(row.digest, []) if other.digest != row.digest)]
            built = next((member for member in members if member.revision), row)
            views.append(
                _view(
                    row,
                    built,
                    runs.get(row.digest, _Runs()),
                    is_followed=_built_from(built) in followed,
                    is_attested=_any_of(told.get(member.digest) for member in members),
                )
            )
        return views

    async def members(self, found: Sequence[Row[Any]]) -> list[ImageView]:
        """Return the views of images in their order: heads as `heads`, others with what runs of their own digest."""
        heads = {view.digest: view for view in await self.heads([row for row in found if row.head == row.digest])}
        others = [row for row in found if row.digest not in heads]
        runs = await self._runs([row.digest for row in others], by_head=False)
        told = await self._told([row.digest for row in others])
        followed = await self._followed(others)
        views = heads | {
            row.digest: _view(
                row,
                row,
                runs.get(row.digest, _Runs()),
                is_followed=_built_from(row) in followed,
                is_attested=told.get(row.digest),
            )
            for row in others
        }
        return [views[row.digest] for row in found]

    async def _family(self, heads: Sequence[str]) -> dict[str, list[Row[Any]]]:
        found: dict[str, list[Row[Any]]] = {}
        for chunk in chunks(heads):
            for row in await self._session.all(select(_I).where(_I.c.head.in_(chunk)).order_by(_I.c.digest)):
                found.setdefault(row.head, []).append(row)
        return found

    async def _runs(self, digests: Sequence[str], *, by_head: bool) -> dict[str, _Runs]:
        column = _R.c.head if by_head else _R.c.digest
        is_live = _R.c.until.is_(None)
        groups = (column.label("shown"), _R.c.cluster, _R.c.image, is_live.label("is_live"))
        times = (func.min(_R.c.since).label("first"), func.max(_R.c.since).label("last"))
        found: dict[str, _Runs] = {}
        for chunk in chunks(digests):
            wanted = select(*groups, *times, func.count().label("number")).where(column.in_(chunk))
            rows = await self._session.all(wanted.group_by(column, _R.c.cluster, _R.c.image, is_live))
            for row in sorted(rows, key=lambda row: not row.is_live):
                self._add(found.setdefault(row.shown, _Runs()), row)
        return found

    def _add(self, runs: _Runs, row: Row[Any]) -> None:
        """Take what runs first: of what ran, nothing but the time counts then."""
        runs.began = max(runs.began or row.last, row.last)
        if row.is_live:
            runs.running += row.number
            runs.clusters.add(self._situation.cluster_name(ClusterUid(row.cluster)))
            runs.since = min(runs.since or row.first, row.first)
        tag = split_image(row.image).tag
        if tag and (row.is_live or not runs.running):
            runs.tags[tag] = max(runs.tags.get(tag, row.last), row.last)

    async def _told(self, digests: Sequence[str]) -> dict[str, bool]:
        """Return which of these GitHub knows (it took a record of one) and does not know."""
        found: dict[str, bool] = {}
        for chunk in chunks(list(dict.fromkeys(digests))):
            wanted = select(_K.c.digest, _K.c.told).where(_K.c.digest.in_(chunk)).distinct()
            for row in await self._session.all(wanted):
                if row.told in (Told.TOLD, Told.UNKNOWN):
                    found[row.digest] = found.get(row.digest, False) or row.told is Told.TOLD
        return found

    async def _followed(self, found: Iterable[Row[Any]]) -> set[tuple[str, str]]:
        """Return which (source, revision) are commits of the ledger."""
        canonical = {record.id: record.canonical for record in self._situation.repositories.values()}
        followed: set[tuple[str, str]] = set()
        for chunk in chunks(sorted({row.revision for row in found if row.revision and row.source})):
            for row in await self._session.all(select(_C.c.repository_id, _C.c.sha).where(_C.c.sha.in_(chunk))):
                followed.add((canonical.get(row.repository_id, ""), row.sha))
        return followed


def _built_from(row: Row[Any]) -> tuple[str, str]:
    return row.source or "", row.revision or ""


def _any_of(answers: Iterable[bool | None]) -> bool | None:
    given = [answer for answer in answers if answer is not None]
    return any(given) if given else None


def _view(row: Row[Any], built: Row[Any], runs: _Runs, *, is_followed: bool, is_attested: bool | None) -> ImageView:
    """Return the view of an image.

    Args:
        built: which of its digests says what it was built from.
    """
    return ImageView(
        digest=row.digest,
        repository=row.repository,
        state=row.state.value,
        tags=sorted(runs.tags, key=lambda tag: (runs.tags[tag], tag), reverse=True)[:TAGS],
        is_index=row.is_index,
        index_digest=row.index_digest,
        platform=row.platform,
        created_at=row.created_at or built.created_at,
        source=built.source,
        revision=built.revision,
        version=built.version,
        is_followed=is_followed,
        is_attested=is_attested,
        problem=row.problem,
        checked_at=row.checked_at,
        running=runs.running,
        clusters=sorted(runs.clusters),
        since=runs.since or runs.began,
    )


async def run_views(session: Session, situation: Situation, head: str) -> list[ImageRunView]:
    """Return where a head and its platforms run and ran: what runs first, then the newest."""
    wanted = (
        select(_R)
        .where(_R.c.head == head)
        .order_by(_R.c.until.is_not(None), _R.c.since.desc(), _R.c.id.desc())
        .limit(RUNS)
    )
    return [
        ImageRunView(
            cluster=situation.cluster_name(row.cluster),
            cluster_uid=row.cluster,
            workload=f"{row.kind}/{row.namespace}/{row.workload}",
            container=row.container,
            digest=row.digest,
            image=row.image,
            since=row.since,
            until=row.until,
        )
        for row in await session.all(wanted)
    ]
