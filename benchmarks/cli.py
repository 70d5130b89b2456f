"""How long the command takes to start, and to ask a local server: `python -m benchmarks.cli`.

Wall time of whole processes, best and median of RUNS; bars: `--version` 100 ms, any client command 300 ms.
The server is the real one in this process over a small world; the command runs in its own.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

from tests.web.worlds import NOW, ON_ITS_WAY, World

from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

RUNS = 15
COMMANDS = (
    (["--version"], 100),
    (["trace", ON_ITS_WAY], 300),
    (["get", "deliveries"], 300),
    (["get", "targets", "-o", "yaml"], 300),
    (["wait", ON_ITS_WAY, "--for", "applied", "--cluster", "staging"], 300),
)


async def measure(arguments: list[str], server: str) -> list[float]:
    script = Path(sys.executable).with_name("fluxtrail")
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            script, "--server", server, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        await process.communicate()
        taken.append(1000 * (time.perf_counter() - started))
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)} exited with {process.returncode}")
    return taken


async def main() -> None:
    world = World()
    app = create_app(answers=world, report=world, now=lambda: NOW)
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server:
        for arguments, bar in COMMANDS:
            taken = await measure(arguments, server.addresses["api"].url)
            name = " ".join(a[:8] for a in arguments)
            print(f"{name:<40} best {min(taken):6.1f} ms   median {statistics.median(taken):6.1f} ms   bar {bar} ms")


if __name__ == "__main__":
    asyncio.run(main())
