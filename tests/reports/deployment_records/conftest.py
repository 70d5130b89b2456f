from __future__ import annotations

import pytest
from tests.reports.deployment_records.rooms import Room
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger


@pytest.fixture
def room(ledger: SqlLedger, clock: FakeClock) -> Room:
    return Room(ledger, clock)
