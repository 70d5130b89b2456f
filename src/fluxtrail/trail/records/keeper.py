"""Keeps the ledger's deployment records as the cluster is: judges what its view says changed, records.

The view never waits: a stream is not held up by the ledger. What changed is judged at once where it comes alone, and
together where much comes, so that a burst of events costs one comparison a name; only where things end is recorded,
which is what a record is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fluxtrail.model.deployment import DeploymentStatus, KeptRecord, NameTemplate
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.workloads import CORE_GROUP
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.records.judging import Judge
from fluxtrail.trail.records.numbers import KeeperNumbers
from fluxtrail.trail.records.ports import RecordLedger, ReportOf
from fluxtrail.trail.records.speakers import Speakers
from fluxtrail.trail.workloads.anchors import POD, Anchor, anchor_of_key, anchor_of_place, split_kind
from fluxtrail.trail.workloads.view import OWNER_SECONDS, WorkloadListener, WorkloadView

BUSY_SHARE = 0.25
"""Of the time that judging may take: after each round it rests for as much longer, and takes what came together."""
LONGEST_REST_SECONDS = 0.5
UNSEEN_SECONDS = 60.0
"""How long a workload of a kind that may not be read must be without pods to count as gone."""
BATCH = 1_000
"""Names in one unit."""
BREATH = 200
"""Workloads looked at between two turns of the event loop."""


@dataclass(frozen=True, kw_only=True)
class RecordRules:
    """What of a cluster is recorded, and how it is named."""

    template: NameTemplate
    namespaces: frozenset[str] = frozenset()
    """Only these; all where empty."""
    excluded: frozenset[str] = frozenset()
    decommissions_at_zero: bool = False

    def covers(self, namespace: str) -> bool:
        return namespace not in self.excluded and (not self.namespaces or namespace in self.namespaces)


class RecordKeeper(WorkloadListener):
    """One cluster's, from connecting to it until the connection is given up; listens to its view.

    Args:
        report_of: what must be said of a record that changed.
        on_begun: called once, when all that was there at the beginning is recorded.
    """

    def __init__(
        self,
        view: WorkloadView,
        *,
        ledger: RecordLedger,
        clock: Clock,
        rules: RecordRules,
        report_of: ReportOf,
        on_begun: Callable[[], None] = lambda: None,
        numbers: KeeperNumbers | None = None,
    ) -> None:
        self._view = view
        self._cluster = view.cluster
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._report_of = report_of
        self._on_begun = on_begun
        self._judge = Judge(
            view.cluster,
            view.index,
            rules.template,
            is_absent=self._is_absent,
            decommissions_at_zero=rules.decommissions_at_zero,
        )
        self._kept: dict[str, KeptRecord] = {}
        self._kept_at: defaultdict[Anchor, set[str]] = defaultdict(set)
        self._speakers = Speakers(view.index, rules.template, clock)
        self._emptied_at: dict[Anchor, datetime] = {}
        """When a workload that still has a record lost its last pod."""
        self._seen_gone: set[Anchor] = set()
        """Workloads with a record whose end was seen: no need to ask whether the stream is complete."""
        self._dirty: set[Anchor] = set()
        """Workloads to listen to again."""
        self._names: set[str] = set()
        """Still to be judged."""
        self._wake = asyncio.Event()
        self._is_begun = False
        self._has_settled = False
        self.numbers = numbers or KeeperNumbers()

    # -- listening to the view ---------------------------------------------------------------------------------

    def changed(self, anchors: set[Anchor]) -> None:
        self._dirty |= anchors
        self._wake.set()

    def gone(self, key: ObjectKey, uid: ObjectUid, seen_at: datetime) -> None:
        anchor = anchor_of_key(key)
        if anchor.kind != POD and anchor in self._kept_at:
            self._seen_gone.add(anchor)

    def noted(self, group: str, kind: str) -> None:
        # What was kept only because nothing was known of its kind may be known now.
        self._dirty.update(anchor for anchor in self._emptied_at if split_kind(anchor.kind) == (group, kind))
        self._wake.set()

    def _is_absent(self, anchor: Anchor) -> bool:
        if anchor in self._seen_gone:
            return True
        since, now = self._emptied_at.get(anchor), self._clock.now()
        if self._view.is_unseen(anchor):
            # Only its pods can say that it is there: whoever cannot see those either knows nothing.
            is_over = since is not None and (now - since).total_seconds() >= UNSEEN_SECONDS
            is_absent = is_over and self._view.streams.covers(CORE_GROUP, POD, since)
        else:
            is_absent = self._view.streams.covers(*split_kind(anchor.kind), None if anchor.kind == POD else since)
        if not is_absent:
            self._emptied_at.setdefault(anchor, now)  # so that it is asked again when more is known
        return is_absent

    # -- judging -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Judge and record for ever. Raises StoreError; nothing is forgotten then, run it again."""
        if not self._is_begun:
            await self.recall()
        self._wake.set()
        while True:
            await self._wait()
            started = self._clock.monotonic()
            await self.settle()
            took = self._clock.monotonic() - started
            await self._clock.sleep(min(took * (1 / BUSY_SHARE - 1), LONGEST_REST_SECONDS))

    async def recall(self) -> None:
        """Read what was recorded as deployed before."""
        async with self._ledger.unit() as unit:
            for record in await unit.deployment_records(self._cluster, status=DeploymentStatus.DEPLOYED):
                self._keep(record)
        for anchor in self._kept_at:
            self._view.see_kind(*split_kind(anchor.kind))  # nothing else may name the kind of what is gone

    async def _wait(self) -> None:
        """Return when there is something to judge: something was seen, or a wait for what is not seen may be over."""
        try:
            is_timed = self._view.is_waiting or self._unseen() or self._speakers.has_away
            async with asyncio.timeout(OWNER_SECONDS if is_timed else None):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _unseen(self) -> list[Anchor]:
        """Return workloads without pods, of kinds that may not be read: whether they are gone, only time tells."""
        return [anchor for anchor in self._emptied_at if self._view.is_unseen(anchor)]

    async def settle(self) -> None:
        """Judge everything that changed and record it; nothing before every kind was listed."""
        if not self._view.is_ready():
            return
        if not self._is_begun:
            self._is_begun = True
            self._names |= set(self._kept)
        self._view.give_up_waiting()
        self._dirty.update(self._unseen(), self._speakers.overdue())
        looked = 0
        while self._dirty:
            self._listen(self._dirty.pop())
            looked += 1
            if looked % BREATH == 0:
                await asyncio.sleep(0)
        names = sorted(self._names)
        for start in range(0, len(names), BATCH):
            await self._settle_some(names[start : start + BATCH])
        if not self._has_settled:
            self._has_settled = True
            self._on_begun()

    async def _settle_some(self, names: Sequence[str]) -> None:
        started = self._clock.monotonic()
        now = self._clock.now()
        judged = [found for name in names if (found := self._judge_name(name, now)) is not None]
        if judged:
            await self._record(judged, started)
        self._names.difference_update(names)

    async def _record(self, judged: Sequence[KeptRecord], started: float) -> None:
        try:
            async with self._ledger.unit() as unit:
                saved = await unit.put_deployment_records(judged)
                changed = [new for new in saved if self._is_news(new)]
                await unit.add_reports([self._report_of(record) for record in changed])
        except BaseException:
            self.numbers.note(judged, is_kept=False, seconds=self._clock.monotonic() - started)
            raise
        for record in saved:
            self._keep(record)
        self.numbers.note(changed, is_kept=True, seconds=self._clock.monotonic() - started)

    def _is_news(self, record: KeptRecord) -> bool:
        before = self._kept.get(record.deployment_name)
        return before is None or before.content != record.content

    def _judge_name(self, name: str, now: datetime) -> KeptRecord | None:
        kept = self._kept.get(name)
        if kept is not None and not self._rules.covers(kept.place.namespace):
            return None
        return self._judge.judge(name, self._speakers.of(name), kept, now)

    def _listen(self, anchor: Anchor) -> None:
        """Find out who speaks for a workload's containers now; its names are to be judged."""
        if not self._rules.covers(anchor.namespace):
            return
        self._names |= self._speakers.listen(anchor) | self._kept_at.get(anchor, set())
        if not self._speakers.is_silent(anchor):
            self._emptied_at.pop(anchor, None)
        elif anchor in self._kept_at:
            self._emptied_at.setdefault(anchor, self._clock.now())

    def _keep(self, record: KeptRecord) -> None:
        """Remember what is deployed; what is over is remembered by the ledger alone."""
        before = self._kept.pop(record.deployment_name, None)
        if before is not None:
            self._forget_place(before)
        if record.content.status is DeploymentStatus.DEPLOYED:
            self._kept[record.deployment_name] = record
            self._kept_at[anchor_of_place(record.place)].add(record.deployment_name)

    def _forget_place(self, record: KeptRecord) -> None:
        anchor = anchor_of_place(record.place)
        names = self._kept_at.get(anchor)
        if names is None:
            return
        names.discard(record.deployment_name)
        if not names:
            del self._kept_at[anchor]
            self._emptied_at.pop(anchor, None)
            self._seen_gone.discard(anchor)
