"""`exporter-info`, as a file or a layer: which source commits an export was made from, read leniently and bounded.

    {"commit": …, "commits_since_last_export": [{"hash", "summary", "author", "email", "time"}], "export_build_link": …}

Keys match in any letter case (the replaced tool decodes with Go's JSON). A bad entry is a problem to show, and
never stops the others. Source: docs/exporter-info.md.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.redaction import MASK, redact, redact_url
from fluxtrail.trail.strategies.stated import FUTURE_TOLERANCE, ExportedCommit, StatedExport

FILE_NAME = "exporter-info.json"
LAYER_TYPE = "application/vnd.grafana.exporter-info.v1+json"
"""The media type of the layer of an OCI artifact that holds the same document."""
SIZE_LIMIT_BYTES = 4 * 1024 * 1024
ENTRY_LIMIT = 5_000
_HASH = re.compile(r"[0-9A-Za-z]{1,128}")


def parse_exporter_info(data: bytes, *, now: datetime) -> StatedExport:
    """Read the payload.

    Raises:
        WireError: not JSON, not an object, or the list is not a list.
    """
    if len(data) > SIZE_LIMIT_BYTES:
        raise WireError(
            f"{len(data)} bytes are more than the {SIZE_LIMIT_BYTES} that are read; shorten commits_since_last_export",
            subject=FILE_NAME,
        )
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"not JSON: {redact(str(exc), limit_bytes=200)}", subject=FILE_NAME) from exc
    if not isinstance(document, dict):
        raise WireError(f"expected an object, got {type(document).__name__}", subject=FILE_NAME)
    fields = _lower(document)
    entries = fields.get("commits_since_last_export") or []
    if not isinstance(entries, list):
        raise WireError(f"commits_since_last_export: expected a list, got {type(entries).__name__}", subject=FILE_NAME)
    return _read_entries(entries, _build_link(fields.get("export_build_link")), now)


def _read_entries(entries: list[Any], build_link: str | None, now: datetime) -> StatedExport:
    commits: dict[str, ExportedCommit] = {}
    problems: list[str] = []
    if len(entries) > ENTRY_LIMIT:
        problems.append(f"commits_since_last_export: {len(entries)} entries, only the first {ENTRY_LIMIT} are used")
    for index, entry in enumerate(entries[:ENTRY_LIMIT]):
        where = f"commits_since_last_export[{index}]"
        if not isinstance(entry, dict):
            problems.append(f"{where}: expected an object, got {type(entry).__name__}")
            continue
        commit = _read_entry(_lower(entry), where, now, problems)
        if commit is not None:
            commits.setdefault(commit.sha, commit)
    return StatedExport(commits=tuple(commits.values()), build_link=build_link, problems=tuple(problems))


def _read_entry(fields: dict[str, Any], where: str, now: datetime, problems: list[str]) -> ExportedCommit | None:
    value = fields.get("hash")
    sha = value.strip() if isinstance(value, str) else ""
    if not _HASH.fullmatch(sha):
        problems.append(f"{where}.hash: {redact(str(value), limit_bytes=80)!r} is not a commit")
        return None
    return ExportedCommit(
        sha=sha.lower() if is_sha(sha.lower()) else sha,
        summary=redact(str(fields.get("summary") or fields.get("message") or "").split("\n", 1)[0], limit_bytes=200),
        author=redact(str(fields.get("author") or ""), limit_bytes=200),
        stated_at=_stated_at(fields.get("time"), where, now, problems),
    )


def _stated_at(value: Any, where: str, now: datetime, problems: list[str]) -> datetime | None:
    stated = parse_timestamp(value) if isinstance(value, str) else None
    if stated is None:
        problems.append(f"{where}.time: {redact(str(value), limit_bytes=80)!r} is not an RFC 3339 time")
    elif stated > now + FUTURE_TOLERANCE:
        problems.append(f"{where}.time: {stated.isoformat()} lies in the future")
        return None
    return stated


def _build_link(value: Any) -> str | None:
    if not isinstance(value, str) or not value.lower().startswith(("http://", "https://")):
        return None
    cleared = redact_url(value)
    return cleared[:1024] if cleared != MASK else None


def _lower(document: dict[Any, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in document.items()}
