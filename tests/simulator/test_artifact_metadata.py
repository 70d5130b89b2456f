"""The simulated artifact metadata API: limits, jobs, unknown artifacts, and trouble on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from fluxtrail.simulator.artifact_faults import RecordsFault
from fluxtrail.simulator.artifact_metadata import ArtifactMetadata
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.github import GitHub

Json = dict[str, Any]

BASE = "/orgs/acme/artifacts/metadata/deployment-record"
CLUSTER = f"{BASE}/cluster/prod-eu"
JOBS = f"{CLUSTER}/jobs"
SCALE = 50.0
DOCS = {"documentation_url": "https://docs.github.com/rest"}


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def entry(name: str = "shop/cart/cart", letter: str = "a", **more: Any) -> Json:
    base = {"name": "registry.example/cart", "digest": digest(letter), "status": "deployed", "deployment_name": name}
    return base | {"version": "1.2.0"} | more


def single(**more: Any) -> Json:
    places = {"logical_environment": "production", "physical_environment": "", "cluster": "prod-eu"}
    return entry() | places | {"return_records": False} | more


def bulk(*entries: Json, **more: Any) -> Json:
    return {"logical_environment": "production", "physical_environment": "", "deployments": list(entries)} | more


class Server:
    def __init__(self, github: GitHub, api: ArtifactMetadata, session: aiohttp.ClientSession) -> None:
        self.api = api
        self._url = github.url
        self._session = session
        self.headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Json, Mapping[str, str]]:
        url = self._url + path
        async with self._session.request(method, url, json=body, headers=self.headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def send(self, path: str, raw: bytes) -> tuple[int, Json]:
        async with self._session.post(self._url + path, data=raw) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Json]:
        status, answer, _ = await self.call("POST", path, body)
        return status, answer

    async def until_finished(self, job: int) -> Json:
        async with asyncio.timeout(10):
            while True:
                _, answer, _ = await self.call("GET", f"{JOBS}/{job}")
                if answer["status"] in ("completed", "failed"):
                    return answer
                await asyncio.sleep(0.01)

    def held(self) -> dict[str, tuple[str, str]]:
        return {r["deployment_name"]: (r["digest"][7], r["status"]) for r in self.api.listed()}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    clock = SimulatedClock(scale=SCALE)
    api = ArtifactMetadata(clock=clock, unattested={digest("f")})
    github = GitHub(clock=clock, repositories={}, artifact_metadata=api)
    await github.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Server(github, api, session)
    finally:
        await github.stop()


async def test_a_repeated_name_is_one_record_that_is_updated(server: Server) -> None:
    assert (await server.post(BASE, single()))[0] == 200
    status, answer = await server.post(BASE, single(digest=digest("b"), status="decommissioned", return_records=True))
    assert status == 200
    assert answer["total_count"] == 1
    assert answer["deployment_records"][0]["deployment_name"] == "shop/cart/cart"
    assert server.held() == {"shop/cart/cart": ("b", "decommissioned")}
    [steps] = server.api.history.values()
    assert steps == [(digest("a"), "deployed"), (digest("b"), "decommissioned")]


async def test_another_cluster_or_environment_is_another_record(server: Server) -> None:
    for more in ({}, {"cluster": "prod-us"}, {"physical_environment": "fra"}, {"logical_environment": "staging"}):
        await server.post(BASE, single(**more))
    assert len(server.api.listed()) == 4


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"digest": "sha256:abc"}, "digest"),
        ({"digest": "sha512:" + "a" * 64}, "digest"),
        ({"digest": digest("A")}, "digest"),
        ({"name": ""}, "name"),
        ({"name": "n" * 257}, "name"),
        ({"name": None}, "name"),
        ({"version": "v" * 101}, "version"),
        ({"deployment_name": "d" * 257}, "deployment_name"),
        ({"logical_environment": ""}, "logical_environment"),
        ({"cluster": "c" * 129}, "cluster"),
        ({"status": "gone"}, "status"),
        ({"runtime_risks": ["unheard-of"]}, "runtime_risks"),
        ({"runtime_risks": ["sensitive-data", "sensitive-data"]}, "runtime_risks"),
        ({"tags": {str(number): "x" for number in range(6)}}, "tags"),
        ({"tags": {"team": "x" * 101}}, "tags"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_does_not_fit_is_422_and_names_the_field(server: Server, more: Json, why: str) -> None:
    status, answer = await server.post(BASE, single(**more))
    assert status == 422
    assert why in answer["message"]
    assert server.held() == {}


async def test_an_unknown_artifact_is_404_until_it_is_attested(server: Server) -> None:
    assert (await server.post(BASE, single(digest=digest("f"))))[0] == 404
    server.api.attest([digest("f")])
    assert (await server.post(BASE, single(digest=digest("f"))))[0] == 200


async def test_a_cluster_call_takes_what_it_knows_if_asked_to(server: Server) -> None:
    entries = (entry("a"), entry("b", "f"), entry("c"))
    assert (await server.post(CLUSTER, bulk(*entries)))[0] == 404
    assert server.held() == {}
    status, answer = await server.post(CLUSTER, bulk(*entries, partial_success=True, return_records=True))
    assert (status, answer["total_count"]) == (200, 2)
    assert [record["deployment_name"] for record in answer["deployment_records"]] == ["a", "c"]
    assert [(e["deployment_name"], e["cause"]) for e in answer["errors"]] == [("b", "not_found")]
    assert (await server.post(CLUSTER, bulk(entry("b", "f"), partial_success=True)))[0] == 404


@pytest.mark.parametrize(("path", "limit"), [(CLUSTER, 1_000), (JOBS, 5_000)])
async def test_bulks_have_limits_and_unique_names(server: Server, path: str, limit: int) -> None:
    entries = [entry(str(number)) for number in range(limit + 1)]
    status, answer = await server.post(path, bulk(*entries))
    assert status == 422
    assert str(limit) in answer["message"]
    assert (await server.post(path, bulk(*entries[:limit])))[0] in (200, 202)
    status, answer = await server.post(path, bulk(entry("a"), entry("a")))
    assert status == 400
    assert "unique" in answer["message"]
    assert (await server.post(path, bulk()))[0] == 422


async def test_a_job_takes_a_while_and_only_one_runs_for_a_cluster(server: Server) -> None:
    status, answer = await server.post(JOBS, bulk(entry("a"), entry("b", "f"), partial_success=True))
    assert status == 202
    assert server.held() == {}
    assert (await server.post(JOBS, bulk(entry("c"))))[0] == 409
    assert (await server.post(f"{BASE}/cluster/prod-us/jobs", bulk(entry("c"))))[0] == 202
    done = await server.until_finished(answer["job_id"])
    assert (done["status"], done["total_count"]) == ("completed", 1)
    assert done["errors"] == [{"name": "registry.example/cart", "cause": "not_found"}]
    assert (await server.post(JOBS, bulk(entry("c"))))[0] == 202
    assert server.held()["a"] == ("a", "deployed")


async def test_a_job_may_fail_and_then_nothing_is_held(server: Server) -> None:
    server.api.fail(RecordsFault(action="fail_job", count=1))
    _, answer = await server.post(JOBS, bulk(entry("a")))
    assert (await server.until_finished(answer["job_id"]))["status"] == "failed"
    assert server.held() == {}


async def test_a_slow_job_has_the_last_word(server: Server) -> None:
    server.api.fail(RecordsFault(action="slow_job", delay_seconds=20.0, count=1))
    server.api.fail(RecordsFault(action="drop", is_after=True, count=1))
    with pytest.raises(aiohttp.ClientError):
        await server.post(JOBS, bulk(entry("a")))
    assert (await server.post(JOBS, bulk(entry("a", "b"))))[0] == 409
    assert (await server.post(CLUSTER, bulk(entry("a", "b"))))[0] == 200
    assert server.held() == {"a": ("b", "deployed")}
    assert (await server.until_finished(1))["status"] == "completed"
    assert server.held() == {"a": ("a", "deployed")}


async def test_a_job_of_unknown_artifacts_only_is_404(server: Server) -> None:
    assert (await server.post(JOBS, bulk(entry("a", "f"))))[0] == 404
    assert (await server.call("GET", f"{JOBS}/12"))[0] == 404


async def test_a_token_is_wanted_where_one_is_set(server: Server) -> None:
    server.api.token = "secret"
    assert (await server.post(BASE, single()))[0] == 401
    server.headers = {"Authorization": "Bearer wrong"}
    assert (await server.post(BASE, single()))[0] == 401
    server.headers = {"Authorization": "Bearer secret"}
    assert (await server.post(BASE, single()))[0] == 200


async def test_text_that_is_no_json_and_another_organization_are_refused(server: Server) -> None:
    assert (await server.post(BASE.replace("acme", "other"), single()))[0] == 404
    assert await server.post(BASE, [1]) == (400, {"message": "Body should be a JSON object"} | DOCS)
    assert (await server.post(CLUSTER, bulk("entry")))[0] == 422  # type: ignore[arg-type]
    assert await server.send(BASE, b"{") == (400, {"message": "Problems parsing JSON"} | DOCS)


@pytest.mark.parametrize(
    ("fault", "headers"),
    [
        (RecordsFault(action="status", status=403, retry_after_seconds=7, count=1), {"Retry-After": "7"}),
        (RecordsFault(action="status", status=429, reset_seconds=9, count=1), {"X-RateLimit-Remaining": "0"}),
    ],
)
async def test_limits_say_when_to_come_back(server: Server, fault: RecordsFault, headers: dict[str, str]) -> None:
    server.api.fail(fault)
    status, _, found = await server.call("POST", BASE, single())
    assert status == fault.status
    assert {key: found[key] for key in headers} == headers
    assert (await server.post(BASE, single()))[0] == 200


async def test_a_429_may_say_nothing_and_a_date_may_say_it(server: Server) -> None:
    server.api.fail(RecordsFault(action="status", status=429, count=1))
    dated = RecordsFault(action="status", status=403, retry_after_seconds=60, is_retry_after_date=True, count=1)
    server.api.fail(dated)
    _, _, silent = await server.call("POST", BASE, single())
    assert "Retry-After" not in silent
    assert silent["X-RateLimit-Remaining"] != "0"
    now = server.api.clock.now()
    _, _, told = await server.call("POST", BASE, single())
    away = (parsedate_to_datetime(told["Retry-After"]) - now).total_seconds()
    assert 55 < away < 65 + SCALE
    assert parsedate_to_datetime(told["Retry-After"]) - parsedate_to_datetime(told["Date"]) == timedelta(seconds=60)


async def test_a_window_ends_by_itself_and_says_what_is_left(server: Server) -> None:
    server.api.fail(RecordsFault(action="status", status=403, seconds=20, is_retry_after_rest=True))
    status, _, headers = await server.call("POST", BASE, single())
    assert status == 403
    assert 0 < int(headers["Retry-After"]) <= 21
    async with asyncio.timeout(5):
        while (await server.post(BASE, single()))[0] != 200:  # noqa: ASYNC110 - the window ends by the clock
            await asyncio.sleep(0.02)
    assert server.api.counts["single", 403] >= 1


async def test_a_connection_may_be_cut_before_and_after_the_deed(server: Server) -> None:
    for name, is_after in (("before", False), ("after", True)):
        server.api.fail(RecordsFault(action="drop", count=1, is_after=is_after))
        with pytest.raises(aiohttp.ClientError):
            await server.post(BASE, single(deployment_name=name))
    assert server.held() == {"after": ("a", "deployed")}
    assert server.api.counts["single", 0] == 2


async def test_faults_strike_the_calls_they_are_for_and_can_be_cleared(server: Server) -> None:
    server.api.fail(RecordsFault(action="status", status=500, calls=("cluster",)))
    assert (await server.post(BASE, single()))[0] == 200
    assert (await server.post(CLUSTER, bulk(entry())))[0] == 500
    server.api.fail(RecordsFault(action="clear"))
    assert (await server.post(CLUSTER, bulk(entry())))[0] == 200
    assert server.api.report()["counts"] == {"cluster": {"200": 1, "500": 1}, "single": {"200": 1}}


async def test_a_slow_answer_is_slow(server: Server) -> None:
    server.api.fail(RecordsFault(action="delay", delay_seconds=10, count=1))
    before = server.api.clock.now()
    assert (await server.post(BASE, single()))[0] == 200
    assert (server.api.clock.now() - before).total_seconds() >= 10
