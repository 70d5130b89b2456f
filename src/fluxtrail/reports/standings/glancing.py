"""A glance at a commit, before its whole trail is read: mostly there is nothing to say. Pure.

While a commit is on its way to a thousand targets, each arrival makes it necessary to look, and what is said changes
with the last of them, or the first failure. So where every environment is as it was told to be by the verdicts alone,
the trail (four times as dear) is not read. What the verdicts do not tell for sure is never passed over here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from fluxtrail.model.report import SaidRecord
from fluxtrail.model.standing import Outline
from fluxtrail.model.status import StatusState
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.routes import Route, Until
from fluxtrail.reports.standings.retired import RetiredClusters
from fluxtrail.reports.standings.saying import DONE, FIRST_WORDS, NONE_RETIRED, TOGETHER

_PENDING, _DEPLOYED = Verdict.PENDING.value, Verdict.DEPLOYED.value
_ON_ITS_WAY = frozenset({_PENDING, _DEPLOYED, Verdict.ROLLED_BACK.value, Verdict.LOST.value, Verdict.ABANDONED.value})
_ARRIVED = frozenset({_DEPLOYED, Verdict.LOST.value, Verdict.ABANDONED.value})
"""Where it is there, targets that went are no matter."""
_NO_CHANGE = frozenset({Verdict.UNAFFECTED.value})


class Glance:
    """Knows one route."""

    def __init__(
        self, route: Route, environment_of: Callable[[str, str], str], retired: RetiredClusters = NONE_RETIRED
    ) -> None:
        self._route = route
        self._retired = retired
        self._environment_of = environment_of
        self._places: dict[tuple[str, str], str | None] = {}
        """Environments by (cluster, target); None where the route is not about them."""

    def has_nothing_new(self, outline: Outline, said: Sequence[SaidRecord], now: datetime) -> bool:
        """Whether there is surely nothing to say; False where that takes a look at the whole trail.

        Args:
            said: everything that was said of the commit before.
        """
        route = self._route
        if not route.admits_commit(outline.repository, is_carrier=outline.is_carrier):
            return True
        if route.kind.is_per_commit or route.kind in TOGETHER or route.says_unaffected:
            return False
        if not outline.verdicts or outline.awaits_export:
            return False
        if any(self._retired.may_have(cluster) for cluster in {cluster for cluster, _, _ in outline.verdicts}):
            return False
        last = {record.key.partition("/")[2]: record for record in said}
        groups = self._group(outline)
        return all(self._is_told(verdicts, last.get(name), now) for name, verdicts in groups.items()) and all(
            record.content and StatusState(record.state) in DONE  # what was well where nothing is any more stays so
            for name, record in last.items()
            if name not in groups
        )

    def _group(self, outline: Outline) -> Mapping[str, set[str]]:
        groups: dict[str, set[str]] = {}
        for cluster, target, verdict in outline.verdicts:
            name = self._place(cluster, target)
            if name is not None:
                groups.setdefault(name, set()).add(verdict)
        return groups

    def _place(self, cluster: str, target: str) -> str | None:
        place = (cluster, target)
        if place not in self._places:
            name = self._environment_of(cluster, target)
            is_admitted = self._route.admits_target(target) and self._route.admits_environment(name)
            self._places[place] = name if is_admitted else None
        return self._places[place]

    def _is_told(self, verdicts: set[str], last: SaidRecord | None, now: datetime) -> bool:
        """Whether an environment is as it was told to be, or nothing is told of it yet."""
        verdicts = verdicts - _NO_CHANGE
        route = self._route
        if _DEPLOYED in verdicts and route.until is Until.RUNNING:
            return False  # whether it runs, or is stuck, no verdict tells
        if _PENDING in verdicts and verdicts <= _ON_ITS_WAY:
            if last is None:
                return not route.says_pending or route.kind in FIRST_WORDS
            is_under_way = bool(last.content) and not StatusState(last.state).is_final
            return is_under_way and now - last.said_at < route.refresh
        if _DEPLOYED in verdicts and verdicts <= _ARRIVED:
            return last is not None and bool(last.content) and last.state == StatusState.SUCCESS.value
        return False
