"""What GitHub says about commits, pull requests and files: its JSON, read into our words. Pure."""

import base64
import binascii
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from fluxtrail.model.commit import SUBJECT_LIMIT, CommitFacts, find_pull_request_number, find_reverts
from fluxtrail.model.errors import WireError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.times import as_utc

T = TypeVar("T")

FILES_IN_ANSWER = 300  # a commit's answer lists no more; further pages are not worth their calls


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    title: str
    url: str
    """Its page for people."""
    merged_at: datetime | None
    """Aware UTC, exact to the second; None while it is not merged."""
    merge_commit_sha: str | None
    """Merged: the commit on the base branch. Open: a test merge that is on no branch."""
    head_sha: str | None
    base_ref: str | None
    author: str | None
    """The author's login; None for a deleted account."""


class WireUser(msgspec.Struct):
    login: str | None = None


class WireRef(msgspec.Struct):
    sha: str | None = None
    ref: str | None = None


class WirePullRequest(msgspec.Struct):
    number: int
    title: str | None = None
    html_url: str | None = None
    merged_at: datetime | None = None
    merge_commit_sha: str | None = None
    head: WireRef | None = None
    base: WireRef | None = None
    user: WireUser | None = None


class _Person(msgspec.Struct):
    name: str | None = None
    email: str | None = None
    date: datetime | None = None


class _GitCommit(msgspec.Struct):
    author: _Person | None = None
    committer: _Person | None = None
    message: str | None = None


class _File(msgspec.Struct):
    filename: str
    previous_filename: str | None = None


class _Commit(msgspec.Struct):
    sha: str
    commit: _GitCommit
    parents: list[WireRef] | None = None
    files: list[_File] | None = None


class _Sha(msgspec.Struct):
    sha: str


class _Content(msgspec.Struct):
    type: str
    size: int = 0
    encoding: str | None = None
    content: str | None = None


def parse_pull_request(data: Any) -> PullRequest:
    wire = convert(data, WirePullRequest)
    return PullRequest(
        number=wire.number,
        title=redact(wire.title)[:SUBJECT_LIMIT],
        url=wire.html_url or "",
        merged_at=as_utc(wire.merged_at),
        merge_commit_sha=wire.merge_commit_sha,
        head_sha=wire.head.sha if wire.head else None,
        base_ref=wire.base.ref if wire.base else None,
        author=wire.user.login if wire.user else None,
    )


def parse_pull_requests(data: Any) -> list[PullRequest]:
    return [parse_pull_request(item) for item in convert(data, list[Any])]


def parse_sha(data: Any) -> str:
    return convert(data, _Sha).sha


def parse_commit(data: Any) -> CommitFacts:
    """Read a commit.

    Raises:
        WireError: among others when it has no committer date, without which it says nothing to us.
    """
    wire = convert(data, _Commit)
    author, committer = wire.commit.author or _Person(), wire.commit.committer or _Person()
    committed_at = as_utc(committer.date)
    if committed_at is None:
        raise WireError("the commit has no committer date", subject=wire.sha[:64])
    message = wire.commit.message or ""
    subject = message.partition("\n")[0].strip()
    names = [name for file in wire.files or [] for name in (file.filename, file.previous_filename) if name]
    return CommitFacts(
        sha=wire.sha,
        parents=tuple(parent.sha for parent in wire.parents or [] if parent.sha),
        author=(author.name or "")[:SUBJECT_LIMIT],
        author_email=author.email,
        committed_at=committed_at,
        authored_at=as_utc(author.date) or committed_at,
        subject=redact(subject)[:SUBJECT_LIMIT],
        reverts=find_reverts(message),
        pull_request=find_pull_request_number(subject),
        paths=tuple(dict.fromkeys(names)),
        paths_truncated=wire.files is None or len(wire.files) >= FILES_IN_ANSWER,
    )


class FileAnswer(msgspec.Struct, frozen=True):
    is_file: bool
    size_bytes: int
    content: bytes | None
    """None when the answer does not hold it: GitHub inlines up to 1 MB."""


def parse_file(data: Any) -> FileAnswer:
    """Read an answer of the contents API; a folder's is a list."""
    if isinstance(data, list):
        return FileAnswer(is_file=False, size_bytes=0, content=None)
    wire = convert(data, _Content)
    if wire.type != "file":
        return FileAnswer(is_file=False, size_bytes=wire.size, content=None)
    if wire.encoding == "none" or (not wire.content and wire.size > 0):
        return FileAnswer(is_file=True, size_bytes=wire.size, content=None)
    if wire.encoding != "base64" or wire.content is None:
        raise WireError(f"the file's content is absent or encoded as {wire.encoding!r}, not base64", subject="content")
    try:
        # Wrapped at 60 characters by GitHub.
        content = base64.b64decode("".join(wire.content.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise WireError("the file's content is not base64", subject="content") from exc
    return FileAnswer(is_file=True, size_bytes=len(content), content=content)


def convert(data: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(data, type_)
    except msgspec.ValidationError as exc:
        raise WireError(f"GitHub's answer has another shape: {redact(str(exc))}", subject="github") from exc
