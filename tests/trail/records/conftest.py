from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.world import fresh_place, opened
from tests.trail.records.follower import Follower
from tests.trail.workloads.cluster import Cluster

from fluxtrail.ledger.ledger import SqlLedger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    async with opened(await fresh_place(tmp_path / "data" / "ledger.sqlite")) as ledger:
        yield ledger


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def follower(cluster: Cluster, ledger: SqlLedger) -> Follower:
    """One that has begun on an empty cluster."""
    follower = Follower(cluster, ledger)
    await follower.begin()
    return follower
