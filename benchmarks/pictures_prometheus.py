"""A real Prometheus as a child process, and what it answers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from fluxtrail.monitoring.objective import objective_of
from fluxtrail.monitoring.rules import prometheus_file
from fluxtrail.monitoring.ruleset import all_rules
from fluxtrail.simulator.ports import choose_addresses
from fluxtrail.simulator.processes import stop_process

START_SECONDS = 30.0
_TIMEOUT = aiohttp.ClientTimeout(total=30)

Json = dict[str, Any]


class Prometheus:
    """Asks `/api/v1`; a query that is refused is an error with Prometheus' words."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def now(self, expr: str, at: float) -> list[Json]:
        """Return the series at one moment."""
        return await self._ask("query", query=expr, time=f"{at:.3f}")

    async def over(self, expr: str, start: float, end: float, step: float) -> list[Json]:
        """Return the series over a time."""
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return await self._ask("query_range", query=expr, **span)

    async def is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self._url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _ask(self, path: str, **parameters: str) -> list[Json]:
        async with self._session.get(f"{self._url}/api/v1/{path}", params=parameters) as answer:
            said = await answer.json()
        if said["status"] != "success":
            raise RuntimeError(f"{said['error']}: {parameters['query']}")
        found: list[Json] = said["data"]["result"]
        return found


@asynccontextmanager
async def running(folder: Path, jobs: Sequence[Json], *, every_seconds: int) -> AsyncIterator[Prometheus]:
    """Start Debian's Prometheus with our rules; `jobs` are its `scrape_configs`."""
    program = shutil.which("prometheus")
    if program is None:
        raise SystemExit("prometheus (Debian: prometheus) is not installed")
    _write_settings(folder, jobs, every_seconds=every_seconds)
    (address,) = choose_addresses(("127.0.0.1:0",))
    words = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, *words, f"--web.listen-address={address}", stdout=log, stderr=log
        )
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            prometheus = Prometheus(f"http://{address}", session)
            async with asyncio.timeout(START_SECONDS):
                while not await prometheus.is_ready():  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.2)
            yield prometheus
    finally:
        await stop_process(process)


def _write_settings(folder: Path, jobs: Sequence[Json], *, every_seconds: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    every = f"{every_seconds}s"
    (folder / "rules.yaml").write_text(yaml.safe_dump(prometheus_file(all_rules(objective_of()))))
    limits = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    settings = {"global": limits, "rule_files": ["rules.yaml"], "scrape_configs": list(jobs)}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
