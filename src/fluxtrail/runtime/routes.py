"""Which telemetry mode says what to whom (docs/telemetry.md).

    mode                 logs    spans and metrics    by OTLP
    stdout-logs          stdout
    stdout-all           stdout  stdout
    stdout-logs+otlp     stdout                       logs, spans, metrics
    stdout-all+otlp      stdout  stdout               logs, spans, metrics
    otlp                                              logs, spans, metrics

Deliveries' logs go with the deliveries; the process's own go by OTLP only where `telemetry.own_logs` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fluxtrail.reports.plan import Output, Planner, planner
from fluxtrail.runtime.settings.settings import Settings

if TYPE_CHECKING:  # OpenTelemetry's messages cost memory; only who sends something pays
    from fluxtrail.remotes.otlp.options import OtlpOptions


@dataclass(frozen=True)
class Routes:
    """Who is told what."""

    stdout_logs: bool = False
    stdout_all: bool = False
    otlp: OtlpOptions | None = None
    """None where nothing is sent."""

    def outputs(self) -> list[Output]:
        """Return what reports are planned for."""
        found = [Output(sink="stdout.logs", is_trace=False)] if self.stdout_logs else []
        if self.stdout_all:
            found.append(Output(sink="stdout.traces", is_trace=True))
        if self.otlp is not None and self.otlp.traces.is_enabled:
            found.append(Output(sink="otlp.traces", is_trace=True))
        if self.otlp is not None and self.otlp.logs.is_enabled:
            found.append(Output(sink="otlp.logs", is_trace=False))
        return found

    def planner(self) -> Planner:
        return planner(self.outputs())

    @property
    def sends_metrics(self) -> bool:
        return self.stdout_all or (self.otlp is not None and self.otlp.metrics.is_enabled)


def read_routes(settings: Settings, environ: Mapping[str, str]) -> Routes:
    """Return who is told what.

    Raises:
        ConfigError: an `OTEL_*` variable or a telemetry setting that cannot be read; named, with what is expected.
    """
    mode = settings.telemetry.mode
    return Routes(
        stdout_logs=mode.startswith("stdout"),
        stdout_all=mode.startswith("stdout-all"),
        otlp=_read_options(settings, environ) if mode.endswith("otlp") else None,
    )


def _read_options(settings: Settings, environ: Mapping[str, str]) -> OtlpOptions | None:
    from fluxtrail.remotes.otlp.options import OtlpOptions  # noqa: PLC0415

    stated = settings.telemetry.model_fields_set
    options = OtlpOptions.from_environ(
        environ,
        endpoint=settings.telemetry.endpoint if "endpoint" in stated else None,
        insecure=settings.telemetry.insecure if "insecure" in stated else None,
    )
    return None if options.is_disabled else options
