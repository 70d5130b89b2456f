"""`/metrics` with the delivery figures of many targets: what a scrape costs, and for how long nothing else is done.

    python -m benchmarks.exposition --targets 1000 --clusters 5

Each of the targets stands on every cluster, and has each of the histograms there are of it. The ledger is left out:
its gauges are values made up here, one of each kind a target.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.measuring import MIB, Stopwatch, log_warnings_only, peak_rss_mib, report, reset_peak, rss_mib, run

from fluxtrail.model.counts import Counts, Inflight
from fluxtrail.model.figures import Figures
from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.views import DeliveryFacts
from fluxtrail.web.metrics import Metrics
from fluxtrail.web.packing import Packer, read

NAME = "exposition"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DELIVERIES = 4
"""Of each target: two commits, and the carriers that they came with."""
FORMS = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text;version=1.0.0"}
TICK_SECONDS = 0.001


class Answered:
    """The ledger's part."""

    def __init__(self, places: list[tuple[str, str]]) -> None:
        self._counts = Counts(
            inflight=[
                Inflight(
                    cluster=cluster,
                    namespace="flux-system",
                    name=name,
                    kind="Kustomization",
                    commits=3,
                    failed=0,
                    oldest_since=NOON,
                )
                for cluster, name in places
            ],
            attribution_pending=0,
            attribution_gaps=0,
        )

    async def counts(self, *, now: datetime) -> Counts:
        return self._counts


def filled(places: list[tuple[str, str]]) -> Figures:
    figures = Figures()
    for target_id, (cluster, name) in enumerate(places, start=1):
        for commit_id in range(1, DELIVERIES + 1):
            figures.add(_facts(cluster, name, target_id, commit_id))
    return figures


def _facts(cluster: str, name: str, target_id: int, commit_id: int) -> DeliveryFacts:
    def moment(seconds: float) -> Any:
        return exact(NOON + timedelta(seconds=seconds + target_id % 61 / 7), Evidence.STATUS_OBSERVED)

    is_carrier = commit_id % 2 == 0
    return DeliveryFacts(
        commit_id=commit_id,
        target_id=target_id,
        cluster=cluster,
        namespace="flux-system",
        name=name,
        kind="Kustomization",
        is_carrier=is_carrier,
        has_carrier=not is_carrier,
        merged=moment(0),
        exported=moment(40) if not is_carrier else None,
        stated_at=NOON,
        carrier_committed_at=NOON + timedelta(seconds=39),
        fetched=moment(70),
        applied=moment(90),
        healthy=moment(100 * commit_id),
        succeeded=moment(100 * commit_id),
        is_scope_unknown=False,
        running=moment(130),
    )


class Lag:
    """How long the event loop kept somebody waiting who wanted nothing but a turn."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def tick(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.longest = max(self.longest, time.perf_counter() - begun - TICK_SECONDS)


@asynccontextmanager
async def measured_lag() -> AsyncIterator[Lag]:
    lag = Lag()
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(lag.tick())
        yield lag
        ticking.cancel()


async def scrape(metrics: Metrics, form: str, bar: str) -> None:
    await asyncio.sleep(0)
    reset_peak()
    before = rss_mib()
    async with measured_lag() as lag:
        watch = Stopwatch()
        body, _ = await metrics.render(accept=FORMS[form])
        seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
    lines, size = sum(read(part).count(b"\n") for part in body), sum(map(len, body))
    peak = peak_rss_mib() - before
    watch = Stopwatch()
    small = sum(map(len, await asyncio.to_thread(Packer().pack, body)))
    report(
        NAME,
        f"a scrape, {form}",
        bar=bar,
        lines=lines,
        mib=size / MIB,
        cpu_seconds=cpu_seconds,
        seconds=seconds,
        longest_wait_ms=lag.longest * 1000,
        more_mib=peak,
        gzip_seconds=watch.seconds,
        gzip_mib=small / MIB,
    )


async def main(targets: int, clusters: int, times: int) -> None:
    places = [(f"cluster-{cluster}", f"app-{number}") for cluster in range(clusters) for number in range(targets)]
    figures = filled(places)
    answers: Any = Answered(places)
    metrics = Metrics(figures=lambda: figures, answers=answers, created_at=NOON - timedelta(days=1), now=lambda: NOON)
    bar = f"≤ 1 s of CPU at {1000:,} targets on 5 clusters" if (targets, clusters) == (1000, 5) else ""
    for form in FORMS:
        for _ in range(times):
            await scrape(metrics, form, bar)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=1000, help="on each cluster")
    parser.add_argument("--clusters", type=int, default=5)
    parser.add_argument("--times", type=int, default=2, help="scrapes of each form")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = parse_arguments()
    log_warnings_only()
    run(main(chosen.targets, chosen.clusters, chosen.times))
