"""The resource that telemetry is about, as users state it: `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`."""

from __future__ import annotations

from collections.abc import Mapping

from fluxtrail.remotes.otlp.variables import Variables, parse_pairs


def resource_attributes(environ: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return `defaults` with what the environment states over them; `OTEL_SERVICE_NAME` wins over `service.name`.

    Raises:
        ConfigError: a pair that is not key=value, or not percent-encoded UTF-8.
    Source: opentelemetry-specification, resource/sdk.md
    """
    variables = Variables(environ)
    found = dict(defaults)
    if stated := variables.find("OTEL_RESOURCE_ATTRIBUTES"):
        found.update(parse_pairs(stated, is_secret=False))
    if name := variables.find("OTEL_SERVICE_NAME"):
        found["service.name"] = name.value
    return found
