"""Kills and a collector that is away: what it was told in the end is what really happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.telemetry import check_telemetry


@pytest.mark.crash
@pytest.mark.timeout(400)
async def test_kills_and_an_outage_change_nothing_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
    outcome = await check_telemetry(
        tmp_path, kills=4, seed=1, changes=12, outage_seconds=60.0, time_scale=4.0, hold_seconds=6.0
    )
    assert outcome.differences == []
    assert outcome.spans > 60
    assert outcome.records > 30
