"""Metrics in parts that a receiver takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ScopeMetrics

POINTS = 2_000
"""Data points in one request: about a MiB."""


def parts(found: Sequence[ScopeMetrics], *, points: int = POINTS) -> Iterator[list[ScopeMetrics]]:
    """Yield the same in requests' worth: receivers take 4 MiB by default, and a fleet has more."""
    part: list[ScopeMetrics] = []
    held = 0
    for scope in found:
        for metric in scope.metrics:
            kind = str(metric.WhichOneof("data"))
            told = getattr(metric, kind).data_points
            for start in range(0, len(told), points):
                piece = told[start : start + points]
                if held + len(piece) > points and part:
                    yield part
                    part, held = [], 0
                _place_of(part, scope).metrics.append(_piece(metric, kind, piece))
                held += len(piece)
    if part:
        yield part


def _place_of(part: list[ScopeMetrics], scope: ScopeMetrics) -> ScopeMetrics:
    if not part or part[-1].scope != scope.scope:
        part.append(ScopeMetrics(scope=scope.scope, schema_url=scope.schema_url))
    return part[-1]


def _piece(metric: Metric, kind: str, points: Sequence[Any]) -> Metric:
    piece = Metric(name=metric.name, description=metric.description, unit=metric.unit)
    data, known = getattr(piece, kind), getattr(metric, kind)
    data.data_points.extend(points)
    if kind != "gauge":
        data.aggregation_temporality = known.aggregation_temporality
    if kind == "sum":
        data.is_monotonic = known.is_monotonic
    return piece
