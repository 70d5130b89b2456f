"""Spektate's four paths over the real ledger, as its clients ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from tests.ledger.world import NOON, at, fresh_place, moment
from tests.ledger.world import World as Records
from tests.ledger.world import sha as sha_of
from tests.model.ci import run
from tests.web.worlds import World

from fluxtrail import __version__
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import CiRole, CiState
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import ExportRecord, TargetRecord
from fluxtrail.model.verdict import Verdict
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.stated import StatedRuns
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

STEP = 16
"""So that commits differ in their first seven digits."""
TOKEN = "a-secret-of-enough-characters"


def sha(number: int) -> str:
    return sha_of(number * STEP)


def numbered(first: int, last: int) -> range:
    return range(first * STEP, last * STEP + 1, STEP)


class Clock:
    def now(self) -> datetime:
        return NOON + timedelta(hours=1)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        del seconds


@dataclass
class Place:
    ledger: SqlLedger
    get: Callable[..., Awaitable[tuple[int, Any]]]
    target: TargetRecord | None = None


@pytest.fixture
async def place(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    given: dict[str, Any] = getattr(request, "param", {})
    clock, world = Clock(), World()
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=clock)
    keeper = StatedRuns(FoldedLedger(ledger), clock)
    app = create_app(answers=ledger, report=world, now=clock.now, ci=keeper, **given)
    async with (
        WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server,
        aiohttp.ClientSession() as session,
    ):

        async def get(path: str, **headers: str) -> tuple[int, Any]:
            async with session.get(f"{server.addresses['api'].url}{path}", headers=headers) as response:
                return response.status, await response.json(content_type=None)

        yield Place(ledger, get)
    await ledger.close()


async def fill(place: Place) -> None:
    """Three source commits; the first two exported, by one commit each; the first export applied in `alaska`."""
    async with place.ledger.unit() as unit:
        world = Records(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        sources = await world.commits(shop, numbered(1, 3))
        exports = await world.commits(manifests, numbered(101, 102), is_carrier=True)
        for source, export in zip(sources, exports, strict=False):
            await unit.put_exports([ExportRecord(carrier_id=export.id, source_id=source.id, stated_at=None)])
        await unit.put_cluster(ClusterUid("c1"), "alaska", NOON)
        await world.source(manifests)
        target = await world.target(manifests, applied=f"main@sha1:{sha(101)}")
        sync = await world.sync(
            target, 101 * STEP, applied=moment(200), reason="ReconciliationSucceeded", message="done"
        )
        place.target = await unit.put_target(replace(target, sync_id=sync.id))
        await world.delivery(exports[0], target, Verdict.DEPLOYED, applied_sync=sync.id)
        await world.delivery(exports[1], target, Verdict.PENDING)
        states = (CiState.SUCCEEDED, CiState.SUCCEEDED, CiState.FAILED)
        await unit.put_ci_runs(
            [
                run(str(n), sha=sha(n), queued_at=at(n), finished_at=at(n + 60), updated_at=at(n + 60), state=state)
                for n, state in enumerate(states, start=1)
            ]
        )


async def rows(place: Place, query: str = "") -> list[dict[str, Any]]:
    status, answer = await place.get(f"/api/deployments{query}")
    assert status == 200, answer
    found: list[dict[str, Any]] = answer["deployments"]
    return found


async def test_rows_and_clusters_are_made_from_the_ledger(place: Place) -> None:
    await fill(place)
    found = await rows(place)
    assert [(row["commitId"], row["status"]) for row in found] == [
        (sha(3)[:7], "failed"),
        (sha(2)[:7], "Complete"),
        (sha(1)[:7], "Complete"),
    ]
    assert [row["manifestCommitId"] for row in found] == ["", sha(102)[:7], sha(101)[:7]]
    assert found[2]["author"]["name"] == "Ada"
    sync = (await place.get("/api/deployments"))[1]["clusterSync"]
    assert sync["tags"] == [
        {
            "commit": sha(101)[:7], "date": "2026-03-01T12:03:20.000Z", "tagger": "Flux", "name": "ALASKA",
            "message": "applied by 1 of alaska's targets",
        }
    ]  # fmt: skip


async def test_the_clusters_are_those_of_now(place: Place) -> None:
    """D.7.1: a sync after the last change of a row was never shown."""
    await fill(place)
    before = await rows(place)
    assert place.target is not None
    async with place.ledger.unit() as unit:
        applied = {"applied": f"main@sha1:{sha(102)}", "applied_sha": sha(102)}
        sync = await Records(unit).sync(place.target, 102 * STEP, applied=moment(300))
        await unit.put_target(replace(place.target, sync_id=sync.id, **applied))
    answer = (await place.get("/api/deployments"))[1]
    assert [tag["commit"] for tag in answer["clusterSync"]["tags"]] == [sha(102)[:7]]
    assert [row["deploymentId"] for row in answer["deployments"]] == [row["deploymentId"] for row in before]


async def test_more_rows_than_a_table_page_are_there(place: Place) -> None:
    """D.7.5: the first thousand rows of a table, in whatever order, were all."""
    async with place.ledger.unit() as unit:
        world = Records(unit)
        shop = await world.repository()
        await world.commits(shop, numbered(1, 1101))
        await unit.put_ci_runs([run(str(n), sha=sha(n), updated_at=at(n)) for n in range(1, 1102)])
    assert len(await rows(place)) == 100
    found = await rows(place, "?limit=1000")
    assert len(found) == 1000
    assert found[0]["commitId"] == sha(1101)[:7], "the newest, not the first in the table"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("?keyword=FAILED", [3]),
        (f"?keyword={sha(2)[:7]}", [2]),
        ("?service=shop", [3, 2, 1]),
        ("?service=other", []),
        ("?service=other&service=shop", [3, 2, 1]),
        ("?author=Ada&limit=2", [3, 2]),
        ("?author=Bob", []),
        ("?env=alaska", [2, 1]),
        ("?type=Bedrock+Deployments", [3, 2, 1]),
        ("?type=Manual+HLD+Edits", []),
        ("?limit=50&refresh=30&type=Bedrock+Deployments", [3, 2, 1]),
    ],
)
async def test_the_filters_of_the_front_end_are_understood(place: Place, query: str, numbers: list[int]) -> None:
    await fill(place)
    assert [row["commitId"] for row in await rows(place, query)] == [sha(number)[:7] for number in numbers]


@pytest.mark.parametrize("query", ["?type=All", "?limit=0", "?limit=1001", "?ring=dev"])
async def test_another_filter_is_refused(place: Place, query: str) -> None:
    status, answer = await place.get(f"/api/deployments{query}")
    assert status == 400
    assert answer["errors"][0]["parameter"] in query


async def test_an_empty_ledger_has_no_rows(place: Place) -> None:
    assert await place.get("/api/deployments") == (
        200,
        {"deployments": [], "clusterSync": {"releasesURL": "/clusters", "tags": []}},
    )
    assert await place.get("/api/flux") == (200, {})


async def test_flux_is_what_was_applied_by_commit(place: Place) -> None:
    await fill(place)
    status, answer = await place.get("/api/flux")
    assert status == 200
    assert answer == {
        sha(101)[:7]: [
            {
                "commitId": sha(101)[:7], "status": "ReconciliationSucceeded", "message": "done",
                "genre": "Kustomization", "time": "2026-03-01T12:03:20.000Z",
            }
        ]
    }  # fmt: skip


async def test_version_and_health_show_no_secret(place: Place) -> None:
    assert await place.get("/api/version") == (200, {"version": __version__})
    status, health = await place.get("/api/health")
    assert status == 200
    assert {"AZURE_PIPELINE_ACCESS_TOKEN", "STORAGE_ACCOUNT_KEY", "MANIFEST"} <= set(health["variables"])
    assert set(health["variables"].values()) == {""}, "D.7.11: the last characters of secrets, or all of short ones"


@pytest.mark.parametrize("place", [{"token": TOKEN}], indirect=True)
@pytest.mark.parametrize("path", ["deployments", "flux", "version", "health"])
async def test_nobody_is_answered_without_the_token(place: Place, path: str) -> None:
    """D.7.11: there was no access control at all."""
    assert (await place.get(f"/api/{path}"))[0] == 401
    assert (await place.get(f"/api/{path}", Authorization=f"Bearer {TOKEN}"))[0] == 200
    assert (await place.get(f"/api/{path}", Host="evil.example.com"))[0] == 421


@pytest.mark.parametrize("place", [{"has_spektate": False}], indirect=True)
async def test_it_can_be_switched_off(place: Place) -> None:
    assert (await place.get("/api/deployments"))[0] == 404
    assert (await place.get("/api/v1/ci/runs"))[0] == 200


async def test_a_run_that_cannot_be_joined_hides_no_row(place: Place) -> None:
    """D.7.4 and 12: rows depended on three writes, and on each build being found."""
    await fill(place)
    async with place.ledger.unit() as unit:
        odd = run("77", sha=sha(1), role=CiRole.EXPORT, state=CiState.UNKNOWN, queued_at=None, finished_at=None)
        await unit.put_ci_runs([odd])
    assert len(await rows(place)) == 3
