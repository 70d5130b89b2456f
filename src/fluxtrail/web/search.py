"""`/api/v1/search`: whatever a text may mean."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import QueryParameter

from fluxtrail.model.views import FoundView
from fluxtrail.web.api import AnyRequest, context_of
from fluxtrail.web.problems import documented
from fluxtrail.web.shapes import Page

MOST = 50


@get(
    "/search", operation_id="search", summary="Commits, targets and clusters that `q` may mean", responses=documented()
)
async def search(
    request: AnyRequest,
    *,
    q: Annotated[str, QueryParameter(min_length=1, max_length=512)],
    limit: Annotated[int, QueryParameter(ge=1, le=MOST, description="How many of each kind at most.")] = 8,
) -> Page[FoundView]:
    """A commit is meant by all that `/api/v1/trail` understands, then by a part of its subject; a target or a cluster
    by a part of its name, in any letter case. Commits come first; images are found by `/api/v1/images?text=`.
    """
    return Page(items=list(await context_of(request).answers.search(q, limit=limit)))


SEARCH_HANDLERS = (search,)
