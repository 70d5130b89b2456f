"""When a commit was merged: the best evidence there is.

    pull request's merge time · the branch was seen to move · the time in exporter-info · the committer date

Source: docs/concepts.md, Stages.
"""

from __future__ import annotations

from datetime import datetime

from fluxtrail.model.moment import KUBERNETES_RESOLUTION, Evidence, Moment, Precision, bracket, exact

RANK = (
    Evidence.PULL_REQUEST,
    Evidence.PUSH_EVENT,
    Evidence.BRANCH_MOVED,
    Evidence.EXPORTER_INFO,
    Evidence.COMMITTER_DATE,
    Evidence.IMAGE_CREATED,
    Evidence.ARTIFACT,
)


def better(left: Moment | None, right: Moment | None) -> Moment | None:
    """Return the moment with the better evidence; the first one where they are equal."""
    if left is None or right is None:
        return left or right
    return right if RANK.index(right.evidence) < RANK.index(left.evidence) else left


def from_pull_request(merged_at: datetime) -> Moment:
    return exact(merged_at, Evidence.PULL_REQUEST)


def from_export(stated_at: datetime, *, seen_at: datetime) -> Moment:
    """What an exporter states is the commit's own time: the merge came then, or later but before the export."""
    return Moment(
        at=stated_at,
        evidence=Evidence.EXPORTER_INFO,
        precision=Precision.ESTIMATED,
        not_before=stated_at,
        not_after=max(stated_at, seen_at),
    )


def from_artifact(created_at: datetime | None, *, fetched: Moment) -> Moment:
    """Return when an artifact came to be: when its maker says, else some time before it was first fetched."""
    if created_at is None or created_at > fetched.latest + KUBERNETES_RESOLUTION:
        return bracket(None, fetched.latest, evidence=Evidence.ARTIFACT)
    return exact(created_at, Evidence.IMAGE_CREATED)


def from_branch(
    committed_at: datetime,
    *,
    looked_at: datetime | None,
    seen_at: datetime,
    fetched_at: datetime | None,
    was_watched: bool,
) -> Moment:
    """Return when a commit came onto a branch that we saw move.

    Args:
        looked_at: the last look that did not show it yet.
        seen_at: the look that showed it.
        fetched_at: when Flux had fetched a revision that contains it, if it did: the merge came before.
        was_watched: the looks followed each other in the usual rhythm; else the committer date, which lies
            between them too, says more than the look.
    """
    # Flux writes whole seconds, cut towards the past: the fetch itself came up to a second later.
    latest = min(seen_at, fetched_at + KUBERNETES_RESOLUTION) if fetched_at is not None else seen_at
    if was_watched and looked_at is not None:
        return Moment(
            at=max(latest, min(committed_at, seen_at)),
            evidence=Evidence.BRANCH_MOVED,
            precision=Precision.OBSERVED,
            not_before=min(looked_at, latest),
        )
    earliest = committed_at if looked_at is None else max(committed_at, looked_at)
    # The start of a delivery: the earliest instant possible keeps a late look from making it seem faster.
    return Moment(
        at=min(earliest, latest),
        evidence=Evidence.COMMITTER_DATE,
        precision=Precision.ESTIMATED,
        not_before=min(earliest, latest),
        not_after=latest,
    )
