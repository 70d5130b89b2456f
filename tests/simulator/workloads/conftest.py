from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.simulator.workloads.cluster import Cluster

from fluxtrail.simulator.apiserver.resources import ARGO_ROLLOUTS
from fluxtrail.simulator.apiserver.server import ApiServer
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.truth import Truth
from fluxtrail.simulator.workloads.controller import WorkloadController
from fluxtrail.simulator.workloads.images import Registry

SCALE = 40.0


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    clock = SimulatedClock(scale=SCALE)
    truth = Truth(tmp_path / "truth.jsonl", clock=clock)
    server = ApiServer(name="staging", clock=clock.now, resources=[ARGO_ROLLOUTS], seed=1)
    server.store.insert_namespace("shop")
    workloads = WorkloadController(
        "staging", store=server.store, clock=clock, truth=truth, registry=Registry(), dice=random.Random(1)
    )
    task = asyncio.create_task(workloads.run())
    yield Cluster(server.store, workloads)
    assert not task.done(), task.exception()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    truth.close()
