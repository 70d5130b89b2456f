"""The demo as people run it, without its picture: what it prints is what really happened."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from fluxtrail.simulator.compare import compare
from fluxtrail.simulator.compare_statuses import differences_of_statuses

CHANGES = 20
"""Enough for every episode of the script."""
HEADLESS = ("--headless", "-o", "json", "--hold=3")
"""Nobody is killed here: what will be undone need not stay for long."""


async def run_demo(*arguments: str, hooks: str = "127.0.0.1:0") -> tuple[int | None, str, str]:
    """Run it to its end; return its exit code and what it printed."""
    anywhere = ["--port=0", *(f"--{name}-addr=127.0.0.1:0" for name in ("metrics", "health")), f"--hooks-addr={hooks}"]
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
    return demo.returncode, out.decode(), err.decode()


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def post_unsigned(url: str, *, unless: asyncio.Task[object]) -> int:
    """Post what Flux posts to gitops-connector, as soon as somebody listens; 0: nobody did until `unless` was done."""
    body = {
        "involvedObject": {"kind": "Kustomization", "namespace": "flux-system", "name": "apps"},
        "reason": "ReconciliationSucceeded",
        "message": "",
        "metadata": {"revision": f"main@sha1:{'a' * 40}"},
    }
    async with aiohttp.ClientSession() as session:
        while not unless.done():
            try:
                async with session.post(url, json=body) as answer:
                    return answer.status
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    return 0


@pytest.mark.process
@pytest.mark.timeout(240)
async def test_headless_demo_ends_with_the_truth(tmp_path: Path) -> None:
    code, out, err = await run_demo(*HEADLESS, f"--changes={CHANGES}", "--seed=3", f"--keep={tmp_path}")
    assert code == 0, err[-2000:]
    truth = json.loads((tmp_path / "world" / "verdicts.json").read_text(encoding="utf-8"))["commits"]
    answer = json.loads(out)
    assert "records" not in answer
    told = answer["commits"]
    assert len(told) >= CHANGES
    assert compare(truth, told) == []
    verdicts = {delivery["verdict"] for commit in told for delivery in commit["deliveries"]}
    assert {"deployed", "unaffected", "rolled_back", "lost"} <= verdicts
    assert any(delivery["undone_by"] for commit in told for delivery in commit["deliveries"])
    assert {commit["build_state"] for commit in truth} >= {None, "succeeded"}
    assert err.splitlines()[-1].startswith("The pages were at http://127.0.0.1:")
    stages = [delivery["stages"] for commit in told for delivery in commit["deliveries"]]
    assert any("running" in reached for reached in stages)
    assert {reached["built"]["evidence"] for reached in stages if "built" in reached} == {"ci_run"}
    [stuck] = [row for row in answer["not_running"] if row["workload"] == "Deployment/shop/cart"]
    assert (stuck["cluster"], stuck["cause"]) == ("prod-us", "image_pull")
    assert {"known", "private"} <= {image["state"] for image in answer["images"]}
    assert any(delivery["via"] for commit in told for delivery in commit["deliveries"])
    statuses = answer["statuses"]
    told_of = answer["told_repositories"]
    assert differences_of_statuses(truth, statuses, answer["environments"], repositories=told_of) == []
    assert answer["calls"]["violations"] == 0
    pushes = answer["pushes"]
    assert pushes["delivered"] > 0
    assert (pushes["refused"], pushes["dropped"]) == (0, 0)
    assert sum(pushes.values()) >= CHANGES
    steps = [step["state"] for step in answer["pull_request"]["steps"]]
    assert steps[0] == "pending"
    assert steps[-1] in ("success", "failure", "error")
    assert {"pending", "success", "failure"} <= {state for status in statuses for state in status["steps"]}


@pytest.mark.process
@pytest.mark.timeout(240)
async def test_headless_demo_with_records_ends_with_what_runs(tmp_path: Path) -> None:
    arguments = ["--deployment-records", "--changes=4", "--seed=4", f"--keep={tmp_path}"]
    hooks = free_address()
    async with asyncio.TaskGroup() as group:
        demo = group.create_task(run_demo(*HEADLESS, *arguments, hooks=hooks))
        hint = group.create_task(post_unsigned(f"http://{hooks}/gitopsphase", unless=demo))
    code, out, err = demo.result()
    assert code == 0, err[-2000:]
    assert hint.result() == 200
    answer = json.loads(out)
    truth = json.loads((tmp_path / "world" / "verdicts.json").read_text(encoding="utf-8"))["commits"]
    assert compare(truth, answer["commits"]) == []
    records = answer["records"]
    assert records == sorted(records, key=lambda record: (record["deployment_name"], record["cluster"]))
    told = {(r["cluster"], r["deployment_name"]): (r["digest"], r["status"]) for r in records}
    true = {}
    for line in (tmp_path / "world" / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        fact = json.loads(line)
        if fact["kind"] == "record":
            true[fact["cluster"], fact["deployment_name"]] = (fact["digest"], fact["status"])
    # Nobody attests what this one runs.
    unknown = {key for key in true if key[1] == "tools/mirror/mirror"}
    assert len(unknown) == 3
    assert told == {key: ending for key, ending in true.items() if key not in unknown}
    assert {status for _, status in told.values()} == {"deployed", "decommissioned"}
