"""The demo as people run it, without its picture: what it prints is what really happened."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from fluxtrail.simulator.compare import compare

CHANGES = 20
"""Enough for every episode of the script."""


@pytest.mark.process
@pytest.mark.timeout(240)
async def test_headless_demo_ends_with_the_truth(tmp_path: Path) -> None:
    arguments = ["--headless", f"--changes={CHANGES}", "-o", "json", "--seed=3", f"--keep={tmp_path}"]
    anywhere = ["--port=0", "--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"]
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fluxtrail",
        "demo",
        *arguments,
        *anywhere,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await demo.communicate()
    assert demo.returncode == 0, err.decode()[-2000:]
    truth = json.loads((tmp_path / "world" / "verdicts.json").read_text(encoding="utf-8"))["commits"]
    told = json.loads(out)["commits"]
    assert len(told) >= CHANGES
    assert compare(truth, told) == []
    verdicts = {delivery["verdict"] for commit in told for delivery in commit["deliveries"]}
    assert {"deployed", "unaffected", "rolled_back", "lost"} <= verdicts
    assert any(delivery["undone_by"] for commit in told for delivery in commit["deliveries"])
    assert any(delivery["via"] for commit in told for delivery in commit["deliveries"])
