"""How old a look at a branch is: a slow answer shows what was there when it was asked for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.world import NOON, fresh_place, opened

from fluxtrail.model.records import UNSAVED, BranchRecord, RepositoryId, RepositoryRecord
from fluxtrail.trail.recorder import Recorder
from fluxtrail.trail.registry import Registry

HEAD = "a" * 40
SLOW = timedelta(seconds=7)


class Clock:
    time = NOON

    def now(self) -> Any:
        return self.time


class Slow:
    """A repository whose answers take a while."""

    def __init__(self, clock: Clock, branches: dict[str, str]) -> None:
        self._clock = clock
        self.branches = branches

    def open(self, url: str) -> Slow:
        return self

    async def refresh(self, *, want: Any = ()) -> Slow:
        self._clock.time += SLOW
        return self


@pytest.mark.parametrize("branches", [{"main": HEAD}, {}], ids=["nothing new", "no such branch"])
async def test_a_look_is_as_old_as_its_question(tmp_path: Path, branches: dict[str, str]) -> None:
    clock, registry = Clock(), Registry()
    async with opened(await fresh_place(tmp_path / "ledger.sqlite")) as ledger:
        async with ledger.unit() as unit:
            shop = await unit.put_repository(
                RepositoryRecord(id=RepositoryId(UNSAVED), canonical="github.com/acme/shop", url="https://x/shop")
            )
        registry.put_repositories([shop])
        registry.put_branch(BranchRecord(repository_id=shop.id, name="main", head=HEAD, looked_at=None))
        unused: Any = None
        recorder = Recorder(
            registry=registry,
            ledger=ledger,
            clock=clock,  # type: ignore[arg-type]
            repositories=Slow(clock, branches),  # type: ignore[arg-type]
            forges=unused,
            exports=unused,
            watch_gap=timedelta(minutes=1),
        )
        known = await recorder.advance(shop, "main")
    assert known.looked_at == NOON
    assert clock.time == NOON + SLOW
