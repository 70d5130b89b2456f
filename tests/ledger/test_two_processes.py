"""Two processes write, plan and send on one PostgreSQL, and are killed ten times each at random moments.

Each unit of theirs adds a line to the history, which plans a call to be made once (`every`) and a status to be
brought up to date (`latest`). The receiver, which is not killed, keys what it is sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.ledger.world import StillClock

from fluxtrail.ledger.ledger import SqlLedger

SEED = 20260301
KILLS = 10
STATUSES = 4

_WORKER = """
import asyncio, json, logging, sys
from datetime import UTC, datetime, timedelta
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.records import Transition, TransitionKind
from fluxtrail.model.report import Mode, NewReport

url, socket, name, statuses, is_last = sys.argv[1:6]
LEASE = timedelta(seconds=2)

class Clock:
    def now(self): return datetime.now(UTC)

def plan(lines):
    for line in lines:
        body = json.dumps(line.id).encode()
        yield NewReport(sink="calls", key=f"call {line.id}", mode=Mode.EVERY, body=body)
        yield NewReport(sink="statuses", key=f"status {line.id % int(statuses)}", mode=Mode.LATEST, body=body)

async def produce(ledger):
    while True:
        async with ledger.unit() as unit:
            number = int(await unit.get_note("units") or 0) + 1
            await unit.put_note("units", str(number))
            await unit.add_transitions([Transition(at=Clock().now(), kind=TransitionKind.SYNC, after=str(number))])
        await asyncio.sleep(0.01)

async def send(ledger):
    reader, writer = await asyncio.open_unix_connection(socket)
    while True:
        claimed = await ledger.outbox.claim(["calls", "statuses"], owner=name, limit=5, lease=LEASE)
        if not claimed and is_last == "True" and not await ledger.outbox.counts():
            return writer.close()
        for report in claimed:
            told = {"by": name, "sink": report.sink, "key": report.key, "body": json.loads(report.body)}
            writer.write(json.dumps(told).encode() + b"\\n")
            await writer.drain()
            assert await reader.readline() == b"ok\\n"
            await ledger.outbox.acknowledge([report])
        if not claimed:
            await asyncio.sleep(0.02)

async def main():
    ledger = await SqlLedger.open(url, clock=Clock(), plan=lambda lines: list(plan(lines)))
    print("ready", flush=True)
    async with asyncio.TaskGroup() as group:
        if is_last != "True":
            group.create_task(produce(ledger))
        group.create_task(send(ledger))
    await ledger.close()

asyncio.run(main())
"""


class Receiver:
    """Keeps what it was sent by key, and by whom."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.statuses: dict[str, int] = {}
        self.senders: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        self.killed: set[str] = set()
        self.problems: list[str] = []

    @asynccontextmanager
    async def listen(self, path: Path) -> AsyncIterator[None]:
        async with await asyncio.start_unix_server(self._serve, path):
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                if line.endswith(b"\n"):
                    self._take(json.loads(line))
                    writer.write(b"ok\n")
                    await writer.drain()
        except ConnectionError:
            pass  # the sender was killed before it had the answer
        finally:
            writer.close()

    def _take(self, told: dict[str, object]) -> None:
        sink, key, body, by = str(told["sink"]), str(told["key"]), int(str(told["body"])), str(told["by"])
        before = self.senders[sink, key, body]
        if any(sender not in self.killed for sender in before):
            self.problems.append(f"{by} sent {key} = {body} again after {before}, of which one is alive")
        before.append(by)
        if sink == "calls":
            if self.calls.setdefault(key, body) != body:
                self.problems.append(f"{key} was {self.calls[key]}, and is {body}")
        elif body < self.statuses.get(key, 0):
            self.problems.append(f"{key} went back from {self.statuses[key]} to {body}")
        else:
            self.statuses[key] = body


class Workers:
    def __init__(self, url: str, socket: Path, receiver: Receiver) -> None:
        self._url = url
        self._socket = socket
        self._receiver = receiver
        self._started: list[asyncio.subprocess.Process] = []

    @asynccontextmanager
    async def ended(self) -> AsyncIterator[None]:
        """Leave nobody behind who writes for ever, whatever happens."""
        try:
            yield
        finally:
            for process in self._started:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def start(self, name: str, *, is_last: bool = False) -> asyncio.subprocess.Process:
        arguments = (self._url, str(self._socket), name, str(STATUSES), str(is_last))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _WORKER, *arguments), stdout=asyncio.subprocess.PIPE
        )
        self._started.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(40):
            assert await process.stdout.readline() == b"ready\n"
        return process

    async def kill_again_and_again(self, name: str, dice: random.Random) -> None:
        for number in range(KILLS):
            process = await self.start(f"{name}{number}")
            await asyncio.sleep(dice.uniform(0.02, 0.6))
            assert process.returncode is None, "it ended by itself"
            process.send_signal(signal.SIGKILL)
            await process.wait()
            self._receiver.killed.add(f"{name}{number}")


async def follow_feed(ledger: SqlLedger, seen: list[int], *, until: asyncio.Event) -> None:
    """Read the feed as a client does: on from the last id."""
    last_id = 0
    while True:
        is_last = until.is_set()
        page = await ledger.feed(last_id, limit=7)
        assert not page.is_reset
        seen += [item.id for item in page.items]
        last_id = page.last_id
        if is_last and not page.items:
            return
        await asyncio.sleep(0.005)


@pytest.mark.crash
@pytest.mark.process
@pytest.mark.requires("postgres")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_nothing_is_lost_nor_sent_twice(ledger: SqlLedger, where: str, tmp_path: Path, clock: StillClock) -> None:
    receiver, dice = Receiver(), random.Random(SEED)
    socket, seen, is_over = tmp_path / "s", list[int](), asyncio.Event()
    workers = Workers(where, socket, receiver)
    async with receiver.listen(socket), workers.ended(), asyncio.TaskGroup() as following:
        following.create_task(follow_feed(ledger, seen, until=is_over))
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b"):
                group.create_task(workers.kill_again_and_again(name, random.Random(dice.random())))
        last = await workers.start("last", is_last=True)
        async with asyncio.timeout(20):
            assert await last.wait() == 0
        is_over.set()
    await check(ledger, receiver, seen)


async def check(ledger: SqlLedger, receiver: Receiver, seen: list[int]) -> None:
    kept: list[int] = []
    while lines := await ledger.transitions(after_id=kept[-1] if kept else 0, limit=1000):
        kept += [line.id for line in lines]
    async with ledger.unit() as unit:
        assert str(len(kept)) == await unit.get_note("units"), "a unit was kept by half, or two at once"
    assert kept
    assert receiver.problems == []
    assert receiver.calls == {f"call {id_}": id_ for id_ in kept}, "a report was lost or made up"
    assert receiver.statuses == {f"status {id_ % STATUSES}": id_ for id_ in kept}
    assert seen == kept, "the feed lost or repeated a line"
    assert await ledger.outbox.counts() == {}
