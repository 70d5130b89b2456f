"""Asks for the Events of workloads that are waited for and of which nothing else tells why they do not run.

Cheap by design: nothing is watched. Only what an open roll-out waits for is asked about, after PATIENCE, ever more
rarely, and at most BUDGET lists in ROUND_SECONDS.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import structlog

from fluxtrail.model.errors import AuthError, FluxtrailError
from fluxtrail.model.events import Event
from fluxtrail.model.observation import ClusterUid, ObjectUid
from fluxtrail.model.rollout import Rollout
from fluxtrail.model.running_records import WorkloadId, WorkloadRecord
from fluxtrail.model.workloads import Pod, Workload
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.rollouts.census import Stance, WorkloadCensus, key_of
from fluxtrail.trail.rollouts.hints import asks_for_hint, read_hint
from fluxtrail.trail.rollouts.revisions import EARLIEST, updated_pods
from fluxtrail.trail.rollouts.versions import generation_of, touched_at

log = structlog.get_logger(__name__)

ROUND_SECONDS = 5.0
BUDGET = 20
"""Lists in one round: an API server looks through all events of a namespace for each."""
LIMIT = 50
"""Events of one object: what repeats is counted in one."""
PATIENCE = timedelta(seconds=10)
"""How long nothing tells why, before events are asked for: most roll-outs are done by then."""
LONGEST_SECONDS = 120.0
"""Between two questions about the same workload."""
FORBIDDEN_SECONDS = 600.0
EXPIRY_SECONDS = 300.0
"""After which a hint that could not be asked for again is dropped."""


class EventReader(Protocol):
    async def list_events(self, namespace: str, uid: ObjectUid, *, limit: int) -> Sequence[Event]:
        """Return events of one object, oldest first. Raises AuthError where they may not be listed, FluxtrailError."""


class _Question(NamedTuple):
    uid: ObjectUid
    since: datetime | None
    pod: str


class _Turn(NamedTuple):
    """When a workload is asked about again (monotonic), and after how long then."""

    due: float
    rest: float


class EventAsker:
    """One cluster's. What it finds it leaves with the census, and says which workloads to judge again."""

    def __init__(
        self,
        cluster: ClusterUid,
        *,
        census: WorkloadCensus,
        awaited: Callable[[], Collection[WorkloadId]],
        reader: EventReader,
        clock: Clock,
        on_change: Callable[[Iterable[ObjectUid]], None],
    ) -> None:
        """Args:
        awaited: the workloads of open roll-outs.
        on_change: called with workloads whose hints came, changed or went.
        """
        self._cluster = cluster
        self._census = census
        self._awaited = awaited
        self._reader = reader
        self._clock = clock
        self._on_change = on_change
        self._turns: dict[ObjectUid, _Turn] = {}
        self._told_at: dict[ObjectUid, float] = {}
        """When the hint of a workload was last found to hold."""
        self._forbidden: dict[str, float] = {}
        """Namespaces whose events may not be listed, and until when they are left alone."""
        self._rests_until = 0.0
        """After an answer that was none, nothing more is asked in this round."""
        self._left = 0
        """Lists that this round has left."""
        self._has_complained = False

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._clock.sleep(ROUND_SECONDS)
            try:
                await self.ask()
            except Exception:
                log.exception("events not asked for", cluster=self._cluster)

    async def ask(self) -> None:
        """Ask once about those whose turn it is. What cannot be asked now is asked about later."""
        awaited = {record.uid: record for each in self._awaited() if (record := self._census.record_of(each))}
        self._turns = {uid: turn for uid, turn in self._turns.items() if uid in awaited}
        changed = self._forget(awaited)
        self._left = BUDGET
        for record in self._due(awaited.values()):
            if self._clock.monotonic() < self._rests_until:
                break
            stance = self._census.stance_of(record.uid)
            if stance is None or not _asks(stance.rollout):
                continue
            questions = _questions(stance)
            if len(questions) > self._left:
                break
            self._postpone(record.uid)
            if await self._find(stance, questions):
                changed.add(record.uid)
        if changed:
            self._on_change(changed)

    def _due(self, records: Iterable[WorkloadRecord]) -> list[WorkloadRecord]:
        """Return the workloads to ask about, those that waited longest for it first."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._forbidden = {place: until for place, until in self._forbidden.items() if until > monotonic}
        found = [
            record
            for record in records
            if record.key.namespace not in self._forbidden
            and self._turn(record.uid).due <= monotonic
            and (record.uid in self._census.hints or _is_stuck(record, now))
        ]
        return sorted(found, key=lambda record: (self._turn(record.uid).due, record.since, record.uid))

    def _turn(self, uid: ObjectUid) -> _Turn:
        return self._turns.get(uid) or _Turn(0.0, PATIENCE.total_seconds())

    def _postpone(self, uid: ObjectUid) -> None:
        rest = self._turn(uid).rest
        self._turns[uid] = _Turn(self._clock.monotonic() + rest, min(2 * rest, LONGEST_SECONDS))

    async def _find(self, stance: Stance, questions: Sequence[_Question]) -> bool:
        """Ask until something is told; return whether it is another than before."""
        thing, hint = stance.shown, None
        namespace, generation = key_of(thing).namespace, generation_of(thing)
        try:
            for each in questions:
                self._left -= 1
                events = await self._reader.list_events(namespace, each.uid, limit=LIMIT)
                hint = read_hint(events, stance.rollout, since=each.since, pod=each.pod, generation=generation)
                if hint is not None:
                    break
        except AuthError as exc:
            self._leave_alone(namespace, exc)
            return False
        except FluxtrailError as exc:
            log.info("events not read", cluster=self._cluster, namespace=namespace, error=str(exc))
            self._rests_until = self._clock.monotonic() + max(exc.retry_after_seconds or 0.0, ROUND_SECONDS / 2)
            return False
        self._told_at[thing.uid] = self._clock.monotonic()
        return self._census.hints.note(thing.uid, hint)

    def _leave_alone(self, namespace: str, exc: AuthError) -> None:
        self._forbidden[namespace] = self._clock.monotonic() + FORBIDDEN_SECONDS
        if self._has_complained:
            return
        self._has_complained = True
        log.warning(
            "events may not be read",
            cluster=self._cluster,
            namespace=namespace,
            error=str(exc),
            remedy="grant list of events, or live without: some causes stand nowhere else",
        )

    def _forget(self, awaited: Collection[ObjectUid]) -> set[ObjectUid]:
        """Drop the hints of what nobody waits for any more, and those that are too old to be believed."""
        now, hints = self._clock.monotonic(), self._census.hints
        self._told_at = {uid: self._told_at.get(uid, now) for uid in hints}
        over = [uid for uid in hints if uid not in awaited or now - self._told_at[uid] >= EXPIRY_SECONDS]
        return {uid for uid in over if hints.note(uid, None)}


def _asks(judged: Rollout | WorkloadRecord) -> bool:
    return asks_for_hint(judged.state, judged.cause, judged.container)


def _is_stuck(record: WorkloadRecord, now: datetime) -> bool:
    return _asks(record) and now - record.since >= PATIENCE


def _questions(stance: Stance) -> list[_Question]:
    """Return whose events may tell: of the pod that is in question, and of the workload, which may not get that far."""
    thing, pods = stance.shown, stance.pods
    if isinstance(thing, Pod):
        return [_Question(thing.uid, thing.created_at, thing.name)]
    named = next((pod for pod in pods if pod.name == stance.rollout.pod), None)
    pod = named or _newest_unready(thing, pods, stance.below)
    found = [] if pod is None else [_Question(pod.uid, pod.created_at, pod.name)]
    if named is None:
        found.append(_Question(thing.uid, touched_at(thing) or thing.created_at, ""))
    return found


def _newest_unready(workload: Workload, pods: Sequence[Pod], below: Sequence[Workload]) -> Pod | None:
    """Return the newest pod of the newest template that is not ready; else of any, which it may wait for."""
    unready = [pod for pod in pods if not pod.is_ready and not pod.is_deleting and not pod.is_over]
    fresh = updated_pods(workload, unready, below)
    return max(fresh or unready, key=lambda pod: (pod.created_at or EARLIEST, pod.name), default=None)
