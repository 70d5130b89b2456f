"""CI runs to put into tests, with everything filled in that they do not care about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fluxtrail.model.ci import CiRun, CiState, CiSystem

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minutes(count: float) -> datetime:
    return NOON + timedelta(minutes=count)


def run(run_id: str = "7", **changed: Any) -> CiRun:
    fields: dict[str, Any] = {
        "system": CiSystem.GITHUB_ACTIONS,
        "host": "github.com",
        "project": "acme/shop",
        "run_id": run_id,
        "repository": "github.com/acme/shop",
        "sha": "a" * 40,
        "pipeline": "build",
        "state": CiState.SUCCEEDED,
        "queued_at": NOON,
        "finished_at": minutes(5),
        "updated_at": minutes(5),
    }
    return CiRun(**{**fields, **changed})
