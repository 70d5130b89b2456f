"""Draws every dashboard as it looks over a simulated world: `python -m benchmarks.pictures -o docs/pictures`.

The simulator, the real `fluxtrail run` and a real Prometheus run for some minutes; then every panel's query is asked of
Prometheus, and what it answers is drawn on Grafana's grid. The colours and letters are ours, the numbers are not.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from benchmarks import pictures_drawing as drawing
from benchmarks.pictures_drawing import COLUMN, GAP, GREY, ROW, Sample, box_of, named, text
from benchmarks.pictures_prometheus import Prometheus, running
from benchmarks.pictures_series import Series, Span, lines

from fluxtrail.monitoring.dashboards import DASHBOARDS
from fluxtrail.monitoring.grafana import WIDTH
from fluxtrail.simulator.processes import Listeners, RunProcess, SimulatorProcess, write_settings

SCRAPE_SECONDS = 5
TOP = 52.0
MARGIN_SECONDS = 30.0
NOTICE_SECONDS = 4.0
LOOKS = 24
"""Moments among which the one with most to see is looked for."""

Json = dict[str, Any]


class Picture:
    """One dashboard, over one span.

    Attributes:
        empty: titles of the panels without any data.
    """

    def __init__(self, made: Json, prometheus: Prometheus, span: Span, *, folder: str = "/demo") -> None:
        """Args:
        folder: of the world, as it is in the URLs of its repositories.
        """
        self._folder = folder
        self._made, self._prometheus, self._span = made, prometheus, span
        self._variables = [one["name"] for one in made["templating"]["list"] if one["name"] != "DS_PROMETHEUS"]
        self.empty: list[str] = []

    @property
    def panels(self) -> list[Json]:
        return [panel for panel in self._made["panels"] if panel["type"] != "row"]

    async def filled(self, at: float) -> int:
        """Return how many of the panels of now have something to show at a moment."""
        exprs = [panel["targets"][0]["expr"] for panel in self.panels if panel["targets"][0]["instant"]]
        return sum([bool(await self._prometheus.now(self._asked(expr), at)) for expr in exprs])

    async def draw(self) -> str:
        height = TOP + max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in self._made["panels"]) * ROW + GAP
        width = WIDTH * COLUMN + GAP
        size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        drawn = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Inter, Helvetica, Arial, sans-serif">',
            '<rect width="100%" height="100%" fill="#f4f5f7"/>',
            text(GAP + 2, 32, self._made["title"], size=20, more='font-weight="600"'),
            text(width - GAP, 32, self._said(), size=12, colour=GREY, more='text-anchor="end"'),
        ]
        drawn += [await self._panel(panel) for panel in self._made["panels"]]
        return "\n".join([*drawn, "</svg>\n"])

    def _said(self) -> str:
        shown = ", ".join(f"{name}: All" for name in self._variables)
        return f"{shown} · {(self._span.end - self._span.start) / 60:.0f} minutes of a simulated world"

    async def _panel(self, panel: Json) -> str:
        box = box_of(panel, top=TOP)
        if panel["type"] == "row":
            return drawing.heading(panel, box)
        if panel["type"] == "timeseries":
            series = await self._series(panel)
            self._note(panel, has_data=any(one.points for one in series))
            return drawing.frame(panel, box) + lines(panel, box, series, self._span)
        draw = {"stat": drawing.number, "bargauge": drawing.bars, "table": drawing.table}[panel["type"]]
        found = await self._prometheus.now(self._asked(panel["targets"][0]["expr"]), self._span.end)
        self._note(panel, has_data=bool(found))
        samples = [Sample(self._shown(one["metric"]), float(one["value"][1])) for one in found]
        return drawing.frame(panel, box) + draw(panel, box, samples)

    async def _series(self, panel: Json) -> list[Series]:
        found = []
        for target in panel["targets"]:
            rows = await self._prometheus.over(self._asked(target["expr"]), *self._span)
            for row in rows:
                points = {at: float(value) for at, value in row["values"] if value not in ("NaN", "+Inf", "-Inf")}
                found.append(Series(named(target["legendFormat"], self._shown(row["metric"])), points))
        return found

    def _shown(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Leave out where on this machine the world lay."""
        return {name: value.replace(self._folder, "/demo") for name, value in labels.items()}

    def _note(self, panel: Json, *, has_data: bool) -> None:
        if not has_data:
            self.empty.append(panel["title"])

    def _asked(self, expr: str) -> str:
        """Return the query as Grafana sends it with every variable at All."""
        seconds = int(self._span.end - self._span.start)
        expr = expr.replace("$__rate_interval", f"{12 * SCRAPE_SECONDS}s").replace("$__range", f"{seconds}s")
        for name in self._variables:
            expr = re.sub(rf"\$\{{?{name}\b\}}?", ".*", expr)
        return expr


async def draw_all(folder: Path, output: Path, options: argparse.Namespace) -> None:
    listeners = Listeners(hooks="127.0.0.1:0").with_ports()
    arguments = [f"--directory={folder / 'world'}", f"--seed={options.seed}", f"--changes={options.changes}"]
    arguments += [f"--rate={options.rate}", "--deployment-records", f"--hold={options.hold}"]
    async with SimulatorProcess(*arguments) as simulator:
        settings = folder / "fluxtrail.yaml"
        write_settings(settings, simulator.description, listeners=listeners, has_routes=True)
        _add_settings(settings)
        run = RunProcess(settings, simulator.clock, listeners, log=folder / "run.log")
        jobs: list[Json] = [
            {"job_name": "fluxtrail", "honor_labels": True, "static_configs": [{"targets": [listeners.metrics]}]},
            {"job_name": "flux", "http_sd_configs": [{"url": f"{simulator.description['control']}/controllers"}]},
        ]
        try:
            await run.start()
            await run.until_ready()
            async with running(folder / "prometheus", jobs, every_seconds=SCRAPE_SECONDS) as prometheus:
                await simulator.begin()
                began = time.time()
                async with asyncio.TaskGroup() as group:
                    notifying = group.create_task(
                        _notify(f"http://{listeners.hooks}", simulator.description["contexts"])
                    )
                    await asyncio.sleep(60 * options.minutes)
                    notifying.cancel()
                await _draw(prometheus, began, output, folder=str(folder / "world"))
        finally:
            await run.stop()


def _add_settings(path: Path) -> None:
    settings = yaml.safe_load(path.read_text())
    settings["resources"] = {"enabled": True}
    settings["hooks"]["flux"] = {"anonymous": True}
    path.write_text(yaml.safe_dump(settings))


async def _notify(hooks: str, clusters: Sequence[str]) -> None:
    """Send what Flux's notification-controller would, and now and then what nobody signed."""
    async with aiohttp.ClientSession() as session:
        for number in itertools.count():
            await asyncio.sleep(NOTICE_SECONDS)
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            event = {
                "involvedObject": {
                    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                    "kind": "Kustomization",
                    "name": "apps",
                    "namespace": "flux-system",
                },
                "severity": "info",
                "timestamp": now,
                "message": f"Reconciliation finished, next run in 10m0s ({number})",
                "reason": "ReconciliationSucceeded",
                "reportingController": "kustomize-controller",
                "metadata": {"cluster": clusters[number % len(clusters)]},
            }
            await (await session.post(f"{hooks}/hooks/flux", json=event)).read()
            if number % 7 == 0:
                await (await session.post(f"{hooks}/hooks/github", json={})).read()


async def _draw(prometheus: Prometheus, began: float, output: Path, *, folder: str) -> None:
    end = time.time() - SCRAPE_SECONDS
    step = float(SCRAPE_SECONDS)
    start = began + MARGIN_SECONDS
    for one in DASHBOARDS:
        made = one.make()
        moments = [end - (end - start) / 2 * number / LOOKS for number in range(LOOKS)]
        counts = [await Picture(made, prometheus, Span(start, at, step)).filled(at) for at in moments]
        at = moments[counts.index(max(counts))]
        picture = Picture(made, prometheus, Span(start, at, step), folder=folder)
        path = output / f"{one.name}.svg"
        path.write_text(await picture.draw(), encoding="utf-8")
        print(f"{path.name}: {len(picture.panels)} panels, without data: {', '.join(picture.empty) or 'none'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of the pictures")
    parser.add_argument("--minutes", type=float, default=11.0)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.15, help="ordinary commits a second")
    parser.add_argument("--hold", type=float, default=40.0, help="seconds for which what will be undone stays")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens")
    parser.add_argument("--keep", type=Path, help="keep the world and its logs here")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fluxtrail-pictures-") as folder:
        asyncio.run(draw_all((options.keep or Path(folder)).resolve(), options.output, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
