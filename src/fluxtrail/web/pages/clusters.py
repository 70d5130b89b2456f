"""`/clusters`: how fresh what is known of each cluster is, and what waits or fails there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from litestar import Response, get

from fluxtrail.model.views import ClusterView
from fluxtrail.web.api import ClusterOrder, Cursor, Limit, Text, choose_clusters, cut
from fluxtrail.web.pages.filters import narrowing
from fluxtrail.web.pages.overview import SILENT_AFTER
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page
from fluxtrail.web.status import ClusterStatus, StreamView

SHOWN = 100
CURRENT = "current"
NOT_THERE = "not_installed"
"""A kind that the cluster does not have is no trouble."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    view: ClusterView
    is_silent: bool
    kinds: int
    """Watched and current."""
    troubles: list[StreamView]
    """Kinds that are not read, or not yet."""


@get("/clusters", include_in_schema=False)
async def show_clusters(
    request: AnyRequest,
    *,
    text: Text = None,
    sort: ClusterOrder = None,
    limit: Limit = SHOWN,
    cursor: Cursor = None,
) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        now = context.now()
        chosen = choose_clusters(await context.answers.list_clusters(), text=text, sort=sort)
    lines = describe(chosen, context.report.status().clusters, now=now, keeps_order=sort is not None)
    found = cut([(line.view.uid, line) for line in lines], limit=limit, cursor=cursor)
    return page(
        request,
        "clusters.html",
        title="Clusters",
        section="clusters",
        live_after=live_after,
        lines=found.items,
        next=found.next,
        silent=[line.view.name for line in lines if line.is_silent],
        filters=narrowing(request, api="/api/v1/clusters", now=now),
    )


def describe(
    views: Sequence[ClusterView], watched: Sequence[ClusterStatus], *, now: datetime, keeps_order: bool = False
) -> list[Line]:
    """Return the lines of the list: what is silent first, then what fails, then what waits, then by name.

    Args:
        keeps_order: leave them as they were sorted.
    """
    streams = {status.uid: status.streams for status in watched}
    lines = [
        Line(
            view=view,
            is_silent=is_silent(view, now),
            kinds=sum(stream.state == CURRENT for stream in streams.get(view.uid, [])),
            troubles=[stream for stream in streams.get(view.uid, []) if stream.state not in (CURRENT, NOT_THERE)],
        )
        for view in views
    ]
    if keeps_order:
        return lines
    return sorted(
        lines,
        key=lambda line: (not line.is_silent, not line.troubles, -line.view.failed, -line.view.pending, line.view.name),
    )


def is_silent(view: ClusterView, now: datetime) -> bool:
    """A watched cluster says something at least every minute; one that is known by events may be quiet for long."""
    return view.known_by == "watch" and (view.current_at is None or now - view.current_at > SILENT_AFTER)
