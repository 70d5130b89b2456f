"""What Azure DevOps is asked about builds and pull requests, and how its answers are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.remotes.forges import SHA, FakeForge, Says

from fluxtrail.model.ci import Approval, CiState, CiSystem
from fluxtrail.model.errors import UpstreamError, WireError
from fluxtrail.remotes.azure_devops.builds import PAGES_LIMIT, AzureBuilds, map_state
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient

CART = "tfs/acme/Web Shop/_git/cart"
ROOT = "/tfs/acme/Web%20Shop/_apis"
SINCE = datetime(2026, 1, 11, 10, 20, 30, tzinfo=UTC)
BUILD: dict[str, Any] = {
    "id": 6663,
    "buildNumber": "20260112.5",
    "sourceVersion": SHA,
    "sourceBranch": "refs/heads/main",
    "status": "completed",
    "result": "succeeded",
    "reason": "individualCI",
    "queueTime": "2026-01-12T21:50:14.3502451Z",
    "startTime": "2026-01-12T21:50:27.6171234Z",
    "finishTime": "2026-01-12T21:54:09.949Z",
    "lastChangedDate": "2026-01-12T21:54:10.117Z",
    "definition": {"id": 12, "name": "Build"},
    "repository": {"id": "guid", "name": "cart", "type": "TfsGit"},
    "requestedFor": {"displayName": "Ada"},
    "_links": {"web": {"href": "https://ado.test/tfs/acme/guid/_build/results?buildId=6663"}},
}
PULL: dict[str, Any] = {
    "pullRequestId": 1354,
    "status": "completed",
    "title": "Update frontend",
    "createdBy": {"displayName": "Samiya Akhtar"},
    "closedBy": {"displayName": "Grace"},
    "creationDate": "2026-01-12T20:00:00Z",
    "closedDate": "2026-01-12T21:00:00Z",
    "sourceRefName": "refs/heads/DEPLOY/frontend-20200317.12",
    "targetRefName": "refs/heads/master",
    "reviewers": [
        {"displayName": "Grace", "vote": 10},
        {"displayName": "Eve", "vote": -10},
        {"displayName": "Bob", "vote": 0},
        {"displayName": "Lin", "vote": 5},
    ],
}


def builds(*items: Any, following: str = "") -> Says:
    headers = {"x-ms-continuationtoken": following} if following else {}
    return Says(json={"count": len(items), "value": list(items)}, headers=headers)


@pytest.fixture
def reader(client: AzureDevOpsClient) -> AzureBuilds:
    return AzureBuilds(client)


@pytest.mark.parametrize("ids", [[], [6663, 6666]], ids=["none", "two"])
async def test_recent_runs(ids: list[int], forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(builds(*({**BUILD, "id": id_} for id_ in ids)))
    found = await reader.recent_runs(CART, since=SINCE)
    assert [run.run_id for run in found] == [str(id_) for id_ in ids]
    (asked,) = forge.asked
    query = "api-version=6.0&queryOrder=queueTimeDescending&minTime=2026-01-11T10%3A00%3A00Z&%24top=100"
    assert asked.path == f"{ROOT}/build/builds?{query}"


async def test_a_build_is_read_whole(forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(builds(BUILD))
    (run,) = await reader.recent_runs(CART, since=SINCE)
    assert (run.system, run.host, run.project) == (CiSystem.AZURE_PIPELINES, "ado.test", "acme/web shop")
    assert (run.run_id, run.sha, run.branch, run.event) == ("6663", SHA, "main", "individualCI")
    assert (run.pipeline, run.number, run.author, run.state) == ("Build", "20260112.5", "Ada", CiState.SUCCEEDED)
    assert run.url == "https://ado.test/tfs/acme/guid/_build/results?buildId=6663"
    assert run.finished_at == datetime(2026, 1, 12, 21, 54, 9, 949_000, tzinfo=UTC)


async def test_pages_are_turned_and_other_repositories_left_out(forge: FakeForge, reader: AzureBuilds) -> None:
    other = {**BUILD, "repository": {"id": "other", "name": "shop"}}
    forge.says(builds(BUILD, other, following="2"), builds({**BUILD, "id": 2}), builds())
    assert [run.run_id for run in await reader.recent_runs(CART, since=SINCE)] == ["6663", "2"]
    assert "continuationToken=2" in forge.asked[1].path


async def test_a_project_full_of_others_is_not_read_to_its_end(forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(builds({**BUILD, "repository": {"id": "other", "name": "shop"}}, following="more"))
    assert await reader.runs_of(CART, SHA) == []
    assert len(forge.asked) == PAGES_LIMIT


async def test_the_builds_of_a_commit_are_among_the_newest(forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(builds({**BUILD, "sourceVersion": "a" * 40}, {**BUILD, "id": 7, "sourceVersion": SHA.upper()}))
    assert [run.run_id for run in await reader.runs_of(CART, SHA)] == ["7"]


@pytest.mark.parametrize(
    ("told", "sha"),
    [
        ({"pr.number": "12", "pr.sourceSha": "B" * 40}, "b" * 40),
        ({"pr.sourceSha": "main"}, SHA),
        ({"pr.sourceSha": 7}, SHA),
        ({"ci.sourceSha": "b" * 40}, SHA),
        ({}, SHA),
        (None, SHA),
    ],
)
async def test_a_build_of_a_pull_request_is_of_its_head(
    told: dict[str, Any] | None, sha: str, forge: FakeForge, reader: AzureBuilds
) -> None:
    """What is checked out for it is a merge that no branch ever has."""
    forge.says(builds({**BUILD, "reason": "pullRequest", "sourceBranch": "refs/pull/12/merge", "triggerInfo": told}))
    (run,) = await reader.recent_runs(CART, since=SINCE)
    assert (run.sha, run.pull_request, run.branch) == (sha, 12, "")


@pytest.mark.parametrize(
    ("status", "result", "state"),
    [
        ("notStarted", None, "queued"),
        ("postponed", None, "queued"),
        ("pending", None, "queued"),
        ("inProgress", None, "running"),
        ("cancelling", None, "running"),
        ("completed", "succeeded", "succeeded"),
        ("completed", "partiallySucceeded", "succeeded"),
        ("completed", "succeededWithIssues", "succeeded"),
        ("completed", "failed", "failed"),
        ("completed", "canceled", "cancelled"),
        ("completed", "abandoned", "cancelled"),
        ("completed", "skipped", "skipped"),
        ("completed", "none", "unknown"),
        ("completed", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_states(status: str | None, result: str | None, state: str) -> None:
    assert map_state(status, result).value == state


@pytest.mark.parametrize("odd", [{}, "text", None, {**BUILD, "sourceVersion": None}, {**BUILD, "queueTime": "x"}])
async def test_an_odd_build_hides_no_other(odd: Any, forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(builds(odd, BUILD))
    assert [run.run_id for run in await reader.recent_runs(CART, since=SINCE)] == ["6663"]


async def test_one_build_has_its_stages_in_their_order(forge: FakeForge, reader: AzureBuilds) -> None:
    records = [
        {"type": "Stage", "name": "hld_update", "order": 2, "state": "completed", "result": "failed"},
        {"type": "Job", "name": "Job", "order": 1, "state": "completed", "result": "succeeded"},
        {"type": "Stage", "name": "build", "order": 1, "state": "completed", "result": "succeeded",
         "startTime": "2026-01-12T21:50:30Z", "finishTime": "2026-01-12T21:53:00Z"},
    ]  # fmt: skip
    forge.says(Says(json={**BUILD, "result": "failed"}), Says(json={"records": records}))
    run = await reader.run(CART, "6663")
    assert run is not None
    assert run.state is CiState.FAILED
    assert [(stage.name, stage.state.value) for stage in run.stages] == [
        ("build", "succeeded"),
        ("hld_update", "failed"),
    ]
    assert [asked.path for asked in forge.asked] == [
        f"{ROOT}/build/builds/6663?api-version=6.0",
        f"{ROOT}/build/builds/6663/timeline?api-version=6.0",
    ]


@pytest.mark.parametrize(
    "timeline",
    [Says(body=b""), Says(body=b"null"), Says(status=404, json={}), Says(json={"records": None})],
    ids=["nothing", "null", "none", "empty"],
)
async def test_a_build_that_has_not_begun_has_no_stages(timeline: Says, forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(Says(json={**BUILD, "status": "notStarted", "result": None, "finishTime": None}), timeline)
    run = await reader.run(CART, "6663")
    assert run is not None
    assert (run.state, run.stages, run.finished_at) == (CiState.QUEUED, (), None)


async def test_the_stage_of_a_pipeline_without_stages_is_its_jobs(forge: FakeForge, reader: AzureBuilds) -> None:
    records = [
        {"type": "Stage", "name": "__default", "order": 1, "state": "inProgress"},
        {"type": "Job", "name": "Compile", "order": 1, "state": "inProgress"},
    ]
    forge.says(Says(json={**BUILD, "status": "inProgress", "result": None}), Says(json={"records": records}))
    run = await reader.run(CART, "6663")
    assert run is not None
    assert [(stage.name, stage.state.value) for stage in run.stages] == [("Compile", "running")]


async def test_what_is_gone_is_none(forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(Says(status=404, json={"message": "TF400813"}))
    assert await reader.run(CART, "7") is None
    assert await reader.pull_request(CART, 7) is None


async def test_a_pull_request_with_its_votes(forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(Says(json=PULL))
    pull = await reader.pull_request(CART, 1354)
    assert pull is not None
    assert (pull.number, pull.author, pull.merged_by, pull.state) == (1354, "Samiya Akhtar", "Grace", "merged")
    assert (pull.source_branch, pull.target_branch) == ("DEPLOY/frontend-20200317.12", "master")
    assert pull.merged_at == datetime(2026, 1, 12, 21, tzinfo=UTC)
    assert pull.approvals == (
        Approval(by="Grace", state="approved"),
        Approval(by="Eve", state="changes_requested"),
        Approval(by="Lin", state="approved"),
    )


@pytest.mark.parametrize(("status", "state"), [("active", "open"), ("abandoned", "closed"), (None, "open")])
async def test_what_is_not_completed_is_not_merged(
    status: str | None, state: str, forge: FakeForge, reader: AzureBuilds
) -> None:
    forge.says(Says(json={**dict.fromkeys(PULL), "pullRequestId": 7, "status": status}))
    pull = await reader.pull_request(CART, 7)
    assert pull is not None
    assert (pull.state, pull.merged_by, pull.merged_at) == (state, "", None)


async def test_what_is_no_number_is_not_asked_for(forge: FakeForge, reader: AzureBuilds) -> None:
    with pytest.raises(WireError):
        await reader.run(CART, "../7")
    with pytest.raises(WireError):
        await reader.runs_of(CART, "main")
    assert forge.asked == []


async def test_a_link_that_is_none_is_left_out(forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(builds({**BUILD, "_links": {"web": {"href": "javascript:alert(1)"}}}))
    (run,) = await reader.recent_runs(CART, since=SINCE)
    assert run.url == ""


async def test_a_sign_in_page_is_an_error_of_ours(forge: FakeForge, reader: AzureBuilds) -> None:
    forge.says(Says(status=203, body=b"<html>Sign in</html>"))
    with pytest.raises(UpstreamError):
        await reader.recent_runs(CART, since=SINCE)
