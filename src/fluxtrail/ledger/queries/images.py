"""Images as they are listed, found and counted.

An index and the manifests of its platforms are one image: listed under the index (their *head*, see `units/images.py`),
and found by any of their digests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Boolean, ColumnElement, Row, and_, func, literal, literal_column, or_, select, tuple_

from fluxtrail.ledger import schema
from fluxtrail.ledger.columns import Instant, from_micros, to_micros
from fluxtrail.ledger.queries.image_views import ImageRenderer, run_views
from fluxtrail.ledger.queries.pages import Page, bounded, read_cursor, write_cursor
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session
from fluxtrail.model.counts import ImageCount
from fluxtrail.model.image import split_image
from fluxtrail.model.image_records import ImageState
from fluxtrail.model.views import ImageDetail, ImageView

CANDIDATES = 20
"""The most that are named of what a query may mean."""

_I, _R = schema.images, schema.image_runs
_DIGEST = re.compile(r"(?:.*@)?(?:sha256:)?(?P<hex>[0-9a-f]{4,64})")
_IS_LIVE: ColumnElement[bool] = literal_column("image_runs.until IS NULL")
_IS_LISTED: ColumnElement[bool] = literal_column("images.listed_at IS NOT NULL")
"""Word for word as the partial indexes say it, or SQLite does not take them."""
_ORDER = (_I.c.is_running.desc(), _I.c.listed_at.desc(), _I.c.digest.desc())


class ImageFilter(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str | None = None
    """A name or a uid: it runs there now."""
    namespace: str | None = None
    """It runs there now."""
    state: ImageState | None = None
    text: str | None = None
    """The beginning of a digest, or a part of `repository:tag`, in any case."""
    revision: str | None = None
    """The whole sha of the commit that it was built from."""


async def list_images(
    session: Session, situation: Situation, chosen: ImageFilter, *, limit: int, cursor: str | None
) -> Page[ImageView]:
    """Return heads: those that run, then those that ran, what began last first."""
    limit = bounded(limit)
    wanted = select(_I).where(_IS_LISTED, *_conditions(situation, chosen)).order_by(*_ORDER).limit(limit + 1)
    if cursor is not None:
        is_running, micros, digest = read_cursor(cursor, tuple[bool, int, str])
        last = tuple_(literal(is_running, Boolean()), literal(from_micros(micros), Instant()), digest)
        wanted = wanted.where(tuple_(_I.c.is_running, _I.c.listed_at, _I.c.digest) < last)
    found = await session.all(wanted)
    shown = found[:limit]
    next_ = None
    if len(found) > limit:
        next_ = write_cursor((shown[-1].is_running, to_micros(shown[-1].listed_at), shown[-1].digest))
    return Page(items=await ImageRenderer(session, situation).heads(shown), next=next_)


def _conditions(situation: Situation, chosen: ImageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if chosen.state is not None:
        conditions.append(_I.c.state == chosen.state)
    if chosen.cluster is not None or chosen.namespace is not None:
        running = select(_R.c.head).where(_IS_LIVE)
        if chosen.cluster is not None:
            named = (uid for uid, name in situation.names.items() if name == chosen.cluster)
            running = running.where(_R.c.cluster.in_(sorted({chosen.cluster, *named})))
        if chosen.namespace is not None:
            running = running.where(_R.c.namespace == chosen.namespace)
        conditions.append(func.coalesce(_I.c.digest, "").in_(running))  # or else all of them are looked up and sorted
    if chosen.revision is not None:
        # Of an index only its platforms' manifests may say it; the index on `revision` is a partial one.
        member = schema.images.alias("built")
        built = select(member.c.head).where(member.c.revision == chosen.revision, member.c.revision.is_not(None))
        conditions.append(func.coalesce(_I.c.digest, "").in_(built))
    if chosen.text is not None:
        conditions.append(_holds(chosen.text.strip().lower()))
    return conditions


def _holds(part: str) -> ColumnElement[bool]:
    wanted = select(_R.c.head).where(func.lower(_R.c.image).contains(part, autoescape=True))
    ways = [func.lower(_I.c.repository).contains(part, autoescape=True), _I.c.digest.in_(wanted)]
    matched = _DIGEST.fullmatch(part)
    if matched:
        member = schema.images.alias("member")
        ways.append(_I.c.digest.in_(select(member.c.head).where(*_begins(member.c.digest, matched["hex"]))))
    return or_(*ways)


def _begins(column: ColumnElement[str], digits: str) -> tuple[ColumnElement[bool], ...]:
    """`g` follows the last hex digit: a range that every engine's index serves."""
    digest = f"sha256:{digits}"
    return (column == digest,) if len(digits) == 64 else (column >= digest, column < digest + "g")


# one image


async def find_image(session: Session, situation: Situation, query: str) -> ImageDetail | list[ImageView] | None:
    """Return the image that `query` means, its candidates where it may be several, None for nothing."""
    text = query.strip()
    matched = _DIGEST.fullmatch(text.lower())
    found = await _by_digest(session, matched["hex"]) if matched else []
    if not found:
        found = await _by_reference(session, text)
    if not found:
        return None
    renderer = ImageRenderer(session, situation)
    heads = {row.head for row in found}
    if len(heads) > 1:
        return await renderer.members(found[:CANDIDATES])
    asked = next((row for row in found if len(found) == 1 or row.digest == row.head), found[0])
    family = await session.all(select(_I).where(_I.c.head == asked.head).order_by(_I.c.is_index.desc(), _I.c.digest))
    views = {view.digest: view for view in await renderer.members(family)}
    return ImageDetail(
        image=views[asked.digest],
        related=[view for digest, view in views.items() if digest != asked.digest],
        runs=await run_views(session, situation, asked.head),
    )


async def _by_digest(session: Session, digits: str) -> Sequence[Row[Any]]:
    wanted = select(_I).where(*_begins(_I.c.digest, digits)).order_by(_I.c.digest).limit(CANDIDATES + 1)
    return await session.all(wanted)


async def _by_reference(session: Session, text: str) -> Sequence[Row[Any]]:
    """Return heads of this name (and tag): those that run, or else the newest of those that ran."""
    name, tag = split_image(text)
    if not name:
        return []
    is_named = or_(_I.c.repository == name, _I.c.repository.endswith(f"/{name}", autoescape=True))
    wanted = select(_I).where(_IS_LISTED, is_named).order_by(*_ORDER).limit(CANDIDATES + 1)
    if tag:
        tagged = or_(_R.c.image.endswith(f":{tag}", autoescape=True), _R.c.image.contains(f":{tag}@", autoescape=True))
        ran = select(_R.c.head).where(tagged)
        wanted = wanted.where(or_(_I.c.digest.in_(ran), and_(_I.c.version == tag)))
    found = await session.all(wanted)
    running = [row for row in found if row.is_running]
    return running or found[:1]


async def count_images(session: Session, situation: Situation) -> list[ImageCount]:
    """Return how many digests run on each cluster, by what is known of them; only those that are not zero."""
    live = select(_R.c.cluster, _R.c.digest).where(_IS_LIVE).distinct().subquery()
    wanted = (
        select(live.c.cluster, _I.c.state, func.count().label("number"))
        .outerjoin_from(live, _I, _I.c.digest == live.c.digest)
        .group_by(live.c.cluster, _I.c.state)
    )
    counted: dict[tuple[str, str], int] = {}
    for row in await session.all(wanted):
        key = situation.cluster_name(row.cluster), (row.state or ImageState.PENDING).value
        counted[key] = counted.get(key, 0) + row.number
    return [ImageCount(cluster=name, state=state, images=number) for (name, state), number in sorted(counted.items())]
