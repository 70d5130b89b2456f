"""`/images` and `/images/{digest}`: which image runs where, and which commit it was built from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.params import PathParameter, QueryParameter
from litestar.response import Redirect

from fluxtrail.model.image_records import ImageState
from fluxtrail.model.views import ImageRunView
from fluxtrail.web.api import Cursor, Limit, Text
from fluxtrail.web.pages.filters import narrowing
from fluxtrail.web.pages.formats import short_digest
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page, with_query
from fluxtrail.web.problems import invalid, not_found
from fluxtrail.web.running import WHOLE_SHA

SHOWN = 50
ORIGINS = {
    "known": "known",
    "pending": "being looked up",
    "private": "needs a login",
    "unasked": "not looked up",
    "absent": "not in its registry",
}
"""An `ImageState` in words."""
TONES = {"known": "good", "pending": "busy", "private": "odd", "unasked": "quiet", "absent": "bad"}
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image runs, or ran, on one cluster."""

    cluster: str
    runs: list[ImageRunView]
    running: int


@get("/images", include_in_schema=False)
async def show_images(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    state_: Annotated[ImageState | None, QueryParameter(name="state")] = None,
    text: Text = None,
    revision: Annotated[str | None, QueryParameter(pattern=WHOLE_SHA)] = None,
    limit: Limit = SHOWN,
    cursor: Cursor = None,
) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        found = await context.answers.list_images(
            cluster=cluster, namespace=namespace, state=state_, text=text, revision=revision, limit=limit, cursor=cursor
        )
        clusters = await context.answers.cluster_names()
    return page(
        request,
        "images.html",
        title="Images",
        section="images",
        live_after=live_after,
        images=found.items,
        next=found.next,
        tones=TONES,
        origins=ORIGINS,
        clusters=clusters,
        states=[(state.value, ORIGINS[state.value]) for state in ImageState],
        filters=narrowing(request, api="/api/v1/images", now=context.now(), said=ORIGINS),
    )


@get("/images/{digest:str}", include_in_schema=False)
async def show_image(request: AnyRequest, digest: Annotated[str, PathParameter()]) -> Response[Any]:
    """The beginning of a digest will do; of one that is several images, the list of them is shown."""
    matched = _DIGEST.fullmatch(digest.lower())
    if matched is None:
        raise invalid("digest", digest, "sha256:<4 to 64 hexadecimal digits>; names are found by /images?text=")
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        found = await context.answers.find_image(f"sha256:{matched.group(1)}")
    if found is None:
        raise not_found(f"no image that runs or ran has the digest {digest[:80]!r}", "Those that run are under /images")
    if isinstance(found, list):
        return Redirect(with_query("/images", {}, text=f"sha256:{matched.group(1)}"), status_code=303)
    return page(
        request,
        "image.html",
        title=f"{found.image.repository} {short_digest(found.image.digest)}",
        section="images",
        live_after=live_after,
        image=found.image,
        related=found.related,
        places=by_cluster(found.runs),
        tones=TONES,
        origins=ORIGINS,
        api=f"/api/v1/images/{found.image.digest}",
    )


def by_cluster(runs: Sequence[ImageRunView]) -> list[Place]:
    """Return the runs by cluster: where it runs now first, then where it ran last."""
    found: dict[str, list[ImageRunView]] = {}
    for run in runs:
        found.setdefault(run.cluster, []).append(run)
    places = [
        Place(cluster=cluster, runs=there, running=sum(run.until is None for run in there))
        for cluster, there in found.items()
    ]
    return sorted(places, key=lambda place: (place.running == 0, place.cluster))
