"""Which clusters nobody follows any more: what was on its way there will not come, and that is nobody's fault.

A cluster leaves the settings (or its kubeconfig), is made anew under its name, or is watched now where notifications
told of it before. Nothing in the ledger changes with that, for it may come back; only what is said does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from fluxtrail.model.observation import is_told_cluster
from fluxtrail.model.views import DeliveryView


class RetiredClusters:
    """Of the settings: which clusters they do not have any more."""

    def __init__(
        self, watched: Callable[[], Iterable[tuple[str, str]]] = lambda: (), *, told: Collection[str] = ()
    ) -> None:
        """Args:
        watched: (uid, name) of each cluster that the settings state; an empty uid until it was reached.
        told: names of the clusters that senders of notifications speak of.
        """
        self._watched = watched
        self._told = frozenset(told)

    def has(self, item: DeliveryView) -> bool:
        """Whether a delivery's cluster is one of them.

        Until each cluster of the settings was reached once, none is: one of them may only have another name now.
        """
        watched = dict(self._watched())
        if is_told_cluster(item.cluster_uid):
            return bool(watched or self._told) and (item.cluster not in self._told or item.cluster in watched.values())
        return bool(watched) and "" not in watched and item.cluster_uid not in watched

    def may_have(self, name: str) -> bool:
        """Whether a cluster of this name may be one of them; False only if it surely is followed, or was made anew."""
        stated = {name for _, name in self._watched()} | self._told
        return bool(stated) and name not in stated
