from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.trail.ci.worlds import CiWorld, opened_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[CiWorld]:
    async with opened_world(tmp_path) as opened:
        yield opened
