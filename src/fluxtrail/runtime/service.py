"""`fluxtrail run` as it runs: starts every part, keeps each going, and stops them in order.

Started: ledger → figures → listeners (alive, not ready) → clusters, branches, attribution. Stopped the other way round:
first what brings work in, then what finishes it, the ledger last.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from fluxtrail import __version__
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.runtime.doorkeeping import open_doorkeeper
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.report import ProcessReport
from fluxtrail.runtime.reporting import Reporting
from fluxtrail.runtime.settings.routes import grouping_of
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.stated import StatedRuns, names_of
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.web.access.binding import check_binding
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.health import create_health_app
from fluxtrail.web.measures import MetricSource
from fluxtrail.web.metrics import Metrics, create_metrics_app
from fluxtrail.web.ports import Chains
from fluxtrail.web.server import Listener, WebServer, parse_address
from fluxtrail.web.tracker_metrics import TrackerMetrics

if TYPE_CHECKING:  # it takes memory of those who keep no records
    from fluxtrail.runtime.deployment_records import Records
    from fluxtrail.runtime.resources import Resources
    from fluxtrail.web.hooks.app import HooksApp

log = structlog.get_logger(__name__)

RESTART_SECONDS = 5.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Service:
    """Everything `fluxtrail run` consists of. Build it with `open_service`."""

    def __init__(
        self,
        *,
        ledger: FoldedLedger,
        registry: Registry,
        report: ProcessReport,
        jobs: Mapping[str, Callable[[], Coroutine[Any, Any, None]]],
        settings: Settings,
        clock: Clock,
        measured: Sequence[MetricSource] = (),
        records: Records | None = None,
        resources: Resources | None = None,
        reports: Reporting | None = None,
        hooks: HooksApp | None = None,
        leads: Callable[[], bool] = lambda: True,
        chains: Chains | None = None,
    ) -> None:
        self.ledger = ledger
        self.store = ledger.store
        self.registry = registry
        self.report = report
        self._jobs = jobs
        self._settings = settings
        self._clock = clock
        self._measured = measured
        self._records = records
        self._resources = resources
        self._reports = reports
        self._hooks = hooks
        self._leads = leads
        self._chains = chains

    async def run(self, *, on_ready: Callable[[dict[str, str]], None] | None = None) -> None:
        """Serve until a stop signal. Raises what a job could not survive (a ledger that cannot be written)."""
        async with WebServer(self._listeners()) as server:
            addresses = {name: address.url for name, address in server.addresses.items()}
            log.info("serving", version=__version__, **addresses)
            if on_ready is not None:
                on_ready(addresses)
            await self._work()

    async def _work(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._supervise(name, job), name=name) for name, job in self._jobs.items()]
                await stop.wait()
                log.info("stopping")
                for task in tasks:
                    task.cancel()
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def _supervise(self, name: str, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a job for ever. What it could not get over (a full disk) is said, shown by /readyz, and tried again;
        anything but an error of ours is a fault in the code, and ends the process.
        """
        while True:
            try:
                await job()
            except* FluxtrailError as failures:
                problems = [str(item) for item in _leaves(failures)]
                log.error("job failed", job=name, error=problems[0], retry_in_seconds=RESTART_SECONDS)
            await self._clock.sleep(RESTART_SECONDS)

    def _listeners(self) -> list[Listener]:
        settings = self._settings
        host, port = parse_address(settings.api.listen, subject="setting api.listen")
        doorkeeper = open_doorkeeper(settings.api)
        if not doorkeeper.tokens:
            check_binding(host, token=None)
        feed = Feed(self.store, clients=settings.api.feed_clients)
        self.ledger.on_kept.append(feed.wake)
        api = create_app(
            answers=self.store,
            report=self.report,
            now=self._clock.now,
            doorkeeper=doorkeeper,
            allowed_hosts=settings.api.allowed_hosts,
            settle_after=timedelta(seconds=settings.settle_seconds),
            feed=feed,
            records=self._records,
            reports=self._reports,
            chains=self._chains,
            grouping=grouping_of(settings.environments),
            trend=lambda: self.ledger.figures.trend,
            ci=StatedRuns(self.ledger, self._clock, names=names_of(settings)),
            has_spektate=settings.spektate.enabled,
            requests_per_minute=settings.api.requests_per_minute,
        )
        metrics = Metrics(
            figures=lambda: self.ledger.figures,
            answers=self.store,
            created_at=self.store.created_at,
            now=self._clock.now,
            sources=[self.report, *self._measured],
            leads=self._leads,
            records=self._records,
            tracker=self._records.tracker if self._records is not None else None,
            resources=self._resources,
        )
        apps = {
            "metrics": (create_metrics_app(metrics), settings.metrics.listen),
            "health": (create_health_app(self.report), settings.health.listen),
        }
        if self._records is not None and settings.deployment_records.metrics_port:
            tracker = create_metrics_app(TrackerMetrics(self._records.tracker))
            apps["deployment_records"] = (tracker, f":{settings.deployment_records.metrics_port}")
        listeners = [Listener(name="api", app=api, host=host, port=port, streams=settings.api.feed_clients)]
        for name, (app, where) in apps.items():
            host, port = parse_address(where, subject=f"setting {name}.listen")
            listeners.append(Listener(name=name, app=app, host=host, port=port))
        if self._hooks is not None:
            host, port = parse_address(settings.hooks.listen, subject="setting hooks.listen")
            app = self._hooks
            listeners.append(Listener(name="hooks", app=app, host=host, port=port, connections=app.connections))
        return listeners


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for item in group.exceptions:
        found += _leaves(item) if isinstance(item, BaseExceptionGroup) else [item]
    return found
