"""Builds of Azure Pipelines (YAML pipelines of several stages, classic ones) and pull requests, as facts of CI.

A pipeline's runs are builds; they may build a repository of Azure DevOps or one of GitHub, and are listed by project.
Source: https://learn.microsoft.com/rest/api/azure/devops/build/builds/list, …/build/timeline/get,
https://learn.microsoft.com/rest/api/azure/devops/git/pull-requests/get-pull-request
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from fluxtrail.model.ci import Approval, CiRun, CiStage, CiState, CiSystem, PullRequest
from fluxtrail.model.commit import SUBJECT_LIMIT, is_sha
from fluxtrail.model.errors import NotFoundError, WireError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.azure_devops.client import API_VERSION, NAME, AzureDevOpsClient
from fluxtrail.remotes.links import http_link
from fluxtrail.remotes.times import as_utc

PER_PAGE = 100
PAGES_LIMIT = 5
"""A project's builds are of all its repositories."""
NAME_LIMIT = 200
_HEADS = "refs/heads/"
_PULLS = "refs/pull/"
_EVER = datetime(2000, 1, 1, tzinfo=UTC)

_OPEN = {
    "notStarted": CiState.QUEUED,
    "postponed": CiState.QUEUED,
    "inProgress": CiState.RUNNING,
    "cancelling": CiState.RUNNING,
    "pending": CiState.QUEUED,
}
_DONE = {
    "succeeded": CiState.SUCCEEDED,
    "partiallySucceeded": CiState.SUCCEEDED,
    "succeededWithIssues": CiState.SUCCEEDED,
    "failed": CiState.FAILED,
    "abandoned": CiState.CANCELLED,
    "canceled": CiState.CANCELLED,
    "skipped": CiState.SKIPPED,
}
_VOTES = {10: "approved", 5: "approved", -5: "changes_requested", -10: "changes_requested"}


class AzureBuilds:
    """Reads what `AzureDevOpsClient` may read. Errors are its.

    Args:
        host: of the canonical names; it may name a port.
    """

    def __init__(self, client: AzureDevOpsClient, *, host: str) -> None:
        self._client = client
        self._host = host

    async def recent_runs(self, repository: str, *, since: datetime, limit: int = PER_PAGE) -> Sequence[CiRun]:
        """Return builds of a repository that were queued since, the newest first.

        Args:
            repository: `organisation/project/name`.
        """
        place = self._client.repository_of(repository)
        query: dict[str, str | int] = {
            "api-version": API_VERSION,
            "queryOrder": "queueTimeDescending",
            # By the hour: the same question again costs next to nothing where nothing has changed.
            "minTime": since.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z"),
            "$top": PER_PAGE,
        }
        found: list[CiRun] = []
        for _ in range(PAGES_LIMIT):
            answer = await self._client.read_project(place, place.project, "/build/builds", **query)
            for item in answer.read(_Builds, name=NAME).value:
                try:
                    wire = msgspec.json.decode(item, type=_Build)
                    if _is_of(wire, place.name):
                        found.append(read_build(wire, self._host, place.organisation, place.project, repository))
                except (WireError, msgspec.ValidationError):
                    continue  # one odd build hides no other
            following = answer.headers.get("x-ms-continuationtoken", "").strip()
            if not following or len(found) >= limit:
                break
            query["continuationToken"] = following
        return found[:limit]

    async def runs_of(self, repository: str, sha: str) -> Sequence[CiRun]:
        """Return the builds of one commit: among the newest, since Azure DevOps cannot be asked by commit."""
        if not is_sha(sha):
            raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
        recent = await self.recent_runs(repository, since=_EVER, limit=PER_PAGE)
        return [run for run in recent if run.sha == sha]

    async def run(self, repository: str, run_id: str) -> CiRun | None:
        """Return one build with its stages; None where it is gone (builds are deleted by retention)."""
        place = self._client.repository_of(repository)
        path = f"/build/builds/{_number(run_id)}"
        try:
            answer = await self._client.read_project(place, place.project, path, **{"api-version": API_VERSION})
            wire = answer.read(_Build, name=NAME)
        except NotFoundError:
            return None
        run = read_build(wire, self._host, place.organisation, place.project, repository)
        return msgspec.structs.replace(run, stages=await self._stages(repository, path))

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """Return a pull request with the votes of its reviewers; None where there is none."""
        place = self._client.repository_of(repository)
        try:
            answer = await self._client.read(place, f"/pullRequests/{int(number)}", **{"api-version": API_VERSION})
        except NotFoundError:
            return None
        return _pull_request(answer.read(_PullRequest, name=NAME), f"{self._host}/{repository}".lower())

    async def _stages(self, repository: str, path: str) -> tuple[CiStage, ...]:
        """Return the stages of a build; a classic one has its phases, and one that has not begun has none."""
        place = self._client.repository_of(repository)
        query = {"api-version": API_VERSION}
        try:
            answer = await self._client.read_project(place, place.project, f"{path}/timeline", **query)
        except NotFoundError:
            return ()
        if not answer.body.strip() or answer.body.strip() == b"null":
            return ()
        return read_stages(answer.read(_Timeline, name=NAME).records or [])


def map_state(status: str | None, result: str | None) -> CiState:
    """Return what a build's, or a timeline record's, two words mean together."""
    if status == "completed":
        return _DONE.get(result or "", CiState.UNKNOWN)
    return _OPEN.get(status or "", CiState.UNKNOWN)


def read_build(wire: _Build, host: str, organisation: str, project: str, repository: str) -> CiRun:
    """Read a build.

    Raises:
        WireError: it has no commit, or no time.
    """
    sha = (wire.source_version or "").lower()
    if not is_sha(sha):
        raise WireError(f"the build has no commit: {sha[:80]!r}", subject="sourceVersion")
    state = map_state(wire.status, wire.result)
    queued, started, finished = as_utc(wire.queue_time), as_utc(wire.start_time), as_utc(wire.finish_time)
    changed = as_utc(wire.last_changed_date) or finished or started or queued
    if changed is None:
        raise WireError("the build has no time", subject="queueTime")
    ref = wire.source_branch or ""
    page = http_link(wire.links.web.href) if wire.links and wire.links.web else ""
    return CiRun(
        system=CiSystem.AZURE_PIPELINES,
        host=host,
        project=f"{organisation}/{project}",
        run_id=str(wire.id),
        repository=f"{host}/{repository}".lower(),
        sha=sha,
        branch=ref.removeprefix(_HEADS) if ref.startswith(_HEADS) else "",
        event=wire.reason or "",
        pipeline=redact(wire.definition.name or "")[:NAME_LIMIT] if wire.definition else "",
        number=wire.build_number or "",
        url=f"{page}?buildId={wire.id}" if page else "",
        author=redact(wire.requested_for.display_name or "")[:NAME_LIMIT] if wire.requested_for else "",
        state=state,
        queued_at=queued,
        started_at=started,
        finished_at=finished or changed if state.is_final else None,
        updated_at=changed,
        pull_request=_pull_of(ref),
    )


def read_stages(records: Sequence[_Record]) -> tuple[CiStage, ...]:
    """Return the stages of a timeline in their order, without the one that every build without stages has."""
    stages = [record for record in records if record.type == "Stage"]
    if [record.name for record in stages] == ["__default"]:
        stages = [record for record in records if record.type == "Job"]
    return tuple(
        CiStage(
            name=redact(record.name or "")[:NAME_LIMIT],
            state=map_state(record.state, record.result),
            started_at=as_utc(record.start_time),
            finished_at=as_utc(record.finish_time),
        )
        for record in sorted(stages, key=lambda record: record.order or 0)
    )


def _is_of(wire: _Build, name: str) -> bool:
    """Whether a project's build is of this repository: builds are listed by project."""
    where = wire.repository
    return where is None or name.lower() in ((where.name or "").lower(), (where.id or "").lower())


def _pull_request(wire: _PullRequest, repository: str) -> PullRequest:
    merged = as_utc(wire.closed_date) if wire.status == "completed" else None
    approvals = [
        Approval(by=redact(reviewer.display_name)[:NAME_LIMIT], state=_VOTES[reviewer.vote])
        for reviewer in wire.reviewers or []
        if reviewer.display_name and reviewer.vote in _VOTES
    ]
    return PullRequest(
        repository=repository,
        number=wire.pull_request_id,
        title=redact(wire.title)[:SUBJECT_LIMIT],
        author=redact(wire.created_by.display_name or "")[:NAME_LIMIT] if wire.created_by else "",
        source_branch=(wire.source_ref_name or "").removeprefix(_HEADS),
        target_branch=(wire.target_ref_name or "").removeprefix(_HEADS),
        state={"completed": "merged", "abandoned": "closed"}.get(wire.status or "", "open"),
        created_at=as_utc(wire.creation_date),
        merged_by=redact(wire.closed_by.display_name or "")[:NAME_LIMIT] if merged and wire.closed_by else "",
        merged_at=merged,
        approvals=tuple(approvals),
        updated_at=as_utc(wire.closed_date) or as_utc(wire.creation_date),
    )


def _pull_of(ref: str) -> int | None:
    """Return the number in `refs/pull/<number>/merge`."""
    number = ref.removeprefix(_PULLS).partition("/")[0]
    return int(number) if ref.startswith(_PULLS) and number.isdecimal() else None


def _number(run_id: str) -> str:
    if not run_id.isdecimal() or len(run_id) > 20:
        raise WireError(f"{run_id[:80]!r} is not the number of a build", subject="run_id")
    return run_id


class _Person(msgspec.Struct, rename="camel"):
    display_name: str | None = None


class _Reviewer(msgspec.Struct, rename="camel"):
    display_name: str | None = None
    vote: int = 0


class _Link(msgspec.Struct):
    href: str | None = None


class _Links(msgspec.Struct):
    web: _Link | None = None


class _Named(msgspec.Struct):
    id: str | int | None = None
    name: str | None = None


class _Repository(msgspec.Struct):
    id: str | None = None
    name: str | None = None


class _Build(msgspec.Struct, rename="camel"):
    id: int
    source_version: str | None = None
    source_branch: str | None = None
    build_number: str | None = None
    status: str | None = None
    result: str | None = None
    reason: str | None = None
    queue_time: datetime | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    last_changed_date: datetime | None = None
    definition: _Named | None = None
    repository: _Repository | None = None
    requested_for: _Person | None = None
    links: _Links | None = msgspec.field(default=None, name="_links")


class _Builds(msgspec.Struct):
    value: list[msgspec.Raw]


class _Record(msgspec.Struct, rename="camel"):
    type: str | None = None
    name: str | None = None
    order: int | None = None
    state: str | None = None
    result: str | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None


class _Timeline(msgspec.Struct):
    records: list[_Record] | None = None


class _PullRequest(msgspec.Struct, rename="camel"):
    pull_request_id: int
    status: str | None = None
    title: str | None = None
    created_by: _Person | None = None
    closed_by: _Person | None = None
    creation_date: datetime | None = None
    closed_date: datetime | None = None
    source_ref_name: str | None = None
    target_ref_name: str | None = None
    reviewers: list[_Reviewer] | None = None
