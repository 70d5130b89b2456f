"""`/targets/{id}`: one target: how it is, what it waits for, its syncs beyond Flux's five, what it runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import PathParameter

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.revision import followed_sha
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import DeliveryView, SyncView, TargetView
from fluxtrail.web.api import MAX_ID, Context
from fluxtrail.web.pages.clusters import is_silent
from fluxtrail.web.pages.filters import narrowing
from fluxtrail.web.pages.formats import target_parts
from fluxtrail.web.pages.next_steps import Step
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page, with_query
from fluxtrail.web.pages.targets import standing_of
from fluxtrail.web.pages.trails import Row, make_row
from fluxtrail.web.problems import not_found

WORKLOADS_SHOWN = 50
OPEN_SHOWN = 6
_OUTCOMES = {
    Outcome.SUCCEEDED: "good",
    Outcome.FAILED: "bad",
    Outcome.RUNNING: "busy",
    Outcome.CHECKING: "busy",
    Outcome.WAITING: "busy",
}


class SyncLine(msgspec.Struct, frozen=True, kw_only=True):
    """One sync of the history."""

    view: SyncView
    sha: str | None
    """Of the revision, where it is a commit's."""
    tone: str
    note: str
    seconds: float | None
    """From the first sign of it to its last known stage."""


@get("/targets/{target_id:int}", include_in_schema=False)
async def show_target(request: AnyRequest, target_id: Annotated[int, PathParameter(ge=1, le=MAX_ID)]) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        now = context.now()
        found = await context.answers.target(target_id, now=now)
        if found is None:
            raise not_found(f"no target has the id {target_id}", "It may have been forgotten. All are under /targets")
        view, syncs = found
        workloads = await context.answers.list_workloads(
            cluster=view.cluster_uid, namespace=None, target=view.target, state=None, cause=None,
            limit=WORKLOADS_SHOWN, cursor=None,
        )  # fmt: skip
        waiting = [*await _open(context, view, Verdict.FAILED, now), *await _open(context, view, Verdict.PENDING, now)]
        clusters = await context.answers.list_clusters()
    return page(
        request,
        "target.html",
        title=f"{target_parts(view.target)[2]} on {view.cluster}",
        section="targets",
        live_after=live_after,
        live_filter={"target": view.target, "cluster": view.cluster_uid},
        target=view,
        standing=standing_of(view),
        lines=[describe_sync(sync) for sync in syncs],
        workloads=workloads.items,
        more_workloads=workloads.next is not None,
        waiting=waiting,
        steps=steps_for(view),
        is_silent=any(each.uid == view.cluster_uid and is_silent(each, now) for each in clusters),
        applied_sha=followed_sha(view.applied),
        filters=narrowing(request, api=f"/api/v1/targets/{view.id}", now=now),
        all_workloads=with_query("/workloads", {}, cluster=view.cluster, target=view.target),
    )


def describe_sync(view: SyncView) -> SyncLine:
    ended = [moment.at for moment in (view.applied, view.healthy, view.running) if moment is not None]
    known = {outcome.value: tone for outcome, tone in _OUTCOMES.items()}
    return SyncLine(
        view=view,
        sha=followed_sha(view.revision),
        tone="odd" if view.is_remediated else known.get(view.outcome, "quiet"),
        note=_note(view),
        seconds=max((max(ended) - view.started.at).total_seconds(), 0.0) if ended else None,
    )


def _note(view: SyncView) -> str:
    said = []
    if view.action:
        said.append(view.action)
    if view.is_remediated:
        said.append("remediated")
    if view.cause == "baseline":
        said.append("first seen")
    elif view.cause == "configuration":
        said.append("by configuration, no commit")
    if view.is_unchanged:
        said.append("changed nothing")
    if view.attribution == "pending":
        said.append("commits being found out")
    elif view.attribution == "gap":
        said.append(f"commits unknown: {view.attribution_problem}" if view.attribution_problem else "commits unknown")
    return " · ".join(said)


def steps_for(view: TargetView) -> list[Step]:
    """Return commands for the target itself, to be run on its cluster."""
    if view.deleted_at is not None:
        return []
    kind, namespace, name = target_parts(view.target)
    flux = shlex.quote(kind.lower())
    place = f"{shlex.quote(name)} -n {shlex.quote(namespace)}"
    go_on = Step(what="Let it go on", command=f"flux resume {flux} {place}")
    again = Step(what="Reconcile it now", command=f"flux reconcile {flux} {place} --with-source")
    events = f"flux events --for {shlex.quote(f'{kind}/{name}')} -n {shlex.quote(namespace)}"
    return [go_on if view.is_suspended else again, Step(what="What Flux says", command=events)]


async def _open(context: Context, view: TargetView, verdict: Verdict, now: datetime) -> Sequence[Row]:
    found = await context.answers.list_deliveries(
        now=now, settle_after=context.settle_after, cluster=view.cluster_uid, namespace=None, target=view.target,
        repository=None, sha=None, verdict=verdict.value, since=None, limit=OPEN_SHOWN, cursor=None,
    )  # fmt: skip
    rows: list[DeliveryView] = [one for one in found.items if one.target_id == view.id]
    return [make_row(one, None) for one in rows]
