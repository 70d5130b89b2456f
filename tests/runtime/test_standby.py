"""Of two processes with one lease, one works: the other one is alive, not ready, and waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.runtime.test_process import process
from tests.runtime.worlds import NAMESPACE, Cluster, make_settings, until

from fluxtrail.clusters import lease as lease_module
from fluxtrail.clusters.lease import LeaseLostError
from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.settings import Settings, load_settings
from fluxtrail.runtime.standby import run_as_only_writer
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]
LEASE = {"FLUXTRAIL_LEASE__ENABLED": "true", "FLUXTRAIL_LEASE__NAMESPACE": NAMESPACE}


@asynccontextmanager
async def cluster_in(folder: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster()
    async with cluster.server:
        write_kubeconfig(folder / "kubeconfig", [cluster.server])
        yield cluster


def settings_with_lease(folder: Path, cluster: Cluster, **lease: Any) -> Settings:
    return make_settings(folder, cluster, lease={"enabled": True, "namespace": NAMESPACE, **lease})


def holder(cluster: Cluster) -> str | None:
    found = cluster.store.find("leases", "fluxtrail", NAMESPACE)
    return found["spec"].get("holderIdentity") if found else None


async def test_second_process_waits_unready_and_takes_over_when_the_first_one_ends(tmp_path: Path) -> None:
    first_folder, second_folder = tmp_path / "first", tmp_path / "second"
    first_folder.mkdir()
    second_folder.mkdir()
    async with cluster_in(first_folder) as cluster:
        write_kubeconfig(second_folder / "kubeconfig", [cluster.server])
        async with process(first_folder, **LEASE) as first:
            await first.until_serving()
            await first.until_ready()
            async with process(second_folder, **LEASE) as second:
                await until(lambda: any("held by" in line for line in second.lines), "the second one's waiting")
                (health,) = [json.loads(line)["health"] for line in second.lines if '"standing by"' in line]
                async with aiohttp.ClientSession() as session:
                    async with session.get(f"{health}/healthz") as response:
                        assert response.status == 200
                    async with session.get(f"{health}/readyz") as response:
                        assert response.status == 503
                        assert f"held by {holder(cluster)}" in await response.text()
                assert not (second_folder / "fluxtrail.sqlite").exists()
                assert await first.stop() == 0
                await second.until_serving()
                await second.until_ready()
                assert await second.stop() == 0
    assert holder(cluster) is None


async def test_signal_ends_the_waiting(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        cluster.server.faults.forbid_namespace(NAMESPACE, resource="leases")
        async with process(tmp_path, **LEASE) as found:
            await until(lambda: any("allow create, get, update" in line for line in found.lines), "the remedy")
            assert await found.stop() == 0
    assert not (tmp_path / "fluxtrail.sqlite").exists()
    assert holder(cluster) is None


async def test_process_that_lost_its_lease_stops_in_order_and_says_so(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster, process(tmp_path, **LEASE) as found:
        await found.until_serving()
        await found.until_ready()
        cluster.store.patch("leases", "fluxtrail", NAMESPACE, {"spec": {"holderIdentity": "an intruder"}})
        async with asyncio.timeout(20):
            assert await found.child.wait() == 1
        await until(lambda: "is held by an intruder now" in "".join(found.lines), "the reason")
        assert "Traceback" not in "".join(found.lines)
        assert holder(cluster) == "an intruder"
    assert not (tmp_path / "fluxtrail.sqlite-wal").exists()


async def test_lost_lease_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.05)
    ended: list[str] = []

    async def work() -> None:
        assert holder(cluster)
        cluster.store.patch("leases", "fluxtrail", NAMESPACE, {"spec": {"holderIdentity": "an intruder"}})
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("in order")

    async with cluster_in(tmp_path) as cluster:
        with pytest.raises(LeaseLostError, match="is held by an intruder now"):
            await run_as_only_writer(settings_with_lease(tmp_path, cluster), {}, work)
        assert holder(cluster) == "an intruder"
    assert ended == ["in order"]


async def test_failure_of_the_work_stays_what_it_is_and_frees_the_lease(tmp_path: Path) -> None:
    async def work() -> None:
        raise ConfigError("cannot work like this", subject="setting x")

    async with cluster_in(tmp_path) as cluster:
        with pytest.raises(ConfigError, match="cannot work like this"):
            await run_as_only_writer(settings_with_lease(tmp_path, cluster), {}, work)
        assert holder(cluster) is None
        assert cluster.store.get("leases", "fluxtrail", NAMESPACE)["spec"]["leaseTransitions"] == 0


async def test_lease_that_cannot_be_is_said_before_any_work(tmp_path: Path) -> None:
    async def work() -> None:
        pytest.fail("it worked")

    async with cluster_in(tmp_path) as cluster:
        settings = settings_with_lease(tmp_path, cluster, namespace="nowhere")
        with pytest.raises(ConfigError, match=r"lease\.namespace"):
            await run_as_only_writer(settings, {}, work)


async def test_without_the_setting_no_lease_is_asked_for(tmp_path: Path) -> None:
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    async with cluster_in(tmp_path) as cluster:
        await run_as_only_writer(make_settings(tmp_path, cluster), {}, work)
        assert holder(cluster) is None
    assert done.is_set()


@pytest.mark.parametrize(("field", "value"), [("name", "../pods/x"), ("namespace", "a/b"), ("name", "Upper")])
def test_name_that_is_no_name_is_refused(field: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"setting lease\.{field}"):
        load_settings(path=None, flags={f"lease.{field}": value})
