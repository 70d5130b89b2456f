"""How often and how much is sent, as far as `OTEL_*` may say so, and which of its wishes have no effect here.

What waits is in the ledger, so there is no queue whose size could be set, and nothing is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluxtrail.remotes.otlp.variables import Variables, parse_choice, parse_count, parse_milliseconds

_EXPONENTIAL = "base2_exponential_bucket_histogram"
_WITHOUT_EFFECT = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "spans wait in the ledger",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "log records wait in the ledger",
    "OTEL_BSP_EXPORT_TIMEOUT": "use OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_BLRP_EXPORT_TIMEOUT": "use OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
    "OTEL_METRIC_EXPORT_TIMEOUT": "use OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    "OTEL_TRACES_SAMPLER": "every span is sent",
}
_SAMPLES_ALL = ("always_on", "parentbased_always_on")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds between sendings and the most spans or records in one; the specification's defaults."""

    traces_delay_seconds: float = 5.0
    traces_batch: int = 512
    logs_delay_seconds: float = 1.0
    logs_batch: int = 512
    metrics_interval_seconds: float = 60.0
    is_exponential: bool | None = None
    """Whether histograms are to be exponential where we have the choice; None: nothing stated."""


def read_pace(variables: Variables) -> tuple[Pace, list[str]]:
    """Return the pace, and a sentence for each variable that has no effect.

    Raises:
        ConfigError: a value that cannot be read.
    """

    def seconds(name: str, default: float) -> float:
        stated = variables.find(name)
        return parse_milliseconds(stated) if stated else default

    def count(name: str, default: int) -> int:
        stated = variables.find(name)
        return parse_count(stated) if stated else default

    usual = Pace()
    interval = variables.find("OTEL_METRIC_EXPORT_INTERVAL")
    if interval and parse_milliseconds(interval) == 0:
        raise interval.refusal("must be above 0 milliseconds")
    pace = Pace(
        traces_delay_seconds=seconds("OTEL_BSP_SCHEDULE_DELAY", usual.traces_delay_seconds),
        traces_batch=count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", usual.traces_batch),
        logs_delay_seconds=seconds("OTEL_BLRP_SCHEDULE_DELAY", usual.logs_delay_seconds),
        logs_batch=count("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", usual.logs_batch),
        metrics_interval_seconds=parse_milliseconds(interval) if interval else usual.metrics_interval_seconds,
        is_exponential=_is_exponential(variables),
    )
    return pace, _without_effect(variables)


def _is_exponential(variables: Variables) -> bool | None:
    stated = variables.find("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION")
    if stated is None:
        return None
    return parse_choice(stated, ("explicit_bucket_histogram", _EXPONENTIAL)) == _EXPONENTIAL


def _without_effect(variables: Variables) -> list[str]:
    warnings = []
    temporality = variables.find("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
    if temporality and parse_choice(temporality, ("cumulative", "delta", "lowmemory")) != "cumulative":
        warnings.append(f"{temporality.name} has no effect: metrics are cumulative, rebuilt from the ledger")
    for name, reason in _WITHOUT_EFFECT.items():
        stated = variables.find(name)
        if stated and not (name == "OTEL_TRACES_SAMPLER" and stated.value.lower() in _SAMPLES_ALL):
            warnings.append(f"{name} has no effect: {reason}")
    return warnings
