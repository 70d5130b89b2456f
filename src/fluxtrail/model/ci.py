"""Runs of CI pipelines and the pull requests behind commits, whatever system they are of.

A run builds what is delivered, or writes the manifests repository. The words of each system are mapped to ours by its
client in `remotes/`; the words that are unknown there become `unknown`, and are never taken for a success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

import msgspec

from fluxtrail.model.moment import Evidence, Moment, exact

T = TypeVar("T")

SHORT_SHA = 7
"""Digits that a sha has at least."""
CLOCK_SLACK = timedelta(seconds=2)
"""By which clocks of two systems may differ, as everywhere (design: inverted pairs)."""


class CiSystem(StrEnum):
    GITHUB_ACTIONS = "github_actions"
    AZURE_PIPELINES = "azure_pipelines"
    GITLAB_CI = "gitlab_ci"
    CDEVENTS = "cdevents"
    STATED = "stated"
    """A pipeline of any other kind that says so itself."""


class CiRole(StrEnum):
    """What a run is for."""

    BUILD = "build"
    EXPORT = "export"
    """It writes the manifests repository."""


class CiState(StrEnum):
    QUEUED = "queued"
    WAITING = "waiting"
    """For people: an approval, a protected environment, a manual job."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    """Over or not, in a word that is not known here."""

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({CiState.SUCCEEDED, CiState.FAILED, CiState.CANCELLED, CiState.SKIPPED})


_WORST_FIRST = (
    CiState.FAILED,
    CiState.CANCELLED,
    CiState.RUNNING,
    CiState.WAITING,
    CiState.QUEUED,
    CiState.UNKNOWN,
    CiState.SUCCEEDED,
    CiState.SKIPPED,
)


class CiEvidence(StrEnum):
    """How a run is known, best first: what we asked for ourselves is never replaced by what we were told."""

    ASKED = "asked"
    STATED = "stated"
    """By a pipeline that has a token."""
    EVENT = "event"
    """By a signed event."""


class CiKey(NamedTuple):
    """What a run of one commit is known by.

    One run may have both roles: a pipeline of several stages. One that exports may be of several commits.
    """

    system: CiSystem
    host: str
    project: str
    run_id: str
    role: CiRole
    sha: str

    @property
    def run(self) -> tuple[CiSystem, str, str, str]:
        """The run itself, whatever its role and its commits are."""
        return self.system, self.host, self.project, self.run_id


class CiStage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job or stage of a run, in its order."""

    name: str
    state: CiState
    started_at: datetime | None = None
    finished_at: datetime | None = None
    url: str = ""


class StatedExport(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline stated that its export went, apart from how its run goes."""

    state: CiState
    """One that is final."""
    at: datetime
    attempt: int
    """Of the run, in which it was stated."""


class CiRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a pipeline for one commit, at its newest attempt."""

    system: CiSystem
    host: str
    """`github.com`, `dev.azure.com`, …; of what is stated, what it calls itself."""
    project: str
    """Where the pipeline lives, as a path below the host: `acme/shop`, `group/sub/shop`, `org/project`."""
    run_id: str
    role: CiRole = CiRole.BUILD
    attempt: int = 1
    repository: str
    """Canonical: `github.com/acme/shop`."""
    sha: str
    """The whole sha that was built; of a pull request's run the head's, an alias once it is merged."""
    branch: str = ""
    event: str = ""
    """What set it off: `push`, `pull_request`, `schedule`, …, as its system says."""
    pipeline: str = ""
    """Its name: of the workflow, the definition."""
    number: str = ""
    """As people read it: `#812`, `20191021.5`."""
    url: str = ""
    """Its page; http(s) or empty."""
    author: str = ""
    """Who set it off."""
    state: CiState
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime
    """When its system last changed it; of the same run, the later one is right."""
    stages: tuple[CiStage, ...] = ()
    pull_request: int | None = None
    image: str = ""
    """What it made, where it says so: `ghcr.io/acme/shop:1.2.3`."""
    digest: str = ""
    carrier_repository: str = ""
    """Of an export: the canonical manifests repository, where it says so."""
    carrier_sha: str = ""
    service: str = ""
    environment: str = ""
    stated_export: StatedExport | None = None
    """Of an export: what its pipeline stated of it, where `state` is what its forge says of the whole run, or that of a
    later attempt. None where `state` itself was stated.
    """
    evidence: CiEvidence = CiEvidence.ASKED

    @property
    def key(self) -> CiKey:
        return CiKey(self.system, self.host, self.project, self.run_id, self.role, self.sha)

    @property
    def at(self) -> datetime:
        """What lists are ordered by: since when there is such a run."""
        return self.queued_at or self.started_at or self.updated_at

    def replaces(self, known: CiRun) -> bool:
        """Whether this is newer, or better known, than what is known of the same run.

        A later attempt opens a run again; within one attempt what is over stays over, but where attempts are not told.
        """
        if self.attempt != known.attempt:
            return self.attempt > known.attempt
        if known.evidence is CiEvidence.ASKED and self.evidence is not CiEvidence.ASKED:
            return False
        if self.role is CiRole.BUILD and self.evidence is CiEvidence.ASKED and known.evidence is CiEvidence.STATED:
            return True  # a pipeline states its build from inside: the run goes on
        if known.state.is_final and not self.state.is_final:
            return self.is_changed_since(known)
        if self.evidence is CiEvidence.ASKED and known.evidence is not CiEvidence.ASKED:
            return True
        return self.updated_at >= known.updated_at

    def is_changed_since(self, known: CiRun) -> bool:
        """Whether a system that counts no attempts says that it has changed a run since: jobs of it are tried again."""
        is_asked = self.evidence is CiEvidence.ASKED and known.evidence is CiEvidence.ASKED
        return is_asked and self.system in _WITHOUT_ATTEMPTS and self.updated_at > known.updated_at


_WITHOUT_ATTEMPTS = frozenset({CiSystem.GITLAB_CI, CiSystem.AZURE_PIPELINES})
"""There a pipeline goes on under its own number when somebody tries failed jobs or stages again."""


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one reviewer last said of a pull request."""

    by: str
    state: str
    """`approved`, `changes_requested`, `commented` or `dismissed`."""
    at: datetime | None = None


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A pull or merge request as its forge describes it."""

    repository: str
    """Canonical: where it was merged to."""
    number: int
    """GitLab: the `iid`."""
    title: str
    author: str
    """The login."""
    url: str = ""
    source_branch: str = ""
    target_branch: str = ""
    state: str = "open"
    """`open`, `merged` or `closed`."""
    created_at: datetime | None = None
    merged_by: str = ""
    merged_at: datetime | None = None
    approvals: tuple[Approval, ...] = ()
    updated_at: datetime | None = None


class Delivered(NamedTuple):
    """How far a commit has come behind its builds."""

    at: datetime | None = None
    """When it was first exported, or else first applied; None where neither has happened."""
    build_link: str = ""
    """The page of the run that made the export."""
    is_exported: bool = False
    """Whether an export of it is known."""


class Standing(NamedTuple):
    """What runs say of a commit."""

    built: Moment | None = None
    build_state: CiState | None = None
    exported: Moment | None = None


def find_built(runs: Sequence[CiRun], *, exported_at: datetime | None = None, build_link: str = "") -> Moment | None:
    """Return when a commit was built, or None where no run that built it is known to have succeeded.

    The run that an export names counts; else the last build that was over when the commit was exported. Builds that
    ended later (a nightly one, a second attempt) built something else, or the same again.

    Args:
        runs: of the commit and its aliases, of whatever role.
        exported_at: when it was exported, or else first applied, where that has happened.
        build_link: the page of the run that made the export.
    """
    done = [run for run in runs if run.role is CiRole.BUILD and run.state is CiState.SUCCEEDED]
    named = [run.finished_at for run in done if run.finished_at and _is_same_page(run.url, build_link)]
    latest = exported_at + CLOCK_SLACK if exported_at else None
    in_time = [run.finished_at for run in done if run.finished_at and (latest is None or run.finished_at <= latest)]
    finishes = named or in_time
    return exact(max(finishes), Evidence.CI_RUN) if finishes else None


def find_exported(runs: Iterable[CiRun]) -> Moment | None:
    """Return when a run had first exported a commit, or None where none is known to have succeeded.

    Args:
        runs: of the commit, of whatever role; and those that export what contains it.
    """
    ends = [end for run in runs if (end := _export_end(run)) is not None]
    return exact(min(ends), Evidence.CI_RUN) if ends else None


def carry_exports(runs: Sequence[CiRun], order: Mapping[str, int]) -> dict[str, list[CiRun]]:
    """Return the runs that exported commits together with a later one: what is exported of a branch is all of it.

    Pushes that come close to each other often have one run, for the last of them. A run that speaks of one service
    exported that alone, so it carries nobody else.

    Args:
        order: the commits of a branch by sha, the place that they have on it.

    Returns:
        By sha of an earlier commit, the first such run after it that began after it had none of its own.
    """
    exporting = sorted(
        (run for run in runs if _has_exported(run) and not run.service and run.sha in order),
        key=lambda run: order[run.sha],
    )
    own = {run.sha for run in runs if _has_exported(run)}
    carried: dict[str, list[CiRun]] = {}
    for sha, place in order.items():
        later = next((run for run in exporting if order[run.sha] > place), None)
        if sha not in own and later is not None:
            carried[sha] = [later]
    return carried


def _has_exported(run: CiRun) -> bool:
    """Whether it went well, or its pipeline stated that its export did, whatever becomes of the rest of the run."""
    stated = run.stated_export
    is_stated = stated is not None and stated.state is CiState.SUCCEEDED
    return run.role is CiRole.EXPORT and (is_stated or run.state is CiState.SUCCEEDED)


def _export_end(run: CiRun) -> datetime | None:
    """Return when a run had exported; None where it has not, or does not say when."""
    if not _has_exported(run):
        return None
    stated = run.stated_export
    ends = [run.finished_at if run.state is CiState.SUCCEEDED else None]
    ends.append(stated.at if stated is not None and stated.state is CiState.SUCCEEDED else None)
    return min(filter(None, ends), default=None)


def names_carrier(run: CiRun) -> bool:
    """Whether a run says as which commit of a manifests repository it exported its own."""
    return _has_exported(run) and bool(run.carrier_sha)


def find_named(found: Sequence[tuple[str, T]]) -> list[T]:
    """Return the commits that are meant, of those with a sha that begins as it is written; none where several shas do.

    What was merged to several branches came with a commit on each: all of them are meant.

    Args:
        found: commits, each behind the sha that begins so: its own, or that of an alias.
    """
    if len({sha for sha, _ in found}) != 1:
        return []
    return [commit for _, commit in found]


def find_failed_build(runs: Sequence[CiRun]) -> CiRun | None:
    """Return the last build where it failed and nothing is built or being built instead; None otherwise.

    Of several pipelines of one commit each counts by its own last run.
    """
    failed = [run for run in last_builds(runs) if run.state in (CiState.FAILED, CiState.CANCELLED)]
    return max(failed, key=lambda run: run.at, default=None)


def find_build_state(runs: Iterable[CiRun]) -> CiState | None:
    """Return how a commit's builds stand together, None where there is none.

    Of each pipeline its last run counts: what is worst of what is over, then what goes on, then what went well.
    """
    states = {run.state for run in last_builds(runs)}
    return next((state for state in _WORST_FIRST if state in states), None)


def last_builds(runs: Iterable[CiRun]) -> list[CiRun]:
    """Return the last run of each pipeline that builds, in the order in which they began."""
    last: dict[tuple[str, str, str], CiRun] = {}
    for run in sorted(runs, key=lambda run: (run.at, run.run_id)):
        if run.role is CiRole.BUILD:
            last.pop((run.host, run.project, run.pipeline), None)
            last[run.host, run.project, run.pipeline] = run
    return list(last.values())


def _is_same_page(one: str, other: str) -> bool:
    """A link to a run, to one of its attempts or to one of its jobs is a link to the run."""
    one, other = one.rstrip("/"), other.rstrip("/")
    return bool(one and other) and (one == other or other.startswith((f"{one}/", f"{one}?", f"{one}&")))
