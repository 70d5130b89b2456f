"""`/commits`: the list of commits."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from fluxtrail.model.verdict import Verdict
from fluxtrail.web.api import Cursor, Limit, OneVerdict, Text
from fluxtrail.web.pages.board import Instant
from fluxtrail.web.pages.filters import AGES, narrowing, read_instant
from fluxtrail.web.pages.formats import repository_name
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page

SHOWN = 50


@get("/commits", include_in_schema=False)
async def show_commits(
    request: AnyRequest,
    *,
    repository: Text = None,
    branch: Text = None,
    author: Text = None,
    verdict: OneVerdict = None,
    since: Instant = None,
    carriers: Annotated[bool, QueryParameter()] = True,
    limit: Limit = SHOWN,
    cursor: Cursor = None,
) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        now = context.now()
        found = await context.answers.list_commits(
            now=now,
            settle_after=context.settle_after,
            repository=repository,
            branch=branch,
            author=author,
            verdict=verdict,
            since=read_instant(since, now=now, parameter="since"),
            carriers=carriers,
            limit=limit,
            cursor=cursor,
        )
    return page(
        request,
        "commits.html",
        title="Commits",
        section="commits",
        live_after=live_after,
        commits=found.items,
        next=found.next,
        filters=narrowing(request, api="/api/v1/commits", now=now),
        ages=AGES,
        verdicts=[each.value for each in Verdict],
        repositories=sorted({repository_name(view.repository) for view in found.items}),
        authors=sorted({view.author for view in found.items if view.author}),
    )
