"""What is on its way out, as the API shows and changes it: reports, routes, tests of routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConflictError, FluxtrailError, UpstreamError
from fluxtrail.model.report import ReportId, ReportState, ReportView, SinkCounts
from fluxtrail.reports.dispatcher import Dispatcher
from fluxtrail.trail.ports import Clock
from fluxtrail.web.ports import Listing
from fluxtrail.web.shapes import RouteTest, RouteView

ROUTE = "route."


class Tried(Protocol):
    """A route that can be tried."""

    async def try_out(self) -> tuple[str, str]:
        """Return (whom it was said to, what was done). Raises FluxtrailError where that was refused; ConflictError
        where it cannot be tried.
        """

    async def budget_left(self) -> int | None: ...


class Reporting:
    """Satisfies the web side's `ReportKeeper`."""

    def __init__(
        self,
        store: SqlLedger,
        dispatchers: Sequence[Dispatcher],
        clock: Clock,
        *,
        kinds: Mapping[str, str],
        routes: Mapping[str, Tried],
    ) -> None:
        """Args:
        dispatchers: of everything that is told: routes, telemetry, deployment records.
        kinds: of routes, by name, in the order of the settings.
        routes: what can be tried, by name.
        """
        self._store = store
        self._dispatchers = {item.sink: item for item in dispatchers}
        self._clock = clock
        self._kinds = kinds
        self._routes = routes

    async def list_reports(
        self,
        *,
        state: ReportState | None,
        sink: str | None,
        sha: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> Listing[ReportView]:
        return await self._store.outbox.list(state=state, sink=sink, sha=sha, limit=limit, cursor=cursor)

    async def replay(self, ids: Sequence[ReportId]) -> int:
        count = await self._store.outbox.replay(ids)
        for dispatcher in self._dispatchers.values():
            dispatcher.wake()
        return count

    async def drop(self, ids: Sequence[ReportId]) -> int:
        return await self._store.outbox.drop(ids)

    async def routes(self) -> Sequence[RouteView]:
        counts = await self._store.outbox.counts()
        sinks = [*(ROUTE + name for name in self._kinds), *self._dispatchers, *counts]
        return [await self._view(sink, counts.get(sink, SinkCounts())) for sink in dict.fromkeys(sinks)]

    async def _view(self, sink: str, held: SinkCounts) -> RouteView:
        name = sink.removeprefix(ROUTE)
        dispatcher, tried = self._dispatchers.get(sink), self._routes.get(name)
        numbers = dispatcher.numbers if dispatcher is not None else None
        return RouteView(
            name=name,
            kind=self._kinds.get(name, sink) if sink.startswith(ROUTE) else sink,
            sink=sink,
            waiting=held.waiting,
            dead=held.dead,
            sent=numbers.sent if numbers else 0,
            oldest_at=held.oldest_at,
            is_down=numbers.is_down if numbers else False,
            problem=self._problem(sink, held, dispatcher),
            answer=await self._last_answer(sink) if held.dead or held.waiting else "",
            budget_left=await tried.budget_left() if tried is not None else None,
        )

    def _problem(self, sink: str, held: SinkCounts, dispatcher: Dispatcher | None) -> str:
        if dispatcher is not None:
            return dispatcher.numbers.problem
        return "nothing sends its reports any more: bring the route back, or drop them" if held.waiting else ""

    async def _last_answer(self, sink: str) -> str:
        for state in (ReportState.DEAD, ReportState.WAITING):
            page = await self._store.outbox.list(state=state, sink=sink, limit=20)
            for item in page.items:
                if item.answer:
                    return item.answer
        return ""

    async def test_route(self, name: str) -> RouteTest | None:
        if name not in self._kinds:
            return None
        tried = self._routes.get(name)
        if tried is None:
            raise ConflictError("routes of this kind cannot be tried", subject=f"route {name}")
        began = self._clock.monotonic()
        where, status, is_taken = "", None, True
        try:
            where, answer = await tried.try_out()
        except ConflictError as exc:
            if exc.status is None:
                raise
            answer, status, is_taken = str(exc), exc.status, False
        except UpstreamError as exc:
            answer, status, is_taken = str(exc), exc.status, False
        except FluxtrailError as exc:
            answer, is_taken = str(exc), False
        seconds = self._clock.monotonic() - began
        return RouteTest(
            route=name, where=where, is_taken=is_taken, status=status, answer=answer, seconds=round(seconds, 3)
        )
