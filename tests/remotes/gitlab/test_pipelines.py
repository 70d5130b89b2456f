"""What GitLab is asked about pipelines and merge requests, and how its answers are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from tests.remotes.forges import SHA, FakeForge, Says

from fluxtrail.model.ci import Approval, CiState, CiSystem
from fluxtrail.model.errors import WireError
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.pipelines import GitLabPipelines

PROJECT = "acme/shop/cart"
ROOT = "/api/v4/projects/acme%2Fshop%2Fcart"
SINCE = datetime(2026, 1, 11, 10, 20, 30, tzinfo=UTC)
PIPELINE: dict[str, Any] = {
    "id": 208859532,
    "iid": 3,
    "sha": SHA,
    "ref": "main",
    "source": "push",
    "status": "success",
    "created_at": "2026-01-12T17:36:53.885Z",
    "updated_at": "2026-01-12T17:43:48.925Z",
    "web_url": "https://gitlab.test/acme/shop/cart/-/pipelines/208859532",
}
WHOLE: dict[str, Any] = {
    **PIPELINE,
    "name": "Build",
    "user": {"username": "ada"},
    "started_at": "2026-01-12T17:36:55.584Z",
    "finished_at": "2026-01-12T17:43:48.917Z",
}
REQUEST: dict[str, Any] = {
    "iid": 5,
    "title": "Deploy backend",
    "state": "merged",
    "web_url": "https://gitlab.test/acme/shop/cart/-/merge_requests/5",
    "author": {"username": "samiya"},
    "merge_user": {"username": "grace"},
    "source_branch": "DEPLOY/backend.208444041",
    "target_branch": "master",
    "created_at": "2026-01-12T17:00:00Z",
    "merged_at": "2026-01-12T17:30:00Z",
    "updated_at": "2026-01-12T17:30:00Z",
}


@pytest.fixture
def pipelines(client: GitLabClient) -> GitLabPipelines:
    return GitLabPipelines(client)


@pytest.mark.parametrize("ids", [[], [208859532], [208859532, 208955061]], ids=["none", "one", "two"])
async def test_recent_runs(ids: list[int], forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(json=[{**PIPELINE, "id": id_} for id_ in ids]))
    found = await pipelines.recent_runs(PROJECT, since=SINCE)
    assert [run.run_id for run in found] == [str(id_) for id_ in ids]
    (asked,) = forge.asked
    query = "per_page=100&sort=desc&page=1&order_by=updated_at&updated_after=2026-01-11T10%3A00%3A00Z"
    assert asked.path == f"{ROOT}/pipelines?{query}"


async def test_a_list_that_has_not_changed_is_not_sent_again(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    def answer(request: web.Request) -> Says:
        if request.headers.get("If-None-Match") == 'W/"7"':
            return Says(status=304)
        return Says(json=[PIPELINE], headers={"ETag": 'W/"7"', "Cache-Control": "max-age=0, private"})

    forge.says(answer)
    first = await pipelines.recent_runs(PROJECT, since=SINCE)
    assert await pipelines.recent_runs(PROJECT, since=SINCE.replace(minute=40)) == first
    assert [asked.headers.get("if-none-match") for asked in forge.asked] == [None, 'W/"7"']


async def test_one_run_has_its_stages(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    jobs = [
        {"id": 4, "stage": "deploy", "status": "manual", "allow_failure": True},
        {"id": 3, "stage": "test", "status": "success", "started_at": "2026-01-12T17:40:00Z",
         "finished_at": "2026-01-12T17:41:00Z"},
        {"id": 2, "stage": "test", "status": "failed", "allow_failure": True, "web_url": "javascript:alert(1)"},
        {"id": 1, "stage": "build", "status": "success"},
    ]  # fmt: skip
    forge.says(Says(json=WHOLE), Says(json=jobs))
    run = await pipelines.run(PROJECT, "208859532")
    assert run is not None
    assert (run.system, run.host, run.project) == (CiSystem.GITLAB_CI, "gitlab.test", PROJECT)
    assert (run.repository, run.sha, run.branch, run.event) == ("gitlab.test/acme/shop/cart", SHA, "main", "push")
    assert (run.state, run.author, run.pipeline, run.url) == (CiState.SUCCEEDED, "ada", "Build", WHOLE["web_url"])
    assert run.finished_at == datetime(2026, 1, 12, 17, 43, 48, 917_000, tzinfo=UTC)
    assert [(stage.name, stage.state.value, stage.url) for stage in run.stages] == [
        ("build", "succeeded", ""),
        ("test", "succeeded", ""),
        ("deploy", "skipped", ""),
    ]
    assert forge.asked[1].path == f"{ROOT}/pipelines/208859532/jobs?per_page=100&page=1&include_retried=true"


async def stages_of(
    forge: FakeForge, pipelines: GitLabPipelines, *pages: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    forge.says(Says(json=WHOLE), *(Says(json=jobs) for jobs in pages))
    run = await pipelines.run(PROJECT, "208859532")
    assert run is not None
    return [(stage.name, stage.state.value) for stage in run.stages]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("success", "succeeded"),
        ("failed", "succeeded"),
        ("canceled", "succeeded"),
        ("manual", "skipped"),
        ("scheduled", "waiting"),
        ("running", "running"),
        ("skipped", "skipped"),
    ],
)
async def test_a_job_that_may_fail_holds_nothing_up(
    status: str, state: str, forge: FakeForge, pipelines: GitLabPipelines
) -> None:
    """As GitLab itself puts a stage together: failed and canceled ones pass, and a manual one that nobody started is
    no success either.
    """
    job = {"id": 1, "name": "lint", "stage": "test", "status": status, "allow_failure": True}
    assert await stages_of(forge, pipelines, [job]) == [("test", state)]


async def test_a_job_that_was_tried_again_counts_once_and_keeps_its_stages_place(
    forge: FakeForge, pipelines: GitLabPipelines
) -> None:
    """A retried job has a new id, beyond those of all the stages behind it."""
    jobs = [
        {"id": 9, "name": "compile", "stage": "build", "status": "success"},
        {"id": 2, "name": "unit", "stage": "test", "status": "success"},
        {"id": 1, "name": "compile", "stage": "build", "status": "failed"},
    ]
    assert await stages_of(forge, pipelines, jobs) == [("build", "succeeded"), ("test", "succeeded")]


async def test_all_jobs_of_a_large_pipeline_count(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    """The first jobs are on the last page."""
    newest = [{"id": id_, "name": str(id_), "stage": "test", "status": "success"} for id_ in range(200, 100, -1)]
    oldest = [{"id": 1, "name": "compile", "stage": "build", "status": "failed"}]
    assert await stages_of(forge, pipelines, newest, oldest) == [("build", "failed"), ("test", "succeeded")]
    assert [asked.path.partition("&page=")[2][0] for asked in forge.asked[1:]] == ["1", "2"]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("created", "queued"),
        ("waiting_for_resource", "queued"),
        ("waiting_for_callback", "running"),
        ("preparing", "queued"),
        ("pending", "queued"),
        ("running", "running"),
        ("canceling", "running"),
        ("success", "succeeded"),
        ("failed", "failed"),
        ("canceled", "cancelled"),
        ("skipped", "skipped"),
        ("manual", "waiting"),
        ("scheduled", "waiting"),
        ("of tomorrow", "unknown"),
        (None, "unknown"),
    ],
)
async def test_states(status: str | None, state: str, forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(json=[{**PIPELINE, "status": status}]))
    (run,) = await pipelines.runs_of(PROJECT, SHA)
    assert run.state.value == state
    assert (run.finished_at is not None) is run.state.is_final


@pytest.mark.parametrize("odd", [{}, "text", None, {**PIPELINE, "sha": "main"}, {**PIPELINE, "updated_at": "x"}])
async def test_an_odd_one_hides_no_other_and_ends_no_page(
    odd: Any, forge: FakeForge, pipelines: GitLabPipelines
) -> None:
    forge.says(Says(json=[*[PIPELINE] * 98, odd, PIPELINE]), Says(json=[PIPELINE]))
    assert len(await pipelines.recent_runs(PROJECT, since=SINCE)) == 100
    assert len(forge.asked) == 2


async def test_a_merge_requests_pipeline_says_whose_it_is(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(json=[{**PIPELINE, "ref": "refs/merge-requests/5/head", "source": "merge_request_event"}]))
    (run,) = await pipelines.runs_of(PROJECT, SHA)
    assert (run.pull_request, run.event) == (5, "merge_request_event")


async def test_what_is_gone_is_none(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(status=404, json={"message": "404 Not found"}))
    assert await pipelines.run(PROJECT, "7") is None
    assert await pipelines.pull_request(PROJECT, 7) is None


async def test_a_merge_request_with_who_approved_and_merged_it(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(json=REQUEST), Says(json={"approved_by": [{"user": {"username": "grace"}}, {"user": None}]}))
    pull = await pipelines.pull_request(PROJECT, 5)
    assert pull is not None
    assert (pull.repository, pull.number, pull.author, pull.merged_by) == (
        "gitlab.test/acme/shop/cart", 5, "samiya", "grace",
    )  # fmt: skip
    assert (pull.source_branch, pull.target_branch, pull.state) == ("DEPLOY/backend.208444041", "master", "merged")
    assert pull.approvals == (Approval(by="grace", state="approved"),)


@pytest.mark.parametrize("status", [403, 404])
async def test_without_approvals_the_rest_is_told(status: int, forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(json={**dict.fromkeys(REQUEST), "iid": 5, "state": "opened"}), Says(status=status, json={}))
    pull = await pipelines.pull_request(PROJECT, 5)
    assert pull is not None
    assert (pull.state, pull.approvals, pull.author) == ("open", (), "")


async def test_what_is_no_number_is_not_asked_for(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    with pytest.raises(WireError):
        await pipelines.run(PROJECT, "../7")
    with pytest.raises(WireError):
        await pipelines.runs_of(PROJECT, "main")
    assert forge.asked == []


async def test_another_shape_is_an_error_of_ours(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(json={"message": "hello"}))
    with pytest.raises(WireError):
        await pipelines.recent_runs(PROJECT, since=SINCE)


async def test_no_more_is_asked_for_than_is_wanted(forge: FakeForge, pipelines: GitLabPipelines) -> None:
    forge.says(Says(json=[PIPELINE] * 30))
    assert len(await pipelines.recent_runs(PROJECT, since=SINCE, limit=30)) == 30
    assert [asked.path.partition("?")[2][:11] for asked in forge.asked] == ["per_page=30"]
