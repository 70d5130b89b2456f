"""Panels of a dashboard as SVG, on Grafana's grid: numbers, bars and tables; `pictures_series` has the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from benchmarks.pictures_units import written

COLUMN, ROW, GAP = 58.0, 38.0, 8.0
"""Of Grafana's grid, in pixels; a panel leaves the gap free at its right and below."""
COLOURS = {
    "green": "#2f9e58",
    "red": "#d6324a",
    "orange": "#d97a0b",
    "yellow": "#b58900",
    "blue": "#2b6cc4",
    "transparent": "none",
    "text": "#24292e",
}
GREY, FAINT, EDGE = "#6a737d", "#e8eaed", "#d8dbe0"
LETTER = 6.2
"""The width of a letter of 11 pixels, on average."""

Json = dict[str, Any]


class Sample(NamedTuple):
    """One series of now."""

    labels: Mapping[str, str]
    value: float


class Box(NamedTuple):
    """Where a panel is, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height


def box_of(panel: Json, *, top: float) -> Box:
    place = panel["gridPos"]
    return Box(
        place["x"] * COLUMN + GAP,
        top + place["y"] * ROW,
        place["w"] * COLUMN - GAP,
        place["h"] * ROW - GAP,
    )


def text(left: float, top: float, said: str, *, size: float = 11, colour: str = COLOURS["text"], more: str = "") -> str:
    return f'<text x="{left:.0f}" y="{top:.0f}" font-size="{size:g}" fill="{colour}" {more}>{escape(said)}</text>'


def cut(said: str, width: float, *, letter: float = LETTER) -> str:
    """Return what fits into a width."""
    most = max(int(width / letter), 1)
    return said if len(said) <= most else said[: most - 1] + "…"


def frame(panel: Json, box: Box) -> str:
    title = cut(panel["title"], box.width - 20, letter=7)
    return (
        f'<rect x="{box.left:.0f}" y="{box.top:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="3" '
        f'fill="#fff" stroke="{EDGE}"/>' + text(box.left + 10, box.top + 19, title, size=12.5, more='font-weight="600"')
    )


def heading(panel: Json, box: Box) -> str:
    return text(box.left + 2, box.top + 22, f"▾ {panel['title']}", size=14, more='font-weight="600"')


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Return a series' legend: `{{label}}` replaced, or the labels where there is none."""
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    if not legend:
        legend = ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
    rest = legend.partition("{{")
    return (rest[0] if rest[1] else legend).strip() or "value"


def number(panel: Json, box: Box, samples: Sequence[Sample]) -> str:
    """Draw one big number, in the colour of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    if samples:
        said, value = written(samples[0].value, defaults["unit"]), samples[0].value
    else:
        said, value = defaults["noValue"], 0.0
    steps = defaults.get("thresholds", {}).get("steps", [])
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    colour = reached[-1] if reached else "text"
    if not samples and said == "-":
        colour = "text"
    size = min(44.0, (box.height - 36) * 0.62, (box.width - 20) / max(len(said), 1) * 1.7)
    place = 'text-anchor="middle" font-weight="600"'
    middle = (box.top + 26 + box.bottom) / 2 + size * 0.36
    return text(box.left + box.width / 2, middle, said, size=size, colour=COLOURS[colour], more=place)


def bars(panel: Json, box: Box, samples: Sequence[Sample]) -> str:
    """Draw a bar for each series."""
    unit, legend = panel["fieldConfig"]["defaults"]["unit"], panel["targets"][0]["legendFormat"]
    if not samples:
        return nothing(panel, box)
    ordered = sorted(samples, key=lambda one: -one.value)
    room = int((box.height - 34) / 22)
    highest = max((one.value for one in ordered), default=0.0) or 1.0
    drawn, top, names = "", box.top + 32, box.width * 0.38
    for one in ordered[:room]:
        full = box.width - names - 90
        drawn += text(box.left + 10, top + 13, cut(named(legend, one.labels), names - 16))
        drawn += _bar(box.left + names, top, full, FAINT) + _bar(
            box.left + names, top, full * one.value / highest, COLOURS["blue"]
        )
        drawn += text(box.right - 12, top + 13, written(one.value, unit), more='text-anchor="end"')
        top += 22
    return drawn


def _bar(left: float, top: float, width: float, colour: str) -> str:
    return f'<rect x="{left:.0f}" y="{top:.0f}" width="{max(width, 1):.0f}" height="17" rx="2" fill="{colour}"/>'


def nothing(panel: Json, box: Box) -> str:
    said = panel["fieldConfig"]["defaults"].get("noValue") or "No data"
    place = 'text-anchor="middle"'
    return text(box.left + box.width / 2, (box.top + box.bottom) / 2 + 12, said, size=16, colour=GREY, more=place)


def table(panel: Json, box: Box, samples: Sequence[Sample]) -> str:
    """Draw as many rows as fit, and say how many more there are."""
    columns: Mapping[str, str] = panel["transformations"][1]["options"]["renameByName"]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    rows = [[_cell(name, one, unit) for name in columns] for one in samples]
    texts = _texts(panel)
    shown = [
        [texts.get(column, {}).get(said, (said, ""))[0] for column, said in zip(columns.values(), row, strict=True)]
        for row in rows
    ]
    widths = _widths(list(columns.values()), shown, box.width - 20)
    drawn, top, left = "", box.top + 42, box.left + 10
    for heading_text, width in zip(columns.values(), widths, strict=True):
        drawn += text(left, top, cut(heading_text, width - 8), colour=COLOURS["blue"], more='font-weight="600"')
        left += width
    room = int((box.bottom - top - 12) / 22)
    for row in rows[: room - (len(rows) > room)]:
        top, left = top + 22, box.left + 10
        drawn += f'<path d="M{left:.0f} {top - 16:.0f}h{box.width - 20:.0f}" stroke="{FAINT}"/>'
        for column, said, width in zip(columns.values(), row, widths, strict=True):
            drawn += _drawn_cell(left, top, width, said, texts.get(column, {}))
            left += width
    if len(rows) > room:
        drawn += text(box.left + 10, top + 22, f"… and {len(rows) - room + 1} more", colour=GREY)
    return drawn if rows else drawn + nothing(panel, box)


def _drawn_cell(left: float, top: float, width: float, said: str, known: Mapping[str, tuple[str, str]]) -> str:
    if said not in known:
        return text(left, top, cut(said, width - 8))
    shown, colour = known[said]
    fill = COLOURS.get(colour, "none")
    ground = f'<rect x="{left - 4:.0f}" y="{top - 14:.0f}" width="{width - 6:.0f}" height="19" rx="2" fill="{fill}"/>'
    return ground + text(left, top, shown, colour="#fff" if fill != "none" else COLOURS["text"])


def _cell(name: str, one: Sample, unit: str) -> str:
    return written(one.value, unit) if name == "Value" else one.labels.get(name, "")


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]], room: float) -> list[float]:
    """Give each column what its longest text needs; where there is too little, the widest ones are cut."""
    needed = [
        LETTER * (max([len(heading_text), *(len(row[index]) for row in rows)]) + 1) + 12
        for index, heading_text in enumerate(headings)
    ]
    while sum(needed) > room:
        widest = sorted(set(needed))[-2:]
        most = max(widest[0], widest[-1] - (sum(needed) - room))
        needed = [min(each, most if len(widest) > 1 else room / len(needed)) for each in needed]
    return [each + (room - sum(needed)) / len(needed) for each in needed]


def _texts(panel: Json) -> dict[str, dict[str, tuple[str, str]]]:
    """Return heading → value → (text, colour); the value that is missing is the empty text."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for override in panel["fieldConfig"]["overrides"]:
        known = found.setdefault(override["matcher"]["options"], {})
        mappings = next(item["value"] for item in override["properties"] if item["id"] == "mappings")
        for mapping in mappings:
            if mapping["type"] == "value":
                known |= {value: (said["text"], said["color"]) for value, said in mapping["options"].items()}
            else:
                said = mapping["options"]["result"]
                known[""] = said["text"], said["color"]
    return found
