"""Delivery histograms as Prometheus' text: one piece a series, of some twenty lines each.

There may be a million of these lines. prometheus_client makes an object of each, which takes eight times as long; what
is written here is, byte for byte, what it would write of the same histograms.

Source: Prometheus' text format 0.0.4; OpenMetrics 1.0; prometheus_client, exposition.py and openmetrics/exposition.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice

from prometheus_client.utils import floatToGoString

from fluxtrail.model.figures import BUCKETS_SECONDS, HISTOGRAMS, Counted, Family

_BOUNDS = (*(f"{bound}.0" for bound in BUCKETS_SECONDS), "+Inf")
_BOUND = "le"
LINES_AT_ONCE = 1000
"""Strings, of up to sixteen lines each, that are encoded together: some hundred KiB."""


def render_histograms(series: Iterable[Counted], created: float, *, is_openmetrics: bool) -> Iterator[bytes]:
    """Yield the lines of every family, also of one without series, piece by piece; without OpenMetrics' `# EOF`.

    Whoever joins all of it holds it twice, and stops every thread for as long as that takes.

    Args:
        created: since when they are counted, in seconds of Unix time.
    """
    found: defaultdict[str, list[Counted]] = defaultdict(list)
    for one in series:
        found[one.family.name].append(one)
    texts = _Counts()
    for family in HISTOGRAMS:
        mine = sorted(found[family.name], key=_labels_of)
        lines = _lines(family, mine, _number(created), texts, is_openmetrics)
        while piece := "".join(islice(lines, LINES_AT_ONCE)):
            yield piece.encode()


def _labels_of(series: Counted) -> tuple[str, ...]:
    return series.labels


def _lines(
    family: Family, series: Sequence[Counted], created: str, texts: _Counts, is_openmetrics: bool
) -> Iterator[str]:
    yield _head(family.name, family.help, "histogram")
    labels = _Labels(family.labels)
    made: list[str] = []
    for one in series:
        before, after = labels.around_bound(one.labels)
        mine = labels.joined(before, after)
        opening, closing = f'{family.name}_bucket{{{before}{_BOUND}="', f'"{after}}} '
        counts = [texts[count] for count in accumulate(one.counts)]
        buckets = [f"{opening}{bound}{closing}{count}\n" for bound, count in zip(_BOUNDS, counts, strict=True)]
        seconds = _number(one.sum_microseconds / 1_000_000)
        birth = f"{family.name}_created{{{mine}}} {created}\n"
        yield "".join(buckets)
        yield f"{family.name}_count{{{mine}}} {counts[-1]}\n{family.name}_sum{{{mine}}} {seconds}\n"
        if is_openmetrics:
            yield birth
        else:
            made.append(birth)
    if made:
        # Text knows no such line of a histogram: they are gauges of their own, behind it.
        yield _head(f"{family.name}_created", family.help, "gauge")
        yield from made


def _head(name: str, text: str, kind: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


class _Labels:
    """A family's label names in the order in which they are written, and where a bucket's bound stands among them."""

    def __init__(self, names: Sequence[str]) -> None:
        order = sorted(range(len(names)), key=names.__getitem__)
        self._before = [(f'{names[index]}="', index) for index in order if names[index] < _BOUND]
        self._after = [(f'{names[index]}="', index) for index in order if names[index] > _BOUND]

    def around_bound(self, values: Sequence[str]) -> tuple[str, str]:
        """Return the labels before the bound, ended by a comma, and those behind it, begun by one."""
        before = "".join([f'{name}{_escape(values[index])}",' for name, index in self._before])
        after = "".join([f',{name}{_escape(values[index])}"' for name, index in self._after])
        return before, after

    def joined(self, before: str, after: str) -> str:
        """Return all labels, of a line that has no bound."""
        return f"{before}{after[1:]}" if after else before[:-1]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class _Counts(dict[int, str]):
    """Counts as text: few numbers, many times."""

    def __missing__(self, count: int) -> str:
        text = self[count] = _number(count)
        return text


def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text
