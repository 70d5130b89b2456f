"""The API and the pages as one ASGI application: handlers, problem details, OpenAPI, and the guard around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast

import msgspec
from litestar import Litestar, Request, Router, get
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme

from fluxtrail import __version__
from fluxtrail.model.environments import Grouping
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.trend import Trend
from fluxtrail.web.access.asgi import AsgiApp, Receive, Scope, Send
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.guard import BODY_LIMIT_BYTES, Guard
from fluxtrail.web.access.login import create_login
from fluxtrail.web.access.paces import Paces
from fluxtrail.web.access.tokens import Token
from fluxtrail.web.api import CONTEXT, HANDLERS, NO_GROUPING, Context
from fluxtrail.web.board import BOARD_HANDLERS
from fluxtrail.web.ci import CI_HANDLERS
from fluxtrail.web.feed import Feed
from fluxtrail.web.pages.app import create_pages, page_or
from fluxtrail.web.parameters import refuse_unknown
from fluxtrail.web.ports import Answers, Chains, CiKeeper, RecordKeeper, ReportKeeper, SelfReport
from fluxtrail.web.problems import (
    ProblemError,
    on_fluxtrail,
    on_http,
    on_problem,
    on_unexpected,
    on_validation,
)
from fluxtrail.web.records import RECORD_HANDLERS
from fluxtrail.web.reports import REPORT_HANDLERS
from fluxtrail.web.running import RUNNING_HANDLERS
from fluxtrail.web.search import SEARCH_HANDLERS
from fluxtrail.web.spektate.app import create_spektate
from fluxtrail.web.tables import PARAMETER, ListResponse, check_format, describe_lists, is_list
from fluxtrail.web.writes import check_write

_HANDLERS = (
    *HANDLERS,
    *BOARD_HANDLERS,
    *RECORD_HANDLERS,
    *REPORT_HANDLERS,
    *RUNNING_HANDLERS,
    *SEARCH_HANDLERS,
    *CI_HANDLERS,
)
API_PATH = "/api/v1"
DEFAULT_SETTLE_AFTER = timedelta(minutes=30)


def create_app(
    *,
    answers: Answers,
    report: SelfReport,
    now: Callable[[], datetime],
    token: str | None = None,
    doorkeeper: Doorkeeper | None = None,
    allowed_hosts: Iterable[str] = (),
    settle_after: timedelta = DEFAULT_SETTLE_AFTER,
    feed: Feed | None = None,
    records: RecordKeeper | None = None,
    chains: Chains | None = None,
    reports: ReportKeeper | None = None,
    grouping: Grouping = NO_GROUPING,
    trend: Callable[[], Trend] = Trend,
    ci: CiKeeper | None = None,
    has_spektate: bool = True,
    requests_per_minute: int = 0,
) -> AsgiApp:
    """Return the guarded API.

    Args:
        token: what `Authorization: Bearer` must carry; None where only this machine can ask (`check_binding`).
        doorkeeper: in place of `token`: all tokens, with what each may do.
        allowed_hosts: names beyond loopback that the `Host` header may carry; `*` admits all.
        settle_after: how long failed and rolled back must stay so to be settled.
        feed: what live clients share; one of its own by default, which nobody wakes.
        records: deployment records; None where they are off.
        chains: the way back from objects of clusters; None where none is watched.
        reports: what is on its way out, and its routes; None where nothing is told to anybody.
        grouping: the environments that are set up.
        trend: lead times by hour, as the figures have them now.
        ci: CI runs; None where none are kept.
        has_spektate: answer Spektate's clients too.
        requests_per_minute: of one client; 0 for as many as it likes.
    """
    feed = feed or Feed(answers)
    doorkeeper = doorkeeper or Doorkeeper([Token(name="token", secret=token)] if token is not None else [])
    context = Context(
        answers=answers,
        report=report,
        now=now,
        settle_after=settle_after,
        feed=feed,
        records=records,
        chains=chains,
        reports=reports,
        grouping=grouping,
        trend=trend,
        ci=ci,
    )
    app = create_unguarded(context, has_spektate=has_spektate)
    paces = Paces(requests_per_minute)
    return Guard(app, now=now, doorkeeper=doorkeeper, allowed_hosts=allowed_hosts, paces=paces)


def create_unguarded(context: Context, *, has_spektate: bool = True) -> AsgiApp:
    """Return the API without the guard around it, for tests that ask it without a connection."""
    app = cast("AsgiApp", _handlers(has_spektate=has_spektate))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONTEXT] = context
        await app(scope, receive, send)

    return answer


@cache
def _handlers(*, has_spektate: bool) -> Litestar:
    """Return all handlers; what they ask comes with each request. Reading their signatures takes a while."""
    others = [create_pages(), create_login(), *([create_spektate()] if has_spektate else [])]
    return _litestar([*_HANDLERS, get_openapi], openapi=None, others=others)


@cache
def describe() -> bytes:
    """Return the OpenAPI document as JSON.

    It is made by an application that serves nothing, because the framework's own pages around the document
    would answer everything below its path with HTML.
    """
    config = OpenAPIConfig(
        title="Fluxtrail",
        version=__version__,
        description="Where is my commit, when did it get there, and what is holding it up?",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        security=[{}, {"token": []}],
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
    )
    schema = _litestar(_HANDLERS, openapi=config).openapi_schema.to_schema()
    describe_lists(schema, _HANDLERS)
    return msgspec.json.format(msgspec.json.encode(schema), indent=2)


@get("/openapi.json", include_in_schema=False, media_type="application/json", sync_to_thread=False)
def get_openapi() -> bytes:
    return describe()


def _litestar(
    handlers: Sequence[HTTPRouteHandler], *, openapi: OpenAPIConfig | None, others: Sequence[Router] = ()
) -> Litestar:
    return Litestar(
        [
            Router(API_PATH, route_handlers=list(handlers), before_request=_check_request, response_class=ListResponse),
            *others,
        ],
        request_max_body_size=BODY_LIMIT_BYTES,
        logging_config=None,
        exception_handlers={
            ProblemError: on_problem,
            FluxtrailError: on_fluxtrail,
            ValidationException: on_validation,
            HTTPException: page_or(on_http),
            Exception: on_unexpected,
        },
        openapi_config=openapi,
    )


async def _check_request(request: Request[Any, Any, Any]) -> None:
    if request.method not in ("GET", "HEAD"):
        check_write(request)
    is_table = is_list(request.route_handler)
    refuse_unknown(request, also=(PARAMETER,) if is_table else ())
    if is_table:
        check_format(request)
