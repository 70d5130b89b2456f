"""`/api/v1/ci/runs` over the real ledger: what pipelines state, by whom, and how it is listed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from tests.ledger.world import NOON, at, fresh_place, sha
from tests.ledger.world import World as Records
from tests.model.ci import run
from tests.web.worlds import World

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState, CiSystem
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.stated import StatedRuns
from fluxtrail.trail.ci.judging import take_runs
from fluxtrail.web.access.asgi import AsgiApp, Receive, Scope, Send
from fluxtrail.web.access.principals import LOCAL, PRINCIPAL, Principal, Role
from fluxtrail.web.api import Context
from fluxtrail.web.app import create_unguarded
from fluxtrail.web.feed import Feed
from fluxtrail.web.server import Listener, WebServer

SHOP = "github.com/acme/shop"
PIPELINE = Principal(name="shop-ci", role=Role.CI, repositories=("github.com/acme/*",))
SAID: dict[str, Any] = {
    "role": "build", "repository": "https://github.com/Acme/shop.git", "sha": sha(1), "state": "running",
    "run_id": "812", "at": "2026-03-01T12:00:00Z",
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Place:
    ledger: SqlLedger
    clock: Clock
    post: Callable[..., Awaitable[tuple[int, Any]]]
    get: Callable[..., Awaitable[tuple[int, Any]]]
    asked_by: list[Principal]


def _as(app: AsgiApp, asked_by: list[Principal]) -> AsgiApp:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope[PRINCIPAL] = asked_by[-1]
        await app(scope, receive, send)

    return told


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = Clock()
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=clock)
    keeper = StatedRuns(FoldedLedger(ledger), clock, per_minute=30, names={"ghe.test/acme/shop": SHOP})
    context = Context(
        answers=ledger, report=World(), now=clock.now, settle_after=timedelta(hours=1), feed=Feed(ledger), ci=keeper
    )
    asked_by = [LOCAL]
    app = _as(create_unguarded(context), asked_by)
    async with (
        WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server,
        aiohttp.ClientSession() as session,
    ):
        url = f"{server.addresses['api'].url}/api/v1/ci/runs"

        async def post(**body: Any) -> tuple[int, Any]:
            async with session.post(url, json=body) as response:
                return response.status, await response.json(content_type=None)

        async def get(query: str = "") -> tuple[int, Any]:
            async with session.get(url + query) as response:
                return response.status, await response.json(content_type=None)

        yield Place(ledger, clock, post, get, asked_by)
    await ledger.close()


async def known(place: Place, sha_: str = sha(1), repository: str = SHOP) -> list[CiRun]:
    async with place.ledger.unit() as unit:
        return (await unit.ci_runs_of(repository, [sha_])).get(sha_, [])


async def follow(place: Place, count: int) -> None:
    async with place.ledger.unit() as unit:
        world = Records(unit)
        await world.commits(await world.repository(), range(1, count + 1))


async def test_a_run_is_stated_goes_on_and_ends(place: Place) -> None:
    status, answer = await place.post(**SAID)
    assert status == 201
    assert (answer["repository"], answer["project"], answer["host"]) == (SHOP, SHOP, "stated")
    (begun,) = await known(place)
    assert (begun.state, begun.started_at, begun.evidence) == (CiState.RUNNING, NOON, CiEvidence.STATED)
    ended = {**SAID, "state": "succeeded", "at": "2026-03-01T12:04:00Z", "image": "ghcr.io/acme/shop:1.2.3"}
    assert (await place.post(**ended))[0] == 201
    (done,) = await known(place)
    assert (done.state, done.started_at, done.finished_at) == (CiState.SUCCEEDED, NOON, at(240))
    assert done.image == "ghcr.io/acme/shop:1.2.3"


async def test_the_same_statement_again_changes_nothing(place: Place) -> None:
    ended = {**SAID, "state": "succeeded"}
    del ended["at"]
    assert (await place.post(**ended))[0] == 201
    before = await known(place)
    place.clock.seconds = 90
    assert (await place.post(**ended))[0] == 200
    assert await known(place) == before
    assert (await place.post(**{**ended, "state": "running"}))[0] == 200, "what is over stays over"
    assert await known(place) == before
    assert (await place.post(**{**ended, "state": "running", "attempt": 2}))[0] == 201


async def test_a_commit_that_is_not_known_yet_has_its_run_when_it_comes(place: Place) -> None:
    assert (await place.post(**{**SAID, "state": "succeeded"}))[0] == 201
    await follow(place, 1)
    found = await place.ledger.find_trail(sha(1), now=at(60), settle_after=timedelta(hours=1))
    assert found.ci_runs == await known(place)  # type: ignore[union-attr]


async def test_a_known_commit_is_built_by_what_is_stated(place: Place) -> None:
    await follow(place, 1)
    place.clock.seconds = 300
    assert (await place.post(**{**SAID, "state": "succeeded", "at": "2026-03-01T12:05:00Z"}))[0] == 201
    async with place.ledger.unit() as unit:
        (commit,) = await unit.built_commits(SHOP, [sha(1)])
    assert commit.build_state is CiState.SUCCEEDED


async def test_a_short_sha_is_of_a_commit_that_is_followed(place: Place) -> None:
    short = {**SAID, "sha": sha(1)[:8]}
    status, answer = await place.post(**short)
    assert (status, answer["code"]) == (404, "unknown_commit")
    await follow(place, 2)
    assert (await place.post(**short))[1]["sha"] == sha(1)


async def test_what_was_asked_for_stays_and_gets_what_its_pipeline_adds(place: Place) -> None:
    asked = run(sha=sha(1), state=CiState.RUNNING, finished_at=None, updated_at=NOON)
    async with place.ledger.unit() as unit:
        await take_runs(unit, [asked], now=NOON)
    same = {**SAID, "system": "github_actions", "host": "github.com", "project": "acme/shop", "run_id": asked.run_id}
    added = {"image": "ghcr.io/acme/shop:1", "service": "acme/cart", "state": "succeeded", "pipeline": "mine"}
    assert (await place.post(**{**same, **added}))[0] == 201
    assert await known(place) == [replace(asked, image="ghcr.io/acme/shop:1", service="cart")]
    assert (await place.post(**{**same, **added}))[0] == 200


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"repository": "shop"}, "repository"),
        ({"repository": "file:///srv/shop.git"}, "repository"),
        ({"sha": "xyz"}, "sha"),
        ({"sha": "abc"}, "sha"),
        ({"state": "done"}, "state"),
        ({"run_id": "a b"}, "run_id"),
        ({"system": "cdevents"}, "system"),
        ({"system": "github_actions", "host": "github.com"}, "project"),
        ({"system": "github_actions", "project": "acme/shop"}, "host"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"image": "<img>"}, "image"),
        ({"digest": "sha256:12"}, "digest"),
        ({"carrier_sha": sha(9)}, "carrier_sha"),
        ({"role": "export", "carrier_sha": "nothing"}, "carrier_sha"),
        ({"role": "export", "carrier_repository": "manifests"}, "carrier_repository"),
        ({"at": "2026-03-01T13:00:00Z"}, "at"),
        ({"started_at": "2026-03-01T12:00:00"}, "started_at"),
        ({"finished_at": "2026-03-01T12:00:00Z"}, "finished_at"),
        ({"of": {}}, "of"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_field_that_cannot_be_is_named(place: Place, changed: dict[str, Any], field: str) -> None:
    status, answer = await place.post(**{**SAID, **changed})
    assert status == 400
    assert field in answer["detail"]
    assert await known(place) == []


@pytest.mark.parametrize("body", [{}, {**SAID, "secret": "x"}, {**SAID, "attempt": 0}, {**SAID, "branch": "b" * 201}])
async def test_another_shape_is_refused(place: Place, body: dict[str, Any]) -> None:
    assert (await place.post(**body))[0] == 400


async def test_a_secret_in_a_link_is_not_kept(place: Place) -> None:
    link = "https://me:pw@ci.example.com/a?buildId=7&token=x"
    answer = (await place.post(**{**SAID, "url": link}))[1]
    assert answer["url"] == "https://ci.example.com/a?buildId=7"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 201),
        ({"repository": "github.com/other/shop"}, 403),
        ({"system": "github_actions", "host": "github.com", "project": "acme/tools"}, 201),
        ({"system": "github_actions", "host": "github.com", "project": "other/shop"}, 403),
        ({"system": "azure_pipelines", "host": "dev.azure.com", "project": "acme/shop"}, 403),
    ],
)
async def test_a_token_speaks_of_its_repositories_alone(place: Place, changed: dict[str, Any], status: int) -> None:
    place.asked_by.append(PIPELINE)
    got, answer = await place.post(**{**SAID, **changed})
    assert got == status, answer
    if status == 403:
        assert "shop-ci" in answer["detail"]


@pytest.mark.parametrize("principal", [Principal(name="reader", role=Role.VIEWER), PIPELINE])
async def test_who_may_not_act_states_nothing(place: Place, principal: Principal) -> None:
    place.asked_by.append(principal)
    assert (await place.post(**{**SAID, "repository": "github.com/third/shop"}))[0] == 403
    assert (await place.get())[1]["items"] == []


async def test_statements_have_a_pace(place: Place) -> None:
    for number in range(30):
        assert (await place.post(**{**SAID, "run_id": str(number)}))[0] == 201
    status, answer = await place.post(**SAID)
    assert (status, answer["code"]) == (429, "too_many")
    place.clock.seconds = 3
    assert (await place.post(**SAID))[0] == 201


async def test_a_later_pipeline_speaks_of_the_commit_of_an_earlier_one(place: Place) -> None:
    built = {**SAID, "state": "succeeded", "image": "ghcr.io/acme/shop:Main-1", "service": "cart"}
    await place.post(**built)
    written = {"role": "export", "state": "succeeded", "run_id": "9", "environment": "prod", "carrier_sha": sha(5)}
    for of in ({"image": "main-1"}, {"run_id": "812"}, {"sha": sha(1)[:7]}, {"service": "acme/cart"}):
        status, answer = await place.post(**written, of=of)
        assert status in (200, 201), answer
        assert (answer["sha"], answer["repository"], answer["service"]) == (sha(1), SHOP, "cart")
    assert (await place.post(**{**written, "run_id": "10"}, of={"carrier_sha": sha(5)[:7]}))[1]["sha"] == sha(1)
    assert (await place.post(**written, of={"image": "other"}))[1]["code"] == "unknown_run"


async def test_a_run_is_never_taken_from_another_repository(place: Place) -> None:
    await place.post(**{**SAID, "image": "x/shop:1"})
    await place.post(**{**SAID, "image": "x/shop:1", "repository": "github.com/other/shop", "sha": sha(2)})
    written = {"role": "export", "state": "succeeded", "run_id": "9", "of": {"image": "1"}}
    status, answer = await place.post(**written)
    assert (status, answer["code"]) == (409, "ambiguous_run")
    place.asked_by.append(PIPELINE)
    assert (await place.post(**written))[1]["repository"] == SHOP
    place.asked_by.append(LOCAL)
    assert (await place.post(**written, repository="github.com/other/shop"))[1]["sha"] == sha(2)


async def test_runs_are_listed_narrowed_and_paged(place: Place) -> None:
    runs = [
        run(str(number), sha=sha(number), queued_at=at(number), updated_at=at(900), state=state, role=role)
        for number, (state, role) in enumerate(
            [(CiState.SUCCEEDED, CiRole.BUILD), (CiState.FAILED, CiRole.BUILD), (CiState.SUCCEEDED, CiRole.EXPORT)]
        )
    ]
    other = run("9", repository="gitlab.com/g/s/other", system=CiSystem.GITLAB_CI, queued_at=at(2), sha=sha(9))
    async with place.ledger.unit() as unit:
        await unit.put_ci_runs([*runs, other])

    async def ids(query: str) -> list[str]:
        status, answer = await place.get(query)
        assert status == 200, answer
        return [item["run_id"] for item in answer["items"]]

    assert await ids("") == ["9", "2", "1", "0"]
    assert await ids("?repository=acme/SHOP") == ["2", "1", "0"]
    assert await ids("?repository=hop") == []
    assert await ids(f"?sha={sha(1)[:8].upper()}") == ["1"]
    assert await ids("?state=failed") == ["1"]
    assert await ids("?role=export") == ["2"]
    assert await ids("?system=gitlab_ci") == ["9"]
    found, query = [], "?limit=1"
    while query:
        _, answer = await place.get(query)
        found += [item["run_id"] for item in answer["items"]]
        query = f"?limit=1&cursor={answer['next']}" if answer["next"] else ""
    assert found == ["9", "2", "1", "0"]
    assert (await place.get("?cursor=no"))[0] == 400
    assert (await place.get("?status=failed"))[0] == 400
    assert (await place.get("?sha=zz"))[0] == 400


async def test_a_run_stated_under_its_forges_name_is_the_one_that_is_asked_for(place: Place) -> None:
    """The repository is fetched from another host than its pipelines know: by the settings both are one."""
    asked = run("7", sha=sha(1), host="ghe.test", state=CiState.RUNNING, finished_at=None, updated_at=at(1))
    async with place.ledger.unit() as unit:
        await take_runs(unit, [asked], now=NOON)
    said = SAID | {
        "repository": "https://ghe.test/Acme/Shop", "system": "github_actions", "host": "ghe.test", "run_id": "7",
        "project": "Acme/Shop", "image": "ghcr.io/acme/shop:1",
    }  # fmt: skip
    place.asked_by.append(PIPELINE)
    status, told = await place.post(**said)
    assert (status, told["repository"]) == (201, SHOP)
    _, listed = await place.get()
    assert [(one["run_id"], one["evidence"], one["image"]) for one in listed["items"]] == [
        ("7", "asked", "ghcr.io/acme/shop:1")
    ]  # fmt: skip
    refused, _ = await place.post(**said | {"repository": "https://ghe.test/other/shop", "project": "other/shop"})
    assert refused == 403


EXPORTED: dict[str, Any] = {**SAID, "role": "export", "state": "succeeded"}


async def test_what_is_exported_is_linked_with_the_run(place: Place) -> None:
    await follow(place, 1)
    async with place.ledger.unit() as unit:
        world = Records(unit)
        manifests = await world.repository("manifests")
        (carrier,) = await world.commits(manifests, range(200, 201))
    said = {**EXPORTED, "carrier_repository": "https://github.com/acme/manifests", "carrier_sha": sha(200)[:8]}
    assert [(await place.post(**said))[0] for _ in range(2)] == [201, 200]
    async with place.ledger.unit() as unit:
        assert [link.carrier_id for link in await unit.exports_of([carrier.id])] == [carrier.id]


@pytest.mark.parametrize(
    ("changed", "field", "remedy"),
    [
        ({"carrier_repository": "github.com/acme/typo"}, "carrier_repository", "exports_to"),
        ({"carrier_repository": "github.com/acme/manifests", "carrier_sha": "0000000"}, "carrier_sha", "digits"),
        ({"allow_unfollowed": True, "role": "build"}, "allow_unfollowed", "export"),
    ],
)
async def test_a_carrier_that_cannot_be_is_refused_and_nothing_is_kept(
    place: Place, changed: dict[str, Any], field: str, remedy: str
) -> None:
    await follow(place, 1)
    async with place.ledger.unit() as unit:
        world = Records(unit)
        await world.commits(await world.repository("manifests"), range(1, 4))
    status, answer = await place.post(**{**EXPORTED, **changed})
    assert (status, answer["errors"][0]["parameter"]) == (400, field)
    assert remedy in answer["errors"][0]["message"]
    assert await known(place) == []


async def test_an_export_may_say_that_nobody_follows_its_repository(place: Place) -> None:
    await follow(place, 1)
    said = {**EXPORTED, "carrier_repository": "github.com/acme/hld", "carrier_sha": sha(300), "allow_unfollowed": True}
    status, answer = await place.post(**said)
    assert (status, answer["carrier_repository"]) == (201, "github.com/acme/hld")


async def test_a_token_links_commits_of_its_own_repositories_alone(place: Place) -> None:
    async with place.ledger.unit() as unit:
        world = Records(unit)
        (carrier,) = await world.commits(await world.repository("manifests"), range(200, 201))
        await world.commits(await world.repository("cart"), range(1, 2))
    place.asked_by.append(Principal(name="shop-ci", role=Role.CI, repositories=(SHOP,)))
    said = {**EXPORTED, "carrier_repository": "github.com/acme/manifests", "carrier_sha": sha(200)}
    status, answer = await place.post(**{**said, "repository": "github.com/acme/cart"})
    assert (status, answer["code"]) == (403, "forbidden")
    async with place.ledger.unit() as unit:
        assert await unit.exports_of([carrier.id]) == []
    await follow(place, 1)
    async with place.ledger.unit() as unit:
        await Records(unit).target(await Records(unit).repository("manifests"))
    assert (await place.post(**said))[0] == 201
    async with place.ledger.unit() as unit:
        assert len(await unit.exports_of([carrier.id])) == 1


ONE_ALONE = Principal(name="shop-ci", role=Role.CI, repositories=(SHOP,))


@pytest.mark.parametrize(
    ("carrier", "stated", "status"),
    [
        ("manifests", False, 201),
        ("cart", False, 403),
        ("mixed", False, 403),
        ("other", False, 201),
        ("cart", True, 201),
        ("manifests", True, 403),
    ],
)
async def test_a_token_of_one_repository_makes_no_carriers_of_anothers_commits(
    place: Place, carrier: str, stated: bool, status: int
) -> None:
    """`cart` is followed, and not applied; `mixed` is applied, and exported itself; nobody knows `other`."""
    async with place.ledger.unit() as unit:
        world = Records(unit)
        shop = await world.repository()
        manifests, cart, mixed = [await world.repository(name) for name in ("manifests", "cart", "mixed")]
        await world.target(manifests)
        await world.target(mixed, "mixed")
        await unit.put_repository_exports(mixed.id, [manifests.id])
        if stated:
            await unit.put_repository_exports(shop.id, [cart.id])
    place.asked_by.append(ONE_ALONE)
    said = {**EXPORTED, "carrier_repository": f"github.com/acme/{carrier}", "carrier_sha": sha(200)}
    got, answer = await place.post(**said, allow_unfollowed=True)
    assert got == status, answer
    if status == 403:
        assert answer["code"] == "forbidden"
        assert "`exports_to` of github.com/acme/shop" in answer["detail"]
        assert await known(place) == []
    place.asked_by.append(PIPELINE)
    assert (await place.post(**said, allow_unfollowed=True))[0] in (200, 201), "it may speak of both"
