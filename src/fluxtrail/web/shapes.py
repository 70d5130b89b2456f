"""The envelopes of the API: pages of lists, and problem details. What is inside them is in `model/views.py`."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec

from fluxtrail.model.feed import FeedItem
from fluxtrail.model.views import Candidate, RecordView, SyncView, TargetView, View

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One piece of a list. `next` goes into the next request's `cursor` (`after`, for transitions); null at the end."""

    items: list[T]
    next: str | None = None


class FeedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The live feed asked as a list."""

    items: list[FeedItem]
    next: str
    """Goes into the next request's `after`, at the end too: what comes later is behind it."""
    is_reset: bool = False
    """`after` is older than what is kept, or was never given here: read the state anew, and go on from `next`."""


class TargetDetail(View, frozen=True, kw_only=True):
    target: TargetView
    syncs: list[SyncView]
    """The newest first."""


class RecordCount(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str
    """Its name."""
    cluster_uid: str
    status: str
    told: str
    count: int


class SyncRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be told again."""

    cluster: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None
    """Only of this cluster: its name or uid."""
    dry_run: bool = False


class SyncPlan(msgspec.Struct, frozen=True, kw_only=True):
    planned: int
    """How many records are told again, or would be."""
    clusters: list[str] = []
    """The uids of the clusters whose records they are: of those that are followed now."""
    records: list[RecordView] = []
    """Of a dry run: the first thousand of them."""


class RouteView(View, frozen=True, kw_only=True):
    """A route or another output: what has not reached it, and how it is doing."""

    name: str
    kind: str
    """`github_status`, …; of what is no route, the name of its sink."""
    sink: str
    """What its reports are listed under."""
    waiting: int = 0
    """Those that are just being sent too."""
    dead: int = 0
    sent: int = 0
    """Since this process began."""
    oldest_at: datetime | None = None
    """When the oldest waiting one was planned."""
    is_down: bool = False
    """Nothing gets through now: it is tried again, seldom."""
    problem: str = ""
    """Why it is down, or cannot work as it is set; empty where all is well."""
    answer: str = ""
    """The last answer that was not a success."""
    budget_left: int | None = None
    """Writes that its budget has left now; null where it has none."""


class ReportsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which reports: exactly one of the ways to say it."""

    ids: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]], msgspec.Meta(max_length=1000)] = []
    route: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] | None = None
    """All of this route."""
    sink: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    """All of this sink."""
    all_dead: bool = False
    """All dead letters."""


class ReportsChanged(msgspec.Struct, frozen=True, kw_only=True):
    changed: int
    """How many there were that it could be done to."""


class RouteTestRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to say: the route has everything."""


class RouteTest(View, frozen=True, kw_only=True):
    """What came back of one test message."""

    route: str
    where: str
    """Whom it went to, without what is secret of the address."""
    is_taken: bool
    status: int | None = None
    """Of HTTP; null where there was no answer, or none of HTTP."""
    answer: str
    """In words, redacted."""
    seconds: float


class InvalidParameter(msgspec.Struct, frozen=True, kw_only=True):
    parameter: str
    value: str
    message: str
    """What would be accepted."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details (RFC 9457). `code` is stable and for programs, `detail` is for people."""

    code: str
    title: str
    status: int
    detail: str
    errors: list[InvalidParameter] = []
    candidates: list[Candidate] = []
