"""Whether a verdict may be told yet. Pure.

A branch that is rewritten makes what stood on it `lost` at once. But a cluster may have applied it a moment before, by
a sync of which it is not known yet what it carried: then the verdict is taken back. So `lost` is told only when every
sync of its target is known; and if it was taken back before it was told, it is not told.
"""

from __future__ import annotations

from datetime import timedelta

from fluxtrail.model.telling import DeliveryTelling
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.plan import Content

LOOK_SECONDS = 5.0
"""After so long it is looked again."""
HELD_FOR = timedelta(minutes=10)
"""At most: what a sync carried may never be found out."""


def is_early(content: Content, told: DeliveryTelling, waited: timedelta) -> bool:
    return content.verdict is Verdict.LOST and told.is_unsure and waited < HELD_FOR


def is_taken_back(content: Content, told: DeliveryTelling) -> bool:
    return content.verdict is Verdict.LOST and told.verdict is not Verdict.LOST
