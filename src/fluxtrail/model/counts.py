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


class NotRunning(msgspec.Struct, frozen=True, kw_only=True):
    """How many live workloads of one target do not run what was applied, for one cause."""

    cluster: str
    namespace: str
    name: str
    kind: str
    cause: str
    """A `RolloutCause`; `progressing` where there is none yet."""
    workloads: int


class ImageCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many digests run on one cluster, by what is known of them."""

    cluster: str
    state: str
    images: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    inflight: list[Inflight]
    attribution_pending: int
    attribution_gaps: int
    not_running: list[NotRunning] = []
    images: list[ImageCount] = []
