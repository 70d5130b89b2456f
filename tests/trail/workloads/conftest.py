from __future__ import annotations

import pytest
from tests.trail.workloads.cluster import Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()
