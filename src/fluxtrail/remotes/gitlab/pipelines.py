"""Pipelines of GitLab CI, and merge requests with their approvals, as facts of CI.

Source: https://docs.gitlab.com/api/pipelines/, …/jobs/#list-pipeline-jobs, …/merge_request_approvals/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from fluxtrail.model.ci import Approval, CiRun, CiStage, CiState, CiSystem, PullRequest
from fluxtrail.model.commit import SUBJECT_LIMIT, is_sha
from fluxtrail.model.errors import AuthError, NotFoundError, WireError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.gitlab.client import NAME, GitLabClient
from fluxtrail.remotes.gitlab.facts import WireMergeRequest, WireUser
from fluxtrail.remotes.links import http_link
from fluxtrail.remotes.names import short_name
from fluxtrail.remotes.times import as_utc

PER_PAGE = 100
PAGES_LIMIT = 10
JOBS_PAGES = 10

_STATES = {
    "created": CiState.QUEUED,
    "waiting_for_resource": CiState.QUEUED,
    "waiting_for_callback": CiState.RUNNING,
    "preparing": CiState.QUEUED,
    "pending": CiState.QUEUED,
    "running": CiState.RUNNING,
    "canceling": CiState.RUNNING,
    "success": CiState.SUCCEEDED,
    "failed": CiState.FAILED,
    "canceled": CiState.CANCELLED,
    "skipped": CiState.SKIPPED,
    "manual": CiState.WAITING,
    "scheduled": CiState.WAITING,
}


class GitLabPipelines:
    """Reads what `GitLabClient` may read. Errors are its."""

    system = CiSystem.GITLAB_CI

    def __init__(self, client: GitLabClient) -> None:
        self._client = client
        self._host = client.host

    async def recent_runs(self, repository: str, *, since: datetime, limit: int = PER_PAGE) -> Sequence[CiRun]:
        """Return pipelines that changed since, the one that changed last first.

        GitLab's list has no times of begin and end: what is not over, or is new here, is asked for by `run`.

        Args:
            repository: `group/subgroup/name`.
        """
        found: list[CiRun] = []
        page, size = 1, min(limit, PER_PAGE)
        while len(found) < limit:
            # By the hour: the same question again costs next to nothing where nothing has changed.
            updated = since.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z")
            query: dict[str, str | int] = {"order_by": "updated_at", "updated_after": updated}
            runs, listed = await self._list(repository, size, page=page, **query)
            found += runs
            if listed < size or page >= PAGES_LIMIT:
                break
            page += 1
        return found[:limit]

    async def runs_of(self, repository: str, sha: str) -> Sequence[CiRun]:
        """Return the pipelines of one commit, the newest first."""
        if not is_sha(sha):
            raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
        runs, _ = await self._list(repository, PER_PAGE, page=1, sha=sha)
        return runs

    async def run(self, repository: str, run_id: str) -> CiRun | None:
        """Return one pipeline with its stages; None where it is gone."""
        path = f"/pipelines/{_number(run_id)}"
        try:
            answer = await self._client.read_back(repository, path)
            run = read_pipeline(answer.read(WirePipeline, name=NAME), self._host, repository)
            jobs = await self._jobs(repository, f"{path}/jobs")
        except NotFoundError:
            return None
        return msgspec.structs.replace(run, stages=read_stages(jobs))

    async def _jobs(self, repository: str, path: str) -> list[WireJob]:
        """Those that were tried again too: the first of each stage says where it stands among the others."""
        jobs: list[WireJob] = []
        for page in range(1, JOBS_PAGES + 1):
            query: dict[str, str | int] = {"per_page": PER_PAGE, "page": page, "include_retried": "true"}
            found = (await self._client.read_back(repository, path, **query)).read(list[WireJob], name=NAME)
            jobs += found
            if len(found) < PER_PAGE:
                break
        return jobs

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """Return a merge request with who approved it; None where there is none.

        Approvals are not in every edition, and not for every token: without them the rest is told.
        """
        path = f"/merge_requests/{int(number)}"
        try:
            answer = await self._client.read_back(repository, path)
        except NotFoundError:
            return None
        wire = answer.read(WireWholeRequest, name=NAME)
        try:
            given = (await self._client.read_back(repository, f"{path}/approvals")).read(WireApprovals, name=NAME)
        except (NotFoundError, AuthError):
            given = WireApprovals()
        return _merge_request(wire, given, f"{self._host}/{repository}".lower())

    async def _list(self, repository: str, size: int, **query: str | int) -> tuple[list[CiRun], int]:
        """Return the pipelines of a page that can be read, and how many it has."""
        answer = await self._client.read_back(repository, "/pipelines", per_page=size, sort="desc", **query)
        runs, listed = [], answer.read(list[msgspec.Raw], name=NAME)
        for wire in listed:
            try:
                runs.append(read_pipeline(msgspec.json.decode(wire, type=WirePipeline), self._host, repository))
            except (WireError, msgspec.ValidationError):
                continue  # one odd pipeline hides no other
        return runs, len(listed)


def read_pipeline(wire: WirePipeline, host: str, repository: str) -> CiRun:
    """Read a pipeline, whole or from a list.

    Raises:
        WireError: it has no commit, or no time.
    """
    if not is_sha(wire.sha):
        raise WireError(f"the pipeline has no commit: {wire.sha[:80]!r}", subject="sha")
    state = _STATES.get(wire.status or "", CiState.UNKNOWN)
    created, updated = as_utc(wire.created_at), as_utc(wire.updated_at)
    changed = updated or created
    if changed is None:
        raise WireError("the pipeline has no time", subject="updated_at")
    return CiRun(
        system=CiSystem.GITLAB_CI,
        host=host,
        project=repository.lower(),
        run_id=str(wire.id),
        repository=f"{host}/{repository}".lower(),
        sha=wire.sha,
        branch=wire.ref or "",
        event=wire.source or "",
        pipeline=short_name(wire.name),
        number=f"#{wire.id}",
        url=http_link(wire.web_url),
        author=(wire.user.username or "") if wire.user else "",
        state=state,
        queued_at=created,
        started_at=as_utc(wire.started_at),
        finished_at=(as_utc(wire.finished_at) or changed) if state.is_final else None,
        updated_at=changed,
        pull_request=_merge_request_of(wire.ref or ""),
    )


def read_stages(jobs: Sequence[WireJob]) -> tuple[CiStage, ...]:
    """Return a pipeline's stages in their order, each as its jobs stand together. GitLab lists the last job first.

    Of a job that was tried again, the last try counts; that one is newer than all of the stages behind it.
    """
    by_name: dict[str, dict[str, WireJob]] = {}
    for job in sorted(jobs, key=lambda job: job.id):
        by_name.setdefault(job.stage or "", {})[job.name or str(job.id)] = job
    return tuple(_stage(name, list(theirs.values())) for name, theirs in by_name.items())


def _stage(name: str, jobs: Sequence[WireJob]) -> CiStage:
    state = _together([_state_of(job) for job in jobs])
    begins = [at for job in jobs if (at := as_utc(job.started_at))]
    ends = [at for job in jobs if (at := as_utc(job.finished_at))]
    return CiStage(
        name=short_name(name),
        state=state,
        started_at=min(begins, default=None),
        finished_at=max(ends, default=None) if state.is_final else None,
        url=http_link(jobs[-1].web_url),
    )


def _state_of(job: WireJob) -> CiState:
    """A job that may fail fails nothing; one that nobody has to start is left out until somebody does."""
    state = _STATES.get(job.status or "", CiState.UNKNOWN)
    if job.allow_failure and job.status == "manual":
        return CiState.SKIPPED
    return CiState.SUCCEEDED if job.allow_failure and state in (CiState.FAILED, CiState.CANCELLED) else state


def _together(states: Sequence[CiState]) -> CiState:
    """Return how several things stand as one: what is worst of what is over, what goes on of what is not."""
    order = (
        CiState.FAILED,
        CiState.CANCELLED,
        CiState.RUNNING,
        CiState.WAITING,
        CiState.QUEUED,
        CiState.UNKNOWN,
        CiState.SUCCEEDED,
    )
    return next((state for state in order if state in states), CiState.SKIPPED)


def _merge_request(wire: WireWholeRequest, given: WireApprovals, repository: str) -> PullRequest:
    state = {"opened": "open", "locked": "open"}.get(wire.state or "", wire.state or "open")
    by = wire.merge_user or wire.merged_by
    approvals = [
        Approval(by=item.user.username, state="approved", at=as_utc(item.approved_at))
        for item in given.approved_by or []
        if item.user and item.user.username
    ]
    return PullRequest(
        repository=repository,
        number=wire.iid,
        title=redact(wire.title)[:SUBJECT_LIMIT],
        author=(wire.author.username or "") if wire.author else "",
        url=http_link(wire.web_url),
        source_branch=wire.source_branch or "",
        target_branch=wire.target_branch or "",
        state=state,
        created_at=as_utc(wire.created_at),
        merged_by=(by.username or "") if by else "",
        merged_at=as_utc(wire.merged_at),
        approvals=tuple(approvals),
        updated_at=as_utc(wire.updated_at),
    )


def _merge_request_of(ref: str) -> int | None:
    """Return the number in `refs/merge-requests/<iid>/head`."""
    parts = ref.split("/")
    is_request = parts[:2] == ["refs", "merge-requests"] and len(parts) > 2 and parts[2].isdecimal()
    return int(parts[2]) if is_request else None


def _number(run_id: str) -> str:
    if not run_id.isdecimal() or len(run_id) > 20:
        raise WireError(f"{run_id[:80]!r} is not the number of a pipeline", subject="run_id")
    return run_id


class WirePipeline(msgspec.Struct):
    id: int
    sha: str
    name: str | None = None
    ref: str | None = None
    source: str | None = None
    status: str | None = None
    web_url: str | None = None
    user: WireUser | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class WireJob(msgspec.Struct):
    id: int
    name: str | None = None
    stage: str | None = None
    status: str | None = None
    allow_failure: bool | None = None
    web_url: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class WireWholeRequest(WireMergeRequest):
    merge_user: WireUser | None = None
    merged_by: WireUser | None = None
    source_branch: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class WireApproval(msgspec.Struct):
    user: WireUser | None = None
    approved_at: datetime | None = None


class WireApprovals(msgspec.Struct):
    approved_by: list[WireApproval] | None = None
