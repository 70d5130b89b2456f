"""The JSON API under `/api/v1` (docs/api.md): questions to the ledger. `records.py` and `reports.py` can change it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from litestar import Request, Response, get
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from fluxtrail.model.environments import Grouping
from fluxtrail.model.records import Transition, TransitionKind
from fluxtrail.model.trend import Trend
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import ClusterView, CommitView, DeliveryView, TargetView, TrailView
from fluxtrail.web.events import FeedOperation, FeedStream, Wanted, encode_answer, read_event_id, wants_json
from fluxtrail.web.feed import Batch, Feed
from fluxtrail.web.ports import Answers, Chains, CiKeeper, RecordKeeper, ReportKeeper, SelfReport
from fluxtrail.web.problems import ambiguous, documented, invalid, not_found
from fluxtrail.web.shapes import FeedAnswer, Page, TargetDetail
from fluxtrail.web.status import StatusView

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_ID = 2**63 - 1
NO_GROUPING = Grouping()
CONTEXT = "fluxtrail.context"
"""Where a request's scope has what its handler asks."""
_SHA = re.compile(r"[0-9a-f]{4,64}")
T = TypeVar("T")
_COMMIT = "^[0-9a-fA-F]{4,64}$"

AnyRequest = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[str | None, QueryParameter(max_length=512, description="`next` of the page before.")]
Text = Annotated[str | None, QueryParameter(min_length=1, max_length=512)]
OneVerdict = Annotated[Verdict | None, QueryParameter()]


class TargetSort(StrEnum):
    """What comes first in a list of targets."""

    PENDING = "pending"
    FAILED = "failed"
    OLDEST = "oldest"


class ClusterSort(StrEnum):
    """What comes first in the list of clusters."""

    TARGETS = "targets"
    PENDING = "pending"
    FAILED = "failed"


TargetOrder = Annotated[
    TargetSort | None,
    QueryParameter(description="The most `pending` or `failed` first, or whose `oldest` waits longest."),
]
ClusterOrder = Annotated[ClusterSort | None, QueryParameter(description="What there is most of first.")]
Sha = Annotated[str, PathParameter(description="At least four hexadecimal digits.")]
Since = Annotated[datetime | None, QueryParameter(description="Only what is not older; RFC 3339 with an offset.")]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every handler asks, see `context_of`."""

    answers: Answers
    report: SelfReport
    now: Callable[[], datetime]
    settle_after: timedelta
    feed: Feed
    records: RecordKeeper | None = None
    """None where deployment records are off."""
    chains: Chains | None = None
    """None where no cluster is watched."""
    reports: ReportKeeper | None = None
    """None where nothing is told to anybody."""
    grouping: Grouping = NO_GROUPING
    """The environments that are set up."""
    trend: Callable[[], Trend] = Trend
    """Lead times by hour, as the figures have them now."""
    ci: CiKeeper | None = None
    """None where no CI runs are kept."""


def context_of(request: AnyRequest) -> Context:
    context: Context = request.scope[CONTEXT]  # type: ignore[literal-required]
    return context


@get("/commits", operation_id="list_commits", summary="Commits, the newest first", responses=documented())
async def list_commits(
    request: AnyRequest,
    *,
    repository: Text = None,
    branch: Text = None,
    author: Text = None,
    verdict: OneVerdict = None,
    since: Since = None,
    carriers: Annotated[bool, QueryParameter(description="Exports and other carriers too.")] = True,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[CommitView]:
    """`repository` is its canonical name or the end of it (`acme/shop`), `author` a part of the name; `verdict`
    keeps those that have it on some target.
    """
    context = context_of(request)
    found = await context.answers.list_commits(
        now=context.now(),
        settle_after=context.settle_after,
        repository=repository,
        branch=branch,
        author=author,
        verdict=verdict,
        since=aware(since),
        carriers=carriers,
        limit=limit,
        cursor=cursor,
    )
    return Page(items=list(found.items), next=found.next)


@get("/commits/{sha:str}", operation_id="get_commit", summary="The trail of one commit", responses=documented(404, 409))
async def get_commit(request: AnyRequest, sha: Sha) -> TrailView:
    """`sha` is whole or a prefix of at least four digits; an alias leads to its commit."""
    if not _SHA.fullmatch(sha.lower()):
        raise invalid("sha", sha, "4 to 64 hexadecimal digits; other forms are understood by /api/v1/trail?q=")
    return await trail_of(context_of(request), sha.lower())


@get("/trail", operation_id="find_trail", summary="The trail of whatever `q` means", responses=documented(404, 409))
async def find_trail(
    request: AnyRequest,
    q: Annotated[
        str,
        QueryParameter(
            min_length=1,
            max_length=512,
            description="A sha or a prefix of one, a revision or digest (`main@sha1:…`), `owner/repo@<sha>`, `#12`, "
            "`owner/repo#12`, `kind/namespace/name` or `kind/name`.",
        ),
    ],
) -> TrailView:
    return await trail_of(context_of(request), q.strip())


@get(
    "/deliveries", operation_id="list_deliveries", summary="Deliveries, what changed last first", responses=documented()
)
async def list_deliveries(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    target: Text = None,
    repository: Text = None,
    sha: Text = None,
    verdict: OneVerdict = None,
    since: Since = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DeliveryView]:
    """`cluster` is a name or uid, `target` a name, `kind/name` or `kind/namespace/name`.

    Targets that a commit does not concern have no delivery here; its trail has them.
    """
    context = context_of(request)
    found = await context.answers.list_deliveries(
        now=context.now(),
        settle_after=context.settle_after,
        cluster=cluster,
        namespace=namespace,
        target=target,
        repository=repository,
        sha=sha,
        verdict=verdict,
        since=aware(since),
        limit=limit,
        cursor=cursor,
    )
    return Page(items=list(found.items), next=found.next)


@get("/targets", operation_id="list_targets", summary="Targets, by cluster, namespace and name", responses=documented())
async def list_targets(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    target: Text = None,
    sort: TargetOrder = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[TargetView]:
    context = context_of(request)
    found = await context.answers.list_targets(
        now=context.now(), cluster=cluster, namespace=namespace, target=target, sort=sort, limit=limit, cursor=cursor
    )
    return Page(items=list(found.items), next=found.next)


@get(
    "/targets/{target_id:int}",
    operation_id="get_target",
    summary="One target and its newest syncs",
    responses=documented(404),
)
async def get_target(request: AnyRequest, target_id: Annotated[int, PathParameter(ge=1, le=MAX_ID)]) -> TargetDetail:
    context = context_of(request)
    found = await context.answers.target(target_id, now=context.now())
    if found is None:
        raise not_found(f"no target has the id {target_id}", "Ids are listed by /api/v1/targets")
    return TargetDetail(target=found[0], syncs=list(found[1]))


@get("/clusters", operation_id="list_clusters", summary="Clusters", responses=documented())
async def list_clusters(
    request: AnyRequest,
    *,
    text: Text = None,
    sort: ClusterOrder = None,
    limit: Limit = MAX_LIMIT,
    cursor: Cursor = None,
) -> Page[ClusterView]:
    """By name. `text` is a part of the name, in any letter case, or the beginning of the uid."""
    chosen = choose_clusters(await context_of(request).answers.list_clusters(), text=text, sort=sort)
    return cut([(view.uid, view) for view in chosen], limit=limit, cursor=cursor)


@get("/transitions", operation_id="list_transitions", summary="The history, the oldest first", responses=documented())
async def list_transitions(
    request: AnyRequest,
    after: Annotated[int, QueryParameter(ge=0, le=MAX_ID, description="Only those with a larger id.")] = 0,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[Transition]:
    """A reader who keeps the largest id seen, and asks again with it as `after`, misses nothing."""
    found = list(await context_of(request).answers.transitions(after_id=after, limit=limit))
    return Page(items=found, next=str(found[-1].id) if len(found) == limit else None)


@get(
    "/feed",
    operation_id="follow_feed",
    summary="The history as it happens: server-sent events, or one page of it as JSON",
    responses=documented(),
    operation_class=FeedOperation,
)
async def follow_feed(
    request: AnyRequest,
    *,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="As `after`; it wins, and a browser sends it.")
    ] = None,
    after: Annotated[
        int | None, QueryParameter(ge=0, le=MAX_ID, description="The last id seen; without it, from now on.")
    ] = None,
    commit: Annotated[str | None, QueryParameter(pattern=_COMMIT, description="A sha or its first digits.")] = None,
    cluster: Text = None,
    target: Text = None,
    kind: Annotated[TransitionKind | None, QueryParameter()] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="How many are looked at, as JSON.")] = 100,
) -> Response[FeedAnswer]:
    """`Accept: application/json` asks for one page. An id that is forgotten or unknown is answered by `reset`."""
    feed, answers = context_of(request).feed, context_of(request).answers
    wanted = Wanted(commit=commit.lower() if commit else None, cluster=cluster, target=target, kind=kind)
    cursor = read_event_id(last_event_id) if last_event_id else after
    if wants_json(request.headers.get("accept", "")):
        page = await answers.feed(cursor, limit)
        items = [item for item in page.items if wanted.has(item)]
        return encode_answer(FeedAnswer(items=items, next=str(page.last_id), is_reset=page.is_reset))
    first = await feed.after(cursor) if cursor is not None else Batch((), await feed.begin())
    return FeedStream(feed, first, wanted)


@get("/status", operation_id="get_status", summary="How this server is", responses=documented())
async def get_status(request: AnyRequest) -> StatusView:
    """What is watched and how far it has been seen, what is still to be attributed, and what cannot be read."""
    return context_of(request).report.status()


HANDLERS = (
    list_commits,
    get_commit,
    find_trail,
    list_deliveries,
    list_targets,
    get_target,
    list_clusters,
    list_transitions,
    follow_feed,
    get_status,
)


def choose_clusters(views: Sequence[ClusterView], *, text: str | None, sort: ClusterSort | None) -> list[ClusterView]:
    wanted = (text or "").lower()
    found = [view for view in views if wanted in view.name.lower() or view.uid.lower().startswith(wanted)]
    return found if sort is None else sorted(found, key=lambda view: -int(getattr(view, sort.value)))


def cut(items: Sequence[tuple[str, T]], *, limit: int, cursor: str | None) -> Page[T]:
    """Return one page of a list that is read whole; each item has a name, the cursor is that of the last one shown."""
    start = 0
    if cursor is not None:
        names = [name for name, _ in items]
        if cursor not in names:
            raise invalid("cursor", cursor, "`next` of the page before; start without one")
        start = names.index(cursor) + 1
    end = start + limit
    shown = items[start:end]
    return Page(items=[item for _, item in shown], next=shown[-1][0] if end < len(items) else None)


async def trail_of(context: Context, query: str) -> TrailView:
    """Return the one trail that a query means. Raises the 404, and the 409 with its candidates."""
    found = await context.answers.find_trail(query, now=context.now(), settle_after=context.settle_after)
    if found is None:
        raise not_found(
            f"nothing known is {query[:120]!r}",
            "Commits are known from the moment a followed branch has them; /api/v1/status tells which cannot be read",
        )
    if isinstance(found, list):
        raise ambiguous(query, found)
    return found


def aware(since: datetime | None, parameter: str = "since") -> datetime | None:
    """Return a time in UTC; one without an offset is refused."""
    if since is not None and since.tzinfo is None:
        raise invalid(parameter, since.isoformat(), "a time with an offset, such as 2026-11-20T10:00:00Z")
    try:
        return since.astimezone(UTC) if since is not None else None
    except OverflowError:  # in the first hours of year 1, or the last of 9999, somewhere else than in UTC
        return since.replace(tzinfo=UTC) if since is not None else None
