"""Causes that only Events tell, through the whole service: in `get workloads`, and asked for by nothing but lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.test_running import begun, next_commit, until_running
from tests.runtime.worlds import Cluster, Running, make_environ, make_repository, make_settings, running, until

from fluxtrail.simulator.apiserver.resources import ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import forbidden
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.workloads.events import EventRecorder
from fluxtrail.trail.rollouts import asking

pytestmark = pytest.mark.timeout(60)
MOUNT = 'MountVolume.SetUp failed for volume "app-data" : secret "app" not found'


class Verbs:
    """Who asks for what of events; refused or not."""

    def __init__(self, *, is_refused: bool) -> None:
        self._is_refused = is_refused
        self.asked: list[tuple[str, str]] = []

    def authorize(
        self, user: str, verb: str, definition: ResourceDefinition, *, namespace: str, name: str = ""
    ) -> None:
        if definition.plural != "events":
            return
        self.asked.append((verb, namespace))
        if self._is_refused:
            raise forbidden(definition, user=user, verb=verb, namespace=namespace, name=name)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE", timedelta(seconds=0.2))
    monkeypatch.setattr(asking, "ROUND_SECONDS", 0.1)


async def _workload(service: Running, name: str) -> dict[str, Any]:
    items = (await service.ask("/workloads"))["items"]
    return next((dict(item) for item in items if item["workload"] == f"Deployment/shop/{name}"), {})


@pytest.mark.parametrize("is_refused", [False, True], ids=["granted", "refused"])
async def test_volume_that_is_not_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_refused: bool) -> None:
    cluster, verbs = Cluster(), Verbs(is_refused=is_refused)
    fleet = await make_repository(tmp_path)
    monkeypatch.setattr(cluster.server.access, "authorize", verbs.authorize)
    async with cluster.server:
        floor = await begun(cluster, fleet, "web")
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as service:
            await service.until_ready()
            await service.until_attributed()
            commit = await next_commit(cluster, fleet, "two")
            floor.change("web", 2)
            pod = floor.begin("web", 2)
            doc = cluster.store.get("pods", pod, "shop")
            events = EventRecorder(cluster.store, SimulatedClock(origin=datetime.now(UTC)))
            events.tell(doc, "FailedMount", MOUNT, component="kubelet")
            floor.apply(commit, "web")

            async def is_told() -> bool:
                found = await _workload(service, "web")
                return found.get("cause") == "volume" and MOUNT in found["message"]

            await until(is_told if not is_refused else lambda: verbs.asked, "the events' answer")
            floor.finish("web", 2)
            await until_running(service, commit, "reached")
    assert set(verbs.asked) == {("list", "shop")}
    assert not is_refused or len(verbs.asked) == 1
