"""Waiting until the simulated GitHub holds of every deployment what is true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.processes import SimulatorProcess

Json = dict[str, Any]

_SHOWN = 5


async def until_told(
    simulator: SimulatorProcess,
    *,
    patience_seconds: float = 240.0,
    poll_seconds: float = 0.5,
    was_away: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Json]:
    """Wait until GitHub holds what is true; return its records, by name and cluster.

    Call it when the script is over: what is true must not change any more. An artifact that was attested late is
    asked about again after up to five simulated minutes, so patience is long.

    Args:
        simulator: with `--deployment-records`.
        patience_seconds: real ones.
        was_away: Fluxtrail was not there all the time; see `differences_of_records`.
        progress: called with how many names are right, and how many there are.

    Raises:
        UpstreamError: it holds something else; the message names the first differences.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        truth = await simulator.records_truth(was_away=was_away)
        differences: list[str] = truth["differences"]
        if progress is not None:
            total = len(truth["records"])
            progress(max(total - len(differences), 0), total)
        if not differences:
            records = (await simulator.records())["records"]
            return sorted(map(_short, records), key=lambda record: (record["deployment_name"], record["cluster"]))
        if time.monotonic() > deadline:
            shown = "; ".join(differences[:_SHOWN])
            raise UpstreamError(
                f"after {patience_seconds:g} s GitHub does not hold what runs, in {len(differences)} names: {shown}; "
                "run.log below --keep says why"
            )
        await asyncio.sleep(poll_seconds)


def _short(record: Json) -> Json:
    return {key: record[key] for key in ("cluster", "deployment_name", "digest", "status")}
