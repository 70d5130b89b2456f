from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.reports.standings.rooms import Room
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger

MakeRoom = Callable[..., Room]


@pytest.fixture
def make_room(ledger: SqlLedger, clock: FakeClock) -> MakeRoom:
    def make(**given: Any) -> Room:
        return Room(ledger, clock, **given)

    return make


@pytest.fixture
def room(make_room: MakeRoom) -> Room:
    return make_room()
