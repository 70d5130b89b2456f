"""Images as they are listed, found and counted.

An index and the manifests of its platforms are one image: listed under the index (their *head*, see `units/images.py`),
and found by any of their digests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Row,
    Select,
    and_,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

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
LOOKED_AT = 1000
"""So many heads are gone through for one page of those that hold a text: mostly all that run are among them."""
UNMISTAKABLE = 7
"""Digits of a digest that are no part of a name, where there is such a digest."""

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
    """Return heads: those that run, then those that ran, what began last first.

    A text that no index knows is looked for in so many of them; then the page comes short, with a cursor.
    """
    limit = bounded(limit)
    after = None if cursor is None else read_cursor(cursor, tuple[bool, int, str])
    heads = await _meant(session, chosen)
    conditions = [_IS_LISTED, *_conditions(situation, chosen), *_behind(after)]
    if heads is not None:
        if chosen.revision is not None and chosen.text is not None:
            conditions.append(_holds(chosen.text.strip().lower(), _I.c))
        found = await session.all(_looked_up(heads, conditions).limit(limit + 1))
    elif chosen.text is None:
        found = await session.all(select(_I).where(*conditions).order_by(*_ORDER).limit(limit + 1))
    else:
        found, last = await _walk(session, conditions, chosen.text.strip().lower(), limit + 1)
        if last is not None and len(found) <= limit:
            return Page(items=await ImageRenderer(session, situation).heads(found), next=_cursor(last))
    shown = found[:limit]
    following = _cursor(shown[-1]) if len(found) > limit else None
    return Page(items=await ImageRenderer(session, situation).heads(shown), next=following)


def _behind(after: tuple[bool, int, str] | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    is_running, micros, digest = after
    last = tuple_(literal(is_running, Boolean()), literal(from_micros(micros), Instant()), digest)
    return [tuple_(_I.c.is_running, _I.c.listed_at, _I.c.digest) < last]


def _cursor(row: Row[Any]) -> str:
    return write_cursor((row.is_running, to_micros(row.listed_at), row.digest))


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
        # Those that run come first: the others need not be looked at.
        conditions += [_I.c.is_running.is_(True), func.coalesce(_I.c.digest, "").in_(running)]
    return conditions


async def _meant(session: Session, chosen: ImageFilter) -> Select[Any] | None:
    """Return the heads that a revision or a digest can only mean, None where it is neither."""
    if chosen.revision is not None:
        # Of an index only its platforms' manifests may say it; the index on `revision` is a partial one.
        return select(_I.c.head).where(_I.c.revision == chosen.revision, _I.c.revision.is_not(None))
    matched = _DIGEST.fullmatch(chosen.text.strip().lower()) if chosen.text is not None else None
    if matched is None:
        return None
    heads = select(_I.c.head).where(*_begins(_I.c.digest, matched["hex"]))
    is_one = "sha256:" in (chosen.text or "") or (
        len(matched["hex"]) >= UNMISTAKABLE and await session.first(heads.limit(1)) is not None
    )
    return heads if is_one else None


def _looked_up(heads: Select[Any], conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Look few heads up and sort them, and do not go through all images in their order."""
    listed_at = type_coerce(_I.c.listed_at + literal_column("0"), Instant())
    wanted = select(_I).where(_I.c.digest.in_(heads), *conditions)
    return wanted.order_by(_I.c.is_running.desc(), listed_at.desc(), _I.c.digest.desc())


async def _walk(
    session: Session, conditions: Sequence[ColumnElement[bool]], text: str, limit: int
) -> tuple[Sequence[Row[Any]], Row[Any] | None]:
    """Return what is like that among the first heads, and the last of those; None where there are no more."""
    looked_at = select(_I).where(*conditions).order_by(*_ORDER)
    inner = looked_at.limit(LOOKED_AT).subquery("looked_at")
    wanted = select(inner).where(_holds(text, inner.c))
    order = (inner.c.is_running.desc(), inner.c.listed_at.desc(), inner.c.digest.desc())
    found = await session.all(wanted.order_by(*order).limit(limit))
    keys = (_I.c.digest, _I.c.is_running, _I.c.listed_at)
    return found, await session.first(looked_at.with_only_columns(*keys).offset(LOOKED_AT - 1).limit(1))


def _holds(part: str, of: ReadOnlyColumnCollection[str, Any]) -> ColumnElement[bool]:
    ran = select(literal(1)).select_from(_R).where(_R.c.head == of.digest)
    ran = ran.where(func.lower(_R.c.image).contains(part, autoescape=True)).limit(1)
    ways = [
        func.lower(of.repository).contains(part, autoescape=True),
        ran.correlate_except(_R).scalar_subquery().is_not(None),
    ]
    matched = _DIGEST.fullmatch(part)
    if matched:
        member = schema.images.alias("member")
        ways.append(of.digest.in_(select(member.c.head).where(*_begins(member.c.digest, matched["hex"]))))
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
