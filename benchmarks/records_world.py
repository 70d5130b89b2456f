"""What tests of deployment records under fire share: a world with pods, the real `run` on it, and the last question.

GitHub is in the world's process, which nobody kills; what it holds in the end is compared with what is true.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.processes import Listeners, RunProcess, SimulatorProcess, request_json, write_settings

SINK = "github.records"
POLL_SECONDS = 0.25
STEADY_SECONDS = 1.0
"""For which all must stay as it is."""
SHOWN = 10

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorldPlan:
    """What is played, and how fast."""

    seed: int
    changes: int
    rounds: int
    """Of what people do to workloads by hand; each takes about a simulated minute."""
    time_scale: float
    hold_seconds: float = 2.0

    @property
    def arguments(self) -> list[str]:
        return [
            "--deployment-records",
            f"--seed={self.seed}",
            f"--changes={self.changes}",
            f"--rounds={self.rounds}",
            f"--time-scale={self.time_scale}",
            f"--hold={self.hold_seconds}",
        ]


@asynccontextmanager
async def recorded_world(
    directory: Path, plan: WorldPlan, *, ledger: str = "", **records: Any
) -> AsyncIterator[tuple[SimulatorProcess, RunProcess]]:
    """Yield a world in which nothing happens yet, and a `run` for it that is not started.

    Args:
        ledger: another place for it than a file: a URL of PostgreSQL.
        records: settings of the section `deployment_records`.
    """
    listeners = Listeners().with_ports()
    settings = directory / "fluxtrail.yaml"
    async with SimulatorProcess(f"--directory={directory / 'world'}", *plan.arguments) as simulator:
        write_settings(settings, simulator.description, listeners=listeners, settle_seconds=2.0, poll_seconds=5.0)
        document = yaml.safe_load(settings.read_text(encoding="utf-8"))
        document["deployment_records"] |= records
        if ledger:
            document["ledger"] = {"path": ledger}
        settings.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        run = RunProcess(settings, simulator.clock, listeners, log=directory / "run.log")
        try:
            yield simulator, run
        finally:
            await run.stop()


async def until_quiet(simulator: SimulatorProcess, *, patience_seconds: float) -> None:
    """Wait until the script is over and people are done.

    Raises:
        UpstreamError: they are not.
    """
    try:
        async with asyncio.timeout(patience_seconds):
            await simulator.until_finished()
    except TimeoutError as exc:
        raise UpstreamError(f"the world is not quiet after {patience_seconds:g} s: {await simulator.status()}") from exc


async def find_differences(
    simulator: SimulatorProcess, run: RunProcess, *, patience_seconds: float, was_away: bool = False
) -> list[str]:
    """Wait until GitHub holds what is true and nothing is under way; return what is still wrong after all patience.

    Call it when the world is quiet and GitHub is well.

    Args:
        was_away: `run` was not there all the time: what came and went meanwhile need not be told.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        wrong = await _all_wrong(simulator, run, was_away=was_away)
        if not wrong:
            await asyncio.sleep(STEADY_SECONDS)
            wrong = await _all_wrong(simulator, run, was_away=was_away)
            if not wrong:
                return []
        if time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(POLL_SECONDS)


async def _all_wrong(simulator: SimulatorProcess, run: RunProcess, *, was_away: bool) -> list[str]:
    truth = await simulator.records_truth(was_away=was_away)
    github = await request_json("GET", f"{simulator.description['control']}/records")
    wrong: list[str] = list(truth["differences"])
    if github["jobs_pending"]:
        wrong.append(f"{github['jobs_pending']} jobs are under way at GitHub")
    try:
        wrong += await _unfinished(run)
        wrong += await _differences_of_ledger(truth["records"], run)
    except UpstreamError as exc:
        wrong.append(str(exc))
    return wrong


async def _unfinished(run: RunProcess) -> list[str]:
    """What waits in the outbox or was given up, and records of which GitHub was not told to the end."""
    found = []
    for what in ("waiting", "dead"):
        count = (await sink_metrics(run)).get(f"fluxtrail_reports_{what}")
        if count != 0:
            found.append(f"{'unknown' if count is None else int(count)} reports are {what}")
    counts = (await request_json("GET", f"{run.api}/api/v1/records/counts"))["items"]
    return found + [
        f"{item['cluster']}: {item['count']} records are {item['told']}"
        for item in counts
        if item["told"] in ("pending", "refused")
    ]


async def _differences_of_ledger(truth: list[Json], run: RunProcess) -> list[str]:
    """What is told as `told` is an artifact that GitHub knows, and the other way round."""
    known = {(row["cluster"], row["deployment_name"]): row for row in truth}
    found = []
    for item in await list_records(run):
        true = known.get((item["cluster"], item["deployment_name"]))
        if true is None:
            found.append(f"{item['cluster']}: {item['deployment_name']} is recorded, and never was")
        elif (item["told"] == "told") != true["is_attested"]:
            attested = "attested" if true["is_attested"] else "not attested"
            found.append(f"{item['cluster']}: {item['deployment_name']} is {item['told']}, and {attested}")
    return found


async def list_records(run: RunProcess) -> list[Json]:
    """Return the ledger's records, through the API."""
    found: list[Json] = []
    cursor = ""
    while True:
        page = await request_json("GET", f"{run.api}/api/v1/records?limit=500{cursor}")
        found += page["items"]
        if not page.get("next"):
            return found
        cursor = f"&cursor={page['next']}"


async def sink_metrics(run: RunProcess, *, sink: str = SINK) -> Mapping[str, float]:
    """Return what `run` says of a sink: metric -> value.

    Raises:
        UpstreamError: it does not answer.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session,
            session.get(run.metrics) as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise UpstreamError(f"/metrics does not answer: {exc}") from exc
    return {
        sample.name: sample.value
        for found in text_string_to_metric_families(text)
        for sample in found.samples
        if sample.labels.get("sink") == sink
    }


def shown(differences: list[str]) -> str:
    """Return the first of them, for a test that fails."""
    return json.dumps(differences[:SHOWN], indent=1)
