"""Killed while it takes notices in: what was answered is in the ledger, and once. The benchmark does it with more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from benchmarks.hooks import Server, kept_in, kill_while_posting


@pytest.mark.timeout(60)
async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    server = Server(place, core=max(os.sched_getaffinity(0)), senders=3)
    accepted = await kill_while_posting(server, count=1_000, connections=32, first=1)
    kept = await kept_in(place)
    assert len(accepted) >= 500
    assert set(accepted) <= set(kept)
    assert set(kept.values()) == {1}
    assert kept.total() < 1_000  # it was killed in the middle
