"""The composition root of `fluxtrail run`: builds every part, the lower ones first, and takes them down again."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConfigError, WireError
from fluxtrail.model.notices import FluxNotice
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.sources import CHART_PLACE_KIND, url_to_ask
from fluxtrail.remotes.allow import AllowList
from fluxtrail.reports.plan import Planner, together
from fluxtrail.reports.standings.budgets import Window
from fluxtrail.runtime.clock import clock_from
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.following import Following, build_following, measures_baseline_of, state_repositories
from fluxtrail.runtime.forge_numbers import ForgeNumbers, Spending
from fluxtrail.runtime.images import Images
from fluxtrail.runtime.leading import Lead
from fluxtrail.runtime.ledger_numbers import LedgerNumbers
from fluxtrail.runtime.remotes import Remotes, open_remotes
from fluxtrail.runtime.report import ProcessReport
from fluxtrail.runtime.reporting import Reporting
from fluxtrail.runtime.retention import Retention
from fluxtrail.runtime.routes import Routes, read_routes
from fluxtrail.runtime.running import Running, give_up_running
from fluxtrail.runtime.service import Service
from fluxtrail.runtime.settings.running import watched_namespaces
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.streams import ClusterNarrowing, ClusterStreams, kube_environ
from fluxtrail.runtime.telemetry import Job, Telemetry, open_telemetry, source_kinds
from fluxtrail.runtime.workload_streams import ConsumerOf, WorkloadStreams
from fluxtrail.trail.chains import ChainFinder
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.images.readers import SourceReaders
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry

if TYPE_CHECKING:
    from fluxtrail.runtime.ci import Ci
    from fluxtrail.runtime.deployment_records import Records
    from fluxtrail.runtime.doctor import Doctors
    from fluxtrail.runtime.hooks import Hooks
    from fluxtrail.runtime.resources import Resources
    from fluxtrail.runtime.statuses import Statuses


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
            settings.ledger.where, clock=clock, synchronous=settings.ledger.synchronous, plan=_plan(settings, routes)
        )
        stack.push_async_callback(store.close)
        ledger = FoldedLedger(store)
        await ledger.rebuild()
        registry = Registry()
        await registry.load(ledger)
        yield await _Assembly(settings, environ, clock, stack, ledger, registry).service(routes)


class _Assembly:
    """Holds what all parts stand on, and builds them; `stack` takes down what must be."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        clock: Clock,
        stack: AsyncExitStack,
        ledger: FoldedLedger,
        registry: Registry,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._clock = clock
        self._stack = stack
        self._ledger = ledger
        self._registry = registry

    async def service(self, routes: Routes) -> Service:
        remotes = await open_remotes(self._settings, self._environ, self._stack)
        running, images = self._running(), self._images(remotes)
        if running is None:
            await give_up_running(self._ledger, self._registry, self._clock.now())
        following = await self._following(remotes, running, images)
        records = self._records(remotes)
        resources = self._resources()
        clusters = self._clusters(following, self._workloads(records, running, images), resources)
        telemetry = await self._telemetry(routes, clusters)
        if records is not None:
            records.follow(clusters)
            telemetry.dispatchers.append(records.dispatcher)
        statuses = self._statuses(remotes, clusters)
        if statuses is not None:
            telemetry.dispatchers += statuses.dispatchers
        ci = self._ci(remotes)
        hooks = self._hooks(following, clusters, ci)
        ledger_numbers = LedgerNumbers(self._ledger.store, self._clock)
        forge_numbers = self._forge_numbers(remotes, records, statuses)
        report = ProcessReport(
            ledger=self._ledger, clusters=clusters, registry=self._registry, following=following, clock=self._clock
        )
        lead = Lead(self._ledger.store, self._clock, owner=uuid.uuid4().hex, on_lead=self._ledger.catch_up)
        doctors = self._doctors(lead)
        keep = timedelta(days=self._settings.retention_days)
        jobs: dict[str, Job] = {
            "branches": following.branches.run,
            "attribution": following.attributor.run,
            "figures": self._ledger.run,
            "lead": lead.run,
            "retention": Retention(ledger=self._ledger.store, clock=self._clock, keep=keep).run,
            "ledger numbers": ledger_numbers.run,
            "forge numbers": forge_numbers.run,
            **{f"cluster {cluster.name}": cluster.run for cluster in clusters},
            **telemetry.jobs,
            **(records.jobs if records is not None else {}),
            **(statuses.jobs if statuses is not None else {}),
            **(hooks.jobs if hooks is not None else {}),
            **(ci.jobs if ci is not None else {}),
            **(running.jobs if running is not None else {}),
            **(images.jobs if images is not None else {}),
            **(doctors.jobs if doctors is not None else {}),
        }
        return Service(
            ledger=self._ledger,
            registry=self._registry,
            report=report,
            jobs=jobs,
            settings=self._settings,
            clock=self._clock,
            measured=[
                telemetry,
                ledger_numbers,
                forge_numbers,
                remotes.identities,
                *(part for part in (running, images, hooks, resources, ci, doctors) if part is not None),
            ],
            records=records,
            resources=resources,
            reports=Reporting(
                self._ledger.store,
                telemetry.dispatchers,
                self._clock,
                kinds={item.name: item.to.value for item in self._settings.routes},
                routes=statuses.tried if statuses is not None else {},
            ),
            hooks=hooks.app if hooks is not None else None,
            leads=lambda: lead.is_held,
            chains=ChainFinder(lambda: [cluster.lookup for cluster in clusters if cluster.uid], self._registry),
        )

    async def _following(self, remotes: Remotes, running: Running | None, images: Images | None) -> Following:
        _admit_known(remotes.allow, self._registry)
        exports = ExportBook()

        def on_progress(clusters: Collection[ClusterUid]) -> None:
            if running is not None:
                running.note_syncs(clusters)
            if images is not None:
                images.note_syncs()

        def on_source(url: str) -> None:
            remotes.allow.admit(url)
            if images is not None:
                images.note_source(url)

        return build_following(
            registry=self._registry,
            ledger=self._ledger,
            repositories=remotes.repositories,
            forges=remotes.forges,
            layers=remotes.registries,
            clock=self._clock,
            poll=timedelta(seconds=self._settings.git.poll_seconds),
            on_source=on_source,
            exports=exports,
            stated=await state_repositories(self._settings.repositories, self._ledger, self._registry, exports),
            measures_baseline=measures_baseline_of(self._settings),
            on_progress=on_progress,
            follows_running=running is not None,
            on_image=images.expect if images is not None else lambda image, digest: None,
            on_git=remotes.identities.note_source,
            on_release=running.note_releases if running is not None else lambda _: None,
        )

    def _running(self) -> Running | None:
        if not self._settings.workloads.enabled or not self._settings.watch:
            return None
        return Running(registry=self._registry, ledger=self._ledger, clock=self._clock)

    def _images(self, remotes: Remotes) -> Images | None:
        settings = self._settings
        if not settings.workloads.enabled or not settings.images.enabled or not settings.watch:
            return None
        return Images(
            self._settings,
            remotes,
            registry=self._registry,
            ledger=self._ledger,
            find_reader=SourceReaders(self._registry, remotes.repositories).find,
            clock=self._clock,
        )

    def _workloads(
        self, records: Records | None, running: Running | None, images: Images | None
    ) -> Callable[[str], WorkloadStreams] | None:
        """Return what makes the watch over the workloads of the cluster so named; None where nobody asks for them."""
        consumers: dict[str, ConsumerOf] = {}
        if records is not None:
            consumers["records"] = records.keeper
        if running is not None:
            consumers["rollouts"] = running.keeper
            consumers["events"] = running.asker
        if images is not None:
            consumers["images"] = images.keeper
        if not consumers:
            return None
        setting = self._settings.deployment_records
        recorded = setting.namespaces if records is not None else ()
        if running is None:
            namespaces, excluded = recorded, setting.exclude_namespaces
        else:
            namespaces = watched_namespaces(self._settings.workloads, recorded=recorded)
            excluded = ()
        return lambda name: WorkloadStreams(
            name,
            clock=self._clock,
            consumers=consumers,
            namespaces=namespaces,
            excluded=excluded,
            is_required=records is not None,
        )

    def _records(self, remotes: Remotes) -> Records | None:
        if not self._settings.deployment_records.enabled:
            return None
        # Not for those who keep none: it takes memory.
        from fluxtrail.runtime.deployment_records import Records  # noqa: PLC0415

        return Records(self._settings, self._environ, remotes, ledger=self._ledger, clock=self._clock)

    def _resources(self) -> Resources | None:
        if not self._settings.resources.enabled or not self._settings.watch:
            return None
        from fluxtrail.runtime.resources import Resources  # noqa: PLC0415

        return Resources(self._settings, self._clock)

    def _ci(self, remotes: Remotes) -> Ci | None:
        if not self._settings.ci.enabled:
            return None
        from fluxtrail.runtime.ci import Ci  # noqa: PLC0415

        return Ci(
            self._settings.ci,
            registry=self._registry,
            ledger=self._ledger,
            forges=remotes.forges,
            clock=self._clock,
        )

    def _doctors(self, lead: Lead) -> Doctors | None:
        if not self._settings.doctor.enabled:
            return None
        from fluxtrail.runtime.doctor import Doctors  # noqa: PLC0415

        return Doctors(self._settings, self._environ, clock=self._clock, is_leading=lambda: lead.is_held)

    def _hooks(self, following: Following, clusters: Sequence[ClusterStreams], ci: Ci | None) -> Hooks | None:
        if not self._settings.hooks.listen:
            return None
        from fluxtrail.runtime.hooks import Hooks  # noqa: PLC0415

        def look(notice: FluxNotice, name: str) -> None:
            for cluster in clusters:
                if name in ("", cluster.name, cluster.uid):
                    cluster.nudge(notice)

        def is_watched(name: str) -> bool:
            return any(name in (cluster.name, cluster.uid) for cluster in clusters)

        return Hooks(
            self._settings,
            ledger=self._ledger,
            registry=self._registry,
            poke=following.branches.poke,
            look=look,
            follower=following.follower,
            is_watched=is_watched,
            clock=self._clock,
            look_at_ci=ci.poke if ci is not None else lambda _: None,
        )

    def _told_names(self) -> list[str]:
        """Return the clusters that senders speak of, where hooks are taken."""
        hooks = self._settings.hooks
        return [sender.cluster for sender in hooks.senders if sender.cluster] if hooks.listen else []

    def _statuses(self, remotes: Remotes, clusters: Sequence[ClusterStreams]) -> Statuses | None:
        if not self._settings.routes:
            return None
        from fluxtrail.reports.standings.retired import RetiredClusters  # noqa: PLC0415
        from fluxtrail.runtime.statuses import Statuses  # noqa: PLC0415 - templates take memory

        return Statuses(
            self._settings,
            remotes,
            ledger=self._ledger,
            clock=self._clock,
            retired=RetiredClusters(
                lambda: [(cluster.uid, cluster.name) for cluster in clusters], told=self._told_names()
            ),
        )

    def _forge_numbers(self, remotes: Remotes, records: Records | None, statuses: Statuses | None) -> ForgeNumbers:
        hourly = records.budget if records is not None else None

        def budgets() -> Iterator[Spending]:
            if hourly is not None:
                yield Spending(hourly.name, hourly.name, Window(hourly.limit, timedelta(hours=1)))
            for budget in statuses.budgets.known.values() if statuses is not None else ():
                yield from (Spending(budget.name, *entry) for entry in budget.entries())

        def refused() -> dict[str, int]:
            of_records = {hourly.name: hourly.refused} if hourly is not None else {}
            return of_records | (statuses.budgets.refused if statuses is not None else {})

        purse = self._ledger.store.outbox
        return ForgeNumbers(remotes.allowances, purse, self._clock, budgets=budgets, refused=refused)

    def _clusters(
        self,
        following: Following,
        workloads: Callable[[str], WorkloadStreams] | None,
        resources: Resources | None,
    ) -> list[ClusterStreams]:
        settings = self._settings
        clusters = [
            ClusterStreams(
                context=context,
                names=settings.cluster_names,
                narrowing=ClusterNarrowing(
                    namespaces=settings.namespaces, runtime_namespace=settings.runtime_namespace
                ),
                environ=kube_environ(self._environ, settings.kubeconfig),
                follower=following.follower,
                registry=self._registry,
                ledger=self._ledger,
                clock=self._clock,
                workloads=workloads,
                resources=resources.streams if resources is not None else None,
            )
            for context in settings.contexts
        ]
        _check_names(clusters)
        return clusters

    async def _telemetry(self, routes: Routes, clusters: Sequence[ClusterStreams]) -> Telemetry:
        return await open_telemetry(
            routes,
            self._settings,
            self._environ,
            ledger=self._ledger,
            source_kinds=lambda: source_kinds(self._registry, {cluster.uid: cluster.name for cluster in clusters}),
            cluster_names=list(dict.fromkeys([*(cluster.name for cluster in clusters), *self._told_names()])),
            clock=self._clock,
            stack=self._stack,
        )


def _plan(settings: Settings, routes: Routes) -> Planner:
    """Return what must be told of new history, by all who tell."""
    if not settings.routes:
        return routes.planner()
    from fluxtrail.runtime.statuses import plan_routes  # noqa: PLC0415

    return together([routes.planner(), plan_routes(settings)])


def _admit_known(allow: AllowList, registry: Registry) -> None:
    """Let the hosts of sources that were watched before be asked at once; a URL that is none has been told there.

    A HelmRepository is never asked, and need not name more than a host.
    """
    for source in registry.sources.values():
        if source.key.kind == CHART_PLACE_KIND:
            continue
        with suppress(WireError):
            if asked := url_to_ask(source.url, is_insecure=source.is_insecure):
                allow.admit(asked)


def _check_names(clusters: Sequence[ClusterStreams]) -> None:
    """Two clusters of one name could not be told apart in answers, labels and readiness."""
    names = [cluster.name for cluster in clusters]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two clusters are named {twice!r}; give each its own name", subject="setting cluster_names")
