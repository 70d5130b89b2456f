"""What a browser sees: when something is painted, how much it had to load, and how soon a change is on an open page."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.measuring import percentile, report
from benchmarks.pages_questions import Samples
from benchmarks.pages_run import WATCHED, Watched
from playwright.async_api import Browser, Page, async_playwright

import fluxtrail.web.pages
from fluxtrail.web.pages.assets import HTMX, has_asset

LOADS = 20
CHANGES = 20
EVENT_BAR = "event -> page <= 2 s"
SCRIPT_BAR = "< 200 kB of script"
_PAINT = """() => {
  const at = (name) => performance.getEntriesByName(name)[0]?.startTime ?? 0;
  const [page] = performance.getEntriesByType("navigation");
  return [at("first-contentful-paint"), page.domContentLoadedEventEnd, performance.getEntriesByType("resource").length];
}"""


def weigh_scripts() -> None:
    """Say how much script and style there is: all of it, though no page needs all."""
    static = Path(fluxtrail.web.pages.__file__).parent / "static"
    for suffix in (".js", ".css"):
        found = [path.read_bytes() for path in sorted(static.rglob(f"*{suffix}"))]
        raw, packed = sum(map(len, found)), sum(len(gzip.compress(content, 6)) for content in found)
        bar = SCRIPT_BAR if suffix == ".js" else ""
        report("pages", f"all {suffix} files", bar=bar, files=len(found), kb=raw / 1000, gzip_kb=packed / 1000)


async def measure_browser(watched: Watched, samples: Samples, options: argparse.Namespace, engine: str) -> None:
    if not has_asset(HTMX):
        raise SystemExit("the pages' scripts are not here: `python -m fluxtrail.web.pages.vendoring` brings them")
    weigh_scripts()
    if watched.process.returncode is not None or watched.process.pid is None:
        await watched.start()
    async with async_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            paths = (
                *("/", "/board", "/commits", f"/commits/{samples.one('sources')}", f"/commits/{samples.one('wide')}"),
                *("/clusters", "/targets", f"/targets/{samples.one('targets')}", "/images", "/workloads", "/reports"),
                "/search?q=timeout",
            )
            for path in paths:
                await _paint(browser, watched.url + path, engine)
            for path in (f"/board?cluster={WATCHED}", "/board"):
                await _follow(browser, watched, path, engine)
        finally:
            await browser.close()


async def _paint(browser: Browser, url: str, engine: str) -> None:
    first, loaded, weight = [], [], []
    for _ in range(LOADS):
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        page = await context.new_page()
        await page.goto(url, wait_until="load")
        paint, dom, requests = await _painted(page)
        first.append(paint)
        loaded.append(dom)
        weight.append(requests)
        await context.close()
    path = "/" + url.split("/", 3)[3]
    report(
        "pages", f"{engine}: {path} in a browser that was never here",
        first_paint_p50_ms=statistics.median(first), first_paint_p95_ms=percentile(first, 0.95),
        loaded_p50_ms=statistics.median(loaded), requests=int(statistics.median(weight)),
    )  # fmt: skip


async def _painted(page: Page) -> list[float]:
    for _ in range(200):
        found: list[float] = await page.evaluate(_PAINT)
        if found[0]:
            return found
        await asyncio.sleep(0.01)
    return [float("nan")] * 3


async def _follow(browser: Browser, watched: Watched, path: str, engine: str) -> None:
    """Deliver one commit after the other; each must come to stand on the page as applied."""
    page = await browser.new_page(base_url=watched.url, viewport={"width": 1440, "height": 900})
    await page.goto(path)
    await page.locator("#feed-state[data-state=on]").wait_for()
    seen, known = [], []
    for _ in range(CHANGES):
        began = time.perf_counter()
        sha = await watched.deliver()
        wanted = page.locator("tr[data-row]").filter(has=page.locator(f'a[href^="/commits/{sha}"]'))
        ready = wanted.locator("td.cell").filter(has_text="applied")
        api = asyncio.create_task(_until_known(watched.url, sha, began))
        await ready.first.wait_for(timeout=30_000)
        seen.append((time.perf_counter() - began) * 1000)
        known.append(await api)
        await asyncio.sleep(0.3)
    await page.close()
    report(
        "pages", f"{engine}: written by Flux -> row of {path} says applied", bar=EVENT_BAR, **_spread("", seen),
        **_spread("api_", known),
    )  # fmt: skip


def _spread(prefix: str, values: Sequence[float]) -> dict[str, Any]:
    return {
        f"{prefix}p50_ms": statistics.median(values),
        f"{prefix}p95_ms": percentile(values, 0.95),
        f"{prefix}worst_ms": max(values),
    }


async def _until_known(url: str, sha: str, began: float) -> float:
    """Return after how many milliseconds the API says that it is applied."""
    async with aiohttp.ClientSession(url) as session:
        while True:
            async with session.get(f"/api/v1/commits/{sha}") as answer:
                if answer.status == 200:
                    stages = [item["stages"] for item in (await answer.json())["deliveries"]]
                    if any("applied" in known for known in stages):
                        return (time.perf_counter() - began) * 1000
            await asyncio.sleep(0.05)
