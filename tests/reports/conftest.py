from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.world import fresh_place
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqlLedger]:
    opened = await SqlLedger.open(await fresh_place(tmp_path / "data" / "ledger.sqlite"), clock=clock)
    try:
        yield opened
    finally:
        await opened.close()
