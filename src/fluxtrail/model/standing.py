"""How a commit stands in an environment: what all its targets there come to, as one answer. Pure.

    lost, abandoned, rolled back    for good or ill, nothing more comes        ERROR
    failed on any target            it needs somebody                          FAILURE
    pending on any target           the slowest target speaks                  PENDING or RUNNING
    deployed on all (or running)    done                                       SUCCESS
    affects nothing here            done, and nothing to do                    NEUTRAL

What needs somebody is said before what is under way: a failure is not hidden by a slower cluster.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.status import StatusState
from fluxtrail.model.views import CommitView, DeliveryView


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One commit in one environment."""

    commit: CommitView
    branch: str = ""
    """The branch that it stands on, where one is followed."""
    environment: str
    state: StatusState
    deliveries: tuple[DeliveryView, ...]
    """Every target of the environment that the commit concerns, those that decide first."""
    done: int
    """Of `deliveries` that are there."""
    speaker: DeliveryView | None
    """The one that decides: the failed one, the slowest one, the last to arrive."""
    stage: str = ""
    """The last stage that the speaker reached."""
    since: datetime | None = None
    """When the state became what it is, as far as deliveries tell."""
    lead_seconds: float | None = None
    """Of SUCCESS: merged until the last target was done."""

    @property
    def clusters(self) -> list[str]:
        return list(dict.fromkeys(item.cluster for item in self.deliveries))


Deliveries = Sequence[DeliveryView]
