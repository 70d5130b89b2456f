"""How fast notices are taken in, each in the ledger before it is answered: `python -m benchmarks.hooks`.

A process of its own serves the hooks listener as `fluxtrail run` does, with a real ledger on disk, pinned to one core;
this process posts Flux's events, signed, over many connections, from the other cores. Then the server is killed
(SIGKILL) while it takes more, and everything that was answered 2xx must be in the ledger. The bar (design, Bars): 2,000
a second. Where others use the core too, see what a CPU second of the server takes in.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from benchmarks.measuring import log_warnings_only, percentile, report, run

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.notices import FluxNotice, Hook
from fluxtrail.simulator.family import die_with_parent
from fluxtrail.web.hooks.app import CONNECTIONS, create_hooks_app
from fluxtrail.web.hooks.senders import Sender
from fluxtrail.web.server import Listener, WebServer

SECRET = "a secret of the benchmark, of some length"
TAKE = 5_000
DEADLINE_SECONDS = 60.0
BEGIN = datetime(2026, 8, 7, tzinfo=UTC)
_LINES = "".join(f"Deployment/shop/service-{number} configured\n" for number in range(36))


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def event(number: int) -> bytes:
    """Return about 2 KB as notification-controller posts them, told apart by their names."""
    revision = f"main@sha1:{number:040x}"
    content = {
        "involvedObject": {
            "kind": "Kustomization",
            "namespace": "flux-system",
            "name": f"apps-{number}",
            "uid": f"7d0c0000-0000-4000-8000-{number:012x}",
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "resourceVersion": "811",
        },
        "severity": "info",
        "timestamp": f"{BEGIN + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}",
        "message": _LINES,
        "reason": "Progressing",
        "metadata": {"revision": revision, "originRevision": revision, "commit_status": "update", "cluster": "prod-1"},
        "reportingController": "kustomize-controller",
        "reportingInstance": "kustomize-controller-7c7b47f5f-8bhrp",
    }
    return json.dumps(content).encode()


def request(number: int) -> bytes:
    """Return a whole HTTP request: the client must not be what is measured."""
    body = event(number)
    digits = hmac.digest(SECRET.encode(), body, "sha256").hex()
    head = (
        "POST /hooks/flux HTTP/1.1\r\nHost: fluxtrail\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\nGotk-Component: kustomize-controller\r\n"
        f"X-Signature: sha256={digits}\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    return head.encode() + body


async def serve(place: str, senders: int) -> None:
    """The child: prints its port, and serves until it is killed."""
    ledger = await SqlLedger.open(place, clock=SystemClock())
    others = [Sender(name=f"other-{number}", secret=f"{number:064x}") for number in range(senders - 1)]
    app = create_hooks_app(
        [*others, Sender(name="prod", secret=SECRET)],
        ledger.inbox,
        now=SystemClock().now,
        monotonic=time.monotonic,
        anonymous={},
    )
    listener = Listener(name="hooks", app=app, host="127.0.0.1", port=0, connections=CONNECTIONS)
    async with WebServer([listener]) as server, asyncio.TaskGroup() as group:
        group.create_task(app.run())
        print(json.dumps({"port": server.addresses["hooks"].port}), flush=True)


class Server:
    """The child from outside."""

    def __init__(self, place: Path, *, core: int, senders: int, profile: Path | None = None) -> None:
        command = [sys.executable, "-m", "benchmarks.hooks", "--serve", str(place), "--senders", str(senders)]
        if profile is not None:
            command += ["--profile", str(profile)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        os.sched_setaffinity(self._process.pid, {core})
        assert self._process.stdout is not None
        self.port: int = json.loads(self._process.stdout.readline())["port"]
        for thread in psutil.Process(self._process.pid).threads():
            os.sched_setaffinity(thread.id, {core})

    @property
    def cpu_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Tally:
    """What the client saw."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    accepted: list[int] = field(default_factory=list)
    """The numbers of those answered 2xx."""
    broken: int = 0


class Client:
    def __init__(self, port: int, numbers: range, requests: list[bytes]) -> None:
        self._port = port
        self._numbers = iter(zip(numbers, requests, strict=True))
        self.tally = Tally()

    async def run(self, connections: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._post())

    async def _post(self) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            self.tally.broken += 1
            return
        try:
            for number, content in self._numbers:
                began = time.perf_counter()
                writer.write(content)
                status, closes = await _read_answer(reader)
                self.tally.latencies.append(time.perf_counter() - began)
                self.tally.statuses[status] += 1
                if 200 <= status < 300:
                    self.tally.accepted.append(number)
                if closes:
                    return
        except (OSError, EOFError):
            self.tally.broken += 1
        finally:
            writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
    await reader.readexactly(int(fields[b"content-length"]))
    return int(lines[0].split()[1]), fields.get(b"connection") == b"close"


async def measure(server: Server, *, count: int, connections: int, first: int) -> list[int]:
    """Post and print how it went; returns the numbers of those accepted."""
    numbers = range(first, first + count)
    client = Client(server.port, numbers, [request(number) for number in numbers])
    used, began = server.cpu_seconds, time.perf_counter()
    await client.run(connections)
    seconds, cpu = time.perf_counter() - began, server.cpu_seconds - used
    tally = client.tally
    report(
        "hooks",
        f"{count:,} signed events of {len(event(first)):,} bytes over {connections:,} connections",
        bar="≥ 2,000/s on one core",
        accepted_per_second=len(tally.accepted) / seconds,
        accepted_per_server_cpu_second=len(tally.accepted) / cpu,
        accepted=len(tally.accepted),
        refused=sum(tally.statuses.values()) - len(tally.accepted),
        broken=tally.broken,
        p50_ms=1000 * percentile(tally.latencies, 0.5),
        p99_ms=1000 * percentile(tally.latencies, 0.99),
        cpu_seconds_per_1000=1000 * cpu / max(len(tally.accepted), 1),
        server_cores=cpu / seconds,
        statuses=" ".join(f"{status}:{number}" for status, number in sorted(tally.statuses.items())),
    )
    return tally.accepted


async def kill_while_posting(server: Server, *, count: int, connections: int, first: int) -> list[int]:
    """Kill the server when about half of them are answered; returns the numbers of those accepted."""
    numbers = range(first, first + count)
    client = Client(server.port, numbers, [request(number) for number in numbers])
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(client.run(connections))
        while len(client.tally.accepted) < count // 2:  # noqa: ASYNC110 - at no exact moment
            await asyncio.sleep(0.002)
        server.kill()
    return client.tally.accepted


async def kept_in(place: Path) -> Counter[int]:
    """Return how often each number is in the ledger."""
    ledger = await SqlLedger.open(place, clock=SystemClock())
    found: Counter[int] = Counter()
    try:
        while taken := await ledger.inbox.take(TAKE):
            for notice in taken:
                assert notice.hook is Hook.FLUX
                assert isinstance(notice.said, FluxNotice)
                found[int(notice.said.name.removeprefix("apps-"))] += 1
            await ledger.inbox.settle([notice.id for notice in taken])
    finally:
        await ledger.close()
    return found


async def main(options: argparse.Namespace) -> int:
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "ledger.sqlite"
        server = Server(place, core=cores[-1], senders=options.senders, profile=options.profile)
        if len(cores) > 1:
            os.sched_setaffinity(0, set(cores[:-1]))
        accepted: list[int] = []
        first = 1
        for connections in options.connections:
            accepted += await measure(server, count=options.count, connections=connections, first=first)
            first += options.count
        if options.profile is not None:
            server.kill(signal.SIGTERM)
            return 0
        accepted += await kill_while_posting(server, count=options.count, connections=64, first=first)
        kept = await kept_in(place)
    lost = sum(number not in kept for number in accepted)
    report(
        "hooks",
        f"{len(accepted):,} notices answered 2xx before a SIGKILL",
        bar="0 lost",
        lost=lost,
        kept=kept.total(),
        kept_twice=sum(number > 1 for number in kept.values()),
    )
    return 1 if lost else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="of each measurement; 50,000 in all are taken in")
    parser.add_argument("--connections", type=int, nargs="*", default=[16, 64, 256, 1000])
    parser.add_argument("--senders", type=int, default=1, help="how many the hook has; the last one signs")
    parser.add_argument("--profile", type=Path, help="where the server writes its profile; no kill then")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args()


def _serve(options: argparse.Namespace) -> None:
    die_with_parent()
    log_warnings_only()
    if options.profile is None:
        run(serve(options.serve, options.senders))
        return
    import cProfile  # noqa: PLC0415

    profiler = cProfile.Profile()

    def stop(*_: object) -> None:
        profiler.disable()
        profiler.dump_stats(options.profile)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    profiler.enable()
    run(serve(options.serve, options.senders))


if __name__ == "__main__":
    given = _options()
    if given.serve:
        _serve(given)
    else:
        sys.exit(run(main(given)))
