"""Runs as Spektate's builds and releases. Pure.

Each state of ours has one word of theirs, whatever CI system it came from: nothing falls through to a success.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from fluxtrail.model.ci import CiRun, CiStage, CiState, CiSystem
from fluxtrail.model.errors import WireError
from fluxtrail.model.repository import RepositoryUrl, parse_repository
from fluxtrail.web.spektate.shapes import Build, Release, Repo, Stage

SHORT = 7
_STATUS = {
    CiState.QUEUED: "notStarted",
    CiState.WAITING: "inProgress",
    CiState.RUNNING: "inProgress",
    CiState.UNKNOWN: "none",
}
_RESULT = {
    CiState.SUCCEEDED: "succeeded",
    CiState.FAILED: "failed",
    CiState.CANCELLED: "canceled",
    CiState.SKIPPED: "skipped",
}


def status_of(state: CiState) -> str:
    return _STATUS.get(state, "completed")


def result_of(state: CiState) -> str | None:
    """None while it is not over."""
    return _RESULT.get(state)


def js_time(at: datetime | None) -> str | None:
    """Write an instant as `Date.toJSON` does: `2019-10-31T18:15:53.767Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


class Builds:
    """The builds of one commit's runs, each made once: it is on the row of every environment."""

    def __init__(self) -> None:
        self._made: dict[int, Build] = {}

    def of(self, run: CiRun | None) -> Build | None:
        """Runs are told apart by which object they are: keep them."""
        if run is None:
            return None
        if id(run) not in self._made:
            self._made[id(run)] = build_of(run)
        return self._made[id(run)]


def build_of(run: CiRun) -> Build:
    return Build(
        build_number=run.number.removeprefix("#") or run.run_id,
        id=run.run_id,
        author=run.author,
        queue_time=js_time(run.queued_at or run.started_at),
        result=result_of(run.state),
        status=status_of(run.state),
        source_branch=f"refs/heads/{run.branch}" if run.branch else "",
        source_version=run.sha,
        source_version_url=commit_page(run.repository, run.sha),
        start_time=js_time(run.started_at),
        finish_time=js_time(run.finished_at),
        url=run.url,
        repository=repo_of(run.repository),
        last_update_time=js_time(run.updated_at),
        timeline_url=_timeline_of(run),
        stages={str(number): _stage(number, stage) for number, stage in enumerate(run.stages, start=1)} or None,
    )


def staged(build: Build, stage: CiStage) -> Build:
    """Return a build that stands as one of its stages does."""
    return msgspec.structs.replace(build, status=status_of(stage.state), result=result_of(stage.state))


def made_of(build: Build, repository: str, sha: str) -> Build:
    """Return a build of another commit than the one that its run is known by: of the definitions that it read."""
    return msgspec.structs.replace(
        build, source_version=sha, source_version_url=commit_page(repository, sha), repository=repo_of(repository)
    )


def release_of(run: CiRun) -> Release:
    """Return the run that brings an image to the high-level definitions."""
    registry, slash, _ = run.image.partition("/")
    return Release(
        release_name=run.pipeline or run.number or run.run_id,
        id=run.run_id,
        image_version=run.image or None,
        registry_url=registry if slash and "." in registry else None,
        queue_time=js_time(run.queued_at or run.started_at),
        status=result_of(run.state) or status_of(run.state),
        result=result_of(run.state),
        start_time=js_time(run.started_at),
        finish_time=js_time(run.finished_at),
        url=run.url,
        last_update_time=js_time(run.updated_at),
    )


def _timeline_of(run: CiRun) -> str:
    """Return where Azure Pipelines has the stages of a build, beside its page; the page of any other run."""
    place, is_build, _ = run.url.partition("/_build/")
    if run.system is not CiSystem.AZURE_PIPELINES or not is_build:
        return run.url
    return f"{place}/_apis/build/builds/{run.run_id}/Timeline"


def spent(run: CiRun, now: datetime) -> timedelta:
    """Return how long a run has taken since it was queued: until it was over, or until now; never less than nothing."""
    begun = run.queued_at or run.started_at
    if begun is None:
        return timedelta(0)
    end = run.finished_at or (run.updated_at if run.state.is_final else now)
    return max(end - begun, timedelta(0))


def repo_of(canonical: str) -> Repo:
    host, _, path = canonical.partition("/")
    owner, _, name = path.rpartition("/")
    if host == "dev.azure.com":
        org, _, project = owner.partition("/")
        return {"org": org, "project": project, "repo": name}
    if "gitlab" in host:
        return {"projectId": path}
    return {"username": owner, "reponame": name}


def repo_page(canonical: str) -> str:
    repository = _repository(canonical)
    return (repository.web_url if repository else None) or ""


def commit_page(canonical: str, sha: str) -> str:
    repository = _repository(canonical)
    return (repository.commit_url(sha) if repository else None) or ""


@lru_cache(maxsize=1024)
def _repository(canonical: str) -> RepositoryUrl | None:
    """A few are on thousands of rows."""
    try:
        return parse_repository(f"https://{canonical}")
    except WireError:
        return None


def _stage(number: int, stage: CiStage) -> Stage:
    return Stage(
        name=stage.name,
        id=str(number),
        state=status_of(stage.state),
        result=result_of(stage.state) or "",
        order=number,
    )
