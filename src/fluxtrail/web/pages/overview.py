"""`/`: what is on its way, what has failed, how long it takes, and which clusters are silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter

from fluxtrail.model.counts import Counts, Inflight
from fluxtrail.model.feed import FeedItem
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import TransitionKind
from fluxtrail.model.trend import Trend
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import ClusterView, CommitView, DeliveryView, LeadTimeView
from fluxtrail.web.api import Context
from fluxtrail.web.board import Span
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page

SHOWN = 8
CLUSTERS_SHOWN = 12
HAPPENED_SHOWN = 10
FAILED_LOOKED_AT = 40
"""Newest failures among which the targets are found that failed."""
LOOK_BACK = 300
"""How many ids of the history are looked through for the newest lines."""
TOLD = frozenset(set(TransitionKind) - {TransitionKind.SYNC})
"""Kinds that people follow; syncs come and go by the minute."""
DAY = timedelta(days=1)
NOTABLE_PERCENT = 5
"""Less than this is within what the buckets of the trend can tell."""
SILENT_AFTER = timedelta(minutes=5)
"""A watched cluster says something at least every minute: bookmarks."""


class ClusterLine(msgspec.Struct, frozen=True, kw_only=True):
    view: ClusterView
    is_silent: bool
    oldest_seconds: float | None


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """A target that failed: its newest failure."""

    view: DeliveryView
    more: int
    """Other deliveries that failed there."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    pending: int
    pending_targets: int
    failed: int
    failed_targets: int
    oldest_seconds: float | None
    oldest: Inflight | None
    slowest: list[Inflight]
    """Targets with something pending, the oldest first."""
    not_running: int
    gaps: int
    clusters: list[ClusterLine]
    """Those that need a look first, not all of many."""
    cluster_count: int
    silent: list[str]
    targets: int
    in_flight: Sequence[CommitView]
    failing: Sequence[Failing]
    happened: Sequence[FeedItem]
    """The newest first."""
    lead: LeadTimeView
    """Of the last 24 whole hours, and the one that is not over."""
    lead_change: str
    """`12 % shorter than the day before`; empty where there is nothing to compare with."""
    spans: Sequence[LeadTimeView]


@get("/", include_in_schema=False)
async def show_overview(request: AnyRequest, *, by: Annotated[Span, QueryParameter()] = Span.HOUR) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        now = context.now()
        view = summarise(
            await context.answers.counts(now=now),
            await context.answers.list_clusters(),
            now=now,
            in_flight=await _in_flight(context, now),
            failing=await _failing(context, now),
            happened=await _happened(context, live_after),
            trend=context.trend(),
            by=by,
        )
    return page(
        request, "overview.html", title="Overview", section="overview", live_after=live_after, view=view, by=by.value
    )


def summarise(
    counts: Counts,
    clusters: Sequence[ClusterView],
    *,
    now: datetime,
    in_flight: Sequence[CommitView],
    failing: Sequence[DeliveryView],
    happened: Sequence[FeedItem],
    trend: Trend,
    by: Span,
) -> Overview:
    waiting = sorted(
        (entry for entry in counts.inflight if entry.oldest_since is not None),
        key=lambda entry: (entry.oldest_since, entry.cluster, entry.namespace, entry.name),
    )
    lines = sorted((_cluster_line(view, counts.inflight, now) for view in clusters), key=_care)
    oldest = waiting[0] if waiting else None
    end = now + timedelta(hours=1)
    lead, before = trend.within(end - DAY, end), trend.within(end - 2 * DAY, end - DAY)
    return Overview(
        pending=sum(entry.commits for entry in counts.inflight),
        pending_targets=sum(entry.commits > 0 for entry in counts.inflight),
        failed=sum(entry.failed for entry in counts.inflight),
        failed_targets=sum(entry.failed > 0 for entry in counts.inflight),
        oldest_seconds=_seconds_since(oldest, now),
        oldest=oldest,
        slowest=waiting[:SHOWN],
        not_running=sum(entry.workloads for entry in counts.not_running),
        gaps=counts.attribution_gaps,
        clusters=lines[:CLUSTERS_SHOWN],
        cluster_count=len(lines),
        silent=[line.view.name for line in lines if line.is_silent],
        targets=len(counts.inflight),
        in_flight=in_flight,
        failing=_by_target(failing, counts.inflight),
        happened=happened,
        lead=lead,
        lead_change=_change(lead.p50_seconds, before.p50_seconds),
        spans=trend.by_hour(now) if by is Span.HOUR else trend.by_day(now),
    )


def _change(now: float | None, before: float | None) -> str:
    if now is None or not before:
        return ""
    percent = round(100 * (now / before - 1))
    if abs(percent) < NOTABLE_PERCENT:
        return "as long as the day before"
    return f"{abs(percent):,} % {'longer' if percent > 0 else 'shorter'} than the day before"


def _cluster_line(view: ClusterView, inflight: Sequence[Inflight], now: datetime) -> ClusterLine:
    ages = [_seconds_since(entry, now) for entry in inflight if entry.cluster == view.name]
    known = [age for age in ages if age is not None]
    is_silent = view.known_by == "watch" and (view.current_at is None or now - view.current_at > SILENT_AFTER)
    return ClusterLine(view=view, is_silent=is_silent, oldest_seconds=max(known, default=None))


def _care(line: ClusterLine) -> tuple[bool, bool, str]:
    return not line.view.failed, not line.is_silent, line.view.name


def _by_target(failing: Sequence[DeliveryView], inflight: Sequence[Inflight]) -> list[Failing]:
    """Return one line for each target: where one has failed for long, its commits would leave no room for others."""
    number = {(entry.cluster, f"{entry.kind}/{entry.namespace}/{entry.name}"): entry.failed for entry in inflight}
    first: dict[int, DeliveryView] = {}
    for view in failing:
        first.setdefault(view.target_id, view)
    seen = Counter(view.target_id for view in failing)
    return [
        Failing(view=view, more=max(number.get((view.cluster, view.target), 0), seen[view.target_id]) - 1)
        for view in list(first.values())[:SHOWN]
    ]


def _seconds_since(entry: Inflight | None, now: datetime) -> float | None:
    if entry is None or entry.oldest_since is None:
        return None
    return max((now - entry.oldest_since).total_seconds(), 0.0)


async def _in_flight(context: Context, now: datetime) -> Sequence[CommitView]:
    found = await context.answers.list_commits(
        now=now,
        settle_after=context.settle_after,
        repository=None,
        branch=None,
        author=None,
        verdict=Verdict.PENDING.value,
        since=None,
        carriers=False,
        limit=SHOWN,
        cursor=None,
    )
    return found.items


async def _failing(context: Context, now: datetime) -> Sequence[DeliveryView]:
    found = await context.answers.list_deliveries(
        now=now,
        settle_after=context.settle_after,
        cluster=None,
        namespace=None,
        target=None,
        repository=None,
        sha=None,
        verdict=Verdict.FAILED.value,
        since=None,
        limit=FAILED_LOOKED_AT,
        cursor=None,
    )
    return found.items


async def _happened(context: Context, last_id: int) -> Sequence[FeedItem]:
    """Ids have gaps, and the oldest may be forgotten: there may be fewer lines than wanted, or none."""
    found = await context.answers.feed(max(last_id - LOOK_BACK, 0), LOOK_BACK)
    told = [item for item in found.items if item.kind in TOLD and item.after != Outcome.WAITING]
    newest = sorted(told[::-1][:HAPPENED_SHOWN], key=lambda item: item.at, reverse=True)
    return [] if found.is_reset else newest
