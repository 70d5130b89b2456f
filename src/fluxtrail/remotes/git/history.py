r"""Reads `git log -z` into CommitFacts as it streams in: pure.

The shape of the stream, with NUL as `·` (git 2.30 to 2.50, `-z --name-only --format=%x00…`):

    · sha · parents · name · email · committed · authored · subject · body · \npath · path · · sha …

A record begins with an empty token, because our format begins with a NUL and a path is never empty; then
come exactly eight fields, then the paths, the first of them after a newline. No other text needs escaping.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fluxtrail.model.commit import SUBJECT_LIMIT, CommitFacts, find_pull_request_number, find_reverts
from fluxtrail.model.redaction import redact

LOG_FORMAT = "--format=%x00%H%x00%P%x00%an%x00%ae%x00%ct%x00%at%x00%s%x00%b"
LOG_OPTIONS = (
    "log",
    "-z",
    "--no-show-signature",
    "--no-mailmap",
    "--no-decorate",
    "--no-notes",
    "--no-color",
    "--encoding=UTF-8",
)
PATHS_OPTIONS = ("--name-only", "--no-renames", "--diff-merges=first-parent", "--no-ext-diff", "--no-textconv")

PATHS_LIMIT = 10_000
NAME_LIMIT = 200
BODY_LIMIT_BYTES = 64 * 1024
_FIELDS = 8
_LATEST_SECONDS = 253_402_300_799  # 9999-12-31: git keeps what a clock gone mad wrote


class LogParser:
    """Feed it stdout; `commits` grows.

    Memory is bounded by `PATHS_LIMIT` paths a commit and the caller's limit; of what has no end no more is held than
    is read of it.
    """

    def __init__(self) -> None:
        self.commits: list[CommitFacts] = []
        self._rest = b""
        self._fields: list[bytes] | None = None
        self._paths: list[str] = []
        self._truncated = False

    def feed(self, chunk: bytes) -> None:
        *tokens, self._rest = (self._rest + chunk).split(b"\0")
        for token in tokens:
            self._take(token)
        self._rest = self._rest[:BODY_LIMIT_BYTES]

    def finish(self) -> list[CommitFacts]:
        """Return all commits; call it once, at the end of the stream."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""
        self._close()
        return self.commits

    def _take(self, token: bytes) -> None:
        if self._fields is not None and len(self._fields) < _FIELDS:
            self._fields.append(token[:BODY_LIMIT_BYTES])
        elif not token:
            self._close()
            self._fields = []
        elif len(self._paths) < PATHS_LIMIT and len(token) < BODY_LIMIT_BYTES:
            first = not self._paths
            path = token[1:] if first and token.startswith(b"\n") else token
            self._paths.append(path.decode("utf-8", "backslashreplace"))
        else:
            self._truncated = True

    def _close(self) -> None:
        if self._fields is not None and len(self._fields) == _FIELDS:
            self.commits.append(_facts(self._fields, tuple(self._paths), truncated=self._truncated))
        self._fields, self._paths, self._truncated = None, [], False


def _facts(fields: list[bytes], paths: tuple[str, ...], *, truncated: bool) -> CommitFacts:
    sha, parents, name, email, committed, authored, subject, body = (f.decode("utf-8", "replace") for f in fields)
    clean = redact(" ".join(subject.split()), limit_bytes=4 * SUBJECT_LIMIT)
    return CommitFacts(
        sha=sha,
        parents=tuple(parents.split()),
        author=name.strip()[:NAME_LIMIT],
        author_email=email.strip()[:NAME_LIMIT] or None,
        committed_at=_moment(committed),
        authored_at=_moment(authored),
        subject=clean[:SUBJECT_LIMIT],
        reverts=find_reverts(body) if "revert" in body else (),
        pull_request=find_pull_request_number(subject),
        paths=paths,
        paths_truncated=truncated,
    )


def _moment(seconds: str) -> datetime:
    try:
        value = int(seconds)
    except ValueError:
        value = 0
    return datetime.fromtimestamp(min(max(value, 0), _LATEST_SECONDS), UTC)
