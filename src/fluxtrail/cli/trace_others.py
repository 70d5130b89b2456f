"""`fluxtrail trace` of images, and of objects in clusters: both lead to a commit, and show its trail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import TypeVar
from urllib.parse import quote

import click
import msgspec

from fluxtrail.cli.client import AmbiguousError, Client
from fluxtrail.cli.output import print_data
from fluxtrail.cli.picture import Picture
from fluxtrail.cli.picture_chain import ChainPicture
from fluxtrail.cli.picture_image import ImagePicture
from fluxtrail.cli.terminal import Terminal, terminal
from fluxtrail.cli.trace_queries import NO_NAMESPACE, Reading, Way
from fluxtrail.model.errors import NotFoundError
from fluxtrail.model.views import ChainView, ImageDetail, ImageView, TrailView, View
from fluxtrail.web.shapes import Page

T = TypeVar("T")
IMAGES_SHOWN = 5
"""Of one name: more are to be narrowed by the tag."""


class ImageTrace(View, frozen=True, kw_only=True):
    """What `trace <image> -o json` prints."""

    images: list[ImageDetail]
    trail: TrailView | None = None
    """Of the commit that the image was built from, where it is followed and all are of one."""


class ChainTrace(View, frozen=True, kw_only=True):
    """What `trace kind/name -o json` prints."""

    chains: list[ChainView]
    trail: TrailView | None = None
    """Of the commit that the chains end with, where it is followed and all end with one."""


Traced = TrailView | ImageTrace | ChainTrace
Narrow = Callable[[TrailView], TrailView]


def ask(
    client: Client, reading: Reading, find_trail: Callable[[Client, str], TrailView], cluster: str | None
) -> Traced:
    """Ask for one reading of a query.

    Raises:
        NotFoundError: nothing is called so.
        AmbiguousError: several commits or images are.
    """
    if reading.way is Way.TRAIL:
        return find_trail(client, reading.text)
    if reading.way is Way.OBJECT:
        return _chains(client, reading, find_trail, cluster)
    if reading.way is Way.IMAGE:
        return _traced(client, [client.get(f"/images/{reading.text.lower()}", ImageDetail)], find_trail)
    return _traced(client, _named(client, reading.text), find_trail)


def commit_of(traced: Traced) -> str | None:
    """Return the commit that leads on, None where there is none, or several."""
    if isinstance(traced, TrailView):
        return traced.commit.sha
    return traced.trail.commit.sha if traced.trail is not None else None


def show(traced: ImageTrace | ChainTrace, form: str, *, now: datetime, where: tzinfo | None, narrow: Narrow) -> None:
    if traced.trail is not None:
        traced = msgspec.structs.replace(traced, trail=narrow(traced.trail))
    if form == "name":
        for name in _names(traced):
            click.echo(name)
        return
    if form in ("json", "yaml"):
        print_data(traced, form)
        return
    out = terminal()
    parts: Sequence[ImagePicture | ChainPicture]
    if isinstance(traced, ImageTrace):
        parts = [ImagePicture(image, out, now=now, where=where, is_wide=form == "wide") for image in traced.images]
    else:
        parts = [ChainPicture(chain, out, now=now, where=where, is_wide=form == "wide") for chain in traced.chains]
    for index, part in enumerate(parts):
        if index:
            out.echo()
        for line in part.lines():
            out.echo(line)
    if traced.trail is not None:
        _show_trail(traced.trail, out, now=now, where=where, is_wide=form == "wide")


def _show_trail(trail: TrailView, out: Terminal, *, now: datetime, where: tzinfo | None, is_wide: bool) -> None:
    out.echo()
    for line in Picture(trail, out, now=now, where=where, is_wide=is_wide).lines():
        out.echo(line)


def _names(traced: ImageTrace | ChainTrace) -> list[str]:
    if isinstance(traced, ImageTrace):
        return [f"image/{detail.image.repository}@{detail.image.digest}" for detail in traced.images]
    ends = [chain.links[-1] for chain in traced.chains]
    return list(dict.fromkeys(f"{end.kind.lower()}/{end.name}" for end in ends))


def _named(client: Client, text: str) -> list[ImageDetail]:
    """Return the images called `text`: by the whole name and tag where there are such, else by a part of it.

    Raises:
        NotFoundError: none runs.
        AmbiguousError: more than can be shown.
    """
    found = client.get("/images", Page[ImageView], text=text, limit=100).items
    exact = [i for i in found if text == i.repository or text in [f"{i.repository}:{tag}" for tag in i.tags]]
    chosen = exact or found
    if not chosen:
        raise NotFoundError(f"no image that runs is called {text[:120]!r}")
    if len(chosen) > IMAGES_SHOWN:
        lines = [f"  {i.repository}:{i.tags[0] if i.tags else '?'}  {i.digest}" for i in chosen[:20]]
        more = f"\n  and {len(chosen) - 20} more" if len(chosen) > 20 else ""
        listed = "\n".join(lines)
        raise click.UsageError(f"{text!r} may mean {len(chosen)} images; give a tag or a digest:\n{listed}{more}")
    return [client.get(f"/images/{image.digest}", ImageDetail) for image in chosen]


def _traced(client: Client, images: list[ImageDetail], find_trail: Callable[[Client, str], TrailView]) -> ImageTrace:
    built = {(i.image.source, i.image.revision) for i in images if i.image.is_followed and i.image.revision}
    trail = None
    if len(built) == 1:
        ((source, revision),) = built
        trail = _find(client, f"{source}@{revision}", find_trail)
    return ImageTrace(images=images, trail=trail)


def _chains(
    client: Client, reading: Reading, find_trail: Callable[[Client, str], TrailView], cluster: str | None
) -> ChainTrace:
    path = "/".join(quote(part, safe="") for part in (reading.kind, reading.namespace or NO_NAMESPACE, reading.text))
    chains = client.get(f"/chains/{path}", Page[ChainView], cluster=cluster).items
    ends = {
        (end.repository, end.sha) for chain in chains if (end := chain.links[-1]).relation == "revision" and end.sha
    }
    trail = None
    if len(ends) == 1:
        ((repository, sha),) = ends
        trail = _find(client, f"{repository}@{sha}" if repository else str(sha), find_trail)
    return ChainTrace(chains=chains, trail=trail)


def _find(client: Client, query: str, find_trail: Callable[[Client, str], TrailView]) -> TrailView | None:
    """Return the trail, None where the commit is not followed here."""
    for form in dict.fromkeys((query, query.rpartition("@")[2])):
        try:
            return find_trail(client, form)
        except (NotFoundError, AmbiguousError):
            continue
    return None
