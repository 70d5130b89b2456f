"""Ten seeded SIGKILLs of the real process: nothing it says afterwards differs from what really happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.kill import kill_repeatedly


@pytest.mark.crash
@pytest.mark.timeout(400)
async def test_ten_kills_change_no_verdict_no_moment_and_no_count(tmp_path: Path) -> None:
    outcome = await kill_repeatedly(
        tmp_path, kills=10, seed=1, changes=20, time_scale=4.0, hold_seconds=10.0, patience_seconds=90.0
    )
    assert outcome.differences == []
    assert outcome.commits >= 20
