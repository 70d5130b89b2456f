"""The simulator as a process of its own: `python -m fluxtrail.simulator --seed 1 --changes 50`.

Prints one line of JSON when the world stands (where everything is), and runs until SIGTERM. Nothing happens in
the world before `POST /begin` on the control address, unless `--begin` is given.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

import structlog

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.simulator.control import Control
from fluxtrail.simulator.family import die_with_parent
from fluxtrail.simulator.world import World, WorldOptions

YOUNG = 10_000
"""New objects between two looks for garbage: with Python's 700, looking takes a fifth of the time."""


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    gc.freeze()
    gc.set_threshold(YOUNG)
    if options.child:
        die_with_parent()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if options.verbose else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        if options.directory is not None:
            return asyncio.run(_run(options, options.directory))
        with tempfile.TemporaryDirectory(prefix="fluxtrail-world-") as directory:
            return asyncio.run(_run(options, Path(directory)))
    except FluxtrailError as exc:
        sys.stderr.write(f"simulator: {exc}\n")
        return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fluxtrail.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides the script")
    parser.add_argument("--changes", type=int, default=50, help="commits to push, exports apart")
    parser.add_argument("--rate", type=float, default=0.6, help="ordinary commits in a simulated second")
    parser.add_argument("--time-scale", type=float, default=1.0, help="simulated seconds in a real one")
    parser.add_argument("--hold", type=float, default=6.0, help="real seconds for which what will be undone stays")
    parser.add_argument("--directory", type=Path, help="where the world lives; kept. Default: a temporary one")
    parser.add_argument("--legacy", action="append", default=[], help="a cluster with an older Flux; repeatable")
    parser.add_argument("--deployment-records", action="store_true", help="run pods, and let GitHub take records")
    parser.add_argument("--ci", action="store_true", help="let CI build what is pushed before it is exported")
    parser.add_argument(
        "--doctor", type=float, metavar="SECONDS", help="let releases get stuck; people see to it after so long"
    )
    parser.add_argument("--rounds", type=int, help="of what people do to workloads. Default: one for 50 changes")
    parser.add_argument("--begin", action="store_true", help="start the script at once")
    parser.add_argument("--child", action="store_true", help="end when the parent process ends")
    parser.add_argument("--verbose", action="store_true", help="say on stderr what happens")
    return parser.parse_args(arguments)


async def _run(options: argparse.Namespace, directory: Path) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    world = World(
        WorldOptions(
            directory=directory,
            seed=options.seed,
            changes=options.changes,
            rate=options.rate,
            time_scale=options.time_scale,
            hold_seconds=options.hold,
            legacy=frozenset(options.legacy),
            deployment_records=options.deployment_records,
            ci=options.ci,
            doctor_seconds=options.doctor,
            rounds=options.rounds,
        )
    )
    async with world:
        control = Control(world)
        await control.start()
        try:
            sys.stdout.write(json.dumps(world.describe() | {"control": control.url, "pid": os.getpid()}) + "\n")
            sys.stdout.flush()
            if options.begin:
                world.begin()
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(world.until_failed(), name="world")
                await stop.wait()
                watch.cancel()
        finally:
            await control.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
