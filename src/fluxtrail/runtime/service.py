"""The composition root of `fluxtrail run`: builds every part, starts them, and stops them in order.

Started: ledger → figures → listeners (alive, not ready) → clusters, branches, attribution. Stopped the other way round:
first what brings work in, then what finishes it, the ledger last.
"""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog

from fluxtrail import __version__
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConfigError, FluxtrailError
from fluxtrail.model.sources import url_to_ask
from fluxtrail.runtime.clock import clock_from
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.following import build_following, measures_baseline_of, state_repositories
from fluxtrail.runtime.leading import Lead
from fluxtrail.runtime.remotes import open_remotes
from fluxtrail.runtime.report import ProcessReport
from fluxtrail.runtime.retention import Retention
from fluxtrail.runtime.routes import Routes, read_routes
from fluxtrail.runtime.settings import Settings
from fluxtrail.runtime.streams import ClusterNarrowing, ClusterStreams, kube_environ
from fluxtrail.runtime.telemetry import open_telemetry, source_kinds
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.web.access import check_binding
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.health import create_health_app
from fluxtrail.web.measures import MetricSource
from fluxtrail.web.metrics import Metrics, create_metrics_app
from fluxtrail.web.server import Listener, WebServer, parse_address

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
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self.ledger = ledger
        self.store = ledger.store
        self.registry = registry
        self.report = report
        self._jobs = jobs
        self._settings = settings
        self._clock = clock
        self._measured = measured
        self._leads = leads

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
        token = _read_token(settings)
        check_binding(host, token=token)
        feed = Feed(self.store, clients=settings.api.feed_clients)
        self.ledger.on_kept.append(feed.wake)
        api = create_app(
            answers=self.store,
            report=self.report,
            now=self._clock.now,
            token=token,
            allowed_hosts=settings.api.allowed_hosts,
            settle_after=timedelta(seconds=settings.settle_seconds),
            feed=feed,
        )
        metrics = Metrics(
            figures=lambda: self.ledger.figures,
            answers=self.store,
            created_at=self.store.created_at,
            now=self._clock.now,
            sources=[self.report, *self._measured],
            leads=self._leads,
        )
        apps = {
            "metrics": (create_metrics_app(metrics), settings.metrics.listen),
            "health": (create_health_app(self.report), settings.health.listen),
        }
        listeners = [Listener(name="api", app=api, host=host, port=port, streams=settings.api.feed_clients)]
        for name, (app, where) in apps.items():
            host, port = parse_address(where, subject=f"setting {name}.listen")
            listeners.append(Listener(name=name, app=app, host=host, port=port))
        return listeners


@asynccontextmanager
async def open_service(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Service]:
    """Build the service, and take it down in order afterwards.

    Raises:
        ConfigError, StoreError: it cannot run like this; the message says what to change.
    """
    clock = clock_from(environ)
    async with AsyncExitStack() as stack:
        routes = read_routes(settings, environ)
        store = await SqlLedger.open(
            settings.ledger.where, clock=clock, synchronous=settings.ledger.synchronous, plan=routes.planner()
        )
        stack.push_async_callback(store.close)
        ledger = FoldedLedger(store)
        await ledger.rebuild()
        registry = Registry()
        await registry.load(ledger)
        yield await _assemble(settings, environ, clock, stack, ledger, registry, routes)


async def _assemble(
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    stack: AsyncExitStack,
    ledger: FoldedLedger,
    registry: Registry,
    routes: Routes,
) -> Service:
    remotes = await open_remotes(settings, environ, stack)
    for source in registry.sources.values():
        if asked := url_to_ask(source.url, is_insecure=source.is_insecure):
            remotes.allow.admit(asked)
    exports = ExportBook()
    following = build_following(
        registry=registry,
        ledger=ledger,
        repositories=remotes.repositories,
        forges=remotes.forges,
        layers=remotes.registries,
        clock=clock,
        poll=timedelta(seconds=settings.git.poll_seconds),
        on_source=remotes.allow.admit,
        exports=exports,
        stated=await state_repositories(settings.repositories, ledger, registry, exports),
        measures_baseline=measures_baseline_of(settings),
    )
    clusters = [
        ClusterStreams(
            context=context,
            names=settings.cluster_names,
            narrowing=ClusterNarrowing(namespaces=settings.namespaces, runtime_namespace=settings.runtime_namespace),
            environ=kube_environ(environ, settings.kubeconfig),
            follower=following.follower,
            registry=registry,
            ledger=ledger,
            clock=clock,
        )
        for context in settings.contexts
    ]
    _check_names(clusters)
    report = ProcessReport(ledger=ledger, clusters=clusters, registry=registry, following=following, clock=clock)
    telemetry = await open_telemetry(
        routes,
        settings,
        environ,
        ledger=ledger,
        source_kinds=lambda: source_kinds(registry, {cluster.uid: cluster.name for cluster in clusters}),
        cluster_names=[cluster.name for cluster in clusters],
        clock=clock,
        stack=stack,
    )
    lead = Lead(ledger.store, clock, owner=uuid.uuid4().hex, on_lead=ledger.catch_up)
    retention = Retention(ledger=ledger.store, clock=clock, keep=timedelta(days=settings.retention_days))
    jobs: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "branches": following.branches.run,
        "attribution": following.attributor.run,
        "figures": ledger.run,
        "lead": lead.run,
        "retention": retention.run,
        **{f"cluster {cluster.name}": cluster.run for cluster in clusters},
        **telemetry.jobs,
    }
    return Service(
        ledger=ledger,
        registry=registry,
        report=report,
        jobs=jobs,
        settings=settings,
        clock=clock,
        measured=[telemetry],
        leads=lambda: lead.is_held,
    )


def _check_names(clusters: Sequence[ClusterStreams]) -> None:
    """Two clusters of one name could not be told apart in answers, labels and readiness."""
    names = [cluster.name for cluster in clusters]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two clusters are named {twice!r}; give each its own name", subject="setting cluster_names")


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for item in group.exceptions:
        found += _leaves(item) if isinstance(item, BaseExceptionGroup) else [item]
    return found


def _read_token(settings: Settings) -> str | None:
    if settings.api.token_file is None:
        return None
    try:
        return settings.api.token_file.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=str(settings.api.token_file)) from exc
