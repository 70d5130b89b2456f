"""The live feed: the history as it grows, each line with what people need to read it (docs/api.md, live feed)."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.views import View


class FeedItem(View, frozen=True, kw_only=True):
    """One transition. What it is not about, or what is forgotten since, is None."""

    id: int
    """Grows, with gaps; never given twice."""
    at: datetime
    """When it happened, which may be before that of an earlier id: some things are found out late."""
    kind: str
    """A `TransitionKind`."""
    before: str = ""
    after: str = ""
    detail: dict[str, str] = msgspec.field(default_factory=dict)
    sha: str | None = None
    subject: str | None = None
    repository: str | None = None
    """Of the commit, or of the branch that was rewritten."""
    cluster: str | None = None
    cluster_uid: str | None = None
    target: str | None = None
    """`<Kind>/<namespace>/<name>`."""
    target_id: int | None = None
    revision: str | None = None
    """Of the sync it came with."""


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """What came behind an id."""

    items: Sequence[FeedItem]
    last_id: int
    """Where to go on: the next page comes behind it."""
    is_reset: bool = False
    """The id asked with is older than what is kept, or was never given here: read the state anew, go on from
    `last_id`."""
