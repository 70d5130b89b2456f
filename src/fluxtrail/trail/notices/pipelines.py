"""Runs of pipelines as signed CDEvents tell of them: all that is known of a CI system that nobody can be asked about.

An event that names no repository that is followed, or no whole commit, stays what every notice is: a reason to look.
Source: CDEvents 0.5, core.md (pipelineRun), continuous-integration.md (build, artifact); package URLs of type `oci`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from urllib.parse import unquote

import msgspec
import structlog

from fluxtrail.model.ci import CiEvidence, CiRun, CiState, CiSystem
from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.model.notices import EventNotice, KeptNotice
from fluxtrail.model.repository import parse_repository
from fluxtrail.trail.ci.ports import CiLedger
from fluxtrail.trail.ci.roles import CiRule, rule_of
from fluxtrail.trail.ci.stating import take_statements
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)

MOST_AHEAD = timedelta(minutes=5)
_PREFIX = "dev.cdevents."
_STATES = {
    ("pipelinerun", "queued"): CiState.QUEUED,
    ("pipelinerun", "started"): CiState.RUNNING,
    ("build", "queued"): CiState.QUEUED,
    ("build", "started"): CiState.RUNNING,
    ("artifact", "packaged"): CiState.SUCCEEDED,
}
_OUTCOMES = {
    "success": CiState.SUCCEEDED,
    "failure": CiState.FAILED,
    "error": CiState.FAILED,
    "cancel": CiState.CANCELLED,
    "cancelled": CiState.CANCELLED,
    "canceled": CiState.CANCELLED,
}
_ENDS = ("pipelinerun", "build")
_BRANCH_EVENT = "push"
"""What set it off is not told: as if a branch had got it, so that the rules have their say by its name."""


class RunTaker:
    """Takes runs out of notices. Idempotent, and indifferent to order."""

    def __init__(
        self,
        registry: Registry,
        ledger: CiLedger,
        *,
        speakers: Mapping[str, str],
        rules: Sequence[CiRule] = (),
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Args:
        speakers: senders, and the one (canonical) repository that each speaks of; empty for any that is followed.
        rules: the first that is about a repository says what its pipelines are for.
        names: by what forges call repositories that are fetched elsewhere (in lower case), the canonical names under
            which these are followed.
        """
        self._registry = registry
        self._ledger = ledger
        self._speakers = speakers
        self._rules = tuple(rules)
        self._names = names

    async def handle(self, notices: Sequence[KeptNotice]) -> None:
        """Raises StoreError."""
        runs = [run for notice in notices for run in self._runs(notice)]
        if not runs:
            return
        async with self._ledger.unit() as unit:
            await take_statements(unit, runs, now=max(notice.received_at for notice in notices))

    def _runs(self, notice: KeptNotice) -> list[CiRun]:
        said = notice.said
        if not isinstance(said, EventNotice) or not notice.is_signed:
            return []
        run = read_run(said, sender=notice.sender)
        if run is None or run.updated_at > notice.received_at + MOST_AHEAD:
            return []
        told, followed = run.repository, self._names.get(run.repository.lower(), run.repository)
        run = msgspec.structs.replace(run, repository=followed)
        if self._registry.find_repository(followed) is None:
            return []
        if self._speakers.get(notice.sender, "") not in ("", told, followed):
            log.info("event of another repository", sender=notice.sender, repository=run.repository, used_as="hint")
            return []
        rule = rule_of(self._rules, run.repository)
        if not run.pipeline:  # a build is a build, whatever the rules say of pipelines
            return [run]
        named = msgspec.structs.replace(run, event=_BRANCH_EVENT)
        return [msgspec.structs.replace(run, role=role) for role in rule.roles_of(named)]


def read_run(said: EventNotice, *, sender: str) -> CiRun | None:
    """Return the run that an event is of; None of one that is of none, or does not say whose, which or when.

    Args:
        sender: whose numbers its ids are: two systems may use the same.
    """
    state = _state(said)
    if state is None or said.at is None or not is_sha(said.sha) or not said.subject:
        return None
    try:
        repository = parse_repository(said.repository).canonical
    except WireError:
        return None
    image, digest = read_package(said.artifact)
    return CiRun(
        system=CiSystem.CDEVENTS,
        host=sender,
        project=repository,
        run_id=said.subject,
        repository=repository,
        sha=said.sha,
        pipeline=said.pipeline,
        url=said.url,
        state=state,
        queued_at=said.at if state is CiState.QUEUED else None,
        started_at=said.at if state is CiState.RUNNING else None,
        finished_at=said.at if state.is_final else None,
        updated_at=said.at,
        image=image,
        digest=digest,
        evidence=CiEvidence.EVENT,
    )


def _state(said: EventNotice) -> CiState | None:
    """Return what an event says of its run. An end without an outcome that is known is no success."""
    subject, _, rest = said.type.lower().removeprefix(_PREFIX).partition(".")
    predicate = rest.partition(".")[0]
    if not said.type.lower().startswith(_PREFIX):
        return None
    if predicate == "finished" and subject in _ENDS:
        if subject == "build" and said.artifact and not said.outcome:
            return CiState.SUCCEEDED  # it names what it made
        return _OUTCOMES.get(said.outcome, CiState.UNKNOWN)
    return _STATES.get((subject, predicate))


def read_package(package: str) -> tuple[str, str]:
    """Return (image, digest) of an OCI package URL, empty where it is none or has none.

    `pkg:oci/shop@sha256%3A244f…?repository_url=ghcr.io/acme/shop&tag=1.2.3`
    """
    if not package.startswith("pkg:oci/"):
        return "", ""
    path, _, query = package.removeprefix("pkg:oci/").partition("?")
    name, _, version = path.partition("@")
    qualifiers = dict(part.partition("=")[::2] for part in query.partition("#")[0].split("&"))
    image = unquote(qualifiers.get("repository_url", "")) or unquote(name)
    tag, digest = unquote(qualifiers.get("tag", "")), unquote(version)
    return f"{image}:{tag}" if tag else image, digest if digest.startswith("sha256:") else ""
