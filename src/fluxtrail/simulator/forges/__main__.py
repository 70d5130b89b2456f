"""All forges as a process of their own, without a world: `python -m fluxtrail.simulator.forges --time-scale 60`.

For load: every commit of every repository is there. Prints one line of JSON (the address, and the clock that whoever
is measured must have), and runs until SIGTERM. `/forges`, `/forges/writes`, `/forges/trust` and `/faults/forges` are at
the same address.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys

from fluxtrail.simulator.clock import SimulatedClock, parse_clock
from fluxtrail.simulator.control_forges import ForgesControl
from fluxtrail.simulator.family import die_with_parent
from fluxtrail.simulator.forges.commits import AnyCommits
from fluxtrail.simulator.forges.server import Forges


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    if options.child:
        die_with_parent()
    clock = parse_clock(options.clock) if options.clock else SimulatedClock(scale=options.time_scale)
    asyncio.run(_run(clock, options.unknown))
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fluxtrail.simulator.forges", description=__doc__)
    parser.add_argument("--time-scale", type=float, default=1.0, help="simulated seconds in a real one")
    parser.add_argument("--clock", default="", help="another process's clock instead: <origin>@<scale>")
    parser.add_argument("--unknown", action="append", default=[], help="a sha that nobody has; repeatable")
    parser.add_argument("--child", action="store_true", help="end when the parent process ends")
    return parser.parse_args(arguments)


async def _run(clock: SimulatedClock, unknown: list[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    forges = Forges(clock, commits=AnyCommits(unknown=tuple(unknown)))
    forges.mounts.append(ForgesControl(forges).add_routes)
    async with forges:
        described = {"url": forges.url, "control": forges.url, "clock": clock.text(), "pid": os.getpid()}
        sys.stdout.write(json.dumps(described) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
