"""What GitLab says about commits and merge requests: its JSON, read into our words. Pure."""

from datetime import datetime

import msgspec

from fluxtrail.model.commit import SUBJECT_LIMIT
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.remotes.times import as_utc


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    """Its `iid`: the number that people see, of its project."""
    title: str
    url: str
    """Its page for people."""
    merged_at: datetime | None
    """Aware UTC; None while it is not merged."""
    merge_commit_sha: str | None
    """Merged: the commit that the target branch got: of the merge, else of the squash, else the request's own last."""
    head_sha: str | None
    base_ref: str | None
    author: str | None


class WireUser(msgspec.Struct):
    username: str | None = None


class WireMergeRequest(msgspec.Struct):
    iid: int
    title: str | None = None
    web_url: str | None = None
    state: str | None = None
    merged_at: datetime | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    sha: str | None = None
    target_branch: str | None = None
    author: WireUser | None = None


class WireCommit(msgspec.Struct):
    id: str


def read_merge_request(wire: WireMergeRequest) -> MergeRequest:
    """Read a merge request.

    The merge commit comes first: with "squash" and "merge commit" together, the squashed commit is only its second
    parent. Without either it was fast-forwarded, and its last commit is what the branch moved to.
    """
    is_merged = wire.state in (None, "merged") and wire.merged_at is not None
    return MergeRequest(
        number=wire.iid,
        title=redact(wire.title)[:SUBJECT_LIMIT],
        url=redact_url(wire.web_url or ""),
        merged_at=as_utc(wire.merged_at) if is_merged else None,
        merge_commit_sha=(wire.merge_commit_sha or wire.squash_commit_sha or wire.sha) if is_merged else None,
        head_sha=wire.sha,
        base_ref=wire.target_branch,
        author=wire.author.username if wire.author else None,
    )
