"""A chain as a picture: a line for each object from the one asked for back to the commit. Pure.

Deployment/shop/cart  on prod-eu
  applied by  ✔ HelmRelease/shop/cart               6.3.5
  chart       ✔ HelmChart/flux-system/shop-cart     6.3.5
  from        ✗ HelmRepository/flux-system/acme     https://charts.acme.dev/stable
                IndexationFailed: failed to fetch the index: 503
  applied by  ✔ Kustomization/flux-system/apps      main@sha1:4e1f0a2c  ./apps
  from        ✔ GitRepository/flux-system/manifests main@sha1:4e1f0a2c  https://github.com/acme/manifests
  commit        4e1f0a2c  github.com/acme/shop
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime, tzinfo

from fluxtrail.cli.terminal import Terminal
from fluxtrail.cli.words import age, fit, printable, short, short_revision, width_of
from fluxtrail.model.views import ChainLink, ChainView

INDENT = "  "
RELATIONS = {
    "owned_by": "owned by",
    "applied_by": "applied by",
    "chart": "chart",
    "source": "from",
    "repository": "from",
    "revision": "commit",
}
_RELATION_WIDTH = max(map(len, RELATIONS.values()))
_NAME_MIN = 20


class ChainPicture:
    def __init__(self, chain: ChainView, out: Terminal, *, now: datetime, where: tzinfo | None, is_wide: bool) -> None:
        self._chain = chain
        self._out = out
        self._now = now
        self._where = where
        self._is_wide = is_wide

    def lines(self) -> Iterator[str]:
        out, (asked, *links) = self._out, self._chain.links
        name = fit(_name(asked), out.width - width_of(self._chain.cluster) - 5)
        yield f"{out.style(name, 'strong')}  on {printable(self._chain.cluster)}"
        yield from self._state(asked, indent=INDENT)
        names = [_name(link) for link in links if link.relation != "revision"]
        widest = max(map(width_of, names), default=0)
        room = out.width - len(INDENT) - _RELATION_WIDTH - 4
        column = widest if self._is_wide else min(widest, max(room * 3 // 5, _NAME_MIN))
        for link in links:
            yield self._line(link, column)
            yield from self._state(link, indent=" " * (len(INDENT) + _RELATION_WIDTH + 4))
        if self._chain.problem:
            yield from self._wrapped(self._chain.problem, "warn", indent=INDENT)

    def _line(self, link: ChainLink, column: int) -> str:
        out = self._out
        relation = RELATIONS.get(link.relation, link.relation.replace("_", " ")).ljust(_RELATION_WIDTH)
        head = f"{INDENT}{out.style(relation, 'dim')}  "
        room = out.width - len(INDENT) - _RELATION_WIDTH - 6
        if link.relation == "revision":
            text = short(link.sha) if link.sha else short_revision(link.revision)
            more = fit(printable(link.repository or link.url), max(room - width_of(text), 0))
            return f"{head}  {out.style(text, 'sha')}  {more}".rstrip()
        glyph = self._glyph(link)
        name = fit(_name(link), column)
        facts = "  ".join(filter(None, (short_revision(link.revision) if link.revision else "", _place(link))))
        told = facts if self._is_wide else fit(facts, max(room - column, 0))
        gap = " " * (column - width_of(name)) if told else ""
        return f"{head}{out.style(out.glyph(glyph) if glyph else ' ', glyph)} {name}{gap}  {told}".rstrip()

    def _glyph(self, link: ChainLink) -> str | None:
        if not link.found:
            return "lost"
        if link.is_suspended:
            return "abandoned"
        return {"True": "deployed", "False": "failed", "Unknown": "pending"}.get(link.ready)

    def _state(self, link: ChainLink, *, indent: str) -> Iterator[str]:
        """What is wrong with it, or with `-o wide` whatever it says."""
        if not link.found:
            if link.relation != "asked":
                yield indent + self._out.style("not found", "warn")
            return
        if link.is_suspended:
            yield indent + self._out.style("suspended", "pending")
        if link.ready and (link.ready != "True" or self._is_wide):
            said = ": ".join(filter(None, (link.reason, printable(link.message))))
            when = f", {age(link.last_reconciled, self._now)} ago" if link.last_reconciled else ""
            style = {"False": "failed", "Unknown": "pending"}.get(link.ready, "dim")
            yield from self._wrapped(f"{said}{when}", style, indent=indent)

    def _wrapped(self, text: str, style: str, *, indent: str) -> Iterator[str]:
        for line in textwrap.wrap(printable(text), width=max(self._out.width - len(indent), 20)):
            yield indent + self._out.style(line, style)


def _name(link: ChainLink) -> str:
    return printable("/".join(filter(None, (link.kind, link.namespace, link.name))))


def _place(link: ChainLink) -> str:
    """Where of the source it is, or where the source is."""
    return printable(link.path or link.url or (link.branch if not link.revision else ""))
