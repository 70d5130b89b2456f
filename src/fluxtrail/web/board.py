"""`/api/v1/board`: commits × clusters or environments. `/api/v1/lead-times`: how long it takes, by hour or day."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from litestar import get
from litestar.params import QueryParameter

from fluxtrail.model.views import BoardView, LeadTimeView
from fluxtrail.web.api import AnyRequest, Cursor, OneVerdict, Since, Text, aware, context_of
from fluxtrail.web.problems import documented
from fluxtrail.web.shapes import Page
from fluxtrail.web.tables import is_table

BOARD_LIMIT = 25
MOST_ROWS = 100


class By(StrEnum):
    CLUSTER = "cluster"
    ENVIRONMENT = "environment"


class Span(StrEnum):
    HOUR = "hour"
    DAY = "day"


Until = Annotated[datetime | None, QueryParameter(description="Only what is older; RFC 3339 with an offset.")]
BoardLimit = Annotated[int, QueryParameter(ge=1, le=MOST_ROWS, description="How many commits at most.")]


@get("/board", operation_id="show_board", summary="Commits × clusters or environments", responses=documented())
async def show_board(
    request: AnyRequest,
    *,
    by: Annotated[By, QueryParameter(description="What the columns are.")] = By.CLUSTER,
    repository: Text = None,
    author: Text = None,
    service: Text = None,
    environment: Text = None,
    cluster: Text = None,
    verdict: OneVerdict = None,
    text: Text = None,
    since: Since = None,
    until: Until = None,
    carriers: Annotated[bool, QueryParameter(description="Exports and other carriers too.")] = False,
    limit: BoardLimit = BOARD_LIMIT,
    cursor: Cursor = None,
) -> BoardView:
    """The last merged first. `service` is a part of a target's name or path, `text` of the subject or the beginning
    of the sha. With `service`, `environment` or `cluster` only commits that some target of these has are shown. A
    page may come short, or empty, and have a `next` all the same: so many commits were gone through.
    """
    context = context_of(request)
    return await context.answers.board(
        now=context.now(),
        settle_after=context.settle_after,
        grouping=context.grouping,
        by=by.value,
        repository=repository,
        author=author,
        service=service,
        environment=environment,
        cluster=cluster,
        verdict=verdict,
        text=text,
        since=aware(since),
        until=aware(until, "until"),
        carriers=carriers,
        is_brief=is_table(request),
        limit=limit,
        cursor=cursor,
    )


@get("/lead-times", operation_id="list_lead_times", summary="Lead times by hour or by day", responses=documented())
async def list_lead_times(
    request: AnyRequest, *, by: Annotated[Span, QueryParameter(description="How long each span is.")] = Span.HOUR
) -> Page[LeadTimeView]:
    """The newest first, the one that is not over yet included: 24 hours, or 30 days in UTC. The same samples as
    `fluxtrail_lead_time_seconds`: merged to applied, a delivery each, without estimates and exports.
    """
    context = context_of(request)
    trend, now = context.trend(), context.now()
    return Page(items=trend.by_hour(now) if by is Span.HOUR else trend.by_day(now))


BOARD_HANDLERS = (show_board, list_lead_times)
