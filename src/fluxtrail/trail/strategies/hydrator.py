"""`hydrator.metadata`: which dry commit a hydrated one was rendered from (Argo CD's hydrator, GitOps Promoter).

    {"repoURL": …, "drySha": …, "author": …, "date": …, "subject": …, "body": …, "references": […]}

A hydrator renders the newest dry commit and skips those between, so a hydrated commit carries all dry commits since the
one before it. Source: argo-cd docs/user-guide/source-hydrator.md and gitops-promoter docs (custom hydrators).
"""

from datetime import datetime
from typing import Any

import msgspec

from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.records import ExportEvidence
from fluxtrail.model.redaction import redact
from fluxtrail.model.repository import parse_repository
from fluxtrail.trail.strategies.stated import FUTURE_TOLERANCE, ExportedCommit, StatedExport

FILE_NAME = "hydrator.metadata"
SIZE_LIMIT_BYTES = 256 * 1024


def parse_hydrator_metadata(data: bytes, *, now: datetime) -> StatedExport:
    """Read the document.

    Raises:
        WireError: not JSON, not an object, or without a usable `drySha`.
    """
    if len(data) > SIZE_LIMIT_BYTES:
        raise WireError(f"{len(data)} bytes are more than the {SIZE_LIMIT_BYTES} that are read", subject=FILE_NAME)
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"not JSON: {redact(str(exc), limit_bytes=200)}", subject=FILE_NAME) from exc
    if not isinstance(document, dict):
        raise WireError(f"expected an object, got {type(document).__name__}", subject=FILE_NAME)
    sha = document.get("drySha")
    if not isinstance(sha, str) or not is_sha(sha.strip().lower()):
        raise WireError(
            f"drySha: {redact(str(sha), limit_bytes=80)!r} is not a full commit sha; the hydrator has to write it",
            subject=FILE_NAME,
        )
    problems: list[str] = []
    commit = ExportedCommit(
        sha=sha.strip().lower(),
        summary=_text(document.get("subject")),
        author=_text(document.get("author")),
        stated_at=_date(document.get("date"), now),
    )
    return StatedExport(
        commits=(commit,),
        repository=_repository(document.get("repoURL"), problems),
        evidence=ExportEvidence.HYDRATOR,
        problems=tuple(problems),
    )


def _text(value: Any) -> str:
    return redact(value.split("\n", 1)[0], limit_bytes=200) if isinstance(value, str) else ""


def _date(value: Any, now: datetime) -> datetime | None:
    stated = parse_timestamp(value) if isinstance(value, str) else None
    return stated if stated is not None and stated <= now + FUTURE_TOLERANCE else None


def _repository(value: Any, problems: list[str]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        return parse_repository(value).canonical
    except WireError as exc:
        problems.append(f"repoURL: {exc}")
        return None
