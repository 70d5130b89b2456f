"""`/search`: whatever a text may mean; the palette shows the same list while one types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter
from litestar.response import Redirect

from fluxtrail.model.commit import is_sha_prefix
from fluxtrail.model.views import FoundView, ImageView
from fluxtrail.web.pages.formats import path_part, repository_name, short_digest, short_sha
from fluxtrail.web.pages.rendering import SECTIONS, AnyRequest, one_instant, page, with_query

EACH = 8
UNMISTAKABLE = 7
"""Digits of a sha that nobody types meaning something else."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One line of what was found."""

    what: str
    text: str
    where: str
    url: str


@get("/search", include_in_schema=False)
async def show_search(
    request: AnyRequest,
    *,
    q: Annotated[str, QueryParameter(max_length=512)] = "",
    part: Annotated[Literal["list"] | None, QueryParameter()] = None,
) -> Response[Any]:
    wanted = q.strip()
    found, images = await _find(request, wanted) if wanted else ((), ())
    commits = [one for one in found if one.kind == "commit"]
    if part is None and len(commits) == 1 and len(wanted) >= UNMISTAKABLE and is_sha_prefix(wanted):
        return Redirect(f"/commits/{commits[0].key}", status_code=303)
    return page(
        request,
        "search.html",
        title=f"{wanted} · Search" if wanted else "Search",
        lines=lines_of(found, images, wanted),
        wanted=wanted,
        is_list=part is not None,
    )


async def _find(request: AnyRequest, wanted: str) -> tuple[Sequence[FoundView], Sequence[ImageView]]:
    async with one_instant(request) as context:
        found = await context.answers.search(wanted, limit=EACH)
        images = await context.answers.list_images(
            cluster=None, namespace=None, state=None, text=wanted, limit=EACH, cursor=None
        )
    return found, images.items


def lines_of(found: Sequence[FoundView], images: Sequence[ImageView], wanted: str) -> list[Found]:
    """Return what was found as lines, and the pages that are called so: all of them for nothing."""
    lines = [_line(one) for one in found]
    for image in images:
        name = f"{image.repository}:{image.tags[0]}" if image.tags else image.repository
        url = f"/images/{path_part(image.digest)}"
        lines.append(Found(what="Image", text=name, where=short_digest(image.digest), url=url))
    pages = [section for section in SECTIONS if section.title.lower().startswith(wanted.lower())]
    return lines + [Found(what="Page", text=section.title, where="", url=section.path) for section in pages]


def _line(one: FoundView) -> Found:
    if one.kind == "commit":
        where = f"{short_sha(one.key)} {repository_name(one.where)}"
        return Found(what="Commit", text=one.name or one.key, where=where, url=f"/commits/{one.key}")
    if one.kind == "target":
        return Found(what="Target", text=one.name, where=one.where, url=f"/targets/{one.key}")
    return Found(
        what="Cluster", text=one.name, where=one.where, url=with_query("/board", {}, by="cluster", cluster=one.key)
    )
