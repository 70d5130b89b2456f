"""What keeping deployment records has come to: counted, and told to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fluxtrail.model.deployment import DeploymentStatus, KeptRecord

OnRecorded = Callable[[DeploymentStatus, bool, float], None]
"""Told of each change that was recorded, or could not be (False): its status, and its share of the seconds."""


@dataclass
class KeeperNumbers:
    """What one keeper has done since it started."""

    deployed: int = 0
    decommissioned: int = 0
    failed: int = 0
    """Changes that could not be recorded at once; they are tried again."""
    on_recorded: OnRecorded = lambda status, is_kept, seconds: None

    def note(self, records: Sequence[KeptRecord], *, is_kept: bool, seconds: float) -> None:
        for record in records:
            is_gone = record.content.status is DeploymentStatus.DECOMMISSIONED
            self.failed += not is_kept
            self.decommissioned += is_kept and is_gone
            self.deployed += is_kept and not is_gone
            self.on_recorded(record.content.status, is_kept, seconds / len(records))
