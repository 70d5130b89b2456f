"""Who speaks for each container of a cluster now, and under which deployment name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from fluxtrail.model.deployment import NameTemplate
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.records.choice import Candidate, choose
from fluxtrail.trail.records.judging import Speaker
from fluxtrail.trail.workloads.anchors import Anchor
from fluxtrail.trail.workloads.index import ClusterIndex

AWAY_SECONDS = 30.0
"""How long the pods of the newest revision may be away, while it is still wanted, before an older one is heard."""


class Speakers:
    """What was heard of each workload when it was last listened to. Reads the index, changes nothing there."""

    def __init__(self, index: ClusterIndex, template: NameTemplate, clock: Clock) -> None:
        self._index = index
        self._template = template
        self._clock = clock
        self._heard: dict[Anchor, dict[str, Candidate]] = {}
        self._named: defaultdict[str, set[tuple[Anchor, str]]] = defaultdict(set)
        self._away_since: dict[Anchor, float] = {}

    def listen(self, anchor: Anchor) -> set[str]:
        """Find out who speaks for a workload's containers now; returns the names under which anybody does or did."""
        before = self._heard.pop(anchor, {})
        heard = self._heeded(anchor, before, choose(anchor, self._index.pods_of(anchor)))
        for container in before.keys() - heard.keys():
            name = self.name(anchor, container)
            self._named[name].discard((anchor, container))
            if not self._named[name]:
                del self._named[name]
        for container in heard.keys() - before.keys():
            self._named[self.name(anchor, container)].add((anchor, container))
        if heard:
            self._heard[anchor] = heard
        return {self.name(anchor, container) for container in before.keys() | heard.keys()}

    def is_silent(self, anchor: Anchor) -> bool:
        """Whether nobody speaks for any container of a workload."""
        return anchor not in self._heard

    def of(self, name: str) -> list[Speaker]:
        """Return who speaks for a name, one a workload and container."""
        named = self._named.get(name, ())
        return [(anchor.place(container), self._heard[anchor][container]) for anchor, container in named]

    def name(self, anchor: Anchor, container: str) -> str:
        return self._template.name(anchor.place(container))

    @property
    def has_away(self) -> bool:
        """Whether somebody is waited for: listen again to those of `overdue` after a while."""
        return bool(self._away_since)

    def overdue(self) -> list[Anchor]:
        """Return workloads whose newest revision has been away for too long."""
        now = self._clock.monotonic()
        return [anchor for anchor, since in self._away_since.items() if now - since >= AWAY_SECONDS]

    def _heeded(
        self, anchor: Anchor, before: Mapping[str, Candidate], heard: Mapping[str, Candidate]
    ) -> dict[str, Candidate]:
        """Return who speaks: an older revision is not heard while the pods of a newer one are only just away."""
        heeded, now = dict(heard), self._clock.monotonic()
        since = self._away_since.pop(anchor, now)
        if now - since >= AWAY_SECONDS:
            return heeded
        for container, speaker in heard.items():
            last = before.get(container)
            is_older = last is not None and speaker.revision < last.revision
            if last is not None and is_older and self._index.wants_revision(anchor, last.revision):
                heeded[container] = last
                self._away_since[anchor] = since
        return heeded
