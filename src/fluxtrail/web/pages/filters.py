"""A list's filters on a page: what the address says, as chips that can be taken away, and times as people say them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from fluxtrail.model.moment import parse_timestamp
from fluxtrail.web.pages.formats import iso, words
from fluxtrail.web.pages.rendering import AnyRequest, query_of, with_query
from fluxtrail.web.problems import invalid

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_NO_FILTERS = frozenset({"cursor", "limit", "by", "part", "sort"})
_IN_WORDS = frozenset({"verdict", "state", "cause"})
"""Parameters whose values are words of ours."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
AGES = (("1h", "last hour"), ("24h", "last day"), ("7d", "last week"), ("30d", "last month"))
"""What the form offers for `since`; an instant can be written into the address."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is set."""

    name: str
    value: str
    without: str
    """The same page without it."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a list is narrowed to, for the template."""

    chips: Sequence[Chip]
    clear: str
    """The page without any filter."""
    api: str
    """The same list in the API, as JSON; with instants for `24h`, which only pages know."""
    csv: str


def narrowing(
    request: AnyRequest, *, api: str, now: datetime, hidden: Iterable[str] = (), said: Mapping[str, str] = _NOTHING
) -> Narrowing:
    """Return the filters of a request.

    Args:
        api: the list's path in the API.
        hidden: parameters that are shown by something else than a chip.
        said: what the list calls a `state`, where that is not its value.
    """
    path, query = request.url.path, query_of(request)
    apart = _NO_FILTERS | set(hidden)
    chips = []
    for name, value in query.items():
        if name not in apart:
            left: dict[str, str] = {other: given for other, given in query.items() if other not in (name, "cursor")}
            chips.append(Chip(words(name), _say(name, value, said), with_query(path, left)))
    kept: dict[str, str] = {name: value for name, value in query.items() if name in ("by", "limit", "sort")}
    asked: dict[str, str] = dict(query)
    for name in ("since", "until"):
        if name in asked:
            asked[name] = iso(read_instant(asked[name], now=now, parameter=name))
    return Narrowing(chips, with_query(path, kept), with_query(api, asked), with_query(api, asked, format="csv"))


def _say(name: str, value: str, said: Mapping[str, str]) -> str:
    if name == "state" and value in said:
        return said[value]
    return words(value) if name in _IN_WORDS else value


def read_instant(text: str | None, *, now: datetime, parameter: str) -> datetime | None:
    """Return the instant that `24h` (ago) or an RFC 3339 time means; None for None. Raises the 400."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    try:
        found = now - int(ago[1]) * _UNITS[ago[2]] if ago else parse_timestamp(text)
    except OverflowError:
        found = datetime(1970, 1, 1, tzinfo=UTC)
    if found is None:
        raise invalid(parameter, text, "how long ago, such as 90m, 24h, 7d, or a time such as 2026-11-20T10:00:00Z")
    return found
