"""A real Prometheus that scrapes on loopback, and questions to it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.runtime.worlds import until

SCRAPE_SECONDS = 1
Sample = tuple[dict[str, str], float]


class Prometheus:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, path: str, **parameters: str) -> Any:
        """Return `data` of an answer; a query that is refused is an error with Prometheus' words."""
        async with self._session.get(f"{self._url}/api/v1/{path}", params=parameters) as answer:
            body = await answer.json()
            assert body["status"] == "success", f"{parameters}: {body}"
            return body["data"]

    async def vector(self, query: str, *, at: float) -> list[Sample]:
        """Return what an instant query answers, without the metric's name."""
        data = await self.ask("query", query=query, time=f"{at:.3f}")
        assert data["resultType"] == "vector", query
        return [(_bare(item["metric"]), float(item["value"][1])) for item in data["result"]]

    async def scrapes(self, *, at: float) -> int:
        """Return how often that target was scraped that was scraped least."""
        return int(min(value for _, value in await self.vector("count_over_time(up[10m])", at=at)))

    async def increases(self, selector: str, *, at: float) -> list[Sample]:
        """Return by how much each counter grew from its first sample to its last one."""
        data = await self.ask("query", query=f"{selector}[10m]", time=f"{at:.3f}")
        assert data["resultType"] == "matrix", selector
        return [
            (_bare(item["metric"]), float(item["values"][-1][1]) - float(item["values"][0][1]))
            for item in data["result"]
        ]

    async def until_scraped(self, targets: int, *, after: float = 0.0) -> float:
        """Wait until so many targets were scraped later than `after`; return when the last of them was."""

        async def are_scraped() -> float | None:
            found = await self.ask("query", query="timestamp(up) and (up == 1)")
            moments = [float(item["value"][1]) for item in found["result"]]
            return max(moments) if len(moments) == targets and min(moments) > after else None

        found: float = await until(are_scraped, f"{targets} targets scraped after {after}")
        return found


@asynccontextmanager
async def scraping(folder: Path, jobs: Iterable[dict[str, Any]]) -> AsyncIterator[Prometheus]:
    """Run Prometheus with these `scrape_configs` until the end."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus (Debian: prometheus) is not installed")
    every = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
    configuration = folder / "prometheus.yml"
    configuration.write_text(yaml.safe_dump({"global": every, "scrape_configs": list(jobs)}), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:

            async def is_ready() -> bool:
                assert process.returncode is None, (folder / "prometheus.log").read_text(encoding="utf-8")
                try:
                    async with session.get(f"http://{address}/-/ready") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(is_ready, "Prometheus")
            yield Prometheus(f"http://{address}", session)
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


def _bare(labels: dict[str, str]) -> dict[str, str]:
    return {key: text for key, text in labels.items() if key != "__name__"}
