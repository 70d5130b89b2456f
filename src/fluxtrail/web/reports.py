"""`/api/v1/reports` and `/api/v1/routes`: what is on its way out, sending it again or never, and trying a route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from litestar import get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from fluxtrail.model.report import ReportId, ReportState, ReportView
from fluxtrail.web.access.audit import name_action
from fluxtrail.web.api import DEFAULT_LIMIT, MAX_LIMIT, AnyRequest, Cursor, Limit, context_of
from fluxtrail.web.ports import ReportKeeper
from fluxtrail.web.problems import ProblemError, documented, invalid, not_found
from fluxtrail.web.running import WHOLE_SHA
from fluxtrail.web.shapes import Page, Problem, ReportsChanged, ReportsRequest, RouteTest, RouteTestRequest, RouteView

MOST_CHANGED = 100_000
"""Reports that one request sends again or drops; who has more asks again."""
_NOT_ENDED = (ReportState.DEAD, ReportState.WAITING)

RouteName = Annotated[str | None, QueryParameter(min_length=1, max_length=63, description="Only of this route.")]
SinkName = Annotated[str | None, QueryParameter(min_length=1, max_length=128, description="Only of this sink.")]
CommitSha = Annotated[
    str | None, QueryParameter(pattern=WHOLE_SHA, description="The whole sha of the commit that they are about.")
]


def keeper_of(request: AnyRequest) -> ReportKeeper:
    """Return who keeps the reports. Raises the 404 where nobody does."""
    keeper = context_of(request).reports
    if keeper is None:
        detail = "nothing is told to anybody by this server. Add `routes` to its settings (docs/statuses.md)"
        raise ProblemError(Problem(code="reports_off", title="Nothing is told", status=404, detail=detail))
    return keeper


@get(
    "/reports",
    operation_id="list_reports",
    summary="Reports on their way out, the last first",
    responses=documented(404),
)
async def list_reports(
    request: AnyRequest,
    *,
    state_: Annotated[ReportState | None, QueryParameter(name="state")] = None,
    route: RouteName = None,
    sink: SinkName = None,
    sha: CommitSha = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ReportView]:
    """`dead` ones were given up: `answer` says why. `sent` and `dropped` ones are remembered for a while. A route's
    sink is `route.<name>`. `sha` finds those about a commit, but not what only says that it was seen.
    """
    if route is not None and sink is not None:
        raise invalid("sink", sink, "leave it out, or `route`: both say whose reports they are")
    found = await keeper_of(request).list_reports(
        state=state_, sink=sink_of(route, sink), sha=sha.lower() if sha else None, limit=limit, cursor=cursor
    )
    return Page(items=list(found.items), next=found.next)


@post(
    "/reports/replay",
    operation_id="replay_reports",
    summary="Send dead letters again",
    responses=documented(403, 404, 415),
    status_code=200,
)
async def replay_reports(request: AnyRequest, data: JSONBody[ReportsRequest]) -> ReportsChanged:
    """By `ids`, of a `route` or `sink`, or `all_dead`: exactly one of them. What is not dead is left alone."""
    keeper = keeper_of(request)
    name_action(request, "replay_reports", subject=subject_of(data))
    return await change_reports(keeper, data, keeper.replay, states=(ReportState.DEAD,))


@post(
    "/reports/drop",
    operation_id="drop_reports",
    summary="Never send reports",
    responses=documented(403, 404, 415),
    status_code=200,
)
async def drop_reports(request: AnyRequest, data: JSONBody[ReportsRequest]) -> ReportsChanged:
    """By `ids`, of a `route` or `sink` (those that wait too), or `all_dead`: exactly one of them. What is just being
    sent may still arrive.
    """
    keeper = keeper_of(request)
    name_action(request, "drop_reports", subject=subject_of(data))
    states = (ReportState.DEAD,) if data.all_dead else _NOT_ENDED
    return await change_reports(keeper, data, keeper.drop, states=states)


@get("/routes", operation_id="list_routes", summary="Routes, and how they are doing", responses=documented(404))
async def list_routes(request: AnyRequest) -> Page[RouteView]:
    """In the order of the settings; then what else has reports."""
    return Page(items=list(await keeper_of(request).routes()))


@post(
    "/routes/{name:str}/test",
    operation_id="test_route",
    summary="Send one test message",
    responses=documented(403, 404, 409, 415),
    status_code=200,
)
async def test_route(
    request: AnyRequest,
    name: Annotated[str, PathParameter(description="The route's name.", max_length=63)],
    data: JSONBody[RouteTestRequest],
) -> RouteTest:
    """It goes to the route's receiver now, and says that it is a test. The body is `{}`. A refusal is an answer:
    `is_taken` is false.
    """
    name_action(request, "test_route", subject=name)
    found = await keeper_of(request).test_route(name)
    if found is None:
        raise not_found(f"no route is named {name[:80]!r}", "Routes are listed by /api/v1/routes")
    return found


def subject_of(asked: ReportsRequest) -> str:
    """Return what an audit line says of the reports that are meant."""
    if asked.ids:
        return f"ids {', '.join(map(str, asked.ids[:20]))}"
    return f"route {asked.route}" if asked.route else f"sink {asked.sink}" if asked.sink else "all dead letters"


async def change_reports(
    keeper: ReportKeeper,
    data: ReportsRequest,
    change: Callable[[Sequence[ReportId]], Awaitable[int]],
    *,
    states: Sequence[ReportState],
) -> ReportsChanged:
    """Find out first what is meant: what dies again while it is sent again is not sent a third time."""
    said = [bool(data.ids), data.route is not None, data.sink is not None, data.all_dead]
    if sum(said) != 1:
        raise invalid("ids", "", "say exactly one of `ids`, `route`, `sink` and `all_dead`: which reports are meant")
    ids = [ReportId(number) for number in data.ids] or await _meant(keeper, sink_of(data.route, data.sink), states)
    changed = 0
    for start in range(0, len(ids), MAX_LIMIT):
        changed += await change(ids[start : start + MAX_LIMIT])
    return ReportsChanged(changed=changed)


async def _meant(keeper: ReportKeeper, sink: str | None, states: Sequence[ReportState]) -> list[ReportId]:
    found: list[ReportId] = []
    for state in states:
        cursor: str | None = None
        while len(found) < MOST_CHANGED:
            page = await keeper.list_reports(state=state, sink=sink, limit=MAX_LIMIT, cursor=cursor)
            found += [report.id for report in page.items]
            cursor = page.next
            if cursor is None:
                break
    return found


def sink_of(route: str | None, sink: str | None) -> str | None:
    return f"route.{route}" if route is not None else sink


REPORT_HANDLERS = (list_reports, replay_reports, drop_reports, list_routes, test_route)
