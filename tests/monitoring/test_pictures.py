"""The pictures of dashboards in the docs: numbers are written as Grafana does, and every panel can be drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from benchmarks.pictures import Picture
from benchmarks.pictures_series import Span
from benchmarks.pictures_units import axis, written
from tests.docs.pages import ROOT, page

from fluxtrail.monitoring.dashboards import DASHBOARDS, Dashboard

NAN = float("nan")
LABELS = {"cluster": "prod-eu", "name": "<apps>", "ready": "False", "sink": "route.chat"}


class Answers:
    """Gives every query the same two series, or none; and keeps what was asked."""

    def __init__(self, *values: str) -> None:
        self.values = values
        self.asked: list[str] = []

    async def now(self, expr: str, at: float) -> list[dict[str, Any]]:
        self.asked.append(expr)
        return [{"metric": LABELS, "value": [at, value]} for value in self.values]

    async def over(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        self.asked.append(expr)
        points = [start, start + step, end]
        return [{"metric": LABELS, "values": [[at, value] for at in points]} for value in self.values]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0, "s", "0 s"),
        (0.0061, "s", "6.1 ms"),
        (90, "s", "1.5 min"),
        (172800, "s", "2 d"),
        (1536, "bytes", "1.5 KiB"),
        (0, "bytes", "0 B"),
        (0.256, "percentunit", "25.6%"),
        (12.345, "opm", "12.3 ops/m"),
        (19, "short", "19"),
        (123456, "short", "123K"),
        (NAN, "s", "-"),
    ],
)
def test_numbers_are_written_with_their_unit(value: float, unit: str, said: str) -> None:
    assert written(value, unit) == said


@pytest.mark.parametrize(
    ("highest", "unit", "ticks"),
    [
        (0, "short", [0, 0.25, 0.5, 0.75, 1]),
        (7, "short", [0, 2, 4, 6, 8]),
        (200, "s", [0, 60, 120, 180, 240]),
        (3 * 2**20, "bytes", [0, 2**20, 2 * 2**20, 3 * 2**20]),
        (1, "percentunit", [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_an_axis_has_round_steps_and_holds_the_largest(highest: float, unit: str, ticks: list[float]) -> None:
    assert axis(highest, unit) == pytest.approx(ticks)


@pytest.mark.parametrize("values", [(), ("3", "0.5"), ("NaN", "1e9")], ids=["nothing", "two series", "odd numbers"])
@pytest.mark.parametrize("one", DASHBOARDS, ids=lambda one: one.name)
async def test_every_dashboard_can_be_drawn(one: Dashboard, values: tuple[str, ...]) -> None:
    answers = Answers(*values)
    made = one.make()
    picture = Picture(made, answers, Span(1e9, 1e9 + 600, 5))  # type: ignore[arg-type]
    root = ET.fromstring(await picture.draw())
    shown = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert all(panel["title"] in shown for panel in picture.panels)
    assert bool(picture.empty) == (not values)
    assert not [expr for expr in answers.asked if "$" in expr.replace('"$1"', "")]


@pytest.mark.parametrize("one", DASHBOARDS, ids=lambda one: one.name)
def test_the_picture_in_the_docs_has_the_panels_of_today(one: Dashboard) -> None:
    path = f"pictures/{one.name}.svg"
    assert f"]({path})" in page("dashboards.md")
    root = ET.parse(ROOT / "docs" / path).getroot()
    shown = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [panel["title"] for panel in one.make()["panels"] if panel["title"] not in " ".join(map(str, shown))] == []
