"""Deployment records' wiring: what watches workloads, who tells GitHub, and what both say of themselves."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from functools import partial

from fluxtrail.clusters.connection import Connection
from fluxtrail.model.deployment import DeploymentStatus, Destination, NameTemplate, Told
from fluxtrail.model.errors import ConflictError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.views import RecordView
from fluxtrail.remotes.github.artifact_metadata import ArtifactMetadataClient
from fluxtrail.reports.deployment_records.budget import HourlyBudget
from fluxtrail.reports.deployment_records.catching_up import CatchingUp
from fluxtrail.reports.deployment_records.counters import RecordCounters
from fluxtrail.reports.deployment_records.dry_run import DryRunOutput
from fluxtrail.reports.deployment_records.late import LateArtifacts
from fluxtrail.reports.deployment_records.lost_jobs import LostJobs
from fluxtrail.reports.deployment_records.output import DeploymentRecordsOutput, records_pace
from fluxtrail.reports.deployment_records.plan import report_of
from fluxtrail.reports.dispatcher import Dispatcher
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.records_client import GitHubRecords
from fluxtrail.runtime.remotes import Remotes
from fluxtrail.runtime.settings.records import destinations
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.settings.tracker import read_credentials
from fluxtrail.runtime.streams import ClusterStreams
from fluxtrail.runtime.telemetry import Job, write_stdout
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.records.keeper import RecordKeeper, RecordRules
from fluxtrail.trail.records.numbers import KeeperNumbers
from fluxtrail.trail.workloads.view import WorkloadView
from fluxtrail.web.ports import Listing
from fluxtrail.web.shapes import RecordCount, SyncPlan
from fluxtrail.web.tracker_metrics import TrackerCounters

UNKNOWN_CLUSTER_SECONDS = 1.0
SHOWN = 1_000
"""Records in the answer to a dry run."""


class Records:
    """Everything that deployment records consist of. Build it, tell it which clusters there are, run its jobs."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        remotes: Remotes,
        *,
        ledger: FoldedLedger,
        clock: Clock,
    ) -> None:
        """Raises ConfigError: they cannot be told like this; `subject` is the setting or variable."""
        self._setting = settings.deployment_records
        self._ledger = ledger
        self._clock = clock
        self._clusters: Sequence[ClusterStreams] = ()
        self._destinations: Mapping[str, Destination] = {}
        self._begun: set[ClusterUid] = set()
        """Clusters of which all that was there at the beginning is recorded."""
        self._tracker = TrackerCounters()
        self._counters = RecordCounters()
        self._lost_jobs = LostJobs(clock)
        self._client: ArtifactMetadataClient | None = None
        self.budget: HourlyBudget | None = None
        """None in a dry run."""
        self.dispatcher = self._dispatcher(environ, remotes)
        ledger.on_planned.append(self._wake)

    def keeper(self, view: WorkloadView, _connection: Connection) -> RecordKeeper:
        """Return what keeps the records of a cluster that was connected to."""
        rules = RecordRules(
            template=NameTemplate(self._setting.name_template),
            namespaces=frozenset(self._setting.namespaces),
            excluded=frozenset(self._setting.exclude_namespaces),
            decommissions_at_zero=self._setting.decommission_at_zero,
        )
        return RecordKeeper(
            view,
            ledger=self._ledger,
            clock=self._clock,
            rules=rules,
            report_of=report_of,
            on_begun=partial(self._begun.add, view.cluster),
            numbers=KeeperNumbers(on_recorded=self._note_recorded),
        )

    def follow(self, clusters: Sequence[ClusterStreams]) -> None:
        """Take note of which clusters there are.

        Raises:
            ConfigError: one has no name, or no environment, under which GitHub could keep its records.
        """
        self._destinations = destinations(self._setting, [cluster.name for cluster in clusters])
        self._clusters = clusters

    @property
    def jobs(self) -> dict[str, Job]:
        found: dict[str, Job] = {"records catch up": self._catch_up}
        if not self._setting.dry_run:
            late = LateArtifacts(
                self._ledger.store,
                self._clock,
                wake=self._wake,
                lost_jobs=self._lost_jobs,
                counters=self._counters,
            )
            found["late artifacts"] = late.run
        return found

    # -- what the web side asks -----------------------------------------------------------------------------------

    async def list_records(
        self,
        *,
        cluster: str | None,
        namespace: str | None,
        status: str | None,
        told: str | None,
        text: str | None,
        limit: int,
        cursor: str | None,
    ) -> Listing[RecordView]:
        return await self._ledger.store.list_deployment_records(
            cluster=cluster, namespace=namespace, status=status, told=told, text=text, limit=limit, cursor=cursor
        )

    async def count_records(self) -> Sequence[RecordCount]:
        names = {cluster.uid: cluster.name for cluster in self._clusters}
        return [
            RecordCount(
                cluster=names.get(item.cluster, item.cluster),
                cluster_uid=item.cluster,
                status=item.status.value,
                told=item.told.value,
                count=item.number,
            )
            for item in await self._ledger.store.deployment_record_counts()
        ]

    async def sync(self, *, cluster: str | None, dry_run: bool) -> SyncPlan | None:
        """Only of clusters that are followed: what is recorded of others, such as one that was made anew, cannot be
        told, and would wait for ever.
        """
        uids = [item.uid for item in self._clusters if item.uid and cluster in (None, item.name, item.uid)]
        if cluster is not None and not uids:
            return None
        if dry_run:
            return await self._plan(uids)
        if self._setting.dry_run:
            raise ConflictError("this process only says what it would tell; start it without --dry-run")
        planned = sum([await self._catching_up.resend(uid) for uid in uids])
        return SyncPlan(planned=planned, clusters=list(uids))

    async def _plan(self, uids: Sequence[ClusterUid]) -> SyncPlan:
        counts = await self._ledger.store.deployment_record_counts()
        told = [item for item in counts if item.cluster in uids and item.told is not Told.SILENT]
        shown: list[RecordView] = []
        for uid in uids:
            page = await self._ledger.store.list_deployment_records(cluster=uid, limit=SHOWN)
            shown += [item for item in page.items if item.told != Told.SILENT.value]
        return SyncPlan(planned=sum(item.number for item in told), clusters=list(uids), records=shown[:SHOWN])

    # -- what is counted --------------------------------------------------------------------------------------------

    def tracker(self) -> TrackerCounters:
        """Return what deployment-tracker counted, as it stands now."""
        self._tracker.post_record_unknown_artifact_cache_hit = self._counters.unknown_artifact_cache_hit
        if self._client is not None:
            self._tracker.take_posts(self._client.counters)
        return self._tracker

    def _note_recorded(self, status: DeploymentStatus, is_kept: bool, seconds: float) -> None:
        event_type = "CREATED" if status is DeploymentStatus.DEPLOYED else "DELETED"
        self._tracker.note_event(event_type, is_ok=is_kept, seconds=seconds)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _catching_up(self) -> CatchingUp:
        return CatchingUp(self._ledger.store, self._clock, self._wake)

    async def _catch_up(self) -> None:
        """What an earlier run left, and what GitHub holds under another name, is told once; then wait for ever."""
        await self._catching_up.replan_pending()
        ahead = list(self._clusters)
        heirs = [] if self._setting.dry_run else list(self._clusters)
        while True:
            for cluster in [item for item in ahead if item.uid]:
                await self._catch_up_with(cluster.uid, self._destinations[cluster.name])
                ahead.remove(cluster)
            for cluster in [item for item in heirs if item.uid in self._begun]:
                await self._catching_up.inherit(cluster.uid, self._destinations[cluster.name])
                heirs.remove(cluster)
            await self._clock.sleep(UNKNOWN_CLUSTER_SECONDS if ahead or heirs else 3600.0)

    async def _catch_up_with(self, cluster: ClusterUid, destination: Destination) -> None:
        await self._catching_up.told_elsewhere(cluster, destination)
        if not self._setting.dry_run:
            await self._catching_up.ask_again(cluster)
            await self._doubt_jobs(cluster)

    async def _doubt_jobs(self, cluster: ClusterUid) -> None:
        """A job of an earlier run may be under way that nobody knows of any more: tell everything once it has ended."""
        if self._setting.bulk and await self._ledger.store.records_told_elsewhere(cluster, "", limit=1):
            self._lost_jobs.note(cluster)

    def _wake(self) -> None:
        self.dispatcher.wake()

    def _find_destination(self, cluster: ClusterUid) -> Destination | None:
        name = next((item.name for item in self._clusters if item.uid == cluster), "")
        return self._destinations.get(name)

    def _dispatcher(self, environ: Mapping[str, str], remotes: Remotes) -> Dispatcher:
        owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        store, setting = self._ledger.store, self._setting
        if setting.dry_run:
            dry = DryRunOutput(store, self._clock, find_destination=self._find_destination, write=write_stdout)
            return Dispatcher(dry, store.outbox, self._clock, owner=owner)
        self.budget = budget = HourlyBudget(
            store.outbox.spend,
            self._clock,
            organization=setting.organization,
            requests_per_hour=setting.requests_per_hour,
        )
        output = DeploymentRecordsOutput(
            GitHubRecords(self._open_client(environ, remotes, budget)),
            store,
            self._clock,
            find_destination=self._find_destination,
            budget=budget,
            wake=self._wake,
            workers=setting.workers,
            has_bulk=setting.bulk,
            lost_jobs=self._lost_jobs,
            counters=self._counters,
        )
        return Dispatcher(output, store.outbox, self._clock, owner=owner, pace=records_pace(has_bulk=setting.bulk))

    def _open_client(
        self, environ: Mapping[str, str], remotes: Remotes, budget: HourlyBudget
    ) -> ArtifactMetadataClient:
        def observe(seconds: float) -> None:
            budget.note(seconds)
            self._tracker.post_seconds.observe(seconds)

        stated = read_credentials(self._setting, environ)
        self._client = ArtifactMetadataClient(
            remotes.sessions.to(self._setting.api_url),
            self._setting.organization,
            clock=self._clock,
            base_url=self._setting.api_url,
            app=stated.app,
            token=stated.token,
            token_file=stated.token_file,
            credentials=remotes.credentials,
            observe=observe,
            allowances=remotes.allowances,
        )
        return self._client
