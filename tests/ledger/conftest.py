from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.world import StillClock, open_fresh

from fluxtrail.ledger.ledger import SqlLedger


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.sqlite"


@pytest.fixture
async def ledger(place: Path, clock: StillClock) -> AsyncIterator[SqlLedger]:
    opened = await open_fresh(place, clock)
    try:
        yield opened
    finally:
        await opened.close()
