"""What git says about one commit, and what its message says about others."""

import re
from datetime import datetime

import msgspec

SUBJECT_LIMIT = 200
SHORT_LENGTH = 9

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA_PREFIX = re.compile(r"[0-9a-fA-F]{4,64}")
_REVERTS = re.compile(r"^[ \t]*This reverts commit ([0-9a-f]{7,64})\b", re.MULTILINE | re.IGNORECASE)
_REVERTS_LIMIT = 50
_MERGE_SUBJECT = re.compile(r"Merge pull request #(\d{1,9}) from |Merged PR (\d{1,9}): ")
_SQUASH_SUBJECT = re.compile(r"\(#(\d{1,9})\)\s*$")


class CommitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One commit as its repository has it; moments are aware UTC with 1 s resolution, as git keeps them."""

    sha: str
    parents: tuple[str, ...]
    author: str
    author_email: str | None = None
    committed_at: datetime
    authored_at: datetime
    subject: str
    """At most 200 characters, redacted."""
    reverts: tuple[str, ...] = ()
    """What its message says it reverts, as written: full shas or prefixes."""
    pull_request: int | None = None
    """The pull request its subject names; the forge knows better where it can be asked."""
    paths: tuple[str, ...] = ()
    """What it changed against its first parent; bytes that are not UTF-8 read `\\xNN`."""
    paths_truncated: bool = False
    """True when `paths` is not all of them: scope must then count the commit in."""

    @property
    def is_merge(self) -> bool:
        return len(self.parents) > 1


def is_sha(text: str) -> bool:
    """Whether `text` is a whole object name, SHA-1 or SHA-256, in lower case."""
    return _SHA.fullmatch(text) is not None


def is_sha_prefix(text: str) -> bool:
    """Whether `text` could be the beginning of an object name: git asks for at least four digits."""
    return _SHA_PREFIX.fullmatch(text) is not None


def short(sha: str) -> str:
    """Return the first digits, for people; never for keys."""
    return sha[:SHORT_LENGTH]


def find_reverts(message: str) -> tuple[str, ...]:
    """Return the shas of the lines `This reverts commit <sha>`, in order, each once.

    That is the sentence `git revert` writes. A forge's "Reverts owner/repository#12" names no commit.
    """
    found = dict.fromkeys(match.group(1).lower() for match in _REVERTS.finditer(message))
    return tuple(found)[:_REVERTS_LIMIT]


def find_pull_request_number(subject: str) -> int | None:
    """Return the pull request a subject names: `Title (#12)`, `Merge pull request #12 from …`, `Merged PR 12: …`.

    The last `(#n)` counts: a squashed revert reads `Revert "Title (#12)" (#13)`.
    """
    merge = _MERGE_SUBJECT.match(subject)
    if merge:
        return int(merge.group(1) or merge.group(2))
    squash = _SQUASH_SUBJECT.search(subject)
    return int(squash.group(1)) if squash else None
