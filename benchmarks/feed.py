"""Two hundred clients of the live feed: `python -m benchmarks.feed`.

The ledger, the API and the writer are in this process, the clients in another one. Every client hears every transition.
Measured from the start of the unit that writes a transition to its arrival at a client; memory of the serving process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measuring import Stopwatch, percentile, report, rss_mib, run
from tests.web.worlds import World

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.records import Transition, TransitionKind
from fluxtrail.runtime.clock import SystemClock
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.server import Listener, WebServer

UNIT = 5
STEADY_SECONDS = 10
_WRITTEN_AT = re.compile(rb'"written":"([0-9.]+)"')
REQUEST = b"GET /api/v1/feed HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


async def measure(folder: Path, *, clients: int, events: int, per_second: int) -> None:
    ledger = FoldedLedger(await SqlLedger.open(folder / "ledger.sqlite", clock=SystemClock()))
    feed = Feed(ledger.store, clients=clients)
    ledger.on_kept.append(feed.wake)
    app = create_app(answers=ledger.store, report=World(), now=SystemClock().now, feed=feed)
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0, streams=clients)]) as server:
        port = server.addresses["api"].port
        await _listened(ledger, port, 1, 100, None)  # everything is loaded once
        for name, count, rate in (("steady", STEADY_SECONDS * per_second, per_second), ("burst", events, None)):
            await _listened(ledger, port, clients, count, rate, name)
    await ledger.store.close()


async def _listened(
    ledger: FoldedLedger, port: int, clients: int, events: int, per_second: int | None, name: str = ""
) -> None:
    before = rss_mib()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.feed", "--listen", str(port)),
        *("--clients", str(clients), "--events", str(events)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    await child.stdout.readline()  # all of them listen
    connected = rss_mib()
    watch = Stopwatch()
    await _write(ledger, events, per_second)
    written = watch.seconds
    heard = json.loads(await child.stdout.readline())
    await child.wait()
    if name:
        report(
            "feed",
            f"{name}: {events:,} transitions to {clients} clients",
            delivered_per_second=clients * events / watch.seconds,
            per_cpu_second=clients * events / watch.cpu_seconds,
            seconds=watch.seconds,
            seconds_to_write=written,
            latency_p50_ms=1000 * heard["p50"],
            latency_p99_ms=1000 * heard["p99"],
            client_kib=1024 * (connected - before) / clients,
            mib_more_at_end=rss_mib() - before,
        )


async def _write(ledger: FoldedLedger, events: int, per_second: int | None) -> None:
    began = time.monotonic()
    for first in range(0, events, UNIT):
        if per_second is not None:
            await asyncio.sleep(max(began + first / per_second - time.monotonic(), 0))
        detail = {"written": f"{time.time():.6f}", "revision": "main@sha1:9f3c1ab27de45061cc8a3b9d04e7f21a6b5c8d90"}
        line = Transition(
            at=datetime.now(UTC), kind=TransitionKind.SYNC, before="running", after="succeeded", detail=detail
        )
        async with ledger.unit() as unit:
            await unit.add_transitions([line] * UNIT)


async def listen(port: int, *, clients: int, events: int) -> None:
    """The clients' process: says a line when all listen, and one with what they saw."""
    begun = asyncio.Barrier(clients + 1)
    latencies: list[float] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(port, events, begun, latencies))
        await begun.wait()
        print("listening", flush=True)
    print(json.dumps({"p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)}), flush=True)


async def _client(port: int, events: int, begun: asyncio.Barrier, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    await reader.readuntil(b"id: ")
    await begun.wait()
    heard, rest = 0, b""
    while heard < events:
        block = await reader.read(256 * 1024)
        if not block:
            raise RuntimeError(f"the feed ended after {heard} of {events} events")
        now, rest = time.time(), rest + block
        stamps = list(_WRITTEN_AT.finditer(rest))
        if stamps:
            latencies.append(now - float(stamps[0][1]))
            heard += len(stamps)
            rest = rest[stamps[-1].end() :]
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--per-second", type=int, default=200)
    parser.add_argument("--listen", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.listen:
        run(listen(given.listen, clients=given.clients, events=given.events))
        return
    with tempfile.TemporaryDirectory() as folder:
        run(measure(Path(folder), clients=given.clients, events=given.events, per_second=given.per_second))


if __name__ == "__main__":
    main()
