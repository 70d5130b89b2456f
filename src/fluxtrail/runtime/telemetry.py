"""Telemetry's wiring: the dispatchers, the export of metrics, and what they say of themselves."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from fluxtrail import __version__
from fluxtrail.model.report import SinkCounts
from fluxtrail.reports.dispatcher import Dispatcher, Pace
from fluxtrail.reports.plan import Output
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.routes import Routes
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.web.measures import Kind, Measure

if TYPE_CHECKING:  # OpenTelemetry's messages and gRPC cost memory; only who sends something pays
    from fluxtrail.remotes.otlp.options import SignalOptions
    from fluxtrail.remotes.otlp.sender import OtlpSender
    from fluxtrail.reports.ports import Facts
    from fluxtrail.reports.telemetry.messages import Envelope
    from fluxtrail.reports.telemetry.metering import Export, Meter
    from fluxtrail.reports.telemetry.metrics import Place

log = structlog.get_logger(__name__)

SERVICE = "fluxtrail"
METRICS_SECONDS = 15.0
GATHER_SECONDS = 1.0
"""What flux-commit-tracker took, unless `OTEL_*` says otherwise."""

Job = Callable[[], Coroutine[Any, Any, None]]
SourceKinds = Callable[[], "Mapping[Place, str]"]


@dataclass
class Telemetry:
    """What runs. Satisfies the web side's `MetricSource`."""

    dispatchers: list[Dispatcher] = field(default_factory=list)
    meter: Meter | None = None

    @property
    def jobs(self) -> dict[str, Job]:
        found: dict[str, Job] = {f"reports {item.sink}": item.run for item in self.dispatchers}
        if self.meter is not None:
            found["metrics export"] = self.meter.run
        return found

    def wake(self) -> None:
        """Something may have been planned. Never waits."""
        for dispatcher in self.dispatchers:
            dispatcher.wake()

    def measures(self) -> Iterable[Measure]:
        sinks = [(item.sink, item.numbers) for item in self.dispatchers]
        held = [(sink, numbers.held or SinkCounts()) for sink, numbers in sinks]
        ages = [((sink,), numbers.oldest_age_seconds) for sink, numbers in sinks]
        yield _measure("fluxtrail_reports_waiting", "Reports that are not sent yet.", held, lambda item: item.waiting)
        yield _measure("fluxtrail_reports_dead", "Reports given up; replay or drop them.", held, lambda item: item.dead)
        yield Measure(
            name="fluxtrail_reports_oldest_age_seconds",
            help="Age of the oldest report that is not sent yet.",
            kind=Kind.GAUGE,
            labels=("sink",),
            values=ages,
        )
        yield Measure(
            name="fluxtrail_reports_receiver_down",
            help="1 while a receiver refuses everything, or cannot be reached.",
            kind=Kind.GAUGE,
            labels=("sink",),
            values=[((sink,), float(numbers.is_down)) for sink, numbers in sinks],
        )
        counters = (
            ("fluxtrail_reports_sent", "Reports that a receiver took.", [one.sent for _, one in sinks]),
            ("fluxtrail_reports_failed", "Attempts to send that came to nothing.", [one.failed for _, one in sinks]),
            ("fluxtrail_reports_rejected", "Spans and records refused for good.", [one.rejected for _, one in sinks]),
        )
        for name, text, values in counters:
            yield _counted(name, text, [(sink, value) for (sink, _), value in zip(sinks, values, strict=True)])


def _counted(name: str, text: str, values: Sequence[tuple[str, int]]) -> Measure:
    told = [((sink,), float(value)) for sink, value in values]
    return Measure(name=name, help=text, kind=Kind.COUNTER, labels=("sink",), values=told)


def _measure(
    name: str, text: str, held: Sequence[tuple[str, SinkCounts]], value: Callable[[SinkCounts], int]
) -> Measure:
    values = [((sink,), float(value(counts))) for sink, counts in held]
    return Measure(name=name, help=text, kind=Kind.GAUGE, labels=("sink",), values=values)


async def open_telemetry(
    routes: Routes,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    ledger: FoldedLedger,
    source_kinds: SourceKinds,
    cluster_names: Sequence[str],
    clock: Clock,
    stack: AsyncExitStack,
) -> Telemetry:
    """Build what the routes need; `stack` takes it down again.

    Args:
        source_kinds: which kind of source each target has now.
        cluster_names: of what is followed; one alone is the cluster that the resource is about.
    """
    outputs = routes.outputs()
    if not outputs and not routes.sends_metrics:
        return Telemetry()
    builder = _Builder(routes, settings, environ, ledger=ledger, cluster_names=cluster_names, clock=clock)
    await builder.open(stack)
    found = Telemetry(dispatchers=[builder.dispatcher(output) for output in outputs])
    if routes.sends_metrics:
        found.meter = builder.meter(source_kinds)
    ledger.on_planned.append(found.wake)
    return found


class _Builder:
    """Holds what all parts share."""

    def __init__(
        self,
        routes: Routes,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        ledger: FoldedLedger,
        cluster_names: Sequence[str],
        clock: Clock,
    ) -> None:
        from fluxtrail.reports.telemetry.messages import Envelope  # noqa: PLC0415

        self._routes = routes
        self._settings = settings
        self._environ = environ
        self._ledger = ledger
        self._clock = clock
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._resource = resource_of(environ, instance_id=ledger.store.instance_id, cluster_names=cluster_names)
        self._envelope: Envelope = Envelope(self._resource)
        self._sender: OtlpSender | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        if self._routes.otlp is not None:
            from fluxtrail.remotes.otlp.sender import OtlpSender  # noqa: PLC0415

            self._sender = await stack.enter_async_context(OtlpSender(self._routes.otlp))
            if self._settings.telemetry.own_logs and self._routes.otlp.logs.is_enabled:
                from fluxtrail.runtime.own_logs import sending_own_logs  # noqa: PLC0415

                await stack.enter_async_context(sending_own_logs(self._sender, self._resource))

    def dispatcher(self, output: Output) -> Dispatcher:
        from fluxtrail.reports.telemetry import otlp, rendering, stdout  # noqa: PLC0415

        renderer = rendering.Renderer(
            rendering.render_spans if output.is_trace else rendering.render_records,
            self._facts,
            self._clock,
            settle_after=timedelta(seconds=self._settings.settle_seconds),
        )
        store = self._ledger.store
        if self._sender is not None and output.sink == otlp.TRACES_SINK:
            traces = otlp.OtlpTraces(renderer, self._sender, self._envelope)
            return Dispatcher(traces, store.outbox, self._clock, owner=self._owner, pace=self._pace("BSP"))
        if self._sender is not None and output.sink == otlp.LOGS_SINK:
            logs = otlp.OtlpLogs(renderer, self._sender, self._envelope)
            return Dispatcher(logs, store.outbox, self._clock, owner=self._owner, pace=self._pace("BLRP"))
        if output.is_trace:
            spans = stdout.StdoutTraces(renderer, write_stdout)
            return Dispatcher(spans, store.outbox, self._clock, owner=self._owner)
        return Dispatcher(stdout.StdoutLogs(renderer), store.outbox, self._clock, owner=self._owner)

    def meter(self, source_kinds: SourceKinds) -> Meter:
        from fluxtrail.reports.telemetry.metering import Meter  # noqa: PLC0415

        store = self._ledger.store
        stated = self._environ.get("OTEL_METRIC_EXPORT_INTERVAL") and self._routes.otlp is not None
        interval = self._routes.otlp.pace.metrics_interval_seconds if stated and self._routes.otlp else METRICS_SECONDS
        return Meter(
            figures=lambda: self._ledger.figures,
            gauges=store,
            facts=self._facts,
            source_kinds=source_kinds,
            leadership=store.leadership,
            exports=self._exports(),
            envelope=self._envelope,
            started_at=store.created_at,
            clock=self._clock,
            owner=self._owner,
            interval_seconds=interval,
            on_lead=self._ledger.catch_up if store.is_shared else None,
        )

    @property
    def _facts(self) -> Facts:
        return self._ledger.store

    def _exports(self) -> list[Export]:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
            ExportMetricsServiceRequest,
        )

        from fluxtrail.reports.telemetry.stdout import write_metrics  # noqa: PLC0415

        async def to_stdout(request: ExportMetricsServiceRequest) -> None:
            write_metrics(request, write_stdout)

        async def to_collector(request: ExportMetricsServiceRequest) -> None:
            assert self._sender is not None
            answer = await self._sender.send_metrics(request)
            if answer.rejected:
                log.warning("metrics_rejected", rejected=answer.rejected, answer=answer.message)

        found: list[Export] = [to_stdout] if self._routes.stdout_all else []
        if self._routes.otlp is not None and self._routes.otlp.metrics.is_enabled:
            found.append(to_collector)
        return found

    def _pace(self, family: str) -> Pace:
        options = self._routes.otlp
        assert options is not None
        signal: SignalOptions = options.traces if family == "BSP" else options.logs
        delay, items = (
            (options.pace.traces_delay_seconds, options.pace.traces_batch)
            if family == "BSP"
            else (options.pace.logs_delay_seconds, options.pace.logs_batch)
        )
        is_stated = bool(self._environ.get(f"OTEL_{family}_SCHEDULE_DELAY"))
        return Pace(
            gather_seconds=delay if is_stated else GATHER_SECONDS,
            items=items,
            timeout_seconds=signal.timeout_seconds,
        )


def resource_of(environ: Mapping[str, str], *, instance_id: str, cluster_names: Sequence[str]) -> dict[str, str]:
    """Return what telemetry is of. The ledger is the instance: a restart continues its series, wherever it runs.

    So there is nothing in it that a restart changes: no process, host or container.
    """
    from fluxtrail.remotes.otlp.resource import resource_attributes  # noqa: PLC0415

    defaults = {
        "service.name": SERVICE,
        "service.version": __version__,
        "service.instance.id": instance_id,
    }
    if len(cluster_names) == 1:
        defaults["k8s.cluster.name"] = cluster_names[0]
    return resource_attributes(environ, defaults)


def source_kinds(registry: Registry, names: Mapping[str, str]) -> dict[Place, str]:
    """Return which kind of source each target has, by its cluster's name (`names` has them by uid)."""
    from fluxtrail.reports.telemetry.metrics import Place  # noqa: PLC0415

    return {
        Place(names.get(target.cluster, target.cluster), target.key.namespace, target.key.name): target.source.kind
        for target in registry.targets
    }


def write_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
