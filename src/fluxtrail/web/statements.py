"""What a pipeline states of a run of itself: its shape on the wire, and the run that follows from it. Pure.

A pipeline states its runs by `fluxtrail ci`, or by a request of its own to `POST /api/v1/ci/runs`. The same run, stated
again, is the same run: whoever does not know whether a request has arrived sends it again.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import unquote

import msgspec

from fluxtrail.model.ci import SHORT_SHA, CiEvidence, CiRole, CiRun, CiState, CiSystem
from fluxtrail.model.errors import ConfigError, WireError
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.model.repository import parse_repository

STATED_HOST = "stated"
"""The host of a run whose CI system gives none."""
TEXT_LIMIT, URL_LIMIT = 200, 2048
MOST_AHEAD = timedelta(minutes=5)
"""A statement from further in the future would stand until then, whatever is stated later."""
MOST_BEHIND = timedelta(days=400)
RUNS_IN_ONE = 50

_KNOWN_SYSTEMS = (CiSystem.GITHUB_ACTIONS, CiSystem.GITLAB_CI, CiSystem.AZURE_PIPELINES)
_ID = re.compile(r"[^\x00-\x20\x7f]+")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")
_PATH = re.compile(r"[^\s/\\\x00-\x1f\x7f]+(?:/[^\s/\\\x00-\x1f\x7f]+)*")
_PREFIX = re.compile(rf"[0-9a-f]{{{SHORT_SHA},64}}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")

_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)]
_Url = Annotated[str, msgspec.Meta(max_length=URL_LIMIT)]


class RunReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An earlier run of the commit that is stated something of. All that is given must fit."""

    run_id: _Text = ""
    role: CiRole | None = None
    sha: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Of its source commit; the beginning of it will do, as of `carrier_sha`."""
    image: Annotated[str, msgspec.Meta(max_length=512)] = ""
    """Whole, or its tag alone; in any letter case."""
    carrier_sha: Annotated[str, msgspec.Meta(max_length=64)] = ""
    service: _Text = ""
    environment: _Text = ""

    def fits(self, run: CiRun) -> bool:
        image = self.image.lower()
        return (
            (not self.run_id or run.run_id == self.run_id)
            and (self.role is None or run.role is self.role)
            and run.sha.startswith(self.sha.lower())
            and (not image or image in (run.image.lower(), run.image.lower().rpartition("/")[2].rpartition(":")[2]))
            and (not self.carrier_sha or _is_same_sha(run.carrier_sha, self.carrier_sha.lower()))
            and (not self.service or run.service.lower() == self.service.lower().rpartition("/")[2])
            and (not self.environment or run.environment.lower() == self.environment.lower())
        )


def _is_same_sha(one: str, other: str) -> bool:
    """One of them may be short."""
    return bool(one) and (one.startswith(other) or other.startswith(one))


class CiStatement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a pipeline states of one run of itself.

    `role`, `state`, `run_id` and the commit are needed: by `repository` and `sha`, or as that `of` an earlier run.
    """

    role: CiRole
    """`build`: it makes what is delivered; `export`: it writes the manifests repository."""
    state: CiState
    run_id: Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_LIMIT)]
    """As the CI system numbers it. A second attempt has the same."""
    repository: _Url = ""
    """Of the source commit: a URL, or `host/owner/name`."""
    sha: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Of the source commit; a short one must be of a commit that is followed."""
    of: RunReference | None = None
    """An earlier run of the same commit, where this pipeline does not know the commit itself."""
    system: CiSystem = CiSystem.STATED
    """`github_actions`, `gitlab_ci` or `azure_pipelines` where it is one of these: then it is the run that is asked
    for there, too.
    """
    host: _Text = ""
    """Of the CI system: `github.com`, `jenkins.example.com`."""
    project: _Text = ""
    """Of the three systems: the path that its pipelines have below the host (`acme/shop`, `org/project`)."""
    attempt: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    pipeline: _Text = ""
    """Its name."""
    number: _Text = ""
    """As people read it: `#812`."""
    url: _Url = ""
    """Its page; http or https."""
    branch: _Text = ""
    event: _Text = ""
    """What set it off: `push`, …"""
    author: _Text = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    at: datetime | None = None
    """When this was so; now, where it is left out."""
    pull_request: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    image: Annotated[str, msgspec.Meta(max_length=512)] = ""
    """What it made: `ghcr.io/acme/shop:1.2.3`."""
    digest: _Text = ""
    """Of the image: `sha256:…`."""
    carrier_repository: _Url = ""
    """Of an export: the manifests repository, which is followed or exported to."""
    carrier_sha: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Of an export: the commit that it made there; the beginning of it will do, where no other begins so."""
    allow_unfollowed: bool = False
    """Of an export: its repository need not be followed. It is not applied by Flux, or not yet."""
    service: _Text = ""
    environment: _Text = ""


def read_statement(said: CiStatement, *, now: datetime) -> CiRun:
    """Return the run that is stated. Its `sha` is as short as it was stated.

    Raises:
        ConfigError: a field cannot be; `subject` names it, the message its value and the remedy.
    """
    repository = read_repository(said.repository, "repository")
    _check_role(said)
    at = _instant(said.at, "at", now) or now
    finished = _instant(said.finished_at, "finished_at", now)
    started = _instant(said.started_at, "started_at", now)
    if not said.state.is_final and finished is not None:
        raise _refuse("finished_at", finished.isoformat(), f"leave it out: a run that is {said.state} is not over")
    host, project = _place(said, repository)
    return CiRun(
        system=said.system,
        host=host,
        project=project,
        run_id=_matching(said.run_id, _ID, "run_id", "write it without spaces, as the CI system does"),
        role=said.role,
        attempt=said.attempt,
        repository=repository,
        sha=_matching(said.sha.lower(), _PREFIX, "sha", "give the whole sha, or seven digits of it or more"),
        branch=redact(said.branch),
        event=redact(said.event),
        pipeline=redact(said.pipeline),
        number=redact(said.number),
        url=_page(said.url),
        author=redact(said.author),
        state=said.state,
        queued_at=_instant(said.queued_at, "queued_at", now),
        started_at=started or (at if said.state is CiState.RUNNING else None),
        finished_at=(finished or at) if said.state.is_final else None,
        updated_at=at,
        pull_request=said.pull_request,
        image=_matching(said.image, _IMAGE, "image", "write registry/name:tag", is_optional=True),
        digest=_matching(said.digest.lower(), _DIGEST, "digest", "write sha256: and 64 hex digits", is_optional=True),
        carrier_repository=(
            read_repository(said.carrier_repository, "carrier_repository") if said.carrier_repository else ""
        ),
        carrier_sha=_carrier(said),
        service=redact(said.service).rpartition("/")[2],
        environment=redact(said.environment),
        evidence=CiEvidence.STATED,
    )


def read_repository(text: str, field: str) -> str:
    """Return the canonical name of a repository that is written as a URL or as `host/owner/name`.

    Raises:
        ConfigError: it is neither.
    """
    has_form = "://" in text or "@" in text
    try:
        parsed = parse_repository(text if has_form else f"https://{text}")
    except WireError as exc:
        raise ConfigError(f"{exc.message}; or write host/owner/name", subject=field) from exc
    if parsed.scheme == "file" or (not has_form and "." not in parsed.host and parsed.host != "localhost"):
        raise _refuse(field, redact_url(text), "write host/owner/name, such as github.com/acme/shop, or its URL")
    return parsed.canonical


def place_of(run: CiRun) -> str:
    """Return where a run lives, as a canonical name: who states it must be allowed to speak of that too."""
    if run.system is CiSystem.STATED:
        return run.repository
    return f"{run.host}/{run.project}".lower()


def _place(said: CiStatement, repository: str) -> tuple[str, str]:
    """Return (host, project). A run of no known system is one of its repository's: no other can claim its key."""
    if said.system is CiSystem.STATED:
        host = _matching(said.host.lower(), _HOST, "host", "write the host's name alone", is_optional=True)
        return host or STATED_HOST, repository
    if said.system not in _KNOWN_SYSTEMS:
        known = ", ".join((*_KNOWN_SYSTEMS, CiSystem.STATED))
        raise _refuse("system", said.system, f"use one of {known}")
    remedy = f"a run of {said.system} has one; leave `system` out where you do not know it"
    host = _matching(said.host.lower(), _HOST, "host", remedy)
    project = _matching(said.project, _PATH, "project", remedy)
    # Spaces of Azure DevOps' projects are escaped where they are stated; case is one thing in all three systems.
    return host, unquote(project).lower()


def _check_role(said: CiStatement) -> None:
    if said.role is not CiRole.EXPORT:
        for field, value in (("carrier_sha", said.carrier_sha), ("carrier_repository", said.carrier_repository)):
            if value:
                remedy = "leave it out, or state the role `export`: a build writes no manifests"
                raise _refuse(field, redact_url(value), remedy)
        if said.allow_unfollowed:
            raise _refuse("allow_unfollowed", "true", "leave it out, or state the role `export`: a build writes none")


def _carrier(said: CiStatement) -> str:
    sha = said.carrier_sha.lower()
    if sha and not _PREFIX.fullmatch(sha):
        raise _refuse("carrier_sha", sha, "give the sha of the commit in the manifests repository")
    return sha


def _page(url: str) -> str:
    if not url:
        return ""
    if not url.lower().startswith(("https://", "http://")):
        raise _refuse("url", redact_url(url), "write the run's page as an http or https URL")
    # Azure Pipelines names a build in the query; whatever else is there may be secret.
    build = re.search(r"[?&]buildId=(\d{1,18})(?:&|$)", url)
    return redact_url(url) + (f"?buildId={build[1]}" if build else "")


def _instant(at: datetime | None, field: str, now: datetime) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise _refuse(field, at.isoformat(), "write RFC 3339 with an offset, such as 2026-03-01T12:00:00Z")
    if not now - MOST_BEHIND <= at <= now + MOST_AHEAD:
        raise _refuse(field, at.isoformat(), "set the clock of the machine that states it, or leave it out")
    return at.astimezone(UTC)


def _matching(text: str, pattern: re.Pattern[str], field: str, remedy: str, *, is_optional: bool = False) -> str:
    if (is_optional and not text) or pattern.fullmatch(text):
        return redact(text, limit_bytes=512) if field != "run_id" else text
    raise _refuse(field, text, remedy)


def _refuse(field: str, value: str, remedy: str) -> ConfigError:
    return ConfigError(f"{redact(value, limit_bytes=120)!r}: {remedy}", subject=field)
