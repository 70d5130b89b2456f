"""Lists as CSV."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from tests.web.conftest import Ask
from tests.web.worlds import ON_ITS_WAY, World

from fluxtrail.web.app import describe


def read(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


async def test_list_of_commits_as_csv(ask: Ask) -> None:
    answer = await ask("api", "/api/v1/commits?format=csv&limit=1&repository=github.com/acme/shop")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="commits.csv"'
    [row] = read(answer.body)
    assert (row["sha"], row["merged"], row["verdicts.pending"]) == (ON_ITS_WAY, "2026-11-20T10:00:00Z", "2")
    link = answer.headers["link"]
    assert link.endswith('>; rel="next"')
    behind = await ask("api", link[1 : link.index(">")])
    assert read(behind.body)[0]["sha"] != ON_ITS_WAY


LISTS = "board clusters commits deliveries images lead-times records reports routes targets transitions workloads"


@pytest.mark.parametrize("path", LISTS.split())
async def test_every_list_has_this_form(ask: Ask, path: str) -> None:
    whole = await ask("api", f"/api/v1/{path}")
    table = await ask("api", f"/api/v1/{path}?format=csv")
    assert table.status == 200
    assert len(read(table.body)) == len(whole.json["items"])
    assert (await ask("api", f"/api/v1/{path}?format=json")).json == whole.json


async def test_board_as_csv_has_a_column_for_each_of_its_own(ask: Ask) -> None:
    rows = read((await ask("api", "/api/v1/board?format=csv")).body)
    assert {row["sha"]: row["at staging"] for row in rows}[ON_ITS_WAY] == "pending"


@pytest.mark.parametrize("subject", ['=HYPERLINK("http://evil")', "+1", "-1", "@SUM(A1)", "\t=1"])
async def test_text_of_a_commit_is_no_formula(ask: Ask, world: World, subject: str) -> None:
    trail = world.trails[ON_ITS_WAY]
    world.trails[ON_ITS_WAY] = msgspec.structs.replace(
        trail, commit=msgspec.structs.replace(trail.commit, subject=subject)
    )
    rows = read((await ask("api", "/api/v1/commits?format=csv")).body)
    assert rows[0]["subject"] == f"'{subject}"


async def test_other_forms_and_forms_of_what_is_no_list_are_refused(ask: Ask) -> None:
    wrong = await ask("api", "/api/v1/commits?format=xml")
    assert wrong.status == 400
    assert wrong.json["errors"][0]["message"] == "use one of json, csv"
    assert (await ask("api", f"/api/v1/commits/{ON_ITS_WAY}?format=csv")).status == 400


def test_lists_are_described_with_it() -> None:
    paths = msgspec.json.decode(describe())["paths"]
    named = {
        path for path, on in paths.items() for one in on.get("get", {}).get("parameters", ()) if one["name"] == "format"
    }
    assert {"/api/v1/commits", "/api/v1/board", "/api/v1/routes"} <= named
    assert "/api/v1/status" not in named
