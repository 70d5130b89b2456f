"""The pages as handlers, mounted beside the API by `web/app.py`: HTML for people, from the same answers."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from litestar.response import Redirect

from fluxtrail.web.pages.assets import HTMX, URL, assets, has_asset
from fluxtrail.web.pages.board import show_board
from fluxtrail.web.pages.clusters import show_clusters
from fluxtrail.web.pages.commit import show_commit
from fluxtrail.web.pages.commits import show_commits
from fluxtrail.web.pages.images import show_image, show_images
from fluxtrail.web.pages.overview import show_overview
from fluxtrail.web.pages.problems import HANDLERS, page_or
from fluxtrail.web.pages.rendering import THEMES, AnyRequest, query_of, theme_cookie, with_query
from fluxtrail.web.pages.reports import drop_from_page, replay_from_page, show_reports, test_from_page
from fluxtrail.web.pages.search import show_search
from fluxtrail.web.pages.target import show_target
from fluxtrail.web.pages.targets import show_targets
from fluxtrail.web.pages.workloads import show_workloads
from fluxtrail.web.parameters import refuse_unknown
from fluxtrail.web.problems import invalid, not_found

__all__ = ["create_pages", "page_or"]

log = structlog.get_logger(__name__)

_KEPT_SECONDS = 365 * 86400


@get(f"{URL}/{{name:path}}", include_in_schema=False, sync_to_thread=False)
def get_asset(
    request: AnyRequest, name: Annotated[str, PathParameter()], *, v: Annotated[str | None, QueryParameter()] = None
) -> Response[bytes]:
    """An address with the right `v` is kept for ever: other content has another one."""
    found = assets().get(name.lstrip("/"))
    if found is None:
        raise not_found("there is no such file", "Pages name theirs")
    tag = f'"{found.tag}"'
    control = f"public, max-age={_KEPT_SECONDS}, immutable" if v == found.tag else "no-cache"
    headers = {"etag": tag, "cache-control": control}
    if request.headers.get("if-none-match") == tag:
        return Response(content=b"", status_code=304, headers=headers, media_type=found.media_type)
    return Response(content=found.content, headers=headers, media_type=found.media_type)


@get("/theme", include_in_schema=False, sync_to_thread=False)
def set_theme(
    to: Annotated[str, QueryParameter()], *, back: Annotated[str, QueryParameter(max_length=4096)] = "/"
) -> Response[Any]:
    """The switch of colours, for who has no scripts: a cookie, and back to where it was asked."""
    if to not in THEMES:
        raise invalid("to", to, f"use one of {', '.join(THEMES)}")
    is_ours = back.startswith("/") and not back.startswith(("//", "/\\"))
    return Redirect(back if is_ours else "/", status_code=303, cookies=[theme_cookie(to)])


HANDLED: tuple[HTTPRouteHandler, ...] = (
    get_asset,
    set_theme,
    show_overview,
    show_board,
    show_commits,
    show_search,
    *(show_commit, show_clusters, show_targets, show_target, show_images, show_image, show_workloads),
    *(show_reports, replay_from_page, drop_from_page, test_from_page),
)


def create_pages() -> Router:
    """Return all pages, with their own way to tell of errors."""
    if not has_asset(HTMX):
        log.warning("pages_without_scripts", remedy="python -m fluxtrail.web.pages.vendoring brings them")
    return Router("/", route_handlers=list(HANDLED), before_request=_check, exception_handlers=dict(HANDLERS))


async def _check(request: AnyRequest) -> Response[Any] | None:
    """Forms send their empty fields too: they are taken out of the address, which people share."""
    refuse_unknown(request)
    if any(value == "" for name, value in request.query_params.items() if name != "q"):
        return Redirect(with_query(request.url.path, query_of(request)), status_code=303)
    return None
