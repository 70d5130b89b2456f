"""Keeps the ledger's deployment records as the cluster is: sees, judges what changed, records.

Seeing never waits: a stream is not held up by the ledger. What changed is judged at once where it comes alone, and
together where much comes, so that a burst of events costs one comparison a name; only where things end is recorded,
which is what a record is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from fluxtrail.model.deployment import DeploymentStatus, KeptRecord, NameTemplate
from fluxtrail.model.image import is_digest
from fluxtrail.model.observation import (
    ClusterUid,
    Current,
    Gone,
    Listed,
    ObjectKey,
    ObjectUid,
    Observation,
    Seen,
    Unavailable,
)
from fluxtrail.model.workloads import CORE_GROUP, Pod, Workload
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.workloads.anchors import FAMILIAR, POD, Anchor, anchor_of_place, kind_text, split_kind
from fluxtrail.trail.workloads.completeness import Completeness
from fluxtrail.trail.workloads.index import ClusterIndex
from fluxtrail.trail.workloads.judging import Judge
from fluxtrail.trail.workloads.ports import RecordLedger, ReportOf
from fluxtrail.trail.workloads.speakers import Speakers

log = structlog.get_logger(__name__)

BUSY_SHARE = 0.25
"""Of the time that judging may take: after each round it rests for as much longer, and takes what came together."""
LONGEST_REST_SECONDS = 0.5
OWNER_SECONDS = 5.0
"""How long a pod waits for an owner that its stream has not brought yet."""
CUSTOM_SECONDS = 60.0
"""How long the first judgement waits for kinds that are not Kubernetes' own: one may be broken for good."""
UNSEEN_SECONDS = 60.0
"""How long a workload of a kind that may not be read must be without pods to count as gone."""
BATCH = 1_000
"""Names in one unit."""
BREATH = 200
"""Workloads looked at between two turns of the event loop."""
MAX_CUSTOM_KINDS = 32
REMEMBERED_IMAGES = 1_000


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


OnRecorded = Callable[[DeploymentStatus, bool, float], None]
"""Told of each change that was recorded, or could not be (False): its status, and its share of the seconds."""


@dataclass
class KeeperNumbers:
    """What one keeper has done since it started."""

    deployed: int = 0
    decommissioned: int = 0
    failed: int = 0
    """Changes that could not be recorded at once; they are tried again."""
    undigested: int = 0
    """Containers seen whose image id holds no sha256 digest."""
    on_recorded: OnRecorded = lambda status, is_kept, seconds: None

    def note(self, records: Sequence[KeptRecord], *, is_kept: bool, seconds: float) -> None:
        for record in records:
            is_gone = record.content.status is DeploymentStatus.DECOMMISSIONED
            self.failed += not is_kept
            self.decommissioned += is_kept and is_gone
            self.deployed += is_kept and not is_gone
            self.on_recorded(record.content.status, is_kept, seconds / len(records))


class WorkloadKeeper:
    """One cluster's, from connecting to it until the connection is given up.

    Args:
        report_of: what must be said of a record that changed.
        on_begun: called once, when all that was there at the beginning is recorded.
        on_kind: called once with (group, kind) of each owner of a kind that is not watched yet: its metadata should be.
    """

    def __init__(
        self,
        cluster: ClusterUid,
        *,
        ledger: RecordLedger,
        clock: Clock,
        rules: RecordRules,
        report_of: ReportOf,
        on_kind: Callable[[str, str], None],
        on_begun: Callable[[], None] = lambda: None,
        numbers: KeeperNumbers | None = None,
    ) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._report_of = report_of
        self._on_kind = on_kind
        self._on_begun = on_begun
        self._index = ClusterIndex()
        self._streams = Completeness()
        self._judge = Judge(
            cluster,
            self._index,
            rules.template,
            is_absent=self._is_absent,
            decommissions_at_zero=rules.decommissions_at_zero,
        )
        self._kept: dict[str, KeptRecord] = {}
        self._kept_at: defaultdict[Anchor, set[str]] = defaultdict(set)
        self._speakers = Speakers(self._index, rules.template, clock)
        self._emptied_at: dict[Anchor, datetime] = {}
        """When a workload that still has a record lost its last pod."""
        self._seen_gone: set[Anchor] = set()
        """Workloads with a record whose end was seen: no need to ask whether the stream is complete."""
        self._waiting_since: dict[ObjectUid, float] = {}
        self._undigested: set[str] = set()
        self._custom_kinds: set[tuple[str, str]] = set()
        self._names: set[str] = set()
        """Still to be judged."""
        self._wake = asyncio.Event()
        self._is_begun = False
        self._has_settled = False
        self._waits_for_custom_since: float | None = None
        self.numbers = numbers or KeeperNumbers()

    # -- seeing ------------------------------------------------------------------------------------------------

    async def observe(self, observations: Sequence[Observation[Any]]) -> None:
        """Take a batch of one stream."""
        for observation in observations:
            match observation:
                case Seen(object=Pod() as pod):
                    self._see_owners(pod.owners)
                    self._see_images(pod)
                    self._index.put_pod(pod)
                case Seen(object=Workload() as item):
                    self._see_owners(item.owners)
                    self._seen_gone.discard(_anchor_of(item.key))
                    self._index.put_object(item)
                case Gone():
                    self._lose(observation)
                case Listed() | Current() | Unavailable():
                    self._note(observation)
        self._wake.set()

    def _lose(self, gone: Gone) -> None:
        if (gone.key.group, gone.key.kind) == (CORE_GROUP, POD):
            self._index.drop_pod(gone.uid)
            return
        self._index.drop_object(gone.uid)
        anchor = _anchor_of(gone.key)
        if anchor in self._kept_at:
            self._seen_gone.add(anchor)

    def _note(self, observation: Listed | Current | Unavailable) -> None:
        kind = (observation.group, observation.kind)
        self._streams.note(observation)
        if self._streams.is_unreadable(*kind):
            self._index.guess_below(*kind)
        elif isinstance(observation, Listed):
            self._index.see_again(*kind)
        # What was kept only because nothing was known of its kind may be known now.
        self._index.dirty.update(anchor for anchor in self._emptied_at if split_kind(anchor.kind) == kind)

    def _see_owners(self, owners: Iterable[Any]) -> None:
        for owner in owners:
            self._see_kind((owner.group, owner.kind))

    def _see_kind(self, kind: tuple[str, str]) -> None:
        if kind in FAMILIAR or kind in self._custom_kinds or kind == (CORE_GROUP, "Node"):
            return
        if len(self._custom_kinds) >= MAX_CUSTOM_KINDS:
            return
        self._custom_kinds.add(kind)
        log.info("owners of another kind", cluster=self._cluster, kind=kind_text(*kind))
        self._on_kind(*kind)

    def _see_images(self, pod: Pod) -> None:
        for container in pod.containers:
            image_id = container.image_id
            if not image_id or is_digest(image_id) or image_id in self._undigested:
                continue
            self.numbers.undigested += 1
            if len(self._undigested) < REMEMBERED_IMAGES:
                self._undigested.add(image_id)
                log.warning("image without a sha256 digest is not recorded", pod=pod.name, image_id=image_id[:100])

    def _is_absent(self, anchor: Anchor) -> bool:
        if anchor in self._seen_gone:
            return True
        since, now = self._emptied_at.get(anchor), self._clock.now()
        if self._is_unseen(anchor):
            # Only its pods can say that it is there: whoever cannot see those either knows nothing.
            is_over = since is not None and (now - since).total_seconds() >= UNSEEN_SECONDS
            is_absent = is_over and self._streams.covers(CORE_GROUP, POD, since)
        else:
            is_absent = self._streams.covers(*split_kind(anchor.kind), None if anchor.kind == POD else since)
        if not is_absent:
            self._emptied_at.setdefault(anchor, now)  # so that it is asked again when more is known
        return is_absent

    def _is_unseen(self, anchor: Anchor) -> bool:
        """Whether a workload is of a kind that may not be read, or that is one too many to be watched."""
        kind = split_kind(anchor.kind)
        is_watched = kind in FAMILIAR or kind in self._custom_kinds
        return not is_watched or self._streams.is_unreadable(*kind)

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
            self._see_kind(split_kind(anchor.kind))  # nothing else may name the kind of what is gone

    async def _wait(self) -> None:
        """Return when there is something to judge: something was seen, or a wait for what is not seen may be over."""
        try:
            is_timed = not self._is_begun or self._index.unresolved or self._unseen() or self._speakers.has_away
            async with asyncio.timeout(OWNER_SECONDS if is_timed else None):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _unseen(self) -> list[Anchor]:
        """Return workloads without pods, of kinds that may not be read: whether they are gone, only time tells."""
        return [anchor for anchor in self._emptied_at if self._is_unseen(anchor)]

    @property
    def awaited(self) -> list[str]:
        """Kinds that must be listed before anything is judged, and are not yet."""
        kinds = sorted(FAMILIAR | self._custom_kinds)
        return [kind_text(group, kind) for group, kind in kinds if not self._streams.is_settled(group, kind)]

    def _is_ready(self) -> bool:
        """Before every kind was listed, what is missing says nothing."""
        if self._is_begun:
            return True
        if not all(self._streams.is_settled(*kind) for kind in FAMILIAR):
            return False
        if self.awaited:
            now = self._clock.monotonic()
            self._waits_for_custom_since = self._waits_for_custom_since or now
            if now - self._waits_for_custom_since < CUSTOM_SECONDS:
                return False
            log.warning("recording without owners of some kinds", cluster=self._cluster, kinds=self.awaited)
        self._is_begun = True
        self._names |= set(self._kept)
        return True

    async def settle(self) -> None:
        """Judge everything that changed and record it; nothing before every kind was listed."""
        if not self._is_ready():
            return
        self._give_up_waiting()
        self._index.dirty.update(self._unseen(), self._speakers.overdue())
        looked = 0
        while self._index.dirty:
            self._listen(self._index.dirty.pop())
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

    def _give_up_waiting(self) -> None:
        """Pods whose owner does not come within OWNER_SECONDS go by its name."""
        now, waiting = self._clock.monotonic(), self._index.unresolved
        self._waiting_since = {uid: self._waiting_since.get(uid, now) for uid in waiting}
        self._index.give_up([uid for uid, since in self._waiting_since.items() if now - since >= OWNER_SECONDS])


def _anchor_of(key: ObjectKey) -> Anchor:
    return Anchor(key.namespace, kind_text(key.group, key.kind), key.name)
