"""Takes pictures of the pages over a simulated world: `python -m benchmarks.screens -o docs/pictures`.

The simulator with its CI and the real `fluxtrail run` work for some minutes; then Chromium, the system's own, looks at
the pages at a moment when something is on its way and something failed. Of the commits, the one with most to tell is
shown.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
from playwright.async_api import Browser, async_playwright

from fluxtrail.simulator.processes import Listeners, RunProcess, SimulatorProcess, write_settings

LOOK_AT = 50
"""Commits among which the one with most to tell is looked for."""
RECENT = 12
"""Commits that are seen without scrolling: among them something shall go on."""
FIT = "() => Math.min(document.documentElement.scrollHeight, %d)"

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Screen:
    """One picture.

    Attributes:
        most: pixels of its height; what is below is cut off.
    """

    name: str
    path: str
    scheme: Literal["light", "dark"] = "light"
    most: int = 1000


async def take_all(folder: Path, output: Path, options: argparse.Namespace) -> None:
    listeners = Listeners().with_ports()
    arguments = [f"--directory={folder / 'world'}", f"--seed={options.seed}", f"--changes={options.changes}"]
    arguments += [f"--rate={options.rate}", f"--hold={options.hold}", "--ci"]
    async with SimulatorProcess(*arguments) as simulator:
        settings = folder / "fluxtrail.yaml"
        write_settings(settings, simulator.description, listeners=listeners, has_routes=True)
        run = RunProcess(settings, simulator.clock, listeners, log=folder / "run.log")
        try:
            await run.start()
            await run.until_ready()
            await simulator.begin()
            await asyncio.sleep(60 * options.minutes)
            await _until_much_goes_on(f"http://{listeners.api}", seconds=60 * options.patience)
            await _take(f"http://{listeners.api}", output, width=options.width)
        finally:
            await run.stop()


async def _until_much_goes_on(url: str, *, seconds: float) -> None:
    """Wait for a moment with something to see, though not for ever."""
    try:
        async with asyncio.timeout(seconds), aiohttp.ClientSession(url) as session:
            while True:
                commits = await _items(session, f"/api/v1/commits?carriers=false&limit={RECENT}")
                if {"pending", "failed"} <= {verdict for commit in commits for verdict in commit["verdicts"]}:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        print("nothing failed while something was on its way: taken all the same")


async def _take(url: str, output: Path, *, width: int) -> None:
    async with aiohttp.ClientSession(url) as session:
        commits = await _items(session, f"/api/v1/commits?carriers=false&limit={LOOK_AT}")
    if not commits:
        raise SystemExit("no commit is known yet: more minutes are needed")
    screens = (
        Screen(name="pages-overview", path="/"),
        Screen(name="pages-board", path="/board"),
        Screen(name="pages-board-dark", path="/board", scheme="dark"),
        Screen(name="pages-commit", path=f"/commits/{most_telling(commits)}", most=1400),
    )
    async with async_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for screen in screens:
            await _take_one(browser, url, screen, output / f"{screen.name}.png", width=width)
        await browser.close()


async def _take_one(browser: Browser, url: str, screen: Screen, path: Path, *, width: int) -> None:
    page = await browser.new_page(
        base_url=url, viewport={"width": width, "height": 900}, color_scheme=screen.scheme, locale="en-GB"
    )
    answer = await page.goto(screen.path)
    if answer is None or answer.status != 200:
        raise SystemExit(f"{screen.path} was answered {answer.status if answer else 'with nothing'}")
    await page.locator("#feed-state[data-state=on]").wait_for()
    height: int = await page.evaluate(FIT % screen.most)
    await page.set_viewport_size({"width": width, "height": height})
    image = await page.screenshot(path=path, animations="disabled")
    print(f"{path.name}: {width} × {height}, {len(image) // 1024} KiB")
    await page.close()


async def _items(session: aiohttp.ClientSession, path: str) -> list[Json]:
    async with session.get(path) as answer:
        answer.raise_for_status()
        items: list[Json] = (await answer.json())["items"]
        return items


def most_telling(commits: Sequence[Json]) -> str:
    """Return the sha of the commit with a build and a pull request, then with most verdicts; the latest such one."""

    def tells(commit: Json) -> tuple[int, int, int]:
        verdicts = commit["verdicts"]
        return bool(commit.get("build_state")) + bool(commit["pull_request"]), len(verdicts), sum(verdicts.values())

    return str(max(commits, key=tells)["sha"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of the pictures")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--patience", type=float, default=2.0, help="minutes more for a moment with much to see")
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.2, help="ordinary commits a second")
    parser.add_argument("--hold", type=float, default=12.0, help="seconds for which what will be undone stays")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens")
    parser.add_argument("--width", type=int, default=1440, help="of the window, in pixels")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fluxtrail-screens-") as folder:
        asyncio.run(take_all(Path(folder).resolve(), options.output, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
