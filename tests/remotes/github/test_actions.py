"""What GitHub is asked about Actions and pull requests, and how its answers are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from tests.remotes.github.forge import SHA, FakeForge, Says

from fluxtrail.model.ci import Approval, CiStage, CiState, CiSystem
from fluxtrail.model.errors import WireError
from fluxtrail.remotes.github.actions import GitHubActions, map_state
from fluxtrail.remotes.github.client import GitHubClient

EVER = datetime(2020, 1, 1, tzinfo=UTC)
RUN: dict[str, Any] = {
    "id": 254907244,
    "name": "Build",
    "path": ".github/workflows/build.yml",
    "head_sha": SHA,
    "head_branch": "main",
    "run_number": 812,
    "run_attempt": 2,
    "event": "push",
    "status": "completed",
    "conclusion": "success",
    "html_url": "https://github.com/acme/shop/actions/runs/254907244",
    "created_at": "2026-01-12T02:29:50Z",
    "run_started_at": "2026-01-12T02:29:56Z",
    "updated_at": "2026-01-12T02:33:40Z",
    "actor": {"login": "ada"},
    "triggering_actor": {"login": "grace"},
    "pull_requests": [{"number": 12}],
}
JOB: dict[str, Any] = {
    "id": 1115488431,
    "name": "Build",
    "status": "completed",
    "conclusion": "success",
    "started_at": "2026-01-12T02:29:58Z",
    "completed_at": "2026-01-12T02:33:38Z",
    "html_url": "https://github.com/acme/shop/actions/runs/254907244/job/1115488431",
}
PULL: dict[str, Any] = {
    "number": 408,
    "title": "Two pipelines for Helm",
    "state": "closed",
    "html_url": "https://github.com/acme/shop/pull/408",
    "user": {"login": "edaena"},
    "merged_by": {"login": "bnookala"},
    "created_at": "2026-01-12T01:00:00Z",
    "merged_at": "2026-01-12T02:00:00Z",
    "updated_at": "2026-01-12T02:00:00Z",
    "head": {"ref": "helm-2-pipelines"},
    "base": {"ref": "master"},
}


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 1, 12, hour, minute, second, tzinfo=UTC)


def page(*runs: Any) -> Says:
    return Says(json={"total_count": len(runs), "workflow_runs": list(runs)})


@pytest.fixture
def actions(client: GitHubClient) -> GitHubActions:
    return GitHubActions(client)


@pytest.mark.parametrize("ids", [[], [1115488431], [1115488431, 1255355142]], ids=["none", "one", "two"])
async def test_recent_runs(ids: list[int], forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page(*({**RUN, "id": id_} for id_ in ids)))
    found = await actions.recent_runs("acme/shop", since=EVER)
    assert [run.run_id for run in found] == [str(id_) for id_ in ids]
    assert [asked.path for asked in forge.asked] == ["/repos/acme/shop/actions/runs?per_page=100&page=1"]


async def test_a_run_is_read_whole(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page(RUN))
    (run,) = await actions.runs_of("acme/shop", SHA)
    assert forge.asked[0].path == f"/repos/acme/shop/actions/runs?head_sha={SHA}&per_page=100"
    assert (run.system, run.project, run.run_id, run.attempt) == (CiSystem.GITHUB_ACTIONS, "acme/shop", "254907244", 2)
    assert run.repository == f"{run.host}/acme/shop"
    assert (run.sha, run.branch, run.event, run.pipeline, run.number) == (SHA, "main", "push", "Build", "#812")
    assert (run.state, run.author, run.pull_request, run.url) == (CiState.SUCCEEDED, "grace", 12, RUN["html_url"])
    assert (run.queued_at, run.started_at, run.finished_at) == (at(2, 29, 56), at(2, 29, 56), at(2, 33, 40))


@pytest.mark.parametrize(("attempt", "queued"), [(None, at(2, 29, 50)), (1, at(2, 29, 50)), (3, at(2, 29, 56))])
async def test_a_run_waits_since_its_newest_attempt(
    attempt: int | None, queued: datetime, forge: FakeForge, actions: GitHubActions
) -> None:
    """`created_at` is of the first one, which may be of days ago: what is tried again did not wait since then."""
    forge.says(page({**RUN, "run_attempt": attempt}))
    (run,) = await actions.recent_runs("acme/shop", since=EVER)
    assert (run.attempt, run.queued_at, run.at) == (attempt or 1, queued, queued)


async def test_an_old_run_that_is_tried_again_is_recent(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page(RUN, {**RUN, "id": 3, "created_at": "2026-01-02T00:00:00Z"}))
    found = await actions.recent_runs("acme/shop", since=at(1, 0))
    assert [run.run_id for run in found] == ["254907244", "3"]


async def test_a_run_that_goes_on_has_no_end(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page({**RUN, "status": "in_progress", "conclusion": None}))
    (run,) = await actions.recent_runs("acme/shop", since=EVER)
    assert (run.state, run.finished_at) == (CiState.RUNNING, None)


@pytest.mark.parametrize(
    ("status", "conclusion", "state"),
    [
        ("queued", None, "queued"),
        ("requested", None, "queued"),
        ("pending", None, "queued"),
        ("in_progress", None, "running"),
        ("waiting", None, "waiting"),
        ("completed", "success", "succeeded"),
        ("completed", "neutral", "succeeded"),
        ("completed", "failure", "failed"),
        ("completed", "timed_out", "failed"),
        ("completed", "startup_failure", "failed"),
        ("completed", "cancelled", "cancelled"),
        ("completed", "stale", "cancelled"),
        ("completed", "skipped", "skipped"),
        ("completed", "action_required", "waiting"),
        ("completed", None, "unknown"),
        ("completed", "of tomorrow", "unknown"),
        ("of tomorrow", None, "unknown"),
        (None, "success", "unknown"),
    ],
)
def test_states(status: str | None, conclusion: str | None, state: str) -> None:
    assert map_state(status, conclusion).value == state


async def test_pages_are_turned_until_what_is_too_old(forge: FakeForge, actions: GitHubActions) -> None:
    old = {**RUN, "run_attempt": 1, "created_at": "2025-01-01T00:00:00Z"}
    forge.says(page(*[RUN] * 100), page(RUN, old), page(RUN))
    assert len(await actions.recent_runs("acme/shop", since=at(0, 0), limit=500)) == 101
    assert len(forge.asked) == 2


async def test_one_page_is_enough_for_its_limit(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page(*[RUN] * 100))
    assert len(await actions.recent_runs("acme/shop", since=EVER)) == 100
    assert len(forge.asked) == 1


@pytest.mark.parametrize(
    "odd",
    [{"id": 1}, "text", None, {**RUN, "head_sha": "main"}, {**RUN, "id": None}, {**RUN, "pull_requests": [{}]}],
)
async def test_an_odd_run_hides_no_other_and_ends_no_page(odd: Any, forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page(*[RUN] * 98, odd, RUN), page(RUN))
    assert len(await actions.recent_runs("acme/shop", since=EVER, limit=100)) == 100


async def test_a_page_that_has_not_changed_is_not_sent_again(forge: FakeForge, actions: GitHubActions) -> None:
    def answer(request: web.Request) -> Says:
        if request.headers.get("If-None-Match") == '"7"':
            return Says(status=304)
        return Says(json={"workflow_runs": [RUN]}, headers={"ETag": '"7"', "Cache-Control": "private, max-age=60"})

    forge.says(answer)
    first = await actions.recent_runs("acme/shop", since=EVER)
    assert await actions.recent_runs("acme/shop", since=at(1, 0)) == first
    assert [asked.headers.get("if-none-match") for asked in forge.asked] == [None, '"7"']


async def test_one_run_has_its_jobs_and_ends_with_the_last(forge: FakeForge, actions: GitHubActions) -> None:
    queued = {**JOB, "name": "Push", "status": "queued", "conclusion": None, "completed_at": None}
    forge.says(Says(json=RUN), Says(json={"jobs": [JOB, queued]}))
    run = await actions.run("acme/shop", "254907244")
    assert run is not None
    assert run.finished_at == at(2, 33, 38)
    assert run.stages == (
        CiStage(
            name="Build",
            state=CiState.SUCCEEDED,
            started_at=at(2, 29, 58),
            finished_at=at(2, 33, 38),
            url=JOB["html_url"],
        ),
        CiStage(name="Push", state=CiState.QUEUED, url=JOB["html_url"]),
    )
    assert forge.asked[1].path == "/repos/acme/shop/actions/runs/254907244/jobs?filter=latest&per_page=100"


async def test_all_jobs_of_a_large_matrix_are_its_stages(forge: FakeForge, actions: GitHubActions) -> None:
    """The last page has the last to end, and what failed."""
    later = {**JOB, "conclusion": "failure", "completed_at": "2026-01-12T02:50:00Z"}
    forge.says(
        Says(json={**RUN, "conclusion": "failure"}), Says(json={"jobs": [JOB] * 100}), Says(json={"jobs": [later] * 56})
    )
    run = await actions.run("acme/shop", "254907244")
    assert run is not None
    assert (len(run.stages), run.stages[-1].state, run.finished_at) == (156, CiState.FAILED, at(2, 50))
    assert forge.asked[2].path.endswith("/jobs?filter=latest&per_page=100&page=2")


async def test_the_pages_of_jobs_have_an_end(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(Says(json=RUN), Says(json={"jobs": [JOB] * 100}))
    run = await actions.run("acme/shop", "254907244")
    assert run is not None
    assert (len(run.stages), len(forge.asked)) == (300, 4)


async def test_what_is_gone_is_none(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(Says(status=404, json={"message": "Not Found"}))
    assert await actions.run("acme/shop", "7") is None
    assert await actions.pull_request("acme/shop", 7) is None
    forge.says(Says(json=RUN), Says(status=404, json={"message": "Not Found"}))
    assert await actions.run("acme/shop", "7") is None


async def test_a_link_that_is_none_is_left_out(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page({**RUN, "html_url": "javascript:alert(1)"}))
    (run,) = await actions.recent_runs("acme/shop", since=EVER)
    assert run.url == ""


@pytest.mark.parametrize("run_id", ["../7", "", "7" * 21, "x"])
async def test_what_is_no_number_is_not_asked_for(run_id: str, forge: FakeForge, actions: GitHubActions) -> None:
    with pytest.raises(WireError):
        await actions.run("acme/shop", run_id)
    with pytest.raises(WireError):
        await actions.runs_of("acme/shop", "main")
    assert forge.asked == []


@pytest.mark.parametrize("said", [Says(json=[]), Says(json={"runs": []}), Says(body=b"<html>")])
async def test_another_shape_is_an_error_of_ours(said: Says, forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(said)
    with pytest.raises(WireError):
        await actions.recent_runs("acme/shop", since=EVER)


async def test_a_pull_request_with_who_approved_and_merged_it(forge: FakeForge, actions: GitHubActions) -> None:
    review = {"user": {"login": "bnookala"}, "state": "APPROVED", "submitted_at": "2026-01-12T01:30:00Z"}
    forge.says(Says(json=PULL), Says(json=[review]))
    pull = await actions.pull_request("acme/shop", 408)
    assert pull is not None
    assert (pull.number, pull.title, pull.author, pull.merged_by) == (408, PULL["title"], "edaena", "bnookala")
    assert (pull.source_branch, pull.target_branch, pull.state) == ("helm-2-pipelines", "master", "merged")
    assert (pull.merged_at, pull.url) == (at(2, 0), PULL["html_url"])
    assert pull.approvals == (Approval(by="bnookala", state="approved", at=at(1, 30)),)
    assert [asked.path for asked in forge.asked] == [
        "/repos/acme/shop/pulls/408",
        "/repos/acme/shop/pulls/408/reviews?per_page=100&page=1",
    ]


async def test_nulls_of_a_pull_request_are_read(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(Says(json={**dict.fromkeys(PULL), "number": 408}), Says(json=[{"user": None, "state": None}]))
    pull = await actions.pull_request("acme/shop", 408)
    assert pull is not None
    assert (pull.state, pull.author, pull.merged_by, pull.approvals) == ("open", "", "", ())


async def test_what_a_reviewer_said_last_counts_and_a_remark_withdraws_nothing(
    forge: FakeForge, actions: GitHubActions
) -> None:
    said = [("ada", "CHANGES_REQUESTED"), ("ada", "APPROVED"), ("ada", "COMMENTED"), ("eve", "COMMENTED"), ("", "X")]
    forge.says(Says(json=PULL), Says(json=[{"user": {"login": login}, "state": state} for login, state in said]))
    pull = await actions.pull_request("acme/shop", 408)
    assert pull is not None
    assert [(item.by, item.state) for item in pull.approvals] == [("ada", "approved"), ("eve", "commented")]


async def test_no_more_is_asked_for_than_is_wanted(forge: FakeForge, actions: GitHubActions) -> None:
    forge.says(page(*[RUN] * 30))
    assert len(await actions.recent_runs("acme/shop", since=EVER, limit=30)) == 30
    assert [asked.path for asked in forge.asked] == ["/repos/acme/shop/actions/runs?per_page=30&page=1"]
