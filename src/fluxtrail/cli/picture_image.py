"""An image as a picture: what it was built from, whether that is attested, and where it runs since when. Pure.

ghcr.io/acme/cart:v1.4.2                                    runs 3 times
  sha256:1d1d1d1d1d1d  index of linux/amd64, linux/arm64
  built from 4e1f0a2c of github.com/acme/shop, created 2026-11-20 09:10:00 UTC
  attested: GitHub knows it

✔ prod-eu  Deployment/shop/cart  cart   since 10:03:20  (26m40s)
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime, tzinfo

from fluxtrail.cli.terminal import Terminal
from fluxtrail.cli.words import age, clock, fit, printable, short, short_digest, timestamp, width_of
from fluxtrail.model.durations import duration
from fluxtrail.model.views import ImageDetail, ImageRunView, ImageView

INDENT = "  "
ENDED_SHOWN = 5
STATES = {
    "pending": "what it was built from is not known yet",
    "private": "its registry wants a login: what it was built from is not known",
    "unasked": "its registry may not be asked: add it to images.registries",
    "absent": "its registry does not have it any more: what it was built from is not known",
}


class ImagePicture:
    def __init__(
        self, detail: ImageDetail, out: Terminal, *, now: datetime, where: tzinfo | None, is_wide: bool
    ) -> None:
        self._detail = detail
        self._out = out
        self._now = now
        self._where = where
        self._is_wide = is_wide

    def lines(self) -> Iterator[str]:
        yield self._title()
        yield from self._facts()
        running = [run for run in self._detail.runs if run.until is None]
        ended = [run for run in self._detail.runs if run.until is not None]
        shown = ended if self._is_wide else ended[:ENDED_SHOWN]
        yield ""
        if not running:
            yield f"{INDENT}it runs nowhere now"
        yield from self._runs([*running, *shown])
        if len(shown) < len(ended):
            yield self._out.style(f"{INDENT}and {len(ended) - len(shown)} earlier", "dim")

    def _title(self) -> str:
        image, out = self._detail.image, self._out
        tag = f":{image.tags[0]}" if image.tags else ""
        lasted = f"runs {_times(sum(run.until is None for run in self._detail.runs))}"
        name = fit(f"{printable(image.repository)}{printable(tag)}", out.width - width_of(lasted) - 2)
        gap = " " * (out.width - width_of(name) - width_of(lasted))
        return f"{out.style(name, 'strong')}{gap}{lasted}"

    def _facts(self) -> Iterator[str]:
        image = self._detail.image
        yield from self._name(image)
        more = [tag for tag in image.tags[1:] if tag]
        if more:
            yield from self._said(f"also wanted as {', '.join(more)}", "dim")
        if image.revision and image.source:
            made = f", created {timestamp(image.created_at, self._where)}" if image.created_at else ""
            version = f", version {image.version}" if image.version else ""
            yield from self._said(f"built from {short(image.revision)} of {image.source}{version}{made}", None)
            if not image.is_followed:
                yield from self._said("that commit is not followed here", "dim")
        elif image.state == "known":
            yield from self._said("its labels do not say which commit it was built from", "pending")
        else:
            yield from self._said(STATES.get(image.state, image.state), "pending")
        if image.problem:
            yield from self._said(image.problem, "dim")
        if image.is_attested is not None:
            said = "attested: GitHub knows it" if image.is_attested else "not attested: GitHub does not know it"
            yield from self._said(said, "deployed" if image.is_attested else "warn")

    def _digest(self, digest: str) -> str:
        return digest if self._is_wide else short_digest(digest)

    def _name(self, image: ImageView) -> Iterator[str]:
        """The digest, and what it is of; on a line of its own where it would not fit."""
        digest, form = self._digest(image.digest), self._form(image)
        head = INDENT + self._out.style(digest, "sha")
        if form and width_of(digest) + width_of(form) + 2 * len(INDENT) <= self._out.width:
            yield f"{head}  {self._out.style(form, 'dim')}"
            return
        yield head
        if form:
            yield from self._said(form, "dim")

    def _form(self, image: ImageView) -> str:
        if image.is_index:
            platforms = ", ".join(sorted(filter(None, (each.platform for each in self._detail.related))))
            return f"index of {platforms}" if platforms else "index"
        if image.index_digest:
            return f"{image.platform or 'one platform'} of {self._digest(image.index_digest)}"
        return image.platform

    def _runs(self, runs: list[ImageRunView]) -> Iterator[str]:
        """Columns as wide as their widest; where there is no room for all, the time goes below."""
        cells = [(printable(run.cluster), printable(run.workload), printable(run.container)) for run in runs]
        widths = [max((width_of(row[column]) for row in cells), default=0) for column in range(3)]
        times = [self._time(run) for run in runs]
        longest = max(map(width_of, times), default=0)
        is_wide = sum(widths) + 8 + longest <= self._out.width
        for run, row, told in zip(runs, cells, times, strict=True):
            glyph = "deployed" if run.until is None else "abandoned"
            place = "  ".join(text + " " * (width - width_of(text)) for text, width in zip(row, widths, strict=True))
            if not is_wide:
                place = fit("  ".join(row), self._out.width - len(INDENT))
            line = f"{self._out.style(self._out.glyph(glyph), glyph)} {place}"
            if is_wide:
                line += f"  {told}"
            yield self._out.style(line.rstrip(), None if run.until is None else "dim")
            if not is_wide:
                yield self._out.style(INDENT * 2 + fit(told, self._out.width - 2 * len(INDENT)), "dim")

    def _time(self, run: ImageRunView) -> str:
        since = clock(run.since, self._now, self._where)
        if run.until is None:
            return f"since {since}  ({age(run.since, self._now)})"
        return f"{since}, for {duration((run.until - run.since).total_seconds())}"

    def _said(self, text: str, style: str | None) -> Iterator[str]:
        for line in textwrap.wrap(printable(text), width=max(self._out.width - len(INDENT), 20)):
            yield INDENT + self._out.style(line, style)


def _times(count: int) -> str:
    return {0: "nowhere", 1: "once"}.get(count, f"{count} times")
