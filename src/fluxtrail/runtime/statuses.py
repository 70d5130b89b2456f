"""Routes' wiring: who tells forges, pipelines, chats and webhooks how commits stand, and how often it may."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Sequence
from datetime import timedelta

import structlog

from fluxtrail.model.environments import Grouping
from fluxtrail.model.errors import ConflictError
from fluxtrail.model.report import NewReport
from fluxtrail.reports.dispatcher import Dispatcher
from fluxtrail.reports.plan import Output, Planner, planner, together
from fluxtrail.reports.routes import RouteKind
from fluxtrail.reports.standings.budgets import Budgets
from fluxtrail.reports.standings.output import StandingOutput, pace_of
from fluxtrail.reports.standings.plan import standing_planner
from fluxtrail.reports.standings.retired import RetiredClusters
from fluxtrail.reports.standings.revisiting import Revisitor
from fluxtrail.reports.standings.saying import NONE_RETIRED, Compose
from fluxtrail.reports.standings.speakers import Speaker
from fluxtrail.reports.standings.tasks import AbandonedTasks
from fluxtrail.reports.standings.words import DEFAULT_DESCRIPTION, example_values
from fluxtrail.reports.templates import Text
from fluxtrail.runtime.chats import chat_speaker, chat_templates, is_once
from fluxtrail.runtime.event_routes import EventRoute, EventRoutes
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.forge_speakers import ForgeSpeakers
from fluxtrail.runtime.remotes import Remotes
from fluxtrail.runtime.settings.routes import RouteSetting, grouping_of
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.telemetry import Job
from fluxtrail.runtime.writers import Writers
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LOOKED_THROUGH = 100
"""Commits, for one that a test can be about."""
DEFAULT_URL = "{{ url }}"


def standing_routes(settings: Settings) -> list[RouteSetting]:
    """Return the routes that tell how commits stand; the others tell every event."""
    return [item for item in settings.routes if not item.to.is_per_event]


def plan_routes(settings: Settings) -> Planner:
    """Return what of the history must be told by routes."""
    events = [
        Output(sink=item.to_route().sink, is_trace=False)
        for item in settings.routes
        if item.to.is_per_event and item.source == "state"
    ]
    return together([standing_planner([item.to_route() for item in standing_routes(settings)]), planner(events)])


class StandingRoute:
    """A route that can be tried. Satisfies `reporting.Tried`."""

    def __init__(self, output: StandingOutput, budgets: Budgets, ledger: FoldedLedger, clock: Clock) -> None:
        self._output = output
        self._budgets = budgets
        self._ledger = ledger
        self._clock = clock

    async def try_out(self) -> tuple[str, str]:
        page = await self._ledger.store.list_commits(now=self._clock.now(), limit=LOOKED_THROUGH)
        commit = next((item for item in page.items if self._output.serves(item)), None)
        if commit is None:
            raise ConflictError(
                f"none of the newest {LOOKED_THROUGH} commits is one that it tells of: its repositories are not "
                "followed yet, or have no credential",
                subject=f"route {self._output.route.name}",
            )
        return commit.repository, await self._output.try_out(commit)

    async def budget_left(self) -> int | None:
        left = [await self._budgets.left(budget) for budget in self._output.used.values()]
        return min(left, default=None)


class Statuses:
    """Everything that tells how commits stand. Build it, run its jobs."""

    def __init__(
        self,
        settings: Settings,
        remotes: Remotes,
        *,
        ledger: FoldedLedger,
        clock: Clock,
        retired: RetiredClusters = NONE_RETIRED,
    ) -> None:
        """Args:
        retired: clusters that nobody follows any more.
        """
        self._settings = settings
        self._retired = retired
        self._ledger = ledger
        self._clock = clock
        self._sessions = remotes.sessions
        self._forges = ForgeSpeakers(settings, Writers(remotes, settings), ledger_id=ledger.store.instance_id)
        self._grouping: Grouping = grouping_of(settings.environments)
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self.budgets = Budgets(ledger.store.outbox, clock)
        self.outputs = [self._output(item) for item in standing_routes(settings)]
        self._events = EventRoutes(
            settings, remotes.sessions, grouping=self._grouping, ledger=ledger, clock=clock, owner=self._owner
        )
        self.dispatchers = [*(self._dispatcher(output) for output in self.outputs), *self._events.dispatchers]
        ledger.on_planned.append(self.wake)

    def wake(self) -> None:
        """Something may have been planned. Never waits."""
        for dispatcher in self.dispatchers:
            dispatcher.wake()

    @property
    def tried(self) -> dict[str, StandingRoute | EventRoute]:
        """Return the routes that can be tried, by name."""
        standing = {
            output.route.name: StandingRoute(output, self.budgets, self._ledger, self._clock) for output in self.outputs
        }
        return {**standing, **self._events.tried}

    @property
    def jobs(self) -> dict[str, Job]:
        revisitor = Revisitor(
            [output.sink for output in self.outputs],
            self._ledger.store.said,
            add_reports=self._add_reports,
            newest=self._newest,
            clock=self._clock,
        )
        tasks = [item for item in standing_routes(self._settings) if item.to is RouteKind.AZURE_DEVOPS_TASK]
        return {"standings": revisitor.run, **{f"abandoned/{item.name}": self._abandoned(item).run for item in tasks}}

    async def _newest(self) -> int:
        return (await self._ledger.store.feed(after=None, limit=1)).last_id

    async def _add_reports(self, reports: Sequence[NewReport]) -> None:
        async with self._ledger.unit() as unit:
            await unit.add_reports(reports)

    def _dispatcher(self, output: StandingOutput) -> Dispatcher:
        return Dispatcher(output, self._ledger.store.outbox, self._clock, owner=self._owner, pace=pace_of(output.route))

    def _output(self, item: RouteSetting) -> StandingOutput:
        route = item.to_route()
        compose = Compose(
            route,
            self._grouping.environment_of,
            chat_templates(item) if route.kind.is_per_commit else _templates(item),
            public_url=self._settings.public_url,
            is_once=is_once(item),
            retired=self._retired,
        )
        return StandingOutput(
            route,
            self._speaker(item),
            compose,
            self._ledger.store,
            self._ledger.store.said,
            self.budgets,
            self._clock,
            settle_after=timedelta(seconds=self._settings.settle_seconds),
        )

    def _speaker(self, item: RouteSetting) -> Speaker:
        if item.to.is_per_commit:
            return chat_speaker(item, self._sessions, self._settings.budgets)
        return self._forges.speaker(item)

    def _abandoned(self, item: RouteSetting) -> AbandonedTasks:
        return AbandonedTasks(
            item.to_route().sink,
            self._forges.find_tasks(item),
            self._forges.budget_of(item),
            self._ledger.store.said,
            self.budgets,
            self._clock,
            interval=timedelta(seconds=item.interval_seconds),
            cutoff=timedelta(hours=item.abandoned_hours),
        )


def _templates(item: RouteSetting) -> dict[str, Text]:
    """Return what a route's sayings are filled into. Raises ConfigError."""
    sources = {
        "context": item.context_or_default,
        "description": item.description or DEFAULT_DESCRIPTION,
        "url": item.url if item.url is not None else DEFAULT_URL,
        "environment_url": item.environment_url or "",
    }
    example = example_values()
    return {
        name: Text(source, example=example, subject=f"setting routes.{item.name}.{name}")
        for name, source in sources.items()
    }
