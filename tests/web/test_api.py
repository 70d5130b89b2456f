from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.web.conftest import Ask
from tests.web.worlds import EVERYWHERE, ON_ITS_WAY, SHOP, TARGET, TWIN_A, TWIN_B, World

from fluxtrail.model.views import CommitView, TrailView

API = "/api/v1"


async def test_a_trail_is_found_by_sha_and_prefix(ask: Ask) -> None:
    for given in (ON_ITS_WAY, ON_ITS_WAY[:7], ON_ITS_WAY[:9].upper()):
        answer = await ask("api", f"{API}/commits/{given}")
        assert answer.status == 200
        trail = msgspec.convert(answer.json, TrailView)
        assert trail.commit.sha == ON_ITS_WAY
        assert set(trail.deliveries[1].stages) == {"merged", "exported", "fetched"}


@pytest.mark.parametrize("query", [ON_ITS_WAY, "#12", "acme/shop#12"])
async def test_a_trail_is_found_by_whatever_q_means(ask: Ask, query: str) -> None:
    answer = await ask("api", f"{API}/trail", params={"q": query})
    assert (answer.status, answer.json["commit"]["sha"], answer.json["queried"]) == (200, ON_ITS_WAY, query)


async def test_absent_stages_are_absent_keys_and_times_are_utc(ask: Ask) -> None:
    answer = await ask("api", f"{API}/commits/{ON_ITS_WAY}")
    stages = answer.json["deliveries"][0]["stages"]
    assert "running" not in stages
    assert stages["merged"] == {"at": "2026-11-20T10:00:00Z", "evidence": "pull_request_merged", "precision": "exact"}
    assert stages["applied"]["precision"] == "estimated"
    assert set(stages["applied"]) == {"at", "evidence", "precision", "not_before", "not_after"}


async def test_an_ambiguous_prefix_lists_its_candidates(ask: Ask) -> None:
    answer = await ask("api", f"{API}/commits/c0ffee")
    assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")
    assert [c["sha"] for c in answer.json["candidates"]] == [TWIN_A, TWIN_B]
    assert answer.json["code"] == "ambiguous"


async def test_an_unknown_commit_says_where_to_look(ask: Ask) -> None:
    answer = await ask("api", f"{API}/commits/deadbeef")
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "deadbeef" in answer.json["detail"]
    assert "/api/v1/status" in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/commits?limit=0", "limit", "0"),
        ("/commits?limit=1001", "limit", "1001"),
        ("/commits?limit=many", "limit", "many"),
        ("/commits?verdict=nice", "verdict", "nice"),
        ("/commits?since=yesterday", "since", "yesterday"),
        ("/commits?since=2026-11-20T10:00:00", "since", "2026-11-20T10:00:00"),
        ("/commits?cursor=nonsense", "cursor", "nonsense"),
        ("/commits?verdct=failed", "verdct", "failed"),
        ("/commits/xyz", "sha", "xyz"),
        ("/commits/abc", "sha", "abc"),
        ("/trail", "q", ""),
        ("/trail?q=", "q", ""),
        ("/targets/0", "target_id", "0"),
        ("/transitions?after=-1", "after", "-1"),
        ("/clusters?before=3", "before", "3"),
        ("/deliveries?cluster=", "cluster", ""),
    ],
)
async def test_an_invalid_parameter_is_named_with_its_value(ask: Ask, path: str, parameter: str, value: str) -> None:
    answer = await ask("api", API + path)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    (error,) = answer.json["errors"]
    assert (error["parameter"], error["value"]) == (parameter, value)
    assert error["message"]


@pytest.mark.parametrize(
    ("path", "choices"),
    [
        ("/commits?verdict=fine", "pending, deployed, unaffected, failed, rolled_back, lost, abandoned"),
        ("/reports?state=fine", "waiting, dead, sent, dropped"),
        ("/clusters?sort=fine", "pending, failed, targets"),
    ],
    ids=["enumeration", "of another name in the handler", "literals"],
)
async def test_a_value_that_is_none_of_a_few_is_answered_with_them(ask: Ask, path: str, choices: str) -> None:
    (error,) = (await ask("api", API + path)).json["errors"]
    assert sorted(error["message"].removeprefix("use one of ").split(", ")) == sorted(choices.split(", "))


async def test_lists_are_paged_by_cursor(ask: Ask) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await ask("api", f"{API}/commits", params={"limit": "2", **cursor})).json
        seen += [item["sha"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/commits?verdict=failed", 1),
        ("/commits?repository=github.com/acme/other", 0),
        ("/commits?since=2026-11-20T11:05:00%2B01:00", 3),
        ("/commits?since=0001-01-01T00:00:00%2B01:00", 5),
        ("/commits?since=9999-12-31T23:59:59-01:00", 0),
        ("/deliveries?cluster=prod-us", 3),
        ("/deliveries?verdict=deployed&cluster=staging", 1),
        (f"/deliveries?target={TARGET}&namespace=flux-system&repository={SHOP}", 9),
        ("/targets?cluster=prod-eu&namespace=flux-system", 2),
        ("/commits?author=jane&branch=main&carriers=false", 5),
        ("/deliveries?sha=9f3c1ab", 3),
        ("/targets?target=infra", 1),
        ("/clusters", 3),
        ("/transitions", 5),
        ("/transitions?after=3", 2),
    ],
)
async def test_lists_are_narrowed_by_their_parameters(ask: Ask, path: str, count: int) -> None:
    answer = await ask("api", API + path)
    assert answer.status == 200
    assert len(answer.json["items"]) == count
    assert answer.json["next"] is None


async def test_transitions_continue_after_the_last_id(ask: Ask) -> None:
    page = (await ask("api", f"{API}/transitions?limit=2")).json
    assert ([t["id"] for t in page["items"]], page["next"]) == ([1, 2], "2")


async def test_a_target_comes_with_its_syncs(ask: Ask) -> None:
    answer = await ask("api", f"{API}/targets/2")
    assert answer.json["target"]["is_suspended"] is True
    assert answer.json["syncs"][0]["cause"] == "revision"
    assert (await ask("api", f"{API}/targets/99")).status == 404


async def test_status_tells_what_is_missing(ask: Ask) -> None:
    status = (await ask("api", f"{API}/status")).json
    assert status["attribution"] == {"pending": 2, "gaps": 1}
    assert status["repository_problems"][0]["problem"] == "no credentials"
    assert status["clusters"][0]["streams"][0]["state"] == "current"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/none", 404), ("POST", "/commits", 405)])
async def test_unknown_paths_and_methods_are_problems(ask: Ask, method: str, path: str, status: int) -> None:
    answer = await ask("api", API + path, method)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["status"] == status


async def test_a_ledger_that_cannot_be_read_is_503(ask: Ask, world: World) -> None:
    world.fails = True
    answer = await ask("api", f"{API}/commits")
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert "locked by another process" in answer.json["detail"]


async def test_a_defect_is_told_without_its_text(ask: Ask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("password=hunter2 at 0x7f")

    monkeypatch.setattr(world, "status", broken)
    answer = await ask("api", f"{API}/status")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"hunter2" not in answer.body


async def test_every_answer_is_private_and_inert(ask: Ask) -> None:
    for path in (f"{API}/commits", f"{API}/commits/none", "/", f"{API}/openapi.json"):
        headers = (await ask("api", path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["date"] == "Fri, 20 Nov 2026 10:30:00 GMT"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


async def test_views_decode_from_what_is_sent(ask: Ask) -> None:
    page = (await ask("api", f"{API}/commits")).json
    commits = msgspec.convert(page["items"], list[CommitView])
    assert commits[1].sha == EVERYWHERE
