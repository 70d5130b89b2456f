"""Panels and queries of counters and histograms, over the span that a picture's resolution asks for."""

from __future__ import annotations

from fluxtrail.monitoring.documents import Json
from fluxtrail.monitoring.grafana import Query, lines


def rate(title: str, metric: str, by: str, *, where: str = "", unit: str) -> Json:
    return lines(title, Query(f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))", legend(by)), unit=unit)


def increase(metric: str, by: str, text: str = "", *, where: str = "", least: float | None = None) -> Query:
    """Return how much a counter grew.

    Args:
        least: series that grew by no more than this are left out; None: all are shown.
    """
    grouped = f"sum by ({by})" if by else "sum"
    over = "" if least is None else f" > {least:g}"
    return Query(f"{grouped} (increase({metric}{{{where}}}[$__rate_interval])){over}", text + legend(by))


def quantiles(title: str, metric: str, by: str, *, where: str = "") -> Json:
    """Return the median and the slowest hundredth of a histogram of seconds."""
    each = f"sum by ({by}, le) (rate({metric}_bucket{{{where}}}[$__rate_interval]))"
    queries = (
        Query(f"histogram_quantile({share}, {each})", f"p{int(share * 100)} {legend(by)}") for share in (0.5, 0.99)
    )
    return lines(title, *queries, unit="s")


def legend(by: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)
