"""What `/readyz` and `/healthz` say, before the first list and while the ledger cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.runtime.worlds import (
    Cluster,
    Running,
    make_environ,
    make_repository,
    make_settings,
    push,
    running,
    until,
)

from fluxtrail.ledger.sqlite import SqliteEngine
from fluxtrail.runtime import service as service_module


async def test_not_ready_before_the_first_list_of_each_stream_and_ready_after(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server:
        cluster.server.faults.fail_requests(503, "kustomizations", count=1000)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:

            async def is_half_ready() -> bool:
                return "[+]cluster/prod/GitRepository ok" in (await run.readiness())[1]

            await until(is_half_ready, "the sources' first list")
            status, text = await run.readiness()
            assert status == 503
            assert "[-]cluster/prod/Kustomization not ready: " in text
            assert "[+]ledger ok" in text
            assert text.endswith("\nnot ready\n")
            assert await run.get("health", "/healthz") == (200, "ok\n")
            cluster.server.faults.clear()
            await run.until_ready()
            assert (await run.readiness())[1].endswith("\nready\n")
            assert await run.get("health", "/healthz") == (200, "ok\n")
            cluster.server.faults.fail_requests(503, "kustomizations", count=1000)
            cluster.server.faults.drop_watches()

            async def is_failing() -> bool:
                return await run.sample("fluxtrail_watch_failures_total", kind="Kustomization") > 0

            await until(is_failing, "a failing watch")
            assert (await run.readiness())[0] == 200


async def _refuse_writes(run: Running, *, is_on: bool) -> None:
    """Let the database of the ledger's writing connection refuse, as it does on a disk turned read-only."""
    engine = run.service.store._engine
    assert isinstance(engine, SqliteEngine)
    async with engine._writer.connect() as connection:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        await driver.execute(f"PRAGMA query_only={'ON' if is_on else 'OFF'}")


async def test_ledger_that_cannot_be_written_is_said_and_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "RESTART_SECONDS", 0.2)
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit)
            await run.until_attributed()
            await _refuse_writes(run, is_on=True)

            async def is_said() -> bool:
                status, text = await run.readiness()
                return status == 503 and "[-]ledger not ready: " in text and "mount it read-write" in text

            await until(is_said, "the ledger's problem in /readyz")
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            assert await run.get("health", "/healthz") == (200, "ok\n")
            assert [item["target"] for item in await run.targets()] == ["Kustomization/flux-system/apps"]
            checks = {item["name"]: item["is_ok"] for item in (await run.ask("/status"))["checks"]}
            assert checks["ledger"] is False
            await _refuse_writes(run, is_on=False)
            await run.until_ready()
            delivery = await run.until_verdict(commit, "deployed")
            assert set(delivery["stages"]) >= {"merged", "applied"}
