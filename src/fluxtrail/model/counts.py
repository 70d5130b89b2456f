"""The numbers behind the gauges."""

from datetime import datetime

import msgspec


class Inflight(msgspec.Struct, frozen=True, kw_only=True):
    """What is on its way to one live target now; there is one for every target, so that a series can return to 0."""

    cluster: str
    namespace: str
    name: str
    kind: str
    commits: int
    """Pending deliveries that are stored, whatever they wait for."""
    failed: int
    oldest_since: datetime | None
    """When the oldest pending commit was merged; what waits by somebody's will does not count."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    inflight: list[Inflight]
    attribution_pending: int
    attribution_gaps: int
