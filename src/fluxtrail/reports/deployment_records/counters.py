"""What telling GitHub of deployments came to, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RecordCounters:
    """Of one process since it started; records, not requests."""

    told: int = 0
    """GitHub took it."""
    withdrawn: int = 0
    """Told as decommissioned because GitHub does not know the digest that took its place."""
    unknown: int = 0
    """GitHub knows no artifact of the digest."""
    refused: int = 0
    """Dead letters."""
    unknown_artifact_cache_hit: int = 0
    """Not sent: GitHub was asked about the digest lately."""
    retried: int = 0
    """Unknown digests whose time to be asked about again had come."""
    is_bulk_absent: bool = False
    """This GitHub had no bulk calls when they were last tried; they are tried again every hour."""
