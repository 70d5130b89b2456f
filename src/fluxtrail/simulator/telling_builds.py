"""Waiting until Fluxtrail says of every commit how CI left it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.observer import Observer
from fluxtrail.simulator.processes import SimulatorProcess

Json = dict[str, Any]

_SHOWN = 5


async def until_built(
    simulator: SimulatorProcess,
    observer: Observer,
    *,
    patience_seconds: float = 60.0,
    poll_seconds: float = 0.5,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Wait until the builds of all commits are known as they ended.

    Call it when the script is over: what is true must not change any more.

    Args:
        simulator: with `--ci`; without it there is nothing to wait for.
        patience_seconds: real ones.
        progress: called with how many are not right.

    Raises:
        UpstreamError: something else is said; the message names the first differences.
    """
    deadline = time.monotonic() + patience_seconds
    true = await simulator.builds()
    while True:
        trails = await observer.trails(true)
        told = {sha: trail["commit"].get("build_state") for sha, trail in trails.items()}
        wrong = [f"{sha[:9]} {told.get(sha)}, true is {state}" for sha, state in true.items() if told.get(sha) != state]
        if progress is not None:
            progress(len(wrong))
        if not wrong:
            return
        if time.monotonic() > deadline:
            shown = "; ".join(wrong[:_SHOWN])
            raise UpstreamError(
                f"after {patience_seconds:g} s the builds of {len(wrong)} commits are not what is true: {shown}; "
                "run.log below --keep says why"
            )
        await asyncio.sleep(poll_seconds)
