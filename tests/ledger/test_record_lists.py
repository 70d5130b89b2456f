"""Deployment records as they are listed, counted, found again and forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import event
from tests.ledger.deployments import changed, content, digest, record, told, unknown
from tests.ledger.world import ON_POSTGRES, ON_SQLITE, NewPlace, at, opened

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.sqlite import SqliteEngine
from fluxtrail.model.deployment import DeploymentStatus, KeptRecord, Place, Told
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.report import Mode, NewReport
from fluxtrail.model.views import RecordView

C1 = ClusterUid("c1")
NAMES = {"c1": "north", "c2": "south"}
STANDING = [None, Told.TOLD, Told.UNKNOWN, Told.REFUSED, Told.SILENT]


async def all_records(ledger: SqlLedger, *, limit: int = 3, **chosen: Any) -> list[RecordView]:
    found: list[RecordView] = []
    cursor: str | None = None
    for _ in range(200):
        page = await ledger.list_deployment_records(limit=limit, cursor=cursor, **chosen)
        assert len(page.items) <= limit
        found += page.items
        if page.next is None:
            return found
        cursor = page.next
    raise AssertionError("the list has no end")


_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "cluster": st.sampled_from(["c1", "c2", "c3"]),
            "namespace": st.sampled_from(["prod", "test"]),
            "digest": st.integers(1, 3),
            "name": st.sampled_from(["ghcr.io/acme/Shop", "ghcr.io/acme/100%_sure"]),
            "status": st.sampled_from(list(DeploymentStatus)),
            "changed": st.integers(0, 3),
            "told": st.sampled_from(STANDING),
            "retry_at": st.none() | st.integers(0, 5),
        }
    ),
    max_size=25,
)
_CHOSEN = st.fixed_dictionaries(
    {},
    optional={
        "cluster": st.sampled_from(["north", "c1", "c3", "nowhere"]),
        "namespace": st.sampled_from(["prod", "none"]),
        "status": st.sampled_from(list(DeploymentStatus)),
        "told": st.sampled_from(list(Told)),
        "text": st.sampled_from(["shop", "%_S", "n1", digest(2)[:20], digest(1)[-9:], "nothing"]),
    },
)
_PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
_GIVEN: dict[str, Any] = {"rows": _ROWS, "chosen": _CHOSEN, "limit": st.integers(1, 7), "moment": st.integers(0, 6)}
Rows = list[dict[str, Any]]


@ON_SQLITE
@pytest.mark.timeout(90)
@settings(max_examples=30, **_PROPERTY)
@given(**_GIVEN)
async def test_questions_are_answered_as_by_looking_at_every_record(
    new_place: NewPlace, rows: Rows, chosen: dict[str, Any], limit: int, moment: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_answers(ledger, rows, chosen, limit, moment)


@ON_POSTGRES
@pytest.mark.timeout(90)
@pytest.mark.requires("postgres")
@settings(max_examples=10, **_PROPERTY)
@given(**_GIVEN)
async def test_questions_are_answered_the_same_by_a_database(
    new_place: NewPlace, rows: Rows, chosen: dict[str, Any], limit: int, moment: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_answers(ledger, rows, chosen, limit, moment)


async def fill(ledger: SqlLedger, rows: Rows) -> list[KeptRecord]:
    async with ledger.unit() as unit:
        for uid, name in NAMES.items():
            await unit.put_cluster(ClusterUid(uid), name, at(0))
        made = await unit.put_deployment_records([_record(number, row) for number, row in enumerate(rows)])
        outcomes = [
            told(one, told=row["told"], retry_at=None if row["retry_at"] is None else at(row["retry_at"]))
            for one, row in zip(made, rows, strict=True)
            if row["told"] is not None
        ]
        await unit.note_told(outcomes)
        return await unit.records_by_id([one.id for one in made])


def _record(number: int, row: dict[str, Any]) -> KeptRecord:
    what = content(row["digest"], name=row["name"], status=row["status"])
    where = Place(row["namespace"], "Deployment", f"n{number}", "app")
    return record(f"n{number}", what, cluster=row["cluster"], place=where, changed_at=at(row["changed"]))


async def _check_answers(ledger: SqlLedger, rows: Rows, chosen: dict[str, Any], limit: int, moment: int) -> None:
    held = await fill(ledger, rows)
    wanted = [one for one in held if _is_chosen(one, chosen)]
    wanted.sort(key=lambda one: (one.changed_at, one.id), reverse=True)
    assert [view.id for view in await all_records(ledger, limit=limit, **chosen)] == [one.id for one in wanted]
    due: dict[tuple[str, str], KeptRecord] = {}
    for one in sorted(held, key=lambda one: (one.retry_at or at(0), one.id)):
        if one.told is Told.UNKNOWN and one.retry_at and one.retry_at <= at(moment):
            due.setdefault((one.cluster, one.content.digest), one)
    assert await ledger.records_due(at(moment), limit=limit) == list(due.values())[:limit]
    told_so = chosen.get("told", Told.UNKNOWN)
    of_digests = [one for one in held if one.content.digest in (digest(1), digest(2)) and one.told is told_so]
    assert await ledger.records_of_digests([digest(2), digest(1), digest(2)], told=told_so) == of_digests
    counted: dict[tuple[str, DeploymentStatus, Told], int] = {}
    for one in held:
        key = one.cluster, one.content.status, one.told
        counted[key] = counted.get(key, 0) + 1
    assert {tuple(row[:3]): row.number for row in await ledger.deployment_record_counts()} == counted


def _is_chosen(one: KeptRecord, chosen: dict[str, Any]) -> bool:
    text = chosen.get("text", "").lower()
    return (
        chosen.get("cluster", one.cluster) in (one.cluster, NAMES.get(one.cluster))
        and chosen.get("namespace", one.place.namespace) == one.place.namespace
        and chosen.get("status", one.content.status) is one.content.status
        and chosen.get("told", one.told) is one.told
        and any(text in part.lower() for part in (one.deployment_name, one.content.name, one.content.digest))
    )


async def test_record_is_shown_with_what_github_holds_and_what_waits(ledger: SqlLedger) -> None:
    gone = content(1, status=DeploymentStatus.DECOMMISSIONED)
    async with ledger.unit() as unit:
        await unit.put_cluster(C1, "north", at(0))
        [made] = await unit.put_deployment_records([record()])
        await unit.note_told([told(made, gone)])
        [kept] = await unit.note_told([unknown(made)])
        report = NewReport(sink="github.records", key=f"c1/{made.deployment_name}", mode=Mode.LATEST, body=b"{}")
        await unit.add_reports([report, replace(report, sink="other"), replace(report, key="c1/x")])
    [claimed] = [
        one
        for one in await ledger.outbox.claim(["github.records"], owner="me", limit=9, lease=at(60) - at(0))
        if one.key == report.key
    ]
    await ledger.outbox.postpone([claimed], until=at(9), answer="503 for now")
    page = await ledger.list_deployment_records()
    assert page.next is None
    assert page.items == [
        RecordView(
            id=made.id,
            cluster="north",
            cluster_uid="c1",
            deployment_name="prod/shop/app",
            namespace="prod",
            kind="Deployment",
            workload="shop",
            container="app",
            name="ghcr.io/acme/shop",
            digest=digest(1),
            version="v1",
            status="deployed",
            runtime_risks=["internet-exposed"],
            tags={"team": "shop", "tier": "1"},
            since=at(0),
            changed_at=at(0),
            told="unknown",
            told_digest=digest(1),
            told_status="decommissioned",
            told_to="acme/prod//c1",
            told_at=at(5),
            tries=1,
            unknown_since=at(0),
            retry_at=at(60),
            answer=kept.answer,
            report="waiting",
            attempts=1,
            report_answer="503 for now",
        )
    ]


async def test_cluster_without_a_name_shows_its_uid_and_nothing_waits(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_deployment_records([record(cluster="c9")])
    [view] = (await ledger.list_deployment_records(cluster="c9")).items
    assert (view.cluster, view.told, view.told_digest, view.report, view.attempts) == ("c9", "pending", None, None, 0)


@pytest.mark.parametrize(
    ("chosen", "subject"), [({"status": "gone"}, "status"), ({"told": "maybe"}, "told"), ({"cursor": "%"}, "cursor")]
)
async def test_question_that_cannot_be_answered_names_its_field(
    ledger: SqlLedger, chosen: dict[str, str], subject: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await ledger.list_deployment_records(**chosen)  # type: ignore[arg-type]
    assert caught.value.subject == subject


async def test_due_are_the_longest_due_of_each_digest_on_each_cluster(ledger: SqlLedger) -> None:
    given = [
        (record("late", content(1)), 5),
        (record("early", content(1)), 2),
        (record("same", content(1), cluster="c2"), 4),
        (record("other", content(2)), 1),
        (record("young", content(3)), 9),
        (record("never", content(4)), None),
    ]
    async with ledger.unit() as unit:
        made = await unit.put_deployment_records([one for one, _ in given])
        due_at = [None if seconds is None else at(seconds) for _, seconds in given]
        await unit.note_told([unknown(one, retry_at=when) for one, when in zip(made, due_at, strict=True)])
    due = await ledger.records_due(at(5), limit=9)
    assert [one.place.workload for one in due] == ["other", "early", "same"]
    assert await ledger.records_due(at(5), limit=2) == due[:2]
    assert await ledger.records_due(at(0), limit=9) == []


async def test_what_github_holds_under_another_destination_is_found_page_by_page(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        made = await unit.put_deployment_records([*(record(f"n{n}") for n in range(5)), record(cluster="c2")])
        here, *elsewhere = made[1:]
        await unit.note_told([told(here, told_to="here"), *(told(one, told_to="there") for one in elsewhere)])
        # It is to be told anew, and is still held elsewhere.
        await unit.put_deployment_records([changed(made[4], content(2))])
        there = await unit.records_by_id([one.id for one in made[2:5]])
    assert await ledger.records_told_elsewhere(C1, "here", limit=9) == there
    assert await ledger.records_told_elsewhere(C1, "here", limit=2) == there[:2]
    assert await ledger.records_told_elsewhere(C1, "here", limit=2, after=there[1].deployment_name) == there[2:]
    assert [one.deployment_name for one in await ledger.records_told_elsewhere(C1, "there", limit=9)] == ["prod/n1/app"]


_PLANS: list[tuple[str, Callable[[SqlLedger], Awaitable[object]]]] = [
    ("INDEX ix_deployment_records_changed_at_id", lambda ledger: ledger.list_deployment_records()),
    ("INDEX ix_deployment_records_cluster_changed_at_id", lambda ledger: ledger.list_deployment_records(cluster="c1")),
    ("INDEX ix_deployment_records_untold", lambda ledger: ledger.list_deployment_records(told="refused")),
    ("INDEX ix_deployment_records_gone", lambda ledger: ledger.list_deployment_records(status="decommissioned")),
    ("SCAN deployment_records | USE TEMP", lambda ledger: ledger.list_deployment_records(text="x", cluster="c1")),
    ("SCAN deployment_records | USE TEMP", lambda ledger: ledger.list_deployment_records(namespace="x")),
    ("INDEX ix_deployment_records_unknown", lambda ledger: ledger.records_due(at(0), limit=1)),
    ("INDEX ix_deployment_records_digest_told", lambda ledger: ledger.records_of_digests(["x"], told=Told.UNKNOWN)),
    ("COVERING INDEX ix_deployment_records_cluster_status_told", lambda ledger: ledger.deployment_record_counts()),
    ("INDEX uq_deployment_records", lambda ledger: ledger.records_told_elsewhere(C1, "x", limit=1)),
]


@ON_SQLITE
@pytest.mark.parametrize(("way", "ask"), _PLANS)
async def test_question_takes_its_index(
    ledger: SqlLedger, way: str, ask: Callable[[SqlLedger], Awaitable[object]]
) -> None:
    asked: list[tuple[str, Any]] = []
    assert isinstance(ledger._engine, SqliteEngine)

    @event.listens_for(ledger._engine._readers.sync_engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> None:
        if "FROM deployment_records" in statement:
            asked.append((statement, parameters))

    await ask(ledger)
    [(statement, parameters)] = asked
    with closing(sqlite3.connect(ledger.path)) as plain:
        steps = plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    assert way in " | ".join(step[3] for step in steps).replace("sqlite_autoindex_", "uq_")


# retention


@ON_SQLITE
@pytest.mark.timeout(90)
@settings(max_examples=25, **_PROPERTY)
@given(rows=_ROWS, limit=st.integers(1, 4), bound=st.integers(0, 4))
async def test_retention_takes_records_of_what_is_gone_and_was_told(
    new_place: NewPlace, rows: Rows, limit: int, bound: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_retention(ledger, rows, limit, bound)


@ON_POSTGRES
@pytest.mark.requires("postgres")
@settings(max_examples=8, **_PROPERTY)
@given(rows=_ROWS, limit=st.integers(1, 4), bound=st.integers(0, 4))
async def test_retention_takes_the_same_records_from_a_database(
    new_place: NewPlace, rows: Rows, limit: int, bound: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_retention(ledger, rows, limit, bound)


async def _check_retention(ledger: SqlLedger, rows: Rows, limit: int, bound: int) -> None:
    held = await fill(ledger, rows)
    over = [one for one in held if _is_over(one) and one.changed_at < at(bound)]
    taken, is_complete = 0, False
    while not is_complete:
        async with ledger.unit() as unit:
            pruned = await unit.prune(at(bound), limit=limit)
        assert pruned.records <= limit
        taken, is_complete = taken + pruned.records, pruned.is_complete
    async with ledger.unit() as unit:
        left = await unit.records_by_id([one.id for one in held])
    assert left == [one for one in held if one not in over]
    assert taken == len(over)


def _is_over(one: KeptRecord) -> bool:
    has_nothing_to_tell = one.told in (Told.TOLD, Told.SILENT, Told.REFUSED) or (
        one.told is Told.UNKNOWN and one.retry_at is None
    )
    return one.content.status is DeploymentStatus.DECOMMISSIONED and has_nothing_to_tell


@ON_SQLITE
async def test_backup_has_the_records(ledger: SqlLedger, tmp_path: Path) -> None:
    async with ledger.unit() as unit:
        made = await unit.put_deployment_records([record()])
    await ledger.backup(tmp_path / "copy.sqlite")
    async with opened(tmp_path / "copy.sqlite") as copy, copy.unit() as unit:
        assert await unit.deployment_records(C1) == made
