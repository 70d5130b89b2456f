"""Spektate's rows, made from what the ledger knows of commits. Pure.

A row is a source commit of one service on its way to one environment. Spektate's rows were what three pipelines wrote;
ours are there as soon as anything happened to the commit, and go on without any of the three.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from fluxtrail.model.ci import CiRole, CiRun, CiState, CiSystem, PullRequest, last_builds
from fluxtrail.model.ci_views import AppliedHead, Origin
from fluxtrail.model.views import CellView, CommitView
from fluxtrail.web.spektate.builds import SHORT, Builds, js_time, made_of, release_of, repo_page, spent, staged
from fluxtrail.web.spektate.shapes import Author, Build, ClusterSync, Deployment, PullRequestShape, Tag

COMPLETE, IN_PROGRESS, FAILED, CANCELED, INCOMPLETE = "Complete", "In Progress", "failed", "canceled", "Incomplete"
CLUSTERS_PAGE = "/clusters"
TAGGER = "Flux"
_OPEN = frozenset({CiState.QUEUED, CiState.WAITING, CiState.RUNNING})
_NOT_THERE = frozenset({"unaffected", "lost", "abandoned"})


class Commit(NamedTuple):
    """A commit, and the environments that it goes to."""

    view: CommitView
    origin: Origin
    cells: Sequence[tuple[str, CellView]]

    @property
    def is_exported(self) -> bool:
        return bool(self.origin.exports or self.origin.exported_at)

    @property
    def is_delivered_itself(self) -> bool:
        """Whether Flux applies this very commit, and no export of it."""
        if self.is_exported:
            return False
        return any(cell.reason != "awaiting_export" and cell.verdict not in _NOT_THERE for _, cell in self.cells)


class _Parts(NamedTuple):
    """The runs of one row."""

    builds: Sequence[CiRun]
    """The last of each pipeline."""
    source: CiRun | None
    release: CiRun | None
    stage: CiRun | None
    """In the place of `release`, where one run of several stages does both."""
    manifest: CiRun | None

    @property
    def all(self) -> list[CiRun]:
        found = [*self.builds, self.release, self.stage, self.manifest]
        return [run for run in found if run is not None]


def rows_of(commit: Commit, *, now: datetime) -> list[Deployment]:
    """Return a commit's rows: one for each service and environment; none where nothing happened to it yet."""
    origin = commit.origin
    if not origin.runs and not commit.is_exported and not commit.is_delivered_itself:
        return []
    services = _stated(run.service for run in origin.runs)
    if not services:
        is_manual = not origin.runs and not commit.is_exported
        services = [""] if is_manual else [origin.repository.rpartition("/")[2]]
    builds = Builds()
    return [row for service in services for row in _rows(commit, service, builds, now=now)]


def _rows(commit: Commit, service: str, builds: Builds, *, now: datetime) -> list[Deployment]:
    """Return a service's rows. Where the same runs are said of several environments, all else in their rows is one."""
    made: dict[tuple[int, ...], Deployment] = {}
    found = []
    for environment in _environments(commit, service):
        runs = _runs_for(commit, service, environment)
        same = tuple(map(id, runs))
        if same not in made:
            made[same] = _row(commit, service, runs, builds, now=now)
        key = _id(commit.origin.repository, commit.view.sha, service, environment)
        found.append(msgspec.structs.replace(made[same], deployment_id=key, environment=environment))
    return found


def _runs_for(commit: Commit, service: str, environment: str) -> list[CiRun]:
    return [run for run in commit.origin.runs if run.service in ("", service) and run.environment in ("", environment)]


def _environments(commit: Commit, service: str) -> list[str]:
    stated = _stated(run.environment for run in commit.origin.runs if run.service in ("", service))
    reached = [name for name, cell in commit.cells if cell.verdict not in _NOT_THERE]
    return stated or reached or [""]


def _stated(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _row(commit: Commit, service: str, runs: Sequence[CiRun], builds: Builds, *, now: datetime) -> Deployment:
    """Return the row of no environment in particular."""
    view, origin = commit.view, commit.origin
    parts = _parts(runs, origin)
    hld, manifest = _carriers(commit, parts)
    source, stage, manifests = _builds(parts, builds, hld)
    end = _end(commit, parts)
    pull = origin.pull_request
    number = next((run.pull_request for run in (parts.release, parts.stage) if run and run.pull_request), None)
    number = number or view.pull_request
    return Deployment(
        deployment_id="",
        src_to_docker_build=source,
        docker_to_hld_release=release_of(parts.release) if parts.release else None,
        docker_to_hld_release_stage=stage,
        hld_to_manifest_build=manifests,
        commit_id=view.sha[:SHORT],
        hld_commit_id=hld[1][:SHORT],
        image_tag=_image_tag(runs),
        time_stamp=js_time(max((run.updated_at for run in runs), default=end)) or "",
        manifest_commit_id=manifest[1][:SHORT],
        author=_author(view, runs, pull),
        environment="",
        service=service,
        duration=_minutes(sum((spent(run, now) for run in _timed(parts)), timedelta(0))),
        status=_status(commit, parts, manifest[1]),
        end_time=js_time(end) or "",
        pr=str(number) if number else None,
        source_repo=repo_page(origin.repository) or origin.repository,
        hld_repo=repo_page(hld[0]) or None if hld[0] else None,
        manifest_repo=repo_page(manifest[0]) or None if manifest[0] else None,
        pull_request=_pull_request(pull, origin.repository) if pull and pull.number == number else None,
    )


def _parts(runs: Sequence[CiRun], origin: Origin) -> _Parts:
    """Tell apart what builds, what brings it to the high-level definitions, and what makes manifests of these.

    Of two exports the first goes to the definitions. One alone makes manifests, unless the manifests are known to be of
    another commit than it made, or it says that it goes by a pull request: then they wait for its merge.
    """
    builds = last_builds(runs)
    source = max(builds, key=lambda run: (bool(run.image), run.at), default=None)
    exports = _last_exports(runs)
    first = exports[0] if exports else None
    final = origin.read_exports[-1].sha if origin.read_exports else ""
    made = first.carrier_sha if first is not None else ""
    is_between = not final.startswith(made) if made and final else _is_proposed(first) and not final
    release = first if len(exports) > 1 or is_between else None
    manifest = exports[-1] if exports and exports[-1] is not release else None
    is_stage = source is not None and _is_same(source, release)
    return _Parts(builds, source, None if is_stage else release, release if is_stage else None, manifest)


def _is_proposed(run: CiRun | None) -> bool:
    """Whether an export is known to be a pull request of the repository that it goes to."""
    return run is not None and run.pull_request is not None and bool(run.carrier_sha or run.carrier_repository)


def _builds(parts: _Parts, builds: Builds, hld: tuple[str, str]) -> tuple[Build | None, Build | None, Build | None]:
    """Return what builds, what does so as a stage of the same run, and what makes manifests, of the definitions.

    Where a run of Azure Pipelines did not go well, its first stage is what builds, and its second what exports.
    """
    source, stage, manifests = builds.of(parts.source), builds.of(parts.stage), builds.of(parts.manifest)
    run = parts.source
    is_told_apart = run is not None and run.system is CiSystem.AZURE_PIPELINES and run.state is not CiState.SUCCEEDED
    if run is not None and source is not None and is_told_apart and len(run.stages) > 1:
        first, second = run.stages[:2]
        if stage is not None:
            source, stage = staged(source, first), staged(stage, second)
        elif manifests is not None and _is_same(run, parts.manifest):
            source, manifests = staged(source, first), staged(manifests, second)
    if manifests is not None and all(hld):
        manifests = made_of(manifests, *hld)
    return source, stage, manifests


def _is_same(run: CiRun, other: CiRun | None) -> bool:
    return other is not None and run.key.run == other.key.run


def _last_exports(runs: Sequence[CiRun]) -> list[CiRun]:
    """Return the last run of each pipeline that exports, in the order in which they began."""
    last: dict[tuple[str, str, str, str], CiRun] = {}
    for run in sorted(runs, key=lambda run: (run.at, run.run_id)):
        if run.role is CiRole.EXPORT:
            key = (run.host, run.project, run.pipeline, run.carrier_repository or run.carrier_sha)
            last.pop(key, None)
            last[key] = run
    return list(last.values())


def _carriers(commit: Commit, parts: _Parts) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return (repository, sha) of the high-level definitions and of the manifests; empty where there are none."""
    exports, nothing = commit.origin.read_exports, ("", "")
    between = parts.release or parts.stage
    hld = (between.carrier_repository, between.carrier_sha) if between is not None else nothing
    if exports:
        return hld, (exports[-1].repository, exports[-1].sha)
    if parts.manifest is not None and parts.manifest.carrier_sha:
        return hld, (parts.manifest.carrier_repository, parts.manifest.carrier_sha)
    if commit.is_delivered_itself:
        return nothing, (commit.origin.repository, commit.view.sha)
    return hld, nothing


def _status(commit: Commit, parts: _Parts, manifest_sha: str) -> str:
    """Return how a row stands: complete where its manifests are there, and never because of a green build alone.

    That the commit was exported tells so of runs of others alone: of its own, each row goes by those that are its.
    """
    states = {run.state for run in parts.all}
    is_made = parts.manifest is not None and parts.manifest.state is CiState.SUCCEEDED and not _goes_on(parts)
    is_carried = commit.is_exported and all(run.role is not CiRole.EXPORT for run in commit.origin.runs)
    if commit.origin.read_exports or is_made or is_carried:
        return COMPLETE
    if states & _OPEN:
        return IN_PROGRESS
    if CiState.FAILED in states:
        return FAILED
    if CiState.CANCELLED in states:
        return CANCELED
    is_there = bool(manifest_sha) and commit.is_delivered_itself
    return COMPLETE if is_there and states <= {CiState.SUCCEEDED, CiState.SKIPPED} else INCOMPLETE


def _goes_on(parts: _Parts) -> bool:
    """Whether the run that makes manifests has stated so from inside: as a build, its forge says that it goes on."""
    source = parts.source
    return source is not None and source.state in _OPEN and _is_same(source, parts.manifest)


def _timed(parts: _Parts) -> list[CiRun]:
    """The runs whose time is the row's; one of several stages counts once."""
    found = [run for run in (parts.manifest, parts.release, parts.source) if run is not None]
    return list({run.key.run: run for run in found}.values())


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.2f}"


def _end(commit: Commit, parts: _Parts) -> datetime:
    """Return when something last happened: to the manifests, the release, the build, else to the commit itself."""
    run = parts.manifest or parts.release or parts.stage or parts.source
    if run is not None:
        return run.updated_at
    known = [*(export.committed_at for export in commit.origin.read_exports), commit.origin.exported_at]
    exported = [at for at in known if at]
    merged = commit.view.merged.at if commit.view.merged else commit.view.committed_at
    return max(exported, default=None) or merged or datetime.min.replace(tzinfo=UTC)


def _image_tag(runs: Sequence[CiRun]) -> str:
    images = [run.image for run in runs if run.image]
    return images[-1].rpartition("/")[2].rpartition(":")[2] if images else ""


def _author(view: CommitView, runs: Sequence[CiRun], pull: PullRequest | None) -> Author | None:
    login = pull.author if pull else next((run.author for run in runs if run.author), "")
    return _person(view.author, login, view.repository) if view.author or login else None


def _person(name: str, login: str, repository: str) -> Author:
    is_github = repository.startswith("github.com/") and login and login.replace("-", "").isalnum()
    return Author(name=name or login, username=login, url=f"https://github.com/{login}" if is_github else "")


def _pull_request(pull: PullRequest, repository: str) -> PullRequestShape:
    return PullRequestShape(
        id=pull.number,
        title=pull.title,
        source_branch=pull.source_branch,
        target_branch=pull.target_branch,
        description="",
        merged_by=_person(pull.merged_by, pull.merged_by, repository) if pull.merged_by else None,
        url=pull.url,
    )


def _id(*parts: str) -> str:
    """Return what a row is known by, as long as Spektate's were; the same for as long as there is such a row."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def cluster_sync(heads: Iterable[AppliedHead]) -> ClusterSync:
    """Return what is applied on each cluster now, as the tags that Flux v1 kept in the manifests repository."""
    return ClusterSync(
        releases_url=CLUSTERS_PAGE,
        tags=[
            Tag(
                commit=head.sha[:SHORT],
                date=js_time(head.at) or "",
                tagger=TAGGER,
                message=f"applied by {head.targets} of {head.cluster}'s targets",
                name=head.cluster.upper(),
            )
            for head in heads
        ],
    )
