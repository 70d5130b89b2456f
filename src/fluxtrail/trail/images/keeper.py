"""Keeps which digest runs where, as a cluster's pods say, and has every new digest described.

There are tens of thousands of pods and a few hundred images: what is held is a line for each container of a workload,
and the ledger is written only when that set changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec
import structlog

from fluxtrail.model.errors import StoreError
from fluxtrail.model.image_records import ImageRecord, ImageRun
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.workloads import Workload
from fluxtrail.trail.images.knowing import pending_image
from fluxtrail.trail.images.ports import ImageLedger
from fluxtrail.trail.images.runs import Slot, Use, uses_of
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.workloads.anchors import CRON_JOB, Anchor
from fluxtrail.trail.workloads.view import OWNER_SECONDS, WorkloadListener, WorkloadView

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

GATHER_SECONDS = 1.0
"""Between two rounds: a roll-out's pods come and go together."""
LINGER = timedelta(seconds=30)
"""How long a digest may be without a container before its run has ended: pods are made anew."""
CRON_LINGER = timedelta(days=1)
"""The same of a CronJob that is still there: between two of its Jobs it has no pod."""
BATCH = 1_000
"""Runs in one unit."""
BREATH = 200
"""Workloads looked at between two turns of the event loop."""
RETRY_SECONDS = 5.0
REMEMBERED_DIGESTS = 20_000


class ImageKeeper(WorkloadListener):
    """One cluster's: listens to its view. `run` never ends by itself.

    Args:
        on_digests: told of digests that run and were not known to run here, and whether Flux applied what runs them.
        covers: namespaces whose workloads are kept.
    """

    def __init__(
        self,
        view: WorkloadView,
        *,
        ledger: ImageLedger,
        clock: Clock,
        on_digests: Callable[[Iterable[str], bool], None] = lambda digests, is_applied: None,
        covers: Callable[[str], bool] = lambda namespace: True,
    ) -> None:
        self._view = view
        self._ledger = ledger
        self._clock = clock
        self._on_digests = on_digests
        self._covers = covers
        self._runs: dict[Anchor, tuple[ImageRun, ...]] = {}
        """What is live in the ledger."""
        self._missing: dict[tuple[Anchor, Slot], datetime] = {}
        """Since when what is live has no container."""
        self._known: set[str] = set()
        """Digests that the ledger has an image of."""
        self._dirty: set[Anchor] = set()
        self._wake = asyncio.Event()
        self._is_loaded = False
        view.listen(self)

    @property
    def live(self) -> int:
        """Containers of workloads whose digests run now."""
        return sum(map(len, self._runs.values()))

    # -- listening ---------------------------------------------------------------------------------------------

    def changed(self, anchors: set[Anchor]) -> None:
        self._dirty |= anchors
        self._wake.set()

    def gone(self, key: ObjectKey, uid: ObjectUid, seen_at: datetime) -> None:
        """Its pods say so, or it has none."""

    def noted(self, group: str, kind: str) -> None:
        self._wake.set()

    # -- keeping -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep for ever. A ledger that cannot be written is tried again: nothing is forgotten meanwhile."""
        while True:
            self._wake.clear()
            try:
                await self.work()
            except StoreError as exc:
                log.warning("images not kept", cluster=self._view.cluster, error=str(exc))
                await self._clock.sleep(RETRY_SECONDS)
                continue
            await self._clock.sleep(GATHER_SECONDS)
            await self._rest()

    async def _rest(self) -> None:
        """Wait for a change, or for what time alone changes: what lingers, and kinds that nobody waits for any more."""
        timeout = OWNER_SECONDS if self._view.is_waiting else LINGER.total_seconds() if self._missing else None
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return

    async def work(self) -> None:
        """Compare what changed since with what is kept, and keep it. Before everything was listed, nothing is said."""
        if not self._view.is_ready():
            return
        self._view.give_up_waiting()
        if not self._is_loaded:
            await self._load()
        dirty, self._dirty = self._dirty, set()
        now = self._clock.now()
        dirty |= {anchor for (anchor, _), since in self._missing.items() if now - since >= self._linger(anchor)}
        try:
            await self._compare(dirty)
        except BaseException:
            self._dirty |= dirty
            raise

    async def _load(self) -> None:
        async with self._ledger.unit() as unit:
            kept = await unit.image_runs(self._view.cluster)
        for run in kept:
            anchor = Anchor(run.namespace, run.kind, run.workload)
            self._runs[anchor] = (*self._runs.get(anchor, ()), run)
        self._dirty |= set(self._runs) | set(self._view.index.anchors())
        self._is_loaded = True

    async def _compare(self, anchors: set[Anchor]) -> None:
        changes: list[ImageRun] = []
        applied: set[str] = set()
        for count, anchor in enumerate(sorted(anchors)):
            if count % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            if not self._covers(anchor.namespace) and anchor not in self._runs:
                continue
            found = self._compare_one(anchor)
            changes += found
            if self._is_applied(anchor):
                applied |= {run.digest for run in found if run.until is None}
            if len(changes) >= BATCH:
                await self._keep(changes, applied)
                changes, applied = [], set()
        await self._keep(changes, applied)

    def _compare_one(self, anchor: Anchor) -> list[ImageRun]:
        """Return what began and what ended there."""
        now = self._clock.now()
        uses = uses_of(pod for pod, _ in self._view.index.pods_of(anchor)) if self._covers(anchor.namespace) else {}
        changes: list[ImageRun] = []
        for run in self._runs.get(anchor, ()):
            slot = Slot(run.container, run.digest)
            use = uses.pop(slot, None)
            if use is not None:
                self._missing.pop((anchor, slot), None)
                continue
            ended_at = self._missing.setdefault((anchor, slot), now)
            if now - ended_at >= self._linger(anchor):
                changes.append(replace(run, until=max(ended_at, run.since)))
        return changes + [self._begin(anchor, slot, use, now) for slot, use in uses.items()]

    def _begin(self, anchor: Anchor, slot: Slot, use: Use, now: datetime) -> ImageRun:
        return ImageRun(
            cluster=self._view.cluster,
            namespace=anchor.namespace,
            kind=anchor.kind,
            workload=anchor.name,
            container=slot.container,
            digest=slot.digest,
            image=use.image,
            since=min(use.since or now, now),
        )

    def _linger(self, anchor: Anchor) -> timedelta:
        is_there = anchor.kind == CRON_JOB and self._view.index.find(anchor) is not None
        return CRON_LINGER if is_there else LINGER

    def _is_applied(self, anchor: Anchor) -> bool:
        item = self._view.index.find(anchor)
        return isinstance(item, Workload) and item.applied_by is not None

    async def _keep(self, changes: list[ImageRun], applied: set[str]) -> None:
        if not changes:
            return
        begun = [run for run in changes if run.until is None]
        fresh: dict[str, ImageRecord] = {
            run.digest: pending_image(run.digest, run.image) for run in begun if run.digest not in self._known
        }
        async with self._ledger.unit() as unit:
            await unit.put_image_runs(changes)
            known = await unit.images(list(fresh))
            await unit.put_images([record for digest, record in fresh.items() if digest not in known])
        self._remember(changes)
        if len(self._known) > REMEMBERED_DIGESTS:
            self._known.clear()  # those that still run are asked for once more, in the ledger
        self._known |= fresh.keys()
        if begun:
            self._on_digests(applied, True)
            self._on_digests({run.digest for run in begun} - applied, False)

    def _remember(self, changes: Iterable[ImageRun]) -> None:
        for run in changes:
            anchor = Anchor(run.namespace, run.kind, run.workload)
            slot = Slot(run.container, run.digest)
            others = tuple(
                other for other in self._runs.get(anchor, ()) if (other.container, other.digest) != tuple(slot)
            )
            self._missing.pop((anchor, slot), None)
            left = others if run.until is not None else (*others, run)
            if left:
                self._runs[anchor] = left
            else:
                self._runs.pop(anchor, None)
