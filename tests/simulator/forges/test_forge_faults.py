"""Trouble on demand: refusals, cut connections, slow answers, outages by schedule; and what is taken down of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from fluxtrail.simulator.forges.record import write_json

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

SHA = "a" * 40
STATUSES = f"/repos/acme/shop/statuses/{SHA}"
GITEA = f"/gitea/api/v1/repos/acme/shop/statuses/{SHA}"
BODY = {"state": "success", "context": "fluxtrail/staging"}


async def test_refusal_lasts_as_long_as_it_says(forge: Caller) -> None:
    forge.fail(action="status", status=503, seconds=30, systems=["github"], is_retry_after_rest=True)
    code, _, headers = await forge.call("POST", STATUSES, BODY)
    assert (code, headers["Retry-After"]) == (503, "31")
    assert (await forge.post(GITEA, BODY))[0] == 201
    forge.clock.advance(30)
    assert (await forge.post(STATUSES, BODY))[0] == 201


async def test_connection_that_breaks_before_changes_nothing(forge: Caller) -> None:
    forge.fail(action="drop", count=1)
    with pytest.raises(aiohttp.ClientError):
        await forge.post(STATUSES, BODY)
    assert forge.forges.recorder.total_writes == 0
    assert forge.forges.recorder.counts["github", "status", 0] == 1


async def test_connection_that_breaks_after_has_changed_it(forge: Caller) -> None:
    forge.fail(action="drop", count=1, is_after=True)
    with pytest.raises(aiohttp.ClientError):
        await forge.post(STATUSES, BODY)
    assert [w.state for w in forge.forges.recorder.since(0)] == ["success"]


async def test_slow_answer_takes_simulated_time(forge: Caller) -> None:
    forge.fail(action="delay", delay_seconds=20, calls=["status"], count=1)
    await forge.post(STATUSES, BODY)
    assert (forge.clock.now() - forge.clock.origin).total_seconds() == 20
    await forge.post(STATUSES, BODY)
    assert (forge.clock.now() - forge.clock.origin).total_seconds() == 20


async def test_outage_comes_by_its_schedule(forge: Caller) -> None:
    forge.fail(action="status", status=502, after_seconds=100, seconds=10, every_seconds=60)
    seen = []
    for _ in range(25):
        seen.append((await forge.post(GITEA, BODY))[0])
        forge.clock.advance(10)
    down = [number * 10 for number, code in enumerate(seen) if code == 502]
    assert down == [100, 160, 220]
    forge.fail(action="clear")
    forge.clock.advance(30)
    assert (await forge.post(GITEA, BODY))[0] == 201


async def test_fault_of_a_path_strikes_there_only(forge: Caller) -> None:
    forge.fail(action="status", status=404, paths=["/repos/acme/shop/*"])
    assert (await forge.post(STATUSES, BODY))[0] == 404
    assert (await forge.post(f"/repos/acme/other/statuses/{SHA}", BODY))[0] == 201


async def test_body_that_is_no_json_is_refused(forge: Caller) -> None:
    assert await forge.send(STATUSES, b"{") == 400
    assert await forge.send(STATUSES, b"[]") == 400


async def test_record_names_every_write(forge: Caller) -> None:
    await forge.post(STATUSES, BODY | {"state": "pending", "description": "d", "target_url": "https://a"})
    await forge.post(STATUSES, BODY)
    first = write_json(forge.forges.recorder.since(0, limit=1)[0])
    wanted = {"number": 1, "at": "2026-01-01T00:00:00.000000Z", "system": "github", "call": "status"}
    wanted |= {"repository": "acme/shop", "sha": SHA, "context": "fluxtrail/staging", "state": "pending"}
    wanted |= {"description": "d", "url": "https://a", "environment": "", "id": "1", "is_final": False}
    assert first == wanted
    report = forge.forges.report()
    assert report["total_writes"] == 2
    assert report["calls"] == {"github": {"status": {"201": 2}}}
    assert report["violations"] == {"total": 0, "by_kind": {}}
    [standing] = report["statuses"]
    assert (standing["state"], standing["steps"], standing["writes"]) == ("success", ["pending", "success"], 2)


async def until_under_way(forge: Caller, count: int) -> None:
    while True:
        if forge.forges.desk.under_way.total() >= count:
            return
        await asyncio.sleep(0.01)


async def test_more_than_a_hundred_requests_at_once_are_too_many(forge: Caller) -> None:
    forge.clock.gate = asyncio.Event()
    forge.fail(action="delay", count=101)
    url = f"{forge.forges.url}/repos/acme/shop/commits/{SHA}/status"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=forge.headers) as session:

        async def ask() -> int:
            async with session.get(url) as answer:
                return answer.status

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            asked = [group.create_task(ask()) for _ in range(101)]
            await until_under_way(forge, len(asked))
            forge.clock.gate.set()
    codes = [task.result() for task in asked]
    assert codes.count(200) == 100
    assert forge.violations() == {"concurrency": 1}


async def test_writes_are_read_on_from_a_number(forge: Caller) -> None:
    for _ in range(5):
        await forge.post(GITEA, BODY)
    record = forge.forges.recorder
    assert [write.number for write in record.since(2)] == [3, 4, 5]
    assert [write.number for write in record.since(0, limit=2)] == [1, 2]
    record.writes.popleft()
    assert [write.number for write in record.since(0, limit=2)] == [2, 3]
    assert record.since(5) == []
