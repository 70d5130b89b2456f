"""Builds of Azure Pipelines (YAML pipelines of several stages, classic ones) and pull requests, as facts of CI.

A pipeline's runs are builds. They are listed by project, and may build a repository of Azure DevOps (`AzureBuilds`) or
one that lives elsewhere (`AzureProjectBuilds`).
Source: https://learn.microsoft.com/rest/api/azure/devops/build/builds/list, …/build/timeline/get,
https://learn.microsoft.com/rest/api/azure/devops/git/pull-requests/get-pull-request
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from fluxtrail.model.ci import Approval, CiRun, CiStage, CiState, CiSystem, PullRequest
from fluxtrail.model.commit import SUBJECT_LIMIT, is_sha
from fluxtrail.model.errors import NotFoundError, WireError
from fluxtrail.model.redaction import redact
from fluxtrail.model.repository import parse_repository
from fluxtrail.remotes.azure_devops.client import API_VERSION, NAME, AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.azure_devops.wire_builds import (
    WireBuild,
    WireBuilds,
    WirePullRequest,
    WireRecord,
    WireRepository,
    WireTimeline,
)
from fluxtrail.remotes.links import http_link
from fluxtrail.remotes.names import short_name
from fluxtrail.remotes.times import as_utc

PER_PAGE = 100
PAGES_LIMIT = 5
"""A project's builds are of all its repositories."""
_HEADS = "refs/heads/"
_PULLS = "refs/pull/"
_PULL_HEAD = "pr.sourceSha"
_ANY = "any"
"""The name of a repository whose name does not matter."""
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


class _Place(NamedTuple):
    """Where the builds of one repository are listed, and how they are told from those of others."""

    project: AzureRepository
    canonical: str
    query: Mapping[str, str]
    is_of: Callable[[WireRepository], bool]


class AzureBuilds:
    """Reads what `AzureDevOpsClient` may read, of repositories of Azure DevOps itself. Errors are its."""

    system = CiSystem.AZURE_PIPELINES

    def __init__(self, client: AzureDevOpsClient) -> None:
        self._client = client
        self._host = client.host

    def _place(self, repository: str) -> _Place:
        place = self._client.repository_of(repository)
        names = place.name.lower()

        def is_of(built: WireRepository) -> bool:
            return names in ((built.name or "").lower(), (built.id or "").lower())

        return _Place(place, f"{self._host}/{repository}".lower(), {}, is_of)

    async def recent_runs(self, repository: str, *, since: datetime, limit: int = PER_PAGE) -> Sequence[CiRun]:
        """Return builds of a repository that were queued since, the newest first.

        Args:
            repository: `organisation/project/name`.
        """
        place = self._place(repository)
        query: dict[str, str | int] = {
            "api-version": API_VERSION,
            "queryOrder": "queueTimeDescending",
            # By the hour: the same question again costs next to nothing where nothing has changed.
            "minTime": since.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z"),
            "$top": PER_PAGE,
            **place.query,
        }
        found: list[CiRun] = []
        for _ in range(PAGES_LIMIT):
            answer = await self._client.read_project(place.project, place.project.project, "/build/builds", **query)
            for item in answer.read(WireBuilds, name=NAME).value:
                try:
                    wire = msgspec.json.decode(item, type=WireBuild)
                    if wire.repository is None or place.is_of(wire.repository):
                        found.append(self._read(wire, place))
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
        place = self._place(repository)
        path = f"/build/builds/{_number(run_id)}"
        query = {"api-version": API_VERSION}
        try:
            answer = await self._client.read_project(place.project, place.project.project, path, **query)
            wire = answer.read(WireBuild, name=NAME)
        except NotFoundError:
            return None
        if wire.repository is not None and not place.is_of(wire.repository):
            return None  # of another repository: a number that somebody stated
        return msgspec.structs.replace(self._read(wire, place), stages=await self._stages(place, path))

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """Return a pull request with the votes of its reviewers; None where there is none."""
        place = self._client.repository_of(repository)
        try:
            answer = await self._client.read(place, f"/pullRequests/{int(number)}", **{"api-version": API_VERSION})
        except NotFoundError:
            return None
        return _pull_request(answer.read(WirePullRequest, name=NAME), f"{self._host}/{repository}".lower())

    def _read(self, wire: WireBuild, place: _Place) -> CiRun:
        names = place.project
        return read_build(wire, self._host, f"{names.organisation}/{names.project}", place.canonical)

    async def _stages(self, place: _Place, path: str) -> tuple[CiStage, ...]:
        """Return the stages of a build; a classic one has its phases, and one that has not begun has none."""
        query, names = {"api-version": API_VERSION}, place.project
        try:
            answer = await self._client.read_project(names, names.project, f"{path}/timeline", **query)
        except NotFoundError:
            return ()
        if not answer.body.strip() or answer.body.strip() == b"null":
            return ()
        return read_stages(answer.read(WireTimeline, name=NAME).records or [])


class AzureProjectBuilds(AzureBuilds):
    """The same of one repository that lives elsewhere, on GitHub or in any other Git, and is built by a project here.

    Args:
        canonical: the repository, `github.com/acme/shop`; the `repository` of each method is `organisation/project`.
    """

    def __init__(self, client: AzureDevOpsClient, *, canonical: str) -> None:
        super().__init__(client)
        self._canonical = canonical

    def _place(self, repository: str) -> _Place:
        named = self._client.repository_of(f"{repository}/_git/{_ANY}") if "/" in repository else None
        if named is None or named.name != _ANY:
            raise WireError(f"{repository[:100]!r} is no project, such as organisation/project", subject="repository")
        where, _, path = self._canonical.partition("/")
        # Azure DevOps finds repositories of github.com by their names; of others it wants ids of its own.
        query = {"repositoryType": "GitHub", "repositoryId": path} if where == "github.com" else {}

        def is_of(built: WireRepository) -> bool:
            kind = (built.type or "").lower()
            if kind == "tfsgit":
                return False
            if kind == "github" and where == "github.com":
                return path in ((built.id or "").lower(), (built.name or "").lower())
            return any(_canonical(text) == self._canonical for text in (built.url, built.id) if text)

        return _Place(named, self._canonical, query, is_of)

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """None: the pull requests of a repository that lives elsewhere are there too."""
        return None


def _canonical(url: str) -> str:
    try:
        return parse_repository(url).canonical
    except WireError:
        return ""


def map_state(status: str | None, result: str | None) -> CiState:
    """Return what a build's, or a timeline record's, two words mean together."""
    if status == "completed":
        return _DONE.get(result or "", CiState.UNKNOWN)
    return _OPEN.get(status or "", CiState.UNKNOWN)


def read_build(wire: WireBuild, host: str, project: str, repository: str) -> CiRun:
    """Read a build.

    Args:
        project: `organisation/project`.
        repository: the canonical name of what it builds.

    Raises:
        WireError: it has no commit, or no time.
    """
    sha = _sha_of(wire)
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
        project=project.lower(),
        run_id=str(wire.id),
        repository=repository,
        sha=sha,
        branch=ref.removeprefix(_HEADS) if ref.startswith(_HEADS) else "",
        event=wire.reason or "",
        pipeline=short_name(wire.definition.name) if wire.definition else "",
        number=wire.build_number or "",
        url=f"{page}?buildId={wire.id}" if page else "",
        author=short_name(wire.requested_for.display_name) if wire.requested_for else "",
        state=state,
        queued_at=queued,
        started_at=started,
        finished_at=finished or changed if state.is_final else None,
        updated_at=changed,
        pull_request=_pull_of(ref),
    )


def _sha_of(wire: WireBuild) -> str:
    """Return the commit that was built: of a pull request its head, where that is told. What is checked out is a merge
    that nobody will ever follow.
    """
    head = (wire.trigger_info or {}).get(_PULL_HEAD)
    return (head if isinstance(head, str) and is_sha(head.lower()) else wire.source_version or "").lower()


def read_stages(records: Sequence[WireRecord]) -> tuple[CiStage, ...]:
    """Return the stages of a timeline in their order, without the one that every build without stages has."""
    stages = [record for record in records if record.type == "Stage"]
    if [record.name for record in stages] == ["__default"]:
        stages = [record for record in records if record.type == "Job"]
    return tuple(
        CiStage(
            name=short_name(record.name),
            state=map_state(record.state, record.result),
            started_at=as_utc(record.start_time),
            finished_at=as_utc(record.finish_time),
        )
        for record in sorted(stages, key=lambda record: record.order or 0)
    )


def _pull_request(wire: WirePullRequest, repository: str) -> PullRequest:
    merged = as_utc(wire.closed_date) if wire.status == "completed" else None
    approvals = [
        Approval(by=short_name(reviewer.display_name), state=_VOTES[reviewer.vote])
        for reviewer in wire.reviewers or []
        if reviewer.display_name and reviewer.vote in _VOTES
    ]
    return PullRequest(
        repository=repository,
        number=wire.pull_request_id,
        title=redact(wire.title)[:SUBJECT_LIMIT],
        author=short_name(wire.created_by.display_name) if wire.created_by else "",
        source_branch=(wire.source_ref_name or "").removeprefix(_HEADS),
        target_branch=(wire.target_ref_name or "").removeprefix(_HEADS),
        state={"completed": "merged", "abandoned": "closed"}.get(wire.status or "", "open"),
        created_at=as_utc(wire.creation_date),
        merged_by=short_name(wire.closed_by.display_name) if merged and wire.closed_by else "",
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
