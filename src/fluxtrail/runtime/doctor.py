"""The doctor's wiring: a controller for each watched cluster, as the settings want it, and what they count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from fluxtrail.clusters.connection import Connection, open_connection
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.doctor.controller import DoctorController
from fluxtrail.gitops.doctor.round import Report, Rounds
from fluxtrail.gitops.doctor.treatment import FIELD_MANAGER, Treater
from fluxtrail.model.doctor.treating import Spent
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.streams import kube_environ
from fluxtrail.runtime.telemetry import Job
from fluxtrail.trail.ports import Clock
from fluxtrail.web.measures import Kind, Measure


class Doctors:
    """All clusters' doctors. Satisfies the web side's `MetricSource`."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        is_leading: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._environ = kube_environ(environ, settings.kubeconfig)
        self._clock = clock
        self._controllers = [self._open(context, is_leading) for context in settings.contexts]

    def _open(self, context: str | None, is_leading: Callable[[], bool]) -> DoctorController:
        name = self._connect(context).name
        cluster = self._settings.cluster_names.get(name, name)
        # What was done outlives a connection: it counts for as long as the process does.
        spent = Spent()
        return DoctorController(
            cluster,
            open_connection=partial(self._connect, context),
            open_rounds=partial(self._rounds, cluster=cluster, context=context or "", spent=spent),
            interval_seconds=self._settings.doctor.interval_seconds,
            clock=self._clock,
            is_leading=is_leading,
        )

    def _connect(self, context: str | None) -> Connection:
        return open_connection(context, self._environ, clock=self._clock)

    def _rounds(self, connection: Connection, *, cluster: str, context: str, spent: Spent) -> Rounds:
        setting = self._settings.doctor
        namespaces = setting.namespaces or self._settings.namespaces
        return Rounds(
            connection=connection,
            treater=Treater(
                writer=Writer(connection, field_manager=FIELD_MANAGER),
                cluster=cluster,
                now=self._clock.now,
                acts=setting.act,
                spent=spent,
            ),
            policy=setting.policy,
            limits=setting.limits,
            namespaces=namespaces,
            treated=namespaces,
            reads_locks=setting.helm_secrets,
            context=context,
        )

    @property
    def jobs(self) -> dict[str, Job]:
        return {f"doctor {each.cluster}": each.run for each in self._controllers}

    @property
    def reports(self) -> list[Report]:
        """Return what was found last in each cluster, of those where anything could be asked."""
        return [each.report for each in self._controllers if each.report is not None]

    def measures(self) -> Iterable[Measure]:
        found: Counter[tuple[str, ...]] = Counter()
        acts: Counter[tuple[str, ...]] = Counter()
        for each in self._controllers:
            for finding in each.report.findings if each.report is not None else ():
                found[each.cluster, finding.kind, finding.code.value, finding.severity.value] += 1
            acts.update({(each.cluster, *key): count for key, count in each.acts.items()})
        yield Measure(
            name="fluxtrail_doctor_findings",
            help="What the doctor found in its last round.",
            kind=Kind.GAUGE,
            labels=("cluster", "kind", "code", "severity"),
            values=[(key, float(count)) for key, count in sorted(found.items())],
        )
        yield Measure(
            name="fluxtrail_doctor_acts",
            help="What the doctor did, by remedy and outcome.",
            kind=Kind.COUNTER,
            labels=("cluster", "remedy", "outcome"),
            values=[(key, float(count)) for key, count in sorted(acts.items())],
        )
        yield Measure(
            name="fluxtrail_doctor_failures",
            help="Rounds of the doctor that failed: the cluster could not be asked.",
            kind=Kind.COUNTER,
            labels=("cluster",),
            values=[((each.cluster,), float(each.failures)) for each in self._controllers],
        )
        yield Measure(
            name="fluxtrail_doctor_last_round_timestamp_seconds",
            help="When the doctor last went round.",
            kind=Kind.GAUGE,
            labels=("cluster",),
            values=[
                ((each.cluster,), each.report.at.timestamp()) for each in self._controllers if each.report is not None
            ],
        )
