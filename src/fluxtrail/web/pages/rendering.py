"""Templates to answers: one environment, one policy of content, one set of things that every page may use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.datastructures import Cookie

from fluxtrail import __version__
from fluxtrail.model.records import TransitionKind
from fluxtrail.web.access.forms import csrf_token
from fluxtrail.web.access.principals import principal_of
from fluxtrail.web.api import Context, context_of
from fluxtrail.web.pages import formats
from fluxtrail.web.pages.assets import asset_url, has_asset

AnyRequest = Request[Any, Any, Any]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
THEME_COOKIE = "fluxtrail-theme"
THEMES = ("system", "light", "dark")
_HEADERS = {"content-security-policy": POLICY, "vary": "cookie, hx-request"}


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation."""

    name: str
    title: str
    path: str
    key: str
    """`g` and then this key leads there."""


SECTIONS = (
    Section("overview", "Overview", "/", "o"),
    Section("board", "Board", "/board", "b"),
    Section("commits", "Commits", "/commits", "c"),
    Section("clusters", "Clusters", "/clusters", "l"),
    Section("targets", "Targets", "/targets", "t"),
    Section("workloads", "Workloads", "/workloads", "w"),
    Section("images", "Images", "/images", "i"),
    Section("reports", "Reports", "/reports", "r"),
)


@asynccontextmanager
async def one_instant(request: AnyRequest) -> AsyncIterator[Context]:
    """Yield what a page asks with: all that it shows is of one instant, whatever is written meanwhile."""
    context = context_of(request)
    async with context.answers.at_one_instant() as answers:
        yield replace(context, answers=answers)


async def feed_end(context: Context) -> int:
    """Return where the history ends. A live page asks before it reads what it shows: then nothing is missed."""
    return (await context.answers.feed(None, 1)).last_id


def page(
    request: AnyRequest,
    template: str,
    *,
    title: str,
    section: str = "",
    status: int = 200,
    has_frame: bool = True,
    live_after: int | None = None,
    live_filter: Mapping[str, str] | None = None,
    **values: Any,
) -> Response[str]:
    """Return a page.

    Args:
        template: its file; it extends `layout`, which is a whole document or, for htmx, only what is swapped in.
        section: which entry of the navigation it belongs to.
        has_frame: with the navigation and the search, which need somebody who may look.
        live_after: `feed_end`; `#live` is then refreshed when the history grows behind it.
        live_filter: which of the history that is: parameters of the feed, such as `commit`.
        values: what the template shows.
    """
    shown = {**frame(request, context_of(request)), **values}
    shown.setdefault("has_frame", has_frame)
    live = {"live_after": live_after, "live_filter": urlencode(live_filter or {})}
    text = render(template, title=title, section=section, **live, **shown)
    return Response(content=text, status_code=status, media_type="text/html", headers=_HEADERS)


def render(template: str, **values: Any) -> str:
    return environment().get_template(template).render(**values)


def frame(request: AnyRequest, context: Context) -> dict[str, Any]:
    """Return what the layout itself needs: everything but the page's own values."""
    now = context.now()
    theme = request.cookies.get(THEME_COOKIE, "system")
    is_fragment = request.headers.get("hx-request") == "true" and "hx-history-restore-request" not in request.headers
    return {
        "layout": "fragment.html" if is_fragment else "base.html",
        "sections": SECTIONS,
        "now": now,
        "theme": theme if theme in THEMES else "system",
        "path": request.url.path,
        "query": query_of(request),
        "url": with_query(request.url.path, query_of(request)),
        "principal": principal_of(request),
        "csrf_token": partial(csrf_token, request),
    }


def query_of(request: AnyRequest) -> dict[str, str]:
    """Return the query's parameters; of one that is repeated, the last."""
    return {name: value for name, value in request.query_params.items() if value}


def with_query(path: str, query: Mapping[str, str], **changed: object) -> str:
    """Return a path with a query in which some parameters are changed; None takes one away."""
    merged = {**query, **{name: str(value) for name, value in changed.items() if value is not None}}
    for name, value in changed.items():
        if value is None:
            merged.pop(name, None)
    return f"{path}?{urlencode(merged)}" if merged else path


def theme_cookie(theme: str) -> Cookie:
    return Cookie(key=THEME_COOKIE, value=theme, path="/", max_age=365 * 86400, samesite="strict")


@cache
def environment() -> Environment:
    """Return the environment of all templates: everything is escaped, and what is not given is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(formats.FILTERS)
    given: dict[str, Callable[..., Any] | str] = {
        "asset_url": asset_url,
        "has_asset": has_asset,
        "with_query": with_query,
        "age": formats.age,
        "lasted": formats.lasted,
        "version": __version__,
        "live_kinds": " ".join(kind.value for kind in TransitionKind),
    }
    made.globals.update(given)
    return made
