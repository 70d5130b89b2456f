"""How one kind on one cluster stands now, for readiness, status and self-metrics."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from fluxtrail.clusters.subjects import WatchStats
from fluxtrail.model.observation import Current, Listed, Observation, Unavailable


class StreamState(msgspec.Struct):
    kind: str
    is_required: bool = False
    """Nothing is as it should be without it, even where it may not be read."""
    state: str = "syncing"
    message: str = ""
    current_at: datetime | None = None
    has_listed: bool = False
    stats: WatchStats | None = None

    def note(self, batch: Sequence[Observation[Any]]) -> None:
        for observation in batch:
            match observation:
                case Listed():
                    self.state, self.message, self.has_listed = "current", "", True
                    self.current_at = observation.observed_at
                case Current():
                    self.state, self.message, self.current_at = "current", "", observation.observed_at
                case Unavailable():
                    self.state, self.message = observation.reason, observation.message
                case _:
                    self.current_at = observation.observed_at
