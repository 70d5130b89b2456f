"""The forges as a process of their own, for load."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
import pytest

from fluxtrail.simulator.clock import parse_clock
from fluxtrail.simulator.processes import stop_process

SHA = "a" * 40


@pytest.mark.process
@pytest.mark.timeout(60)
async def test_forges_serve_without_a_world() -> None:
    command = [sys.executable, "-m", "fluxtrail.simulator.forges", "--child", "--time-scale=60", f"--unknown={SHA}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        described = json.loads(await process.stdout.readline())
        assert parse_clock(described["clock"]).scale == 60
        answers = []
        async with aiohttp.ClientSession(described["url"]) as session:
            for sha in (SHA, "b" * 40):
                body = {"state": "success", "context": "x"}
                async with session.post(f"/repos/acme/shop/statuses/{sha}", json=body) as answer:
                    answers.append(answer.status)
            async with session.get("/forges") as answer:
                report = await answer.json()
            async with session.get("/forges/truth") as answer:
                answers.append(answer.status)
            async with session.get("/forges/writes?after=x") as answer:
                answers.append(answer.status)
    finally:
        await stop_process(process)
    assert answers == [422, 201, 404, 400]
    assert report["calls"]["github"] == {"status": {"201": 1, "422": 1}}
    assert process.returncode == 0
