"""What a scraper reads of `gotk_resource_info` while objects come, change and go: whole answers, each of one moment."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.runtime.worlds import NAMESPACE, Cluster, Running, make_environ, make_settings, running

from fluxtrail.runtime.settings.settings import Settings

pytestmark = pytest.mark.timeout(120)
MANY = 2_000
LINE = re.compile(r'^gotk_resource_info\{.*,name="(a\d+)".* 1$')


class Alerts(Cluster):
    """A cluster of many alerts."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.store.insert_namespace(NAMESPACE)
        for number in range(count):
            self.create(number)

    def create(self, number: int) -> None:
        definition = self.store.catalog.get("alerts")
        obj = {
            "apiVersion": f"{definition.group}/{definition.versions[0]}",
            "kind": definition.kind,
            "metadata": {"name": f"a{number}", "namespace": NAMESPACE},
            "spec": {},
        }
        self.store.create("alerts", obj)

    def suspend(self, number: int, *, is_suspended: bool) -> None:
        self.store.patch("alerts", f"a{number}", NAMESPACE, {"spec": {"suspend": is_suspended}})

    def delete(self, number: int) -> None:
        self.store.delete("alerts", f"a{number}", NAMESPACE)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """One after the other is suspended and resumed, as fast as it goes; their number stays."""

        async def change() -> None:
            turn = 0
            while True:
                for _ in range(20):
                    turn += 1
                    self.suspend(turn * 7 % self.count, is_suspended=turn // self.count % 2 == 0)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(change())
            yield
            task.cancel()


def settings_of(folder: Path, cluster: Cluster) -> Settings:
    return make_settings(folder, cluster, workloads={"enabled": False}, resources={"enabled": True})


async def scrape(run: Running, *, is_gzipped: bool) -> list[str]:
    """Return the names there are; gzip is read as one member, as those do who do not read on behind it."""
    url = f"{run.addresses['metrics']}/metrics?resources=alerts"
    headers = {"Accept-Encoding": "gzip" if is_gzipped else "identity", "Accept": "application/openmetrics-text"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(url, headers=headers) as answer,
    ):
        assert answer.status == 200
        assert answer.headers.get("content-encoding") == ("gzip" if is_gzipped else None)
        body = await answer.read()
    if is_gzipped:
        reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        body = reader.decompress(body)
        assert reader.eof
        assert reader.unused_data == b""
    *lines, end = body.decode().splitlines()
    assert end == "# EOF"
    found = [LINE.match(line) for line in lines if not line.startswith("#")]
    assert all(found), "a line is not whole"
    return [match[1] for match in found if match]


async def test_the_first_ready_answer_is_full(tmp_path: Path) -> None:
    cluster = Alerts(MANY)
    async with cluster.server:
        cluster.server.faults.fail_requests(503, "alerts", count=10_000)
        async with running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
            assert (await run.readiness())[0] == 503
            cluster.server.faults.clear()
            async with asyncio.timeout(60):
                while (await run.readiness())[0] == 503:
                    pass  # asked again at once
            assert len(await scrape(run, is_gzipped=False)) == MANY


async def test_every_answer_is_whole_while_everything_changes(tmp_path: Path) -> None:
    cluster = Alerts(MANY)
    everybody = {f"a{number}" for number in range(MANY)}
    async with cluster.server, running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        async with cluster.changing():
            for _ in range(5):
                answers = await asyncio.gather(*(scrape(run, is_gzipped=turn % 2 == 0) for turn in range(4)))
                assert all(len(names) == MANY and set(names) == everybody for names in answers)


@pytest.mark.parametrize("is_gzipped", [False, True])
async def test_what_is_deleted_is_in_no_answer_after(tmp_path: Path, is_gzipped: bool) -> None:
    cluster = Alerts(MANY)
    async with cluster.server, running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        assert len(await scrape(run, is_gzipped=is_gzipped)) == MANY
        for number in range(0, MANY, 3):
            cluster.delete(number)
        cluster.create(MANY)
        async with asyncio.timeout(60):
            while f"a{MANY}" not in (names := await scrape(run, is_gzipped=is_gzipped)):
                pass  # asked again at once
        # The new one came behind the deletions.
        assert set(names) == {f"a{number}" for number in range(MANY + 1) if number % 3}
