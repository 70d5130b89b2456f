"""What each panel of Flux's dashboards has to answer, from the world that is asked about."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest
from tests.prometheus.live import Moment
from tests.prometheus.objects import rows
from tests.prometheus.server import Sample

Check = Callable[[Moment, list[Sample], Sequence[str]], None]
"""(the moment, what Prometheus answered, the namespaces that were chosen)."""
RECONCILERS = ("Kustomization", "HelmRelease")
SOURCES = ("GitRepository", "HelmRepository", "Bucket", "OCIRepository")


def counted(*kinds: str, **labels: str) -> Check:
    def check(moment: Moment, answer: list[Sample], chosen: Sequence[str]) -> None:
        count = len([row for row in rows(moment.objects, *kinds, **labels) if row["exported_namespace"] in chosen])
        assert [value for _, value in answer] == ([count] if count else [])

    return check


def listed(*kinds: str, **labels: str) -> Check:
    """One row for each object, with exactly its labels; `instance` and `job` are of the scrape."""

    def check(moment: Moment, answer: list[Sample], chosen: Sequence[str]) -> None:
        expected = [row for row in rows(moment.objects, *kinds, **labels) if row["exported_namespace"] in chosen]
        assert expected
        found = [{key: text for key, text in row.items() if key not in ("instance", "job")} for row, _ in answer]
        assert sorted(map(_sorted, found)) == sorted(map(_sorted, expected))
        assert {value for _, value in answer} == {1.0}

    return check


def averaged(kinds: Sequence[str], *by: str, only_busy: bool = False) -> Check:
    """Seconds of a reconciliation on average; no number, or no series, where there was none since the first scrape."""

    def check(moment: Moment, answer: list[Sample], chosen: Sequence[str]) -> None:
        seconds, counts = (
            _grown(moment.increases[f"gotk_reconcile_duration_seconds_{end}"], kinds, chosen, by)
            for end in ("sum", "count")
        )
        found = {tuple(labels[name] for name in by): value for labels, value in answer}
        assert found.keys() == {key for key, count in counts.items() if count or not only_busy}
        for key, value in found.items():
            if counts[key] == 0:
                assert math.isnan(value), key
            else:
                exact = seconds[key] / counts[key]
                assert exact / moment.stretch <= value <= exact * moment.stretch, key

    return check


def ended(controller: str, *, has_failed: bool, share: float = 1.0) -> Check:
    """Reconciliations that ended so or otherwise; `share` of them where the query divides."""

    def check(moment: Moment, answer: list[Sample], _: Sequence[str]) -> None:
        grown = sum(
            value
            for labels, value in moment.increases["controller_runtime_reconcile_total"]
            if labels["controller"] == controller and (labels["result"] == "error") is has_failed
        )
        _about(_only(answer), grown * share, moment)

    return check


def requested(seconds: float, *, only_failed: bool = False) -> Check:
    """Requests a second, in a range of so many seconds."""

    def check(moment: Moment, answer: list[Sample], _: Sequence[str]) -> None:
        increases = moment.increases["rest_client_requests_total"]
        chosen = [value for labels, value in increases if not (only_failed and labels["code"].startswith("2"))]
        if chosen:
            _about(_only(answer), sum(chosen) / seconds, moment)
        else:
            assert answer == []

    return check


def quantile(share: float) -> Check:
    """Within the buckets that anything fell into, up to the one that so many fell below."""

    def check(moment: Moment, answer: list[Sample], _: Sequence[str]) -> None:
        increases = moment.increases["controller_runtime_reconcile_time_seconds_bucket"]
        buckets = sorted(
            (float(labels["le"]), value) for labels, value in increases if labels["controller"] == "helmrelease"
        )
        total = buckets[-1][1]
        if total == 0:
            assert all(math.isnan(value) for _, value in answer)
            return
        bounds = [bound for bound, _ in buckets]
        first = next(number for number, (_, count) in enumerate(buckets) if count > 0)
        low = bounds[first - 1] if first else 0.0
        high = next(bound for bound, count in buckets if count >= min(total, share * total * moment.stretch))
        assert low <= _only(answer) <= high

    return check


def is_between(low: float, high: float, *, series: int = 1) -> Check:
    def check(_: Moment, answer: list[Sample], __: Sequence[str]) -> None:
        assert len(answer) == series
        assert all(low <= value <= high for _, value in answer), answer

    return check


def served(name: str, *, total: Callable[[list[float]], float] = sum, **labels: str) -> Check:
    """What Fluxtrail served of a metric at that moment, put together."""

    def check(moment: Moment, answer: list[Sample], _: Sequence[str]) -> None:
        values = [value for found, value in moment.ours.get(name, ()) if labels.items() <= found.items()]
        assert [value for _, value in answer] == ([pytest.approx(total(values))] if values else [])

    return check


def _grown(
    increases: list[Sample], kinds: Sequence[str], chosen: Sequence[str], by: tuple[str, ...]
) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for labels, value in increases:
        if labels["kind"] in kinds and labels["exported_namespace"] in chosen:
            found[tuple(labels[name] for name in by)] += value
    return found


def _about(value: float, exact: float, moment: Moment) -> None:
    assert exact * 0.99 <= value <= exact * moment.stretch * 1.01


def _only(answer: list[Sample]) -> float:
    ((_, value),) = answer
    return value


def _sorted(labels: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(labels.items())
