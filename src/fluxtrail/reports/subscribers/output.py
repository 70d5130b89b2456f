"""Posts records to one subscriber, one by one and in their order, as gitops-connector does: the JSON as it is.

A subscriber is a sink of its own: one that is down, slow or wrong keeps nothing from the others. What it refuses alone
is a dead letter; while it is away, all waits in the ledger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from fluxtrail.model.environments import Grouping
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.report import ClaimedReport
from fluxtrail.model.telling import DeliveryTelling, TellingKey
from fluxtrail.reports.batches import Fault, by_time, fault_of
from fluxtrail.reports.dispatcher import ALIKE, Pace
from fluxtrail.reports.events.choosing import is_wanted
from fluxtrail.reports.events.known import is_held, key_of, read_contents
from fluxtrail.reports.outputs import Ready, Rendering, Settlement
from fluxtrail.reports.phases.records import PhaseRecord
from fluxtrail.reports.plan import Content
from fluxtrail.reports.ports import Clock, Facts
from fluxtrail.reports.routes import Commits, Route
from fluxtrail.reports.subscribers.ports import Poster
from fluxtrail.reports.subscribers.verdicts import verdict_record

HEADERS = {"Content-Type": "application/json"}
SUBSCRIBER_PACE = Pace(timeout_seconds=15.0)
"""15 s are what the sender allows a request."""

_phase = msgspec.json.Decoder(PhaseRecord)
_encode = msgspec.json.encode


class Source(Protocol):
    """Where a subscriber's records come from."""

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering: ...


class SubscriberOutput:
    """One subscriber. Hand it to a Dispatcher with `SUBSCRIBER_PACE`.

    What waits keeps its place: it is due since it was planned, so that an outage changes no order. Only a process that
    dies in the middle of a claim may be overtaken by the next one.

    Args:
        address: gives its URL when something is sent: it may stand in a file that changes.
        headers: of every request.
    """

    def __init__(
        self,
        route: Route,
        source: Source,
        poster: Poster,
        *,
        address: Callable[[], str],
        headers: Mapping[str, str] = HEADERS,
    ) -> None:
        self._route = route
        self._source = source
        self._poster = poster
        self._address = address
        self._headers = headers

    @property
    def sink(self) -> str:
        return self._route.sink

    async def deliver(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> None:
        """Post these and settle each. See `SettlingOutput`; ConfigError where the address cannot be read."""
        rendering = await self._source.render(reports)
        if rendering.silent:
            await settlement.drop(rendering.silent)
        for report, problem in rendering.broken:
            await settlement.bury([report], problem)
        for until, waiting in by_time(rendering.waiting).items():
            await settlement.postpone(waiting, until=until, answer="")
        if rendering.ready:
            await _Round(settlement, self._post).send(rendering.ready)

    async def _post(self, ready: Ready) -> None:
        for item in ready.items:
            await self._poster.post(self._address(), item, self._headers)


class _Round:
    """What becomes of one claim, as the dispatcher's own rules have it (`reports/batches.py`)."""

    def __init__(self, settlement: Settlement, post: Callable[[Ready], Awaitable[None]]) -> None:
        self._settlement = settlement
        self._post = post
        self._has_taken = False
        self._refused: list[tuple[ClaimedReport, FluxtrailError]] = []

    async def send(self, ready: Sequence[Ready]) -> None:
        """Post one after the other; raise where the subscriber is at fault, with everything in its place."""
        for index, one in enumerate(ready):
            left = [later.report for later in ready[index:]]
            if self._settlement.is_late:
                await self._keep(left, "")
                break
            try:
                await self._post(one)
            except FluxtrailError as exc:
                if fault_of(exc) is Fault.RECEIVER:
                    await self._keep(left, str(exc))
                    raise
                self._refused.append((one.report, exc))
            else:
                self._has_taken = True
                await self._settlement.acknowledge([one.report])
            if len(self._refused) >= ALIKE and not self._has_taken:
                await self._keep(left[1:], "")
                break
        await self._settle_refused()

    async def _settle_refused(self) -> None:
        """Bury what was refused while others were taken; if all was, the subscriber is at fault."""
        doubted: list[tuple[ClaimedReport, FluxtrailError]] = []
        for report, error in self._refused:
            is_its_own = self._has_taken or fault_of(error) is Fault.SIZE
            if is_its_own or self._settlement.is_stubborn(report):
                await self._settlement.bury([report], str(error))
            else:
                doubted.append((report, error))
        if doubted:
            await self._keep([report for report, _ in doubted], str(doubted[-1][1]))
            raise doubted[-1][1]

    async def _keep(self, reports: Sequence[ClaimedReport], answer: str) -> None:
        if reports:
            since = min(report.created_at for report in reports)
            await self._settlement.postpone(reports, until=since, answer=answer)


class PhaseSource:
    """Records of notices, as they were planned: a report's body is the record."""

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        done = Rendering()
        for report in reports:
            try:
                _phase.decode(report.body)
            except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
                done.broken.append((report, f"not a phase's record: {exc}; drop it"))
            else:
                done.ready.append(Ready(report, [report.body]))
        return done


class StateSource:
    """Records of verdicts, as the ledger has them when they are sent.

    Args:
        link: a commit's sha → where people read more of it.
    """

    def __init__(
        self, route: Route, facts: Facts, clock: Clock, grouping: Grouping, *, link: Callable[[str], str]
    ) -> None:
        self._clock = clock
        self._route = route
        self._facts = facts
        self._grouping = grouping
        self._link = link

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        """Return what becomes of these. Raises StoreError."""
        done, now = Rendering(), self._clock.now()
        contents = read_contents(reports, done)
        known = await self._known([content for _, content in contents])
        for report, content in contents:
            told = known.get(key) if (key := key_of(content)) is not None else None
            if is_held(report, content, told, done, now=now):
                continue
            if told is None or not self._is_wanted(content, told):
                done.silent.append(report)
            else:
                record = verdict_record(content, told, link=self._link)
                done.ready.append(Ready(report, [_encode(record)]))
        return done

    async def _known(self, contents: Sequence[Content]) -> dict[TellingKey, DeliveryTelling]:
        keys = [key for content in contents if (key := key_of(content)) is not None]
        return dict(await self._facts.delivery_tellings(keys)) if keys else {}

    def _is_wanted(self, content: Content, told: DeliveryTelling) -> bool:
        """A source commit has the verdict of its export, which is told by itself unless only source commits are."""
        if told.carrier is not None and self._route.commits is not Commits.SOURCE:
            return False
        return is_wanted(self._route, self._grouping, content, told)
