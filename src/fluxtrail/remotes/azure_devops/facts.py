"""What Azure DevOps says about pull requests: its JSON, read into our words. Pure."""

from datetime import datetime

import msgspec

from fluxtrail.model.commit import SUBJECT_LIMIT
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.times import as_utc

COMPLETED = "completed"
_HEADS = "refs/heads/"


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    title: str
    merged_at: datetime | None
    """Aware UTC; None while it is not completed: an abandoned one has a closing time too."""
    merge_commit_sha: str | None
    """Completed: the commit on the target branch. Open: a test merge that is on no branch."""
    head_sha: str | None
    base_ref: str | None
    author: str | None


class AbandonedPullRequest(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    closed_at: datetime | None
    """Aware UTC."""


class WireCommit(msgspec.Struct, rename="camel"):
    commit_id: str | None = None


class WirePerson(msgspec.Struct, rename="camel"):
    display_name: str | None = None


class WirePullRequest(msgspec.Struct, rename="camel"):
    pull_request_id: int
    status: str | None = None
    title: str | None = None
    closed_date: datetime | None = None
    last_merge_commit: WireCommit | None = None
    last_merge_source_commit: WireCommit | None = None
    target_ref_name: str | None = None
    created_by: WirePerson | None = None


class WireQuery(msgspec.Struct):
    """The answer of pullrequestquery: for each query, commit → pull requests."""

    results: list[dict[str, list[WirePullRequest]]]


class WireCommits(msgspec.Struct):
    value: list[WireCommit]


def read_pull_request(wire: WirePullRequest) -> PullRequest:
    closed = wire.closed_date if wire.status == COMPLETED else None
    return PullRequest(
        number=wire.pull_request_id,
        title=redact(wire.title)[:SUBJECT_LIMIT],
        merged_at=as_utc(closed),
        merge_commit_sha=_sha(wire.last_merge_commit),
        head_sha=_sha(wire.last_merge_source_commit),
        base_ref=wire.target_ref_name.removeprefix(_HEADS) if wire.target_ref_name else None,
        author=redact(wire.created_by.display_name)[:SUBJECT_LIMIT] if wire.created_by else None,
    )


def _sha(commit: WireCommit | None) -> str | None:
    return commit.commit_id.lower() if commit is not None and commit.commit_id else None
