"""A unit's images: what each digest was built from, and where it runs.

An index and the manifests of its platforms are one image to people: one node says the one, another the other. Each row
knows under which digest it is listed (`head`), and a head whether and since when it runs, so that no list has to look
through all runs. Both follow from the rows and are set again with every write, whichever row came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.dialect import Dialect, Upsert
from fluxtrail.ledger.running_rows import IMAGE_COLUMNS, RUN_COLUMNS, image_of, run_of
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.image_records import ImageRecord, ImageRun, ImageState
from fluxtrail.model.observation import ClusterUid

_I, _R = schema.images, schema.image_runs
_INDEX = schema.images.alias("index_of")
_PLACE = ("cluster", "workload", "namespace", "kind", "container", "digest")

_Place = tuple[str, ...]

_BY_DIGEST = select(*IMAGE_COLUMNS).where(_I.c.digest.in_(bindparam("digests", expanding=True)))
_IS_LIVE: ColumnElement[bool] = literal_column("image_runs.until IS NULL")
_IS_DUE: ColumnElement[bool] = literal_column(f"({schema.DUE})")
_DUE = (
    select(*IMAGE_COLUMNS)
    .where(_IS_DUE, or_(_I.c.retry_at.is_(None), _I.c.retry_at <= bindparam("now")))
    .order_by(_I.c.retry_at.is_not(None), _I.c.retry_at, _I.c.digest)
    .limit(bindparam("limit_"))
)
_LIVE = (
    select(_R.c.id, *RUN_COLUMNS)
    .where(_R.c.cluster == bindparam("cluster_"), _IS_LIVE, _R.c.id > bindparam("after"))
    .order_by(_R.c.id)
    .limit(bindparam("limit_"))
)
_LIVE_OF = select(_R.c.id, *RUN_COLUMNS).where(
    _R.c.cluster == bindparam("cluster_"), _IS_LIVE, _R.c.workload.in_(bindparam("names", expanding=True))
)
_AT = (
    select(*RUN_COLUMNS)
    .where(_R.c.cluster == bindparam("cluster_"), _R.c.workload == bindparam("workload_"))
    .where(_R.c.namespace == bindparam("namespace_"), _R.c.kind == bindparam("kind_"))
    .order_by(_R.c.since.desc(), _R.c.id.desc())
    .limit(bindparam("limit_"))
)
_INSERT_RUN = insert(_R)
_UPDATE_RUN = (
    update(_R)
    .where(_R.c.id == bindparam("id_"))
    .values(image=bindparam("image"), since=bindparam("since"), until=bindparam("until"))
)
_GIVEN: BindParameter[Sequence[str]] = bindparam("digests", expanding=True)
_CONCERNED = or_(_I.c.digest.in_(_GIVEN), _I.c.index_digest.in_(_GIVEN))
_SET_HEADS = (
    update(_I)
    .where(_CONCERNED)
    .values(
        head=case(
            (exists().where(_INDEX.c.digest == _I.c.index_digest).correlate(_I), _I.c.index_digest), else_=_I.c.digest
        )
    )
)
_HEAD_OF_RUN = select(_I.c.head).where(_I.c.digest == _R.c.digest).scalar_subquery()
_SET_RUN_HEADS = (
    update(_R)
    .where(_R.c.digest.in_(select(_I.c.digest).where(_CONCERNED)), _R.c.head != _HEAD_OF_RUN)
    .values(head=_HEAD_OF_RUN)
)
_NEWEST = select(func.max(_R.c.since)).where(_R.c.head == _I.c.digest).scalar_subquery()
_RUNS_NOW = exists().where(_R.c.head == _I.c.digest, _R.c.until.is_(None))
_SET_LISTED = (
    update(_I)
    .where(or_(_CONCERNED, _I.c.digest.in_(select(_INDEX.c.head).where(_INDEX.c.digest.in_(_GIVEN)))))
    .values(listed_at=_NEWEST, is_running=_RUNS_NOW)
)
_BATCH = 2000


class ImagePart(UnitPart):
    async def put_images(self, records: Sequence[ImageRecord]) -> None:
        """Insert or replace by digest."""
        now = self._now()
        stated = {
            record.digest: rows.values_of(record) | {"head": record.digest, "is_running": False, "noted_at": now}
            for record in records
        }
        left = await self._heads(list(stated))  # an image that is of another index now, or of none, leaves its head
        await self._session.run(_put_image(self._session.dialect), [stated[digest] for digest in sorted(stated)])
        await self._relate({*stated, *left.values()})

    async def images(self, digests: Sequence[str]) -> dict[str, ImageRecord]:
        """Return what is known of digests, by digest."""
        found: dict[str, ImageRecord] = {}
        for chunk in chunks(list(dict.fromkeys(digests))):
            found.update((row.digest, image_of(row)) for row in await self._session.all(_BY_DIGEST, {"digests": chunk}))
        return found

    async def images_due(self, now: datetime, limit: int) -> list[ImageRecord]:
        """Return images to ask a registry about: those never asked first, then the longest due."""
        return [image_of(row) for row in await self._session.all(_DUE, {"now": now, "limit_": limit})]

    async def images_in_state(self, state: ImageState, limit: int) -> list[ImageRecord]:
        """Return some that stand so, by digest."""
        wanted = select(*IMAGE_COLUMNS).where(_I.c.state == state).order_by(_I.c.digest).limit(limit)
        return [image_of(row) for row in await self._session.all(wanted)]

    async def put_image_runs(self, records: Sequence[ImageRun]) -> None:
        """Begin, correct or end runs, in this order.

        A place (cluster, workload, container) has one open run of a digest. A record without `until` begins it, or
        says anew when it began; one with `until` ends it, and nothing happens where none is open.
        """
        held = await self._open_runs(records)
        changed: list[_Run] = []
        for record in records:
            place = tuple(getattr(record, name) for name in _PLACE)
            run = held.get(place)
            if run is None and record.until is None:
                run = held[place] = _Run(0)
            if run is None:
                continue
            run.record = record
            changed.append(run)
            if record.until is not None:
                del held[place]
        written = list({id(run): run for run in changed}.values())
        heads = await self._heads([run.record.digest for run in written if run.record])
        fresh = [
            rows.values_of(run.record) | {"head": heads.get(run.record.digest, run.record.digest)}
            for run in written
            if run.record and not run.id
        ]
        # What ends goes first: its place may be taken again in the same batch.
        known = sorted((run for run in written if run.id), key=lambda run: run.id)
        await self._session.run(_UPDATE_RUN, [_changes(run) for run in known])
        await self._session.run(_INSERT_RUN, fresh)
        await self._relate(dict.fromkeys(run.record.digest for run in written if run.record))

    async def image_runs(self, cluster: ClusterUid) -> list[ImageRun]:
        """Return what runs on a cluster now; read in batches."""
        found: list[ImageRun] = []
        after = 0
        while True:
            batch = await self._session.all(_LIVE, {"cluster_": cluster, "after": after, "limit_": _BATCH})
            found += map(run_of, batch)
            if len(batch) < _BATCH:
                return found
            after = batch[-1].id

    async def image_runs_at(
        self, cluster: ClusterUid, namespace: str, kind: str, workload: str, limit: int
    ) -> list[ImageRun]:
        """Return what a workload's containers run and ran, newest first."""
        place = {"cluster_": cluster, "namespace_": namespace, "kind_": kind, "workload_": workload}
        return [run_of(row) for row in await self._session.all(_AT, place | {"limit_": limit})]

    async def _open_runs(self, records: Sequence[ImageRun]) -> dict[_Place, _Run]:
        names: dict[ClusterUid, dict[str, None]] = {}
        for record in records:
            names.setdefault(record.cluster, {})[record.workload] = None
        held: dict[_Place, _Run] = {}
        for cluster, wanted in names.items():
            for chunk in chunks(list(wanted)):
                for row in await self._session.all(_LIVE_OF, {"cluster_": cluster, "names": chunk}):
                    held[tuple(getattr(row, name) for name in _PLACE)] = _Run(row.id)
        return held

    async def _heads(self, digests: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for chunk in chunks(sorted(set(digests))):
            wanted = select(_I.c.digest, _I.c.head).where(_I.c.digest.in_(chunk))
            found.update((row.digest, row.head) for row in await self._session.all(wanted))
        return found

    async def _relate(self, digests: Iterable[str]) -> None:
        """Set what follows for these digests, their indexes and their platforms."""
        given = sorted(digests)
        for statement in (_SET_HEADS, _SET_RUN_HEADS, _SET_LISTED):
            for chunk in chunks(given):
                await self._session.run(statement, {"digests": chunk})


class _Run:
    """An open run: of the ledger, or about to be (id 0), and what is to be kept of it."""

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.record: ImageRun | None = None


def _changes(run: _Run) -> rows.Values:
    record = run.record
    assert record is not None
    return {"id_": run.id, "image": record.image, "since": record.since, "until": record.until}


@cache
def _put_image(dialect: Dialect) -> Upsert:
    statement = dialect.upsert(_I)
    replaced = [name for name in ImageRecord.__struct_fields__ if name != "digest"]
    return statement.on_conflict_do_update(
        index_elements=["digest"], set_={name: statement.excluded[name] for name in replaced}
    )
