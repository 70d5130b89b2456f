"""From when on something is worth a word, and what the installed Flux can do."""

from datetime import timedelta

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    patience: timedelta = timedelta(minutes=5)
    """For so long something may fail or wait without a finding: it may be under way."""
    suspended_after: timedelta = timedelta(days=1)
    stale_after: int = 5
    """Intervals without a fetch that succeeds."""
    deletion_after: timedelta = timedelta(minutes=15)
    drift_count: int = 3
    """So many corrections within `drift_window` are a loop."""
    drift_window: timedelta = timedelta(hours=1)


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the helm-controller of a cluster understands, as the schema of its HelmReleases says."""

    has_reset: bool = True
    has_force: bool = True
    has_retry_on_failure: bool = False
    told_by: str = "the served version"


V2BETA1 = Abilities(has_reset=False, has_force=False, told_by="helm.toolkit.fluxcd.io/v2beta1")
"""Flux before 2.2."""
