"""Runs of GitHub Actions, and the pull requests they belong to, as facts of CI.

A run is known by its own id, not by those of its jobs; a re-run is the same run at its next attempt.
Source: https://docs.github.com/rest/actions/workflow-runs, …/workflow-jobs, https://docs.github.com/rest/pulls/reviews
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from fluxtrail.model.ci import Approval, CiRun, CiStage, CiState, CiSystem, PullRequest
from fluxtrail.model.commit import SUBJECT_LIMIT, is_sha
from fluxtrail.model.errors import NotFoundError, WireError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.facts import WirePullRequest, WireUser, convert
from fluxtrail.remotes.links import http_link
from fluxtrail.remotes.names import short_name
from fluxtrail.remotes.times import as_utc

PER_PAGE = 100
PAGES_LIMIT = 10
JOBS_PAGES = 3
"""A matrix has 256 jobs at most."""
REVIEWS_PAGES = 3

_OPEN = {
    "queued": CiState.QUEUED,
    "requested": CiState.QUEUED,
    "pending": CiState.QUEUED,
    "in_progress": CiState.RUNNING,
    "waiting": CiState.WAITING,
}
_DONE = {
    "success": CiState.SUCCEEDED,
    "neutral": CiState.SUCCEEDED,
    "failure": CiState.FAILED,
    "timed_out": CiState.FAILED,
    "startup_failure": CiState.FAILED,
    "cancelled": CiState.CANCELLED,
    "stale": CiState.CANCELLED,
    "skipped": CiState.SKIPPED,
    "action_required": CiState.WAITING,
}


class GitHubActions:
    """Reads what `GitHubClient` may read. Errors are its."""

    system = CiSystem.GITHUB_ACTIONS

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    async def recent_runs(self, repository: str, *, since: datetime, limit: int = PER_PAGE) -> Sequence[CiRun]:
        """Return runs that were made since, the newest first. A page that has not changed costs no rate limit.

        Args:
            repository: `acme/shop`.
        """
        found: list[CiRun] = []
        page, size = 1, min(limit, PER_PAGE)
        while len(found) < limit:
            runs, listed = await self._page(repository, f"per_page={size}&page={page}")
            recent = [run for run in runs if run.at >= since]
            found += recent
            if listed < size or len(recent) < len(runs) or page >= PAGES_LIMIT:
                break
            page += 1
        return found[:limit]

    async def runs_of(self, repository: str, sha: str) -> Sequence[CiRun]:
        """Return the runs of one commit, the newest first: of each workflow, its runs for every event."""
        if not is_sha(sha):
            raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
        runs, _ = await self._page(repository, f"head_sha={sha}&per_page={PER_PAGE}")
        return runs

    async def run(self, repository: str, run_id: str) -> CiRun | None:
        """Return one run with its jobs as stages; None where it is gone (runs expire, and can be deleted)."""
        owner, name = _names(repository)
        path = f"/actions/runs/{_number(run_id)}"
        try:
            run = read_run(await self._client.read_back(owner, name, path), self._client.host, repository)
            stages = await self._stages(owner, name, path)
        except NotFoundError:
            return None
        ends = [stage.finished_at for stage in stages if stage.finished_at]
        # The run itself has no time of its end, only of its last change.
        finished = max(ends) if run.finished_at and ends else run.finished_at
        return msgspec.structs.replace(run, stages=stages, finished_at=finished)

    async def _stages(self, owner: str, name: str, path: str) -> tuple[CiStage, ...]:
        stages: list[CiStage] = []
        for page in range(1, JOBS_PAGES + 1):
            query = f"filter=latest&per_page={PER_PAGE}" + (f"&page={page}" if page > 1 else "")
            found = read_stages(await self._client.read_back(owner, name, f"{path}/jobs?{query}"))
            stages += found
            if len(found) < PER_PAGE:
                break
        return tuple(stages)

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """Return a pull request with what its reviewers said last; None where there is none."""
        owner, name = _names(repository)
        path = f"/pulls/{int(number)}"
        try:
            wire = convert(await self._client.read_back(owner, name, path), _WholePullRequest)
            reviews: list[_Review] = []
            for page in range(1, REVIEWS_PAGES + 1):
                query = f"?per_page={PER_PAGE}&page={page}"
                found = convert(await self._client.read_back(owner, name, f"{path}/reviews{query}"), list[_Review])
                reviews += found
                if len(found) < PER_PAGE:
                    break
        except NotFoundError:
            return None
        return _pull_request(wire, reviews, f"{self._client.host}/{repository}")

    async def _page(self, repository: str, query: str) -> tuple[list[CiRun], int]:
        """Return the runs of a page that can be read, and how many it has."""
        owner, name = _names(repository)
        data = await self._client.read_back(owner, name, f"/actions/runs?{query}")
        listed = convert(data, _Runs).workflow_runs
        runs = []
        for item in listed:
            try:
                runs.append(read_run(item, self._client.host, repository))
            except WireError:
                continue  # one odd run hides no other
        return runs, len(listed)


def map_state(status: str | None, conclusion: str | None) -> CiState:
    """Return what a run's, or a job's, two words mean together."""
    if status == "completed":
        return _DONE.get(conclusion or "", CiState.UNKNOWN)
    return _OPEN.get(status or "", CiState.UNKNOWN)


def read_run(data: Any, host: str, repository: str) -> CiRun:
    """Read a workflow run.

    Raises:
        WireError: it has another shape, or no commit.
    """
    wire = convert(data, _Run)
    if not is_sha(wire.head_sha):
        raise WireError(f"the run has no commit: {wire.head_sha[:80]!r}", subject="head_sha")
    state = map_state(wire.status, wire.conclusion)
    created, updated = as_utc(wire.created_at), as_utc(wire.updated_at)
    started, attempt = as_utc(wire.run_started_at), wire.run_attempt or 1
    # A run was made at its first attempt; a later one may come days after.
    queued = started or created if attempt > 1 else created
    actor = wire.triggering_actor or wire.actor
    changed = updated or started or queued
    if changed is None:
        raise WireError("the run has no time", subject="updated_at")
    return CiRun(
        system=CiSystem.GITHUB_ACTIONS,
        host=host,
        project=repository.lower(),
        run_id=str(wire.id),
        attempt=attempt,
        repository=f"{host}/{repository}".lower(),
        sha=wire.head_sha,
        branch=wire.head_branch or "",
        event=wire.event or "",
        pipeline=short_name(wire.name or wire.path),
        number=f"#{wire.run_number}" if wire.run_number else "",
        url=http_link(wire.html_url),
        author=(actor.login or "") if actor else "",
        state=state,
        queued_at=queued,
        started_at=None if state is CiState.QUEUED else started,
        finished_at=changed if state.is_final else None,
        updated_at=changed,
        pull_request=wire.pull_requests[0].number if wire.pull_requests else None,
    )


def read_stages(data: Any) -> tuple[CiStage, ...]:
    """Read the jobs of a run, in their order; one that has not begun has no times."""
    stages = []
    for job in convert(data, _Jobs).jobs:
        state = map_state(job.status, job.conclusion)
        stages.append(
            CiStage(
                name=short_name(job.name),
                state=state,
                started_at=None if state is CiState.QUEUED else as_utc(job.started_at),
                finished_at=as_utc(job.completed_at) if state.is_final else None,
                url=http_link(job.html_url),
            )
        )
    return tuple(stages)


def _pull_request(wire: _WholePullRequest, reviews: Sequence[_Review], repository: str) -> PullRequest:
    return PullRequest(
        repository=repository.lower(),
        number=wire.number,
        title=redact(wire.title)[:SUBJECT_LIMIT],
        author=_login(wire.user),
        url=http_link(wire.html_url),
        source_branch=(wire.head.ref or "") if wire.head else "",
        target_branch=(wire.base.ref or "") if wire.base else "",
        state="merged" if wire.merged_at else wire.state or "open",
        created_at=as_utc(wire.created_at),
        merged_by=_login(wire.merged_by),
        merged_at=as_utc(wire.merged_at),
        approvals=read_approvals(reviews),
        updated_at=as_utc(wire.updated_at),
    )


def read_approvals(reviews: Sequence[_Review]) -> tuple[Approval, ...]:
    """Return what each reviewer said last, by the order in which they first did; a remark withdraws no verdict."""
    last: dict[str, Approval] = {}
    for review in reviews:
        by, state = _login(review.user), (review.state or "").lower()
        if not by or state in ("pending", "") or (state == "commented" and by in last):
            continue
        last[by] = Approval(by=by, state=state, at=as_utc(review.submitted_at))
    return tuple(last.values())


def _login(user: WireUser | None) -> str:
    return (user.login or "") if user else ""


def _names(repository: str) -> tuple[str, str]:
    owner, _, name = repository.partition("/")
    return owner, name


def _number(run_id: str) -> str:
    if not run_id.isdecimal() or len(run_id) > 20:
        raise WireError(f"{run_id[:80]!r} is not the number of a run", subject="run_id")
    return quote(run_id)


class _Number(msgspec.Struct):
    number: int


class _Run(msgspec.Struct):
    id: int
    head_sha: str
    name: str | None = None
    path: str | None = None
    head_branch: str | None = None
    run_number: int | None = None
    run_attempt: int | None = None
    event: str | None = None
    status: str | None = None
    conclusion: str | None = None
    html_url: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    run_started_at: datetime | None = None
    actor: WireUser | None = None
    triggering_actor: WireUser | None = None
    pull_requests: list[_Number] | None = None


class _Runs(msgspec.Struct):
    workflow_runs: list[Any]


class _Job(msgspec.Struct):
    name: str = ""
    status: str | None = None
    conclusion: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    html_url: str | None = None


class _Jobs(msgspec.Struct):
    jobs: list[_Job]


class _WholePullRequest(WirePullRequest):
    state: str | None = None
    merged_by: WireUser | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class _Review(msgspec.Struct):
    user: WireUser | None = None
    state: str | None = None
    submitted_at: datetime | None = None
