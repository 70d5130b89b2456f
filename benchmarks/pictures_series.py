"""A panel of series over time as SVG: axes, lines or stacked areas, and the legend below with last and largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from benchmarks.pictures_drawing import FAINT, GREY, Box, cut, nothing, text
from benchmarks.pictures_units import axis, written

PALETTE = (
    "#2f9e58", "#d9a400", "#3d7ede", "#e0762f", "#c4384f", "#8254b8", "#12939a", "#b15928", "#6b7a8f", "#e36ba0",
    "#5b8c00", "#0b5cab",
)  # fmt: skip
LEGEND_ROW = 16.0
MOST_ROWS = 5
_TICKS = 5

Json = dict[str, Any]
Points = Mapping[float, float]
"""POSIX seconds → value."""


class Series(NamedTuple):
    name: str
    points: Points


class Span(NamedTuple):
    """What the time axis shows, in POSIX seconds."""

    start: float
    end: float
    step: float


def lines(panel: Json, box: Box, series: Sequence[Series], span: Span) -> str:
    """Draw all series that have a point."""
    shown = [one for one in series if one.points]
    if not shown:
        return nothing(panel, box)
    defaults = panel["fieldConfig"]["defaults"]
    unit, is_stacked = defaults["unit"], defaults["custom"]["stacking"]["mode"] == "normal"
    rows = min(len(shown), MOST_ROWS)
    plot = Box(box.left + 66, box.top + 32, box.width - 80, box.height - 62 - (rows + 1) * LEGEND_ROW)
    layers = _stacked(shown) if is_stacked else [one.points for one in shown]
    highest = max(value for points in layers for value in points.values())
    ticks = axis(highest, unit, most=4 if plot.height > 110 else 2)
    drawn = _grid(plot, ticks, unit, span)
    order = list(zip(layers, PALETTE * (len(shown) // len(PALETTE) + 1), strict=False))
    for points, colour in reversed(order) if is_stacked else order:
        drawn += _path(plot, points, span, ticks[-1], colour, is_filled=is_stacked)
    return drawn + _legend(shown, unit, box, plot.bottom + 34)


def _stacked(series: Sequence[Series]) -> list[Points]:
    total: dict[float, float] = {}
    layers = list[Points]()
    for one in series:
        for at, value in one.points.items():
            total[at] = total.get(at, 0.0) + value
        layers.append({at: total[at] for at in sorted(one.points)})
    return layers


def _grid(plot: Box, ticks: Sequence[float], unit: str, span: Span) -> str:
    drawn = ""
    for tick in ticks:
        level = plot.bottom - plot.height * tick / ticks[-1]
        drawn += f'<path d="M{plot.left:.0f} {level:.1f}h{plot.width:.0f}" stroke="{FAINT}"/>'
        drawn += text(plot.left - 6, level + 4, written(tick, unit), size=10.5, colour=GREY, more='text-anchor="end"')
    for index in range(_TICKS + 1):
        at = span.start + (span.end - span.start) * index / _TICKS
        left = plot.left + plot.width * index / _TICKS
        said = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        anchor = "start" if index == 0 else "end" if index == _TICKS else "middle"
        drawn += text(left, plot.bottom + 15, said, size=10.5, colour=GREY, more=f'text-anchor="{anchor}"')
    return drawn


def _path(plot: Box, points: Points, span: Span, top: float, colour: str, *, is_filled: bool) -> str:
    placed = [
        (
            plot.left + plot.width * (at - span.start) / (span.end - span.start),
            plot.bottom - plot.height * min(value / top, 1.0),
            at,
        )
        for at, value in sorted(points.items())
    ]
    pieces = list[list[tuple[float, float, float]]]([placed[:1]])
    for before, point in pairwise(placed):
        if point[2] - before[2] > 1.5 * span.step:
            pieces.append([])
        pieces[-1].append(point)
    return "".join(_piece(piece, plot.bottom, colour, is_filled=is_filled) for piece in pieces)


def _piece(piece: Sequence[tuple[float, float, float]], ground: float, colour: str, *, is_filled: bool) -> str:
    if len(piece) == 1:
        return f'<circle cx="{piece[0][0]:.1f}" cy="{piece[0][1]:.1f}" r="2" fill="{colour}"/>'
    bent = [
        point
        for index, point in enumerate(piece)
        if index in (0, len(piece) - 1)
        or not abs(piece[index - 1][1] - point[1]) + abs(piece[index + 1][1] - point[1]) < 0.1
    ]
    way = "L".join(f"{left:.1f} {level:.1f}" for left, level, _ in bent)
    line = f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="1.4" stroke-linejoin="round"/>'
    if not is_filled:
        return line
    area = f"M{piece[0][0]:.1f} {ground:.1f}L{way}L{piece[-1][0]:.1f} {ground:.1f}Z"
    return f'<path d="{area}" fill="{colour}" fill-opacity="0.22"/>' + line


def _legend(series: Sequence[Series], unit: str, box: Box, top: float) -> str:
    last, largest = box.right - 90, box.right - 14
    drawn = text(last, top, "Last", size=10.5, colour=GREY, more='text-anchor="end"')
    drawn += text(largest, top, "Max", size=10.5, colour=GREY, more='text-anchor="end"')
    room = MOST_ROWS if len(series) <= MOST_ROWS else MOST_ROWS - 1
    for number, one in enumerate(series[:room]):
        top += LEGEND_ROW
        colour = PALETTE[number % len(PALETTE)]
        drawn += f'<rect x="{box.left + 12:.0f}" y="{top - 7:.0f}" width="12" height="4" rx="2" fill="{colour}"/>'
        drawn += text(box.left + 30, top, cut(one.name, last - box.left - 90))
        newest = one.points[max(one.points)]
        drawn += text(last, top, written(newest, unit), more='text-anchor="end"')
        drawn += text(largest, top, written(max(one.points.values()), unit), more='text-anchor="end"')
    if len(series) > room:
        drawn += text(box.left + 30, top + LEGEND_ROW, f"… and {len(series) - room} more", colour=GREY)
    return drawn
