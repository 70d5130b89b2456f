"""`/reports`: what is on its way out, what was given up and why, the routes; and, for operators, what to do about it.

Each action is a form with the hidden field `csrf`; the guard has looked at it before a handler runs (web/access).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect

from fluxtrail.model.report import ReportId, ReportState, ReportView
from fluxtrail.web.access.audit import name_action
from fluxtrail.web.access.forms import check_csrf
from fluxtrail.web.access.principals import principal_of
from fluxtrail.web.api import MAX_ID, MAX_LIMIT, Cursor, Limit, context_of
from fluxtrail.web.pages.filters import narrowing
from fluxtrail.web.pages.formats import plural
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, page, query_of, with_query
from fluxtrail.web.ports import ReportKeeper
from fluxtrail.web.problems import ProblemError, invalid, not_found
from fluxtrail.web.reports import CommitSha, RouteName, SinkName, change_reports, keeper_of, sink_of, subject_of
from fluxtrail.web.shapes import Problem, ReportsRequest, RouteTest, RouteView

SHOWN = 50
NOTHING = "nothing of them could be changed: somebody was quicker, or they are on their way"
TONES = {
    ReportState.WAITING: "busy",
    ReportState.DEAD: "bad",
    ReportState.SENT: "good",
    ReportState.DROPPED: "quiet",
}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    view: ReportView
    tone: str
    can_change: bool
    """It can be dropped; a dead one can be sent again too."""


class RouteLine(msgspec.Struct, frozen=True, kw_only=True):
    view: RouteView
    word: str
    tone: str
    can_be_tested: bool
    """It is a route of the settings, not another output."""


@get("/reports", include_in_schema=False)
async def show_reports(
    request: AnyRequest,
    *,
    state_: Annotated[ReportState | None, QueryParameter(name="state")] = None,
    route: RouteName = None,
    sink: SinkName = None,
    sha: CommitSha = None,
    limit: Limit = SHOWN,
    cursor: Cursor = None,
    done: Annotated[Literal["replayed", "dropped"] | None, QueryParameter()] = None,
    changed: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
) -> Response[str]:
    if route is not None and sink is not None:
        raise invalid("sink", sink, "leave it out, or `route`: both say whose reports they are")
    said = said_of(done, changed)
    return await _show(
        request,
        state=state_,
        sink=sink_of(route, sink),
        sha=sha.lower() if sha else None,
        limit=limit,
        cursor=cursor,
        said=said,
        is_good=changed > 0,
    )


@post("/reports/replay", include_in_schema=False)
async def replay_from_page(request: AnyRequest) -> Redirect:
    return await _change(request, "replay_reports", "replayed", keeper_of(request).replay, (ReportState.DEAD,))


@post("/reports/drop", include_in_schema=False)
async def drop_from_page(request: AnyRequest) -> Redirect:
    states = (ReportState.DEAD, ReportState.WAITING)
    return await _change(request, "drop_reports", "dropped", keeper_of(request).drop, states)


@post("/reports/test", include_in_schema=False, status_code=200)
async def test_from_page(request: AnyRequest) -> Response[str]:
    """What came back is shown at once: it is nowhere kept."""
    _check(request)
    name = str((await request.form()).get("route") or "")
    name_action(request, "test_route", subject=name)
    if not name or len(name) > 63:
        raise invalid("route", name, "the name of a route")
    found = await keeper_of(request).test_route(name)
    if found is None:
        raise not_found(f"no route is named {name!r}", "The routes are listed by /reports")
    said = answer_of(found)
    return await _show(
        request, state=None, sink=None, sha=None, limit=SHOWN, cursor=None, said=said, is_good=found.is_taken
    )


def said_of(done: str | None, changed: int) -> str:
    """Return what to say after an action; nothing before one."""
    if done is None:
        return ""
    if not changed:
        return f"Of these {NOTHING}."
    what = plural(changed, "report")
    return f"{what} will be sent again." if done == "replayed" else f"{what} will never be sent."


def answer_of(found: RouteTest) -> str:
    how = "took the test message" if found.is_taken else "refused the test message"
    return f"{found.where} {how} of {found.route}: {found.answer} (after {found.seconds:.2f} s)"


def describe_route(view: RouteView) -> RouteLine:
    word, tone = "well", "good"
    if view.problem or view.is_down:
        word, tone = ("down", "bad") if view.is_down else ("problem", "bad")
    elif view.dead:
        word, tone = "dead letters", "odd"
    elif view.waiting:
        word, tone = "sending", "busy"
    elif not view.sent:
        word, tone = "quiet", "quiet"
    return RouteLine(view=view, word=word, tone=tone, can_be_tested=view.sink == f"route.{view.name}")


def describe_report(view: ReportView) -> Line:
    open_ = view.state in (ReportState.DEAD, ReportState.WAITING)
    return Line(view=view, tone=TONES[view.state], can_change=open_)


async def _show(
    request: AnyRequest,
    *,
    state: ReportState | None,
    sink: str | None,
    sha: str | None,
    limit: int,
    cursor: str | None,
    said: str,
    is_good: bool,
) -> Response[str]:
    context = context_of(request)
    keeper: ReportKeeper | None = context.reports
    is_answer = request.method == "POST"  # its address cannot be asked again: it is not kept up to date
    live_after = None if is_answer else await feed_end(context)
    query = {name: value for name, value in query_of(request).items() if name not in ("done", "changed")}
    filters = narrowing(request, api="/api/v1/reports", now=context.now(), hidden=("done", "changed"))
    routes = [describe_route(view) for view in await keeper.routes()] if keeper else []
    found = await keeper.list_reports(state=state, sink=sink, sha=sha, limit=limit, cursor=cursor) if keeper else None
    lines = [describe_report(view) for view in found.items] if found else []
    return page(
        request,
        "reports.html",
        title="Reports",
        section="reports",
        live_after=live_after,
        is_on=keeper is not None,
        lines=lines,
        next=found.next if found else None,
        routes=routes,
        dead=sum(line.view.dead for line in routes),
        troubled=[line for line in routes if line.tone == "bad"],
        states=[each.value for each in ReportState],
        said=said,
        is_good=is_good,
        path="/reports",
        url=with_query("/reports", query),
        query=query,
        filters=replace(
            filters, api=with_query("/api/v1/reports", query), csv=with_query("/api/v1/reports", query, format="csv")
        ),
        has_choice=any(line.can_change for line in lines),
    )


async def _change(
    request: AnyRequest,
    action: str,
    done: str,
    change: Callable[[Sequence[ReportId]], Awaitable[int]],
    states: Sequence[ReportState],
) -> Redirect:
    _check(request)
    form = await request.form()
    asked = ReportsRequest(
        ids=read_ids([str(value) for value in form.getall("id", [])]),
        route=str(form["route"]) if form.get("route") else None,
        sink=str(form["sink"]) if form.get("sink") else None,
        all_dead=form.get("all_dead") == "true",
    )
    name_action(request, action, subject=subject_of(asked))
    if not (asked.ids or asked.route or asked.sink or asked.all_dead):
        raise invalid("id", "", "choose at least one report")
    if asked.all_dead:
        states = (ReportState.DEAD,)
    changed = await change_reports(keeper_of(request), asked, change, states=states)
    return Redirect(with_query("/reports", {}, done=done, changed=changed.changed), status_code=303)


def read_ids(texts: Sequence[str]) -> list[int]:
    """Return the ids of a form. Raises the 400."""
    if len(texts) > MAX_LIMIT:
        raise invalid("id", str(len(texts)), f"at most {MAX_LIMIT} at once; or all of a route")
    for text in texts:
        if not (text.isascii() and text.isdigit() and 0 < len(text) <= 19 and 0 < int(text) <= MAX_ID):
            raise invalid("id", text, "the id of a report")
    return [int(text) for text in texts]


def _check(request: AnyRequest) -> None:
    """Refuse a form of another page, and whoever may only look."""
    check_csrf(request)
    if not principal_of(request).may_act:
        detail = "you may look, and change nothing here; log in with an operator's token"
        raise ProblemError(Problem(code="forbidden", title="Operators only", status=403, detail=detail))
