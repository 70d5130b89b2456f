"""`/targets`: Kustomizations and HelmReleases, how each stands, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from litestar import Response, get

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.views import TargetView
from fluxtrail.web.api import Cursor, Limit, TargetOrder, Text
from fluxtrail.web.pages.clusters import is_silent
from fluxtrail.web.pages.filters import narrowing
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page

SHOWN = 50
_STANDING = {
    Outcome.SUCCEEDED: ("ready", "good"),
    Outcome.FAILED: ("failed", "bad"),
    Outcome.RUNNING: ("reconciling", "busy"),
    Outcome.CHECKING: ("checking health", "busy"),
    Outcome.WAITING: ("waiting", "busy"),
    Outcome.UNKNOWN: ("unknown", "quiet"),
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a target is, as a badge."""

    word: str
    tone: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    view: TargetView
    standing: Standing


@get("/targets", include_in_schema=False)
async def show_targets(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    target: Text = None,
    sort: TargetOrder = None,
    limit: Limit = SHOWN,
    cursor: Cursor = None,
) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        now = context.now()
        found = await context.answers.list_targets(
            now=now, cluster=cluster, namespace=namespace, target=target, sort=sort, limit=limit, cursor=cursor
        )
        clusters = await context.answers.list_clusters()
    return page(
        request,
        "targets.html",
        title="Targets",
        section="targets",
        live_after=live_after,
        lines=[Line(view=view, standing=standing_of(view)) for view in found.items],
        next=found.next,
        clusters=[view.name for view in clusters],
        namespaces=sorted({view.target.split("/")[1] for view in found.items if view.target.count("/") == 2}),
        silent=silent_among(found.items, [view.name for view in clusters if is_silent(view, now)]),
        filters=narrowing(request, api="/api/v1/targets", now=now),
    )


def standing_of(view: TargetView) -> Standing:
    if view.deleted_at is not None:
        return Standing(word="deleted", tone="quiet")
    if view.is_suspended:
        return Standing(word="suspended", tone="odd")
    known = {outcome.value: said for outcome, said in _STANDING.items()}
    word, tone = known.get(view.phase, (view.phase or "unknown", "quiet"))
    return Standing(word=word, tone=tone)


def silent_among(views: Sequence[TargetView], silent: Sequence[str]) -> list[str]:
    """Return the silent clusters that some of the targets shown are on."""
    return [name for name in silent if any(view.cluster == name for view in views)]
