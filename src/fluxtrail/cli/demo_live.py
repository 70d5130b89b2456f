"""The demo's live picture: asks the API a few times a second and draws what it says, until `q` or Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live

from fluxtrail.cli.demo_picture import Event, Picture, draw
from fluxtrail.cli.demo_statuses import StatusBook
from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.observer import Observer
from fluxtrail.simulator.processes import RunProcess, SimulatorProcess

REFRESH_SECONDS = 0.5
SHOWN_COMMITS = 40
"""How many of the newest commits are asked for; the picture takes those that fit."""
KEPT_EVENTS = 50

Json = dict[str, Any]


async def show(simulator: SimulatorProcess, run: RunProcess, observer: Observer, *, seed: int) -> None:
    """Draw until somebody wants no more. Without a terminal, events are printed as lines instead."""
    console = Console()
    reader = _Reader(simulator, run, observer, seed=seed)
    stop = asyncio.Event()
    with _keys(stop):
        if not console.is_terminal:
            await _print_lines(console, reader, stop)
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not stop.is_set():
                picture = await reader.look()
                live.update(draw(picture, width=console.width, height=console.height), refresh=True)
                await _pause(stop)


async def _print_lines(console: Console, reader: _Reader, stop: asyncio.Event) -> None:
    console.print(f"Pages and API on {reader.url}/; no terminal, so only what happens is printed. Ctrl-C ends.")
    said = 0
    while not stop.is_set():
        picture = await reader.look()
        for event in list(picture.events)[: reader.total_events - said][::-1]:
            console.print(event.plain(), soft_wrap=True, markup=False, highlight=False)
        said = reader.total_events
        await _pause(stop)


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(REFRESH_SECONDS):
            await stop.wait()
    except TimeoutError:
        return


class _Reader:
    """Turns what the API says into pictures; remembers the last verdicts to tell what happened since."""

    def __init__(self, simulator: SimulatorProcess, run: RunProcess, observer: Observer, *, seed: int) -> None:
        self.url = run.api
        self.total_events = 0
        self._simulator = simulator
        self._observer = observer
        self._seed = seed
        self._clusters = tuple(simulator.description["contexts"])
        self._verdicts: dict[tuple[str, str, str], str] = {}
        self._running: set[tuple[str, str, str]] = set()
        self._settled: dict[str, Json] = {}
        self._events: list[Event] = []
        self._statuses = StatusBook()
        self._last_treatment = 0
        self._last = Picture(url=self.url, seed=seed, clusters=self._clusters)

    async def look(self) -> Picture:
        """Return the newest picture; the last one with a remark while the API is away."""
        try:
            self._last = await self._read()
        except* UpstreamError as group:
            self._last = self._last.with_problem(str(group.exceptions[0]))
        return self._last

    async def _read(self) -> Picture:
        status = await self._simulator.status()
        # What stood in the repositories before the script began is everybody's baseline, not news.
        news = {item["sha"] for item in status["pushed"] if not item["is_export"]}
        commits = [c for c in await self._observer.commits(limit=SHOWN_COMMITS * 2) if c["sha"] in news]
        self._statuses.learn(commits)
        commits = commits[:SHOWN_COMMITS]
        open_shas = [commit["sha"] for commit in commits if commit["sha"] not in self._settled]
        fresh = await self._observer.trails(open_shas)
        trails = [fresh.get(c["sha"]) or self._settled.get(c["sha"]) for c in commits]
        known = [trail for trail in trails if trail is not None]
        for trail in known:
            self._note_events(trail)
        self._note_treatments(status["treatments"])
        await self._read_statuses()
        # A settled trail can still change (a rollback): only those that went out of the newest ones are kept as is.
        self._settled = {t["commit"]["sha"]: t for t in known[10:] if t["is_settled"]}
        return Picture(
            url=self.url,
            seed=self._seed,
            clusters=self._clusters,
            status=status,
            trails=tuple(known),
            overview=tuple(await self._observer.clusters()),
            events=tuple(self._events),
            told=self._statuses.shown(),
        )

    def _note_treatments(self, treatments: list[Json]) -> None:
        for treatment in treatments:
            if treatment["number"] > self._last_treatment:
                self._last_treatment = treatment["number"]
                self.total_events += 1
                self._events.insert(0, Event.treatment(treatment))

    async def _read_statuses(self) -> None:
        writes = await self._simulator.writes(after=self._statuses.last_number)
        for commit, write in self._statuses.add(writes):
            self.total_events += 1
            self._events.insert(0, Event.status(commit, write))
        del self._events[KEPT_EVENTS:]

    def _note_events(self, trail: Json) -> None:
        sha = trail["commit"]["sha"]
        for delivery in trail["deliveries"]:
            key = (sha, delivery["cluster"], delivery["target"])
            if "running" in (delivery.get("stages") or {}) and key not in self._running:
                self._running.add(key)
                self.total_events += 1
                self._events.insert(0, Event.running(trail["commit"], delivery))
            before = self._verdicts.get(key)
            if before == delivery["verdict"]:
                continue
            self._verdicts[key] = delivery["verdict"]
            if delivery["verdict"] in ("pending", "unaffected") or (before is None and len(self._verdicts) < 2):
                continue
            self.total_events += 1
            self._events.insert(0, Event.of(trail["commit"], delivery))
        del self._events[KEPT_EVENTS:]


@contextmanager
def _keys(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on `q`; the terminal is as it was afterwards."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        if os.read(descriptor, 32) in (b"q", b"Q", b"\x04", b""):
            stop.set()

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
