"""The composition root of `fluxtrail run`: builds every part, starts them, and stops them in order.

Started: ledger → figures → listeners (alive, not ready) → clusters, branches, attribution. Stopped the other way round:
first what brings work in, then what finishes it, the ledger last.
"""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import structlog

from fluxtrail import __version__
from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConfigError, FluxtrailError
from fluxtrail.model.records import UNSAVED, RepositoryId, RepositoryRecord, TargetRecord
from fluxtrail.model.repository import parse_repository
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.progress import CloneProgress
from fluxtrail.remotes.git.store import GitStore
from fluxtrail.remotes.github.client import GitHubClient, RetryWaits
from fluxtrail.runtime.clock import clock_from
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.forges import ConfiguredForges
from fluxtrail.runtime.report import ProcessReport
from fluxtrail.runtime.retention import Retention
from fluxtrail.runtime.settings import RepositorySetting, Settings
from fluxtrail.runtime.streams import TRACKED_NAMES, ClusterNarrowing, ClusterStreams, kube_environ
from fluxtrail.trail.attribution import Attributor
from fluxtrail.trail.branches import BranchWatcher
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.lookback import Lookback
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.recorder import Recorder
from fluxtrail.trail.registry import Registry
from fluxtrail.web.access import check_binding
from fluxtrail.web.app import create_app
from fluxtrail.web.health import create_health_app
from fluxtrail.web.metrics import Metrics, create_metrics_app
from fluxtrail.web.server import Listener, WebServer, parse_address

log = structlog.get_logger(__name__)

WATCH_GAP_FACTOR = 2.5
"""Looks at a branch that are closer than this many polls count as watching it."""
RESTART_SECONDS = 5.0
GITHUB_RETRY_WAITS = RetryWaits(initial_seconds=0.2, longest_seconds=2.0, jitter_seconds=0.2)
"""Five attempts within about 3 s: commits wait for the answer, and are followed without it too."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Service:
    """Everything `fluxtrail run` consists of. Build it with `open_service`."""

    def __init__(
        self,
        *,
        ledger: FoldedLedger,
        store: SqlLedger,
        registry: Registry,
        report: ProcessReport,
        jobs: Mapping[str, Callable[[], Coroutine[Any, Any, None]]],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self.ledger = ledger
        self.store = store
        self.registry = registry
        self.report = report
        self._jobs = jobs
        self._settings = settings
        self._clock = clock

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
        api = create_app(
            answers=self.store,
            report=self.report,
            now=self._clock.now,
            token=token,
            allowed_hosts=settings.api.allowed_hosts,
            settle_after=timedelta(seconds=settings.settle_seconds),
        )
        metrics = Metrics(
            figures=lambda: self.ledger.figures,
            answers=self.store,
            created_at=self.store.created_at,
            now=self._clock.now,
            sources=[self.report],
        )
        apps = {
            "metrics": (create_metrics_app(metrics), settings.metrics.listen),
            "health": (create_health_app(self.report), settings.health.listen),
        }
        listeners = [Listener(name="api", app=api, host=host, port=port)]
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
        store = await SqlLedger.open(settings.ledger.path, clock=clock, synchronous=settings.ledger.synchronous)
        stack.push_async_callback(store.close)
        ledger = FoldedLedger(store)
        await ledger.rebuild()
        registry = Registry()
        await registry.load(ledger)
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=True))
        yield await _assemble(settings, environ, clock, stack, store, ledger, registry, session)


async def _assemble(
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    stack: AsyncExitStack,
    store: SqlLedger,
    ledger: FoldedLedger,
    registry: Registry,
    session: aiohttp.ClientSession,
) -> Service:
    credentials = CredentialSource.from_settings(
        settings.credentials, environ=environ, github_base_url=settings.github.base_url
    )
    allow = AllowList(settings.allow, allow_file_protocol=settings.git.allow_file_protocol)
    for item in settings.repositories:
        for url in (item.url, *item.exports_to):
            allow.admit(url)
    git_folder = settings.git.directory or settings.ledger.path.absolute().parent / "git"
    repositories = await stack.enter_async_context(
        GitStore(
            git_folder,
            allow=allow,
            credentials=credentials,
            quota_bytes=settings.git.quota_bytes,
            progress=_progress(),
        )
    )
    github = GitHubClient(
        session, credentials=credentials, base_url=settings.github.base_url, retry_waits=GITHUB_RETRY_WAITS
    )
    has_token = credentials.find(github.host) is not None
    exports = ExportBook()
    stated = await _state_repositories(settings.repositories, ledger, registry, exports)
    recorder = Recorder(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        forges=ConfiguredForges(github, settings.repositories, has_token=has_token),
        exports=exports,
        clock=clock,
        watch_gap=timedelta(seconds=max(settings.git.poll_seconds * WATCH_GAP_FACTOR, 5.0)),
    )
    lookback = Lookback(registry=registry, exports=exports, clock=clock, measures_baseline=_measures_baseline(settings))
    attributor = Attributor(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        recorder=recorder,
        exports=exports,
        lookback=lookback,
        clock=clock,
    )
    branches = BranchWatcher(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        recorder=recorder,
        clock=clock,
        every=timedelta(seconds=settings.git.poll_seconds),
        stated=stated,
    )
    follower = Follower(
        registry=registry,
        ledger=ledger,
        on_sync=attributor.wake,
        on_source=allow.admit,
        on_move=branches.poke,
    )
    for source in registry.sources.values():
        allow.admit(source.url)
    clusters = [
        ClusterStreams(
            context=context,
            names=settings.cluster_names,
            narrowing=ClusterNarrowing(namespaces=settings.namespaces, runtime_namespace=settings.runtime_namespace),
            environ=kube_environ(environ, settings.kubeconfig),
            follower=follower,
            registry=registry,
            ledger=ledger,
            clock=clock,
        )
        for context in settings.contexts
    ]
    _check_names(clusters)
    report = ProcessReport(
        instance_id=store.instance_id,
        ledger=ledger,
        clusters=clusters,
        registry=registry,
        attributor=attributor,
        exports=exports,
        follower=follower,
        clock=clock,
    )
    retention = Retention(ledger=store, clock=clock, keep=timedelta(days=settings.retention_days))
    jobs: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "branches": branches.run,
        "attribution": attributor.run,
        "figures": ledger.run,
        "retention": retention.run,
        **{f"cluster {cluster.name}": cluster.run for cluster in clusters},
    }
    return Service(
        ledger=ledger, store=store, registry=registry, report=report, jobs=jobs, settings=settings, clock=clock
    )


def _check_names(clusters: Sequence[ClusterStreams]) -> None:
    """Two clusters of one name could not be told apart in answers, labels and readiness."""
    names = [cluster.name for cluster in clusters]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two clusters are named {twice!r}; give each its own name", subject="setting cluster_names")


async def _state_repositories(
    stated: tuple[RepositorySetting, ...], ledger: FoldedLedger, registry: Registry, exports: ExportBook
) -> list[tuple[RepositoryId, str | None]]:
    """Keep the repositories of the settings, and who is exported into whom."""
    followed: list[tuple[RepositoryId, str | None]] = []
    sources: defaultdict[RepositoryId, list[RepositoryId]] = defaultdict(list)
    async with ledger.unit() as unit:

        async def keep(url: str) -> RepositoryRecord:
            parsed = parse_repository(url)
            known = registry.find_repository(parsed.canonical)
            record = RepositoryRecord(
                id=known.id if known else RepositoryId(UNSAVED),
                canonical=parsed.canonical,
                url=parsed.fetch_url,
                default_branch=known.default_branch if known else None,
            )
            saved = await unit.put_repository(record)
            registry.put_repositories([saved])
            return saved

        for item in stated:
            source = await keep(item.url)
            followed.append((source.id, item.branch))
            manifests = [(await keep(url)).id for url in item.exports_to]
            await unit.put_repository_exports(source.id, manifests)
            for repository_id in manifests:
                sources[repository_id].append(source.id)
    exports.set_sources(sources)
    return followed


def _measures_baseline(settings: Settings) -> Callable[[TargetRecord], bool]:
    """In flux-commit-tracker's place, the export its Kustomization has at first sight is measured, as it did."""
    namespace = settings.runtime_namespace
    if namespace is None:
        return lambda target: False
    names = {pattern.format(namespace=namespace) for pattern in TRACKED_NAMES}
    return lambda target: target.key.namespace == namespace and target.key.name in names


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


def _progress() -> Callable[[CloneProgress], None]:
    """Tell of a first clone in quarters: enough to see that it goes on."""
    told: set[tuple[str, str, int]] = set()

    def show(step: CloneProgress) -> None:
        quarter = (step.percent or 0) // 25 * 25
        if (step.repository, step.phase, quarter) not in told:
            told.add((step.repository, step.phase, quarter))
            log.info("cloning", repository=step.repository, phase=step.phase, percent=quarter)

    return show
