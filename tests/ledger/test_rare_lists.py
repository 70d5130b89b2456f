"""Lists narrowed to what is rare, or to what no index knows: each row once, whatever one page goes through."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from tests.ledger.deployments import digest
from tests.ledger.running import image, run
from tests.ledger.world import ON_SQLITE, World, at, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.queries import commit_walks, deliveries, images
from fluxtrail.ledger.sqlite import SqliteEngine
from fluxtrail.model.image_records import ImageState
from fluxtrail.model.verdict import Verdict

NOW = at(10_000)
SETTLE = timedelta(hours=1)
COMMITS = 12


async def fill(ledger: SqlLedger) -> None:
    """Twelve commits, deployed on `north`; the first and the fifth failed on `south`, where the others did not go."""
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        commits = await world.commits(shop, range(1, COMMITS + 1))
        north = await world.target(shop, "north")
        south = await world.target(shop, "south", cluster="c2")
        for number, commit in enumerate(commits, start=1):
            await world.delivery(commit, north)
            if number in (1, 5):
                await world.delivery(commit, south, Verdict.FAILED)


async def pages(ask: Callable[[str | None], Awaitable[Any]]) -> list[list[Any]]:
    found: list[list[Any]] = []
    cursor: str | None = None
    for _ in range(100):
        page = await ask(cursor)
        found.append(page.items)
        cursor = page.next
        if cursor is None:
            return found
    raise AssertionError("the list has no end")


async def commits(ledger: SqlLedger, **chosen: Any) -> list[list[str]]:
    found = await pages(lambda cursor: ledger.list_commits(now=NOW, limit=3, cursor=cursor, **chosen))
    return [[view.sha for view in page] for page in found]


async def test_rare_verdict_is_found_at_once_however_old_it_is(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_walks, "LOOKED_AT", 2)
    await fill(ledger)
    assert await commits(ledger, verdict="failed") == [[sha(5), sha(1)]]
    assert await commits(ledger, verdict="failed", repository="acme/shop", carriers=False) == [[sha(5), sha(1)]]
    assert await commits(ledger, verdict="failed", repository="acme/nothing") == [[]]
    assert await commits(ledger, verdict="lost") == [[]]


@pytest.mark.parametrize("looked_at", [1, 2, 5, 100])
async def test_what_is_not_rare_is_gone_through_and_pages_come_short(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(commit_walks, "LOOKED_AT", looked_at)
    monkeypatch.setattr(commit_walks, "FEW", 1)
    await fill(ledger)
    everything = [sha(number) for number in range(COMMITS, 0, -1)]
    for chosen, wanted in (
        ({"verdict": "failed"}, [sha(5), sha(1)]),
        ({"verdict": "deployed"}, everything),
        ({"author": "nobody"}, []),
        ({"branch": "main"}, everything),
        ({"verdict": "failed", "since": at(0)}, [sha(5), sha(1)]),
    ):
        found = await commits(ledger, **chosen)
        assert [one for page in found for one in page] == wanted
        assert len(found) >= COMMITS // max(looked_at, 3)


@pytest.mark.parametrize("looked_at", [1, 2, 100])
async def test_repository_and_target_together_show_each_delivery_once(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(deliveries, "LOOKED_AT", looked_at)
    await fill(ledger)
    for chosen, wanted in (
        ({"target": "south"}, [(sha(5), "failed"), (sha(1), "failed")]),
        ({"target": "north", "verdict": "failed"}, []),
        ({"target": "north"}, [(sha(number), "deployed") for number in range(COMMITS, 0, -1)]),
    ):
        found = await pages(
            lambda cursor, chosen=chosen: ledger.list_deliveries(  # type: ignore[misc]
                now=NOW, settle_after=SETTLE, limit=4, cursor=cursor, repository="acme/shop", **chosen
            )
        )
        assert [(view.sha, view.verdict) for page in found for view in page] == wanted


async def images_of(ledger: SqlLedger, **chosen: Any) -> list[str]:
    found = await pages(lambda cursor: ledger.list_images(limit=2, cursor=cursor, **chosen))
    return [view.digest for page in found for view in page]


@pytest.mark.parametrize("looked_at", [1, 2, 100])
async def test_text_of_an_image_is_looked_for_in_all_of_them(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(images, "LOOKED_AT", looked_at)
    async with ledger.unit() as unit:
        await unit.put_images([image(n, state=ImageState.KNOWN, revision=sha(n)) for n in range(1, 8)])
        tag = "ghcr.io/acme/shop:v1.%d"
        await unit.put_image_runs([run(n, f"w{n}", since=at(n), image=tag % (n % 3)) for n in range(1, 8)])
    assert await images_of(ledger, text="shop:V1.0") == [digest(6), digest(3)]
    assert await images_of(ledger, text="nothing") == []
    assert await images_of(ledger, text=digest(4)) == [digest(4)]
    assert await images_of(ledger, text=digest(4).removeprefix("sha256:")) == [digest(4)]
    assert await images_of(ledger, text=digest(4)[:20]) == [digest(n) for n in range(7, 0, -1)]
    assert await images_of(ledger, revision=sha(4), text="v1.1") == [digest(4)]
    assert await images_of(ledger, revision=sha(4), text="v1.2") == []


def _commits(**chosen: Any) -> Callable[[SqlLedger], Awaitable[object]]:
    return lambda ledger: ledger.list_commits(now=NOW, **chosen)


def _deliveries(**chosen: Any) -> Callable[[SqlLedger], Awaitable[object]]:
    return lambda ledger: ledger.list_deliveries(now=NOW, settle_after=SETTLE, **chosen)


def _images(**chosen: Any) -> Callable[[SqlLedger], Awaitable[object]]:
    return lambda ledger: ledger.list_images(**chosen)


def _runs(**chosen: Any) -> Callable[[SqlLedger], Awaitable[object]]:
    return lambda ledger: ledger.list_ci_runs(**chosen)


_BY_REPOSITORY = "ix_deliveries_repository_list (repository_id=? AND verdict=?"
_PLANS: list[tuple[str, str, Callable[[SqlLedger], Awaitable[object]]]] = [
    ("few", "SEARCH commits USING INTEGER PRIMARY KEY", _commits(verdict="failed")),
    ("few", "INDEX ix_deliveries_list (verdict=?)", _commits(verdict="failed")),
    ("few", _BY_REPOSITORY, _commits(verdict="failed", repository="acme/shop")),
    ("AS looked_at", "SCAN commits USING INDEX ix_commits_at_id", _commits(author="ada")),
    (
        "AS looked_at",
        "INDEX ix_commits_repository_id_at_id (repository_id=?",
        _commits(author="ada", repository="acme/shop"),
    ),
    ("WITH among", f"COVERING INDEX {_BY_REPOSITORY}", _deliveries(repository="acme/shop", target="north")),
    ("FROM images", "INDEX ix_images_revision (revision=?", _images(revision=sha(1))),
    ("FROM images", "SEARCH images USING INDEX ix_images_list (is_running=?", _images(cluster="c1")),
    ("FROM images", "SEARCH images USING INDEX ix_images_state (state=?", _images(state="absent")),
    ("SELECT ci_runs", "INDEX ix_ci_runs_state_at_id (state=?", _runs(state="running")),
    ("SELECT ci_runs", "INDEX ix_ci_runs_role_at_id (role=?", _runs(role="export")),
    ("SELECT ci_runs", "INDEX ix_ci_runs_system_at_id (system=?", _runs(system="gitlab_ci")),
    ("SELECT ci_runs", "INDEX ix_ci_runs_repository_at_id (repository=?", _runs(repository="acme/shop")),
    ("RECURSIVE", "SEARCH ci_runs USING COVERING INDEX ix_ci_runs_repository_at_id", _runs(repository="acme/shop")),
    ("AS looked_at", "INDEX ix_images_list", _images(text="shop")),
]


@ON_SQLITE
@pytest.mark.parametrize(("part", "way", "ask"), _PLANS, ids=[str(n) for n in range(len(_PLANS))])
async def test_narrowed_list_takes_its_index(
    ledger: SqlLedger, part: str, way: str, ask: Callable[[SqlLedger], Awaitable[object]]
) -> None:
    await fill(ledger)
    asked: list[tuple[str, Any]] = []
    assert isinstance(ledger._engine, SqliteEngine)

    @event.listens_for(ledger._engine._readers.sync_engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> None:
        if part in " ".join(statement.split()):
            asked.append((statement, parameters))

    await ask(ledger)
    assert asked
    plans = []
    with closing(sqlite3.connect(ledger.path)) as plain:
        for statement, parameters in asked:
            steps = plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.append(" | ".join(step[3] for step in steps))
    assert way in "\n".join(plans)
