"""Waiting until the simulated GitHub holds of every commit what is true, and what a demo says of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.processes import SimulatorProcess

Json = dict[str, Any]

_SHOWN = 5
_OF_STATUSES = ("system", "repository", "sha", "context", "state", "description", "url", "steps", "writes")
_OF_STEPS = ("at", "context", "state", "description")


async def until_said(
    simulator: SimulatorProcess,
    *,
    patience_seconds: float = 120.0,
    poll_seconds: float = 0.5,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Wait until every commit and environment has the status that is right.

    Call it when the script is over: what is true must not change any more.

    Args:
        simulator: whose `run` has routes.
        patience_seconds: real ones.
        progress: called with how many are not right.

    Raises:
        UpstreamError: GitHub holds something else; the message names the first differences.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        differences = await simulator.statuses_differences()
        if progress is not None:
            progress(len(differences))
        if not differences:
            return
        if time.monotonic() > deadline:
            shown = "; ".join(differences[:_SHOWN])
            raise UpstreamError(
                f"after {patience_seconds:g} s {len(differences)} statuses are not what is true: {shown}; "
                "run.log below --keep says why"
            )
        await asyncio.sleep(poll_seconds)


async def said_so_far(simulator: SimulatorProcess, trails: Iterable[Json]) -> Json:
    """Return what a demo says of statuses: how they stand, one pull request's way there, what it took, and what came of
    GitHub's webhooks.

    Args:
        trails: of the API: they know which pull request a commit came by.
    """
    numbers = {trail["commit"]["sha"]: trail["commit"].get("pull_request") for trail in trails}
    record = await simulator.forges()
    statuses = [item for item in record["statuses"] if item["system"] == "github"]
    return {
        "environments": simulator.description["forges"]["environments"],
        "told_repositories": simulator.description["forges"]["repositories"],
        "statuses": [_short(item, numbers) for item in statuses],
        "pull_request": await _busiest(simulator, statuses, numbers),
        "calls": {
            "writes": record["total_writes"],
            "violations": record["violations"]["total"],
            "most_per_minute": int(record["github_peaks"]["per_minute"]),
            "most_per_hour": int(record["github_peaks"]["per_hour"]),
        },
        "pushes": record["pushes"],
    }


def _short(status: Json, numbers: Json) -> Json:
    return {key: status[key] for key in _OF_STATUSES} | {"pull_request": numbers.get(status["sha"])}


async def _busiest(simulator: SimulatorProcess, statuses: Sequence[Json], numbers: Json) -> Json | None:
    """Return the pull request whose statuses changed most, step by step; None where no pull request has one."""
    steps: dict[str, int] = {}
    for status in statuses:
        if numbers.get(status["sha"]):
            steps[status["sha"]] = steps.get(status["sha"], 0) + len(status["steps"])
    if not steps:
        return None
    sha = max(steps, key=lambda key: (steps[key], key))
    writes = [write for write in await simulator.writes() if write["system"] == "github" and write["sha"] == sha]
    return {
        "number": numbers[sha],
        "repository": writes[0]["repository"],
        "sha": sha,
        "steps": [{key: write[key] for key in _OF_STEPS} for write in writes],
    }
