"""The service with its ledger in PostgreSQL: a commit followed, and a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ledger.postgres import PostgresServer, running_server
from tests.runtime.worlds import Cluster, make_environ, make_repository, make_settings, push, running

pytestmark = [pytest.mark.requires("postgres"), pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


async def test_commit_is_followed_and_a_restart_keeps_it(tmp_path: Path, postgres: PostgresServer) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        ledger = {"path": postgres.create()}
        settings = make_settings(tmp_path, cluster, ledger=ledger, git={"directory": tmp_path / "clones"})
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_attributed()
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "Scale")
            await run.until_verdict(commit, "pending")
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            before = await run.until_read(commit, "deployed")
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            assert await run.until_read(commit, "deployed") == before
            _, metrics = await run.get("metrics", "/metrics")
    counts = [line for line in metrics.splitlines() if line.startswith("fluxtrail_lead_time_seconds_count")]
    assert [line.rpartition(" ")[2] for line in counts] == ["1.0"]
