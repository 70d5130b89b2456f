from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from tests.runtime.telling import open_clusters
from tests.runtime.worlds import Cluster, make_repository

from fluxtrail.runtime.settings.settings import REPLACED_NAMES
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Repository

FOREIGN = (*REPLACED_NAMES, "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
OURS = ("FLUXTRAIL_", "GITHUB_")
TIMEOUT_SECONDS = 90
"""Each of these starts whole services, and waits for them several times."""


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the machine that it runs on."""
    for name in [*os.environ]:
        if name in FOREIGN or (name.startswith(OURS) and not name.startswith("FLUXTRAIL_TEST_")):
            monkeypatch.delenv(name)


@pytest.fixture
async def forges() -> AsyncIterator[Forges]:
    async with Forges(SimulatedClock()) as found:
        yield found


@pytest.fixture
async def repository(tmp_path: Path) -> Repository:
    return await make_repository(tmp_path / "repositories")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with open_clusters("prod") as (made,):
        yield made


@pytest.fixture
async def clusters() -> AsyncIterator[list[Cluster]]:
    async with open_clusters("prod-eu", "prod-us", "staging") as made:
        yield made
