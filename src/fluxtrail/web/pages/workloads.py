"""`/workloads`: what runs and what does not, of everything that Flux applied."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from fluxtrail.model.rollout import RolloutCause, RolloutState
from fluxtrail.web.api import Cursor, Limit, Text
from fluxtrail.web.pages.filters import narrowing
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page

SHOWN = 50


@get("/workloads", include_in_schema=False)
async def show_workloads(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    target: Text = None,
    state_: Annotated[RolloutState | None, QueryParameter(name="state")] = None,
    cause: Annotated[RolloutCause | None, QueryParameter()] = None,
    limit: Limit = SHOWN,
    cursor: Cursor = None,
) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        found = await context.answers.list_workloads(
            cluster=cluster, namespace=namespace, target=target, state=state_, cause=cause, limit=limit, cursor=cursor
        )
        clusters = await context.answers.cluster_names()
    return page(
        request,
        "workloads.html",
        title="Workloads",
        section="workloads",
        live_after=live_after,
        workloads=found.items,
        next=found.next,
        clusters=clusters,
        states=[state.value for state in RolloutState],
        causes=[each.value for each in RolloutCause],
        filters=narrowing(request, api="/api/v1/workloads", now=context.now()),
    )
