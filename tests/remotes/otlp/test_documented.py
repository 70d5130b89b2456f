"""docs/telemetry.md names exactly the variables that are read."""

from __future__ import annotations

import re
from pathlib import Path

from fluxtrail.remotes.otlp.options import OtlpOptions
from fluxtrail.remotes.otlp.resource import resource_attributes

_PAGE = Path(__file__).parents[3] / "docs" / "telemetry.md"
_VARIABLE = re.compile(r"`(OTEL_[A-Z_]+[A-Z])`")
_OF_A_SIGNAL = re.compile(r"OTEL_EXPORTER_OTLP_(?:TRACES|LOGS|METRICS)_(.+)")
_ONLY_METRICS = ("TEMPORALITY_PREFERENCE", "DEFAULT_HISTOGRAM_AGGREGATION")


class Recording(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(key)
        return default


def general(name: str) -> str:
    match = _OF_A_SIGNAL.fullmatch(name)
    return name if match is None or match[1] in _ONLY_METRICS else f"OTEL_EXPORTER_OTLP_{match[1]}"


def test_the_page_and_the_code_know_the_same_variables() -> None:
    environ = Recording()
    OtlpOptions.from_environ(environ)
    resource_attributes(environ, {})
    documented = {general(name) for name in _VARIABLE.findall(_PAGE.read_text(encoding="utf-8"))}
    assert documented == {general(name) for name in environ.asked if name.startswith("OTEL_")}


def test_every_connection_variable_exists_for_each_signal() -> None:
    environ = Recording()
    OtlpOptions.from_environ(environ)
    for name in ("ENDPOINT", "PROTOCOL", "INSECURE", "HEADERS", "TIMEOUT", "COMPRESSION"):
        assert {f"OTEL_EXPORTER_OTLP_{signal}_{name}" for signal in ("TRACES", "LOGS", "METRICS")} <= environ.asked
