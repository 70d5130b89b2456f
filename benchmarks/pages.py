"""How fast every page and every list of the API answers: `python -m benchmarks.pages`, 1,000,000 deliveries by default.

A ledger as a company of 200 targets has it after a year (`pages_world.py`) is made in bulk, in a file and in a
PostgreSQL server of its own; with `--keep` it stays, and is used again. The real `fluxtrail run` serves it; one client
asks from another process over HTTP, every question with other parameters each time. First after a restart with nothing
of the ledger in the kernel's memory, all questions in turn; then again, warm. Chromium tells when something is painted,
and how long it takes from a change in a cluster to the row on an open page.

The bar (design, Bars): every list page p95 ≤ 100 ms; event → page ≤ 2 s; under 200 kB of script.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from benchmarks.measuring import percentile, report, rss_mib
from benchmarks.pages_browser import measure_browser
from benchmarks.pages_filling import copy_to_postgres, fill
from benchmarks.pages_questions import Question, Samples, questions
from benchmarks.pages_run import Watched, forget_pages, postgres_server, watched_run

BAR_MILLISECONDS = 100.0
WARM_UPS = 3
TIMEOUT = aiohttp.ClientTimeout(total=120)


@dataclass
class Taken:
    """What one question took, in milliseconds."""

    question: Question
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    packed: list[int] = field(default_factory=list)
    cpu: float = 0.0
    """Of the server, for each of the warm requests."""
    failures: dict[str, str] = field(default_factory=dict)
    """By what was wrong: one address."""

    def is_over(self) -> bool:
        return percentile(self.warm, 0.95) > BAR_MILLISECONDS or percentile(self.cold, 0.95) > BAR_MILLISECONDS


async def ask(session: aiohttp.ClientSession, taken: Taken, samples: Samples) -> float:
    address = taken.question.address(samples)
    began = time.perf_counter()
    async with session.get(address, allow_redirects=False) as answer:
        body = await answer.read()
    milliseconds = (time.perf_counter() - began) * 1000
    if answer.status not in (200, 303, 404) or (answer.status == 404 and "chains" not in address):
        taken.failures[f"{answer.status} {body[:200]!r}"] = address
    if answer.status == 200:
        taken.question.note(body)
        taken.bytes.append(len(body))
        if len(taken.packed) < 5:
            taken.packed.append(len(gzip.compress(body, 6)))
    return milliseconds


async def measure(watched: Watched, samples: Samples, options: argparse.Namespace, folder: Path) -> list[Taken]:
    chosen = [one for one in questions() if not options.only or any(part in one.name for part in options.only)]
    found = [Taken(one) for one in chosen]
    await watched.process.stop()
    forget_pages(folder)
    seconds = await watched.start()
    assert watched.process.pid is not None
    server = psutil.Process(watched.process.pid)
    headers = {"Accept": "application/json"}
    async with aiohttp.ClientSession(watched.url, timeout=TIMEOUT, headers=headers) as session:
        for _ in range(options.cold):
            for taken in found:
                taken.cold.append(await ask(session, taken, samples))
        for taken in found:
            for _ in range(WARM_UPS):
                await ask(session, taken, samples)
            used = server.cpu_times()
            for _ in range(options.times):
                taken.warm.append(await ask(session, taken, samples))
            now = server.cpu_times()
            taken.cpu = (now.user + now.system - used.user - used.system) * 1000 / options.times
            tell(options.engine, taken)
    report(
        "pages", f"{options.engine}: ready after a start", seconds=seconds, rss_mib=rss_mib(watched.process.pid),
        load=os.getloadavg()[0], requests=sum(len(taken.warm) + len(taken.cold) for taken in found),
    )  # fmt: skip
    return found


def figures_of(taken: Taken) -> dict[str, float | int | str]:
    """Return milliseconds and bytes."""
    warm, cold = taken.warm, taken.cold or [0.0]
    figures = {
        "p50": statistics.median(warm),
        "p95": percentile(warm, 0.95),
        "worst": max(warm),
        "cpu": taken.cpu,
        "restarted_p50": statistics.median(cold),
        "restarted_p95": percentile(cold, 0.95),
        "restarted_first": cold[0],
    }
    rounded: dict[str, float | int | str] = {name: round(value, 1) for name, value in figures.items()}
    rounded["bytes"] = int(statistics.median(taken.bytes or [0]))
    rounded["gzip_bytes"] = int(statistics.median(taken.packed or [0]))
    return rounded


def tell(engine: str, taken: Taken) -> None:
    """Print a JSON line."""
    line = {"benchmark": "pages", "engine": engine, "what": taken.question.name, **figures_of(taken)}
    print(json.dumps(line), flush=True)
    for what, address in taken.failures.items():
        print(f"# FAILED {address}: {what}", flush=True)


def show(engine: str, found: Sequence[Taken]) -> None:
    """Print all as a table; milliseconds and bytes."""
    names = list(figures_of(found[0]))
    print(f"\n| {engine} | {' | '.join(name.replace('_', ' ') for name in names)} |")
    print("|---" * (len(names) + 1) + "|")
    for taken in found:
        mark = " **over**" if taken.is_over() else ""
        cells = " | ".join(f"{value:,}" for value in figures_of(taken).values())
        print(f"| `{taken.question.name}`{mark} | {cells} |")
    over = [taken for taken in found if taken.is_over()]
    print(f"\n# {engine}: {len(found)} questions, {len(over)} over {BAR_MILLISECONDS:.0f} ms", flush=True)


async def measure_engine(engine: str, kept: Path, options: argparse.Namespace) -> None:
    file, data = kept / "sqlite" / "ledger.sqlite", kept / "postgres"
    if not await asyncio.to_thread(file.exists):
        make_folder(file.parent)
        await fill(file, options.deliveries)
    samples = Samples.read(file, seed=options.seed)
    options.engine = engine
    is_new = not await asyncio.to_thread((data / "PG_VERSION").exists)
    with (
        postgres_server(data) if engine == "postgres" else nullcontext(str(file)) as where,
        tempfile.TemporaryDirectory(prefix="fluxtrail-pages-") as folder,
    ):
        if engine == "postgres" and is_new:
            await copy_to_postgres(file, where)
        if options.fill_only:
            return
        async with watched_run(Path(folder), where) as watched:
            if not options.browser_only:
                place = data if engine == "postgres" else file.parent
                show(engine, await measure(watched, samples, options, place))
            if options.browser:
                await measure_browser(watched, samples, options, engine)


def make_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a folder in which the ledgers stay; made where it is not")
    parser.add_argument("--engines", nargs="*", default=["sqlite", "postgres"], choices=["sqlite", "postgres"])
    parser.add_argument("--times", type=int, default=100, help="how often each question is asked, warm")
    parser.add_argument("--cold", type=int, default=100, help="how often after a restart, in turn")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of questions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fill-only", action="store_true")
    parser.add_argument("--no-browser", dest="browser", action="store_false")
    parser.add_argument("--browser-only", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluxtrail-pages-") as temporary:
        kept = make_folder(options.keep or Path(temporary))
        for engine in options.engines:
            await measure_engine(engine, kept, options)


if __name__ == "__main__":
    asyncio.run(main())
