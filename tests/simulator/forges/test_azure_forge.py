"""The simulated Azure DevOps: statuses that take each other's place, tasks that wait, and TSTU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fluxtrail.simulator.forges.azure_tasks import PROPERTY, Plan

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

SHA = "a" * 40
GIT = "/azure/acme/shop/_apis/git/repositories/manifests"
STATUSES = f"{GIT}/commits/{SHA}/statuses"
POSTED = f"{STATUSES}?api-version=7.1"
REPOSITORY = "acme/shop/manifests"


def said(state: str = "pending", name: str = "staging", url: str = "https://a/1", genre: str = "fluxtrail") -> Any:
    return {"state": state, "description": "d", "targetUrl": url, "context": {"name": name, "genre": genre}}


async def test_status_needs_its_own_context_and_its_own_address(forge: Caller) -> None:
    for body in (said(), said("succeeded", "production", "https://a/2")):
        assert (await forge.post(POSTED, body))[0] == 201
    shown = forge.forges.azure_statuses.shown
    assert [s["context"]["name"] for s in shown(REPOSITORY, SHA)] == ["staging", "production"]
    await forge.post(POSTED, said("failed", "edge", "https://a/1"))
    assert [s["context"]["name"] for s in shown(REPOSITORY, SHA)] == ["production", "edge"]
    await forge.post(POSTED, said("failed", "production", "https://a/3"))
    assert [s["context"]["name"] for s in shown(REPOSITORY, SHA)] == ["edge", "production"]
    assert forge.forges.azure_statuses.mark(REPOSITORY, SHA) == "failed"


async def test_latest_of_each_context_is_listed(forge: Caller) -> None:
    for state in ("pending", "succeeded"):
        await forge.post(POSTED, said(state))
    assert (await forge.get(STATUSES))["count"] == 2
    latest = await forge.get(f"{STATUSES}?latestOnly=true")
    assert [s["state"] for s in latest["value"]] == ["succeeded"]
    assert (await forge.get(f"{STATUSES}?top=1&skip=1"))["value"][0]["state"] == "succeeded"
    assert (await forge.get(f"{GIT}/commits/{SHA}"))["comment"] == "Change"
    final = forge.forges.final_statuses("azure_devops")["azure_devops", REPOSITORY, SHA, "fluxtrail/staging"]
    assert (final.last.state, final.writes) == ("succeeded", 2)


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (STATUSES, said(), 400),
        (POSTED, said("success"), 400),
        (POSTED, {"state": "pending"}, 400),
        (POSTED, said(url="here"), 400),
        (POSTED.replace(SHA, "f" * 40), said(), 404),
    ],
)
async def test_status_that_does_not_fit_is_refused(forge: Caller, path: str, body: Any, wanted: int) -> None:
    assert (await forge.post(path, body))[0] == wanted


async def test_token_comes_as_a_password(forge: Caller) -> None:
    forge.forges.desk.tokens["azure_devops"] = "right"
    assert (await forge.post(POSTED, said()))[0] == 401
    forge.headers = {"Authorization": "Basic OnJpZ2h0"}
    assert (await forge.post(POSTED, said()))[0] == 201


async def test_task_is_completed_once(forge: Caller) -> None:
    tasks = forge.forges.azure_tasks
    pull = tasks.open_pull_request(REPOSITORY, 7)
    tasks.wait_for(pull, Plan("plan", "task", "job"), server=f"{forge.forges.url}/azure/acme/")
    noted = (await forge.get(f"{GIT}/pullRequests/7/properties"))["value"][PROPERTY]["$value"]
    assert '"planid": "plan"' in noted
    plan = "/azure/acme/p1/_apis/distributedtask/hubs/build/plans/plan"
    assert (await forge.get(plan))["state"] == "inProgress"
    event = {"name": "TaskCompleted", "taskId": "task", "jobId": "job", "result": "succeeded"}
    assert (await forge.post(f"{plan}/events?api-version=2.0-preview.1", event | {"jobId": "no"}))[0] == 404
    assert (await forge.post(f"{plan}/events?api-version=2.0-preview.1", event))[0] == 204
    assert (await forge.get(plan))["state"] == "completed"
    assert (await forge.post(f"{plan}/events?api-version=2.0-preview.1", event))[0] == 400
    assert [w.state for w in forge.forges.recorder.since(0)] == ["succeeded"]


async def test_pull_requests_come_in_pages(forge: Caller) -> None:
    tasks = forge.forges.azure_tasks
    for number in range(1, 106):
        tasks.abandon(tasks.open_pull_request(REPOSITORY, number), hours_ago=number)
    tasks.open_pull_request(REPOSITORY, 200)
    pulls = f"{GIT}/pullRequests?searchCriteria.status=abandoned"
    first = await forge.get(pulls)
    assert (first["count"], first["value"][0]["pullRequestId"]) == (100, 105)
    assert (await forge.get(f"{pulls}&$skip=100"))["count"] == 5
    assert first["value"][-1]["closedDate"] == "2025-12-31T18:00:00Z"
    assert (await forge.get(f"{GIT}/pullRequests/200"))["status"] == "active"
    assert (await forge.call("GET", f"{GIT}/pullRequests/999/properties"))[0] == 404


async def test_beyond_its_limit_answers_come_late_and_then_not_at_all(forge: Caller) -> None:
    forge.forges.azure_limits.cost = 50.0
    for _ in range(4):
        _, _, headers = await forge.call("GET", STATUSES)
        assert "Retry-After" not in headers
    before = forge.clock.now()
    code, _, headers = await forge.call("GET", STATUSES)
    assert (code, headers["X-RateLimit-Remaining"]) == (200, "0")
    assert (forge.clock.now() - before).total_seconds() == 15.0
    await forge.call("GET", STATUSES)
    code, _, headers = await forge.call("GET", STATUSES)
    assert code == 429
    assert int(headers["Retry-After"]) > 0
    assert forge.violations() == {"delayed": 2, "refused": 1}
    forge.clock.advance(301)
    assert (await forge.call("GET", STATUSES))[0] == 200
