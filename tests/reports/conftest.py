from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.world import open_fresh
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqlLedger]:
    opened = await open_fresh(tmp_path / "data" / "ledger.sqlite", clock)
    try:
        yield opened
    finally:
        await opened.close()
