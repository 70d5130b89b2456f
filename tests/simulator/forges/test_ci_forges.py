"""The simulated forges show CI runs as the real ones do: what reads those reads these."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.model.ci import CiState
from fluxtrail.remotes.azure_devops.builds import AzureBuilds
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient
from fluxtrail.remotes.github.actions import GitHubActions
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.pipelines import GitLabPipelines
from fluxtrail.simulator.forges.ci_runs import Run
from fluxtrail.trail.ci.ports import CiReader

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

SHA = "a" * 40
RUNS = "/repos/acme/shop/actions/runs"
SINCE = datetime(2025, 12, 31, tzinfo=UTC)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(params=["github", "gitlab", "azure"])
def place(request: pytest.FixtureRequest, forge: Caller, session: aiohttp.ClientSession) -> tuple[CiReader, str]:
    """What asks one of the forges, and how it calls the repository there."""
    url, nobody = forge.forges.url, CredentialSource()
    match request.param:
        case "github":
            return GitHubActions(GitHubClient(session, credentials=nobody, base_url=url)), "acme/shop"
        case "gitlab":
            client = GitLabClient(session, credentials=nobody, host="gitlab.test", api_url=f"{url}/gitlab/api/v4")
            return GitLabPipelines(client), "acme/shop"
        case _:
            ado = AzureDevOpsClient(session, credentials=nobody, host="ado.test", api_url=f"{url}/azure")
            return AzureBuilds(ado), "azure/acme/web/_git/shop"


def start(forge: Caller, *, sha: str = SHA, pull_request: int | None = None) -> Run:
    event = "pull_request" if pull_request else "push"
    facts = {"pipeline": "Build", "event": event, "title": "Sell more", "author": "ada"}
    book, now = forge.forges.ci, forge.clock.now()
    return book.start("acme/shop", sha, at=now, pull_request=pull_request, jobs=("test", "package"), **facts)


def finish(forge: Caller, run: Run, state: CiState = CiState.SUCCEEDED) -> datetime:
    """Let it run for 40 s, and be closed 2 s later; return when its last job ended."""
    book, clock = forge.forges.ci, forge.clock
    for index in range(2):
        book.begin_job(run, index, at=clock.now())
        clock.advance(20)
        book.end_job(run, index, state if index else CiState.SUCCEEDED, at=clock.now())
    ended = clock.now()
    clock.advance(2)
    book.close(run, state, at=clock.now())
    return ended


async def test_a_run_is_queued_and_runs_and_ends_with_its_last_job(forge: Caller, place: tuple[CiReader, str]) -> None:
    reader, path = place
    run = start(forge)
    [listed] = await reader.recent_runs(path, since=SINCE)
    assert (listed.sha, listed.run_id, listed.state) == (SHA, str(run.id), CiState.QUEUED)
    forge.clock.advance(5)
    forge.forges.ci.begin_job(run, 0, at=forge.clock.now())
    [listed] = await reader.runs_of(path, SHA)
    assert listed.state is CiState.RUNNING
    ended = finish(forge, run)
    found = await reader.run(path, str(run.id))
    assert found is not None
    assert (found.state, found.finished_at, found.branch) == (CiState.SUCCEEDED, ended, "main")
    assert [(stage.name, stage.state) for stage in found.stages] == [
        ("test", CiState.SUCCEEDED),
        ("package", CiState.SUCCEEDED),
    ]
    assert str(run.id) in found.url
    assert await reader.run(path, "1") is None


async def test_a_run_that_failed_and_one_of_a_pull_request(forge: Caller, place: tuple[CiReader, str]) -> None:
    reader, path = place
    finish(forge, start(forge), CiState.FAILED)
    forge.clock.advance(1)
    finish(forge, start(forge, sha="b" * 40, pull_request=7), CiState.CANCELLED)
    newer, older = await reader.recent_runs(path, since=SINCE)
    assert (newer.sha, newer.state, newer.pull_request) == ("b" * 40, CiState.CANCELLED, 7)
    assert (older.sha, older.state, older.pull_request) == (SHA, CiState.FAILED, None)


async def test_a_run_that_is_run_again_is_the_same_at_its_next_attempt(forge: Caller) -> None:
    run = start(forge)
    finish(forge, run, CiState.FAILED)
    forge.clock.advance(10)
    forge.forges.ci.run_again(run, at=forge.clock.now())
    again = await forge.get(f"{RUNS}/{run.id}")
    assert (again["run_attempt"], again["status"], again["conclusion"]) == (2, "queued", None)
    assert again["created_at"] == "2026-01-01T00:00:00Z"
    assert again["run_started_at"] == "2026-01-01T00:00:52Z"
    first = await forge.get(f"{RUNS}/{run.id}/attempts/1")
    assert (first["run_attempt"], first["conclusion"]) == (1, "failure")
    assert (await forge.get(f"{RUNS}/{run.id}/jobs"))["total_count"] == 2
    every = await forge.get(f"{RUNS}/{run.id}/jobs?filter=all")
    assert [job["run_attempt"] for job in every["jobs"]] == [1, 1, 2, 2]


async def test_what_never_began_of_a_run_is_skipped(forge: Caller) -> None:
    run = start(forge)
    book, clock = forge.forges.ci, forge.clock
    book.begin_job(run, 0, at=clock.now())
    clock.advance(3)
    book.end_job(run, 0, CiState.FAILED, at=clock.now())
    book.close(run, CiState.FAILED, at=clock.now())
    jobs = (await forge.get(f"{RUNS}/{run.id}/jobs"))["jobs"]
    assert [job["conclusion"] for job in jobs] == ["failure", "skipped"]
    assert run.last.finished_at == clock.now()


async def test_runs_come_in_pages_and_by_commit(forge: Caller) -> None:
    for number in range(5):
        start(forge, sha=f"{number:040x}")
    page = await forge.get(f"{RUNS}?per_page=2&page=2")
    assert page["total_count"] == 5
    assert [int(run["head_sha"], 16) for run in page["workflow_runs"]] == [2, 1]
    one = await forge.get(f"{RUNS}?head_sha={3:040x}")
    assert [int(run["head_sha"], 16) for run in one["workflow_runs"]] == [3]
    assert (await forge.get(f"{RUNS}?status=success"))["workflow_runs"] == []


async def test_a_page_that_has_not_changed_costs_nothing(forge: Caller) -> None:
    run = start(forge)
    status, _, headers = await forge.call("GET", RUNS)
    assert status == 200
    remaining = headers["X-RateLimit-Remaining"]
    shown = {"If-None-Match": headers["ETag"]}
    status, body, headers = await forge.call("GET", RUNS, headers=shown)
    assert (status, body, headers["X-RateLimit-Remaining"]) == (304, "", remaining)
    forge.forges.ci.begin_job(run, 0, at=forge.clock.now() + timedelta(seconds=1))
    assert (await forge.call("GET", RUNS, headers=shown))[0] == 200


async def test_runs_of_a_repository_that_is_none_are_not_found(forge: Caller) -> None:
    assert (await forge.call("GET", "/repos/acme/nothing/actions/runs"))[0] == 404
    assert (await forge.call("GET", f"{RUNS}/7"))[0] == 404
    assert (await forge.call("GET", "/gitlab/api/v4/projects/acme%2Fnothing/pipelines"))[0] == 404
    assert (await forge.call("GET", "/azure/acme/web/_apis/build/builds/7"))[0] == 404


async def test_builds_of_azure_devops_come_in_pages(forge: Caller) -> None:
    for number in range(3):
        start(forge, sha=f"{number:040x}")
    path = "/azure/acme/web/_apis/build/builds?$top=2"
    status, first, headers = await forge.call("GET", path)
    assert (status, first["count"]) == (200, 2)
    _, second, headers = await forge.call("GET", f"{path}&continuationToken={headers['x-ms-continuationtoken']}")
    assert [int(build["sourceVersion"], 16) for build in second["value"]] == [0]
    assert "x-ms-continuationtoken" not in headers


async def test_the_page_of_a_run_says_how_it_went(forge: Caller) -> None:
    run = start(forge)
    finish(forge, run)
    page = await forge.get(forge.forges.ci.page_of(run).removeprefix(forge.forges.url))
    assert "Build #1, attempt 1: succeeded" in page
    assert (await forge.call("GET", "/acme/shop/actions/runs/1"))[0] == 404
