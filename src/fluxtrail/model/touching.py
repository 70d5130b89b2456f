"""When Flux last wrote an object, by what the API server keeps of its field managers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fluxtrail.model.kept import find_moment
from fluxtrail.model.wire import WireManager

MAX_MANAGERS = 64
_APPLIERS = frozenset({"kustomize-controller", "helm-controller", "flux"})
"""Field managers of Flux's own hands: what they write is what was applied."""


def read_touched_at(managers: Sequence[WireManager | None] | None) -> datetime | None:
    """Return when Flux last wrote an object; its status is another's matter."""
    if not managers:
        return None
    times = (
        find_moment(each.time)
        for each in managers[:MAX_MANAGERS]
        if each is not None and each.manager in _APPLIERS and not each.subresource
    )
    return max((found for found in times if found is not None), default=None)
