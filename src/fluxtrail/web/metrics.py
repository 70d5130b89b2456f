"""`/metrics`, on a listener of its own: text or OpenMetrics by `Accept`, gzip where asked for (docs/metrics.md)."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qs

import structlog
from prometheus_client import CollectorRegistry, GCCollector, Metric, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from fluxtrail import __version__
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.figures import Counted, Figures
from fluxtrail.web.access.asgi import AsgiApp, Receive, Scope, Send
from fluxtrail.web.collectors import Snapshot
from fluxtrail.web.exposition import render_histograms
from fluxtrail.web.measures import Kind, Measure, MetricSource
from fluxtrail.web.packing import Body, Packer, Piece, gathered
from fluxtrail.web.ports import Answers, RecordKeeper
from fluxtrail.web.shapes import RecordCount
from fluxtrail.web.tracker_metrics import TrackerCounters, render_tracker

GZIP_FROM_BYTES = 1024
RENDERINGS_AT_ONCE = 2
MAX_QUERY = 4096
_EOF = b"# EOF\n"

_log = structlog.get_logger(__name__)


class Rendering(Protocol):
    """Something to scrape."""

    async def render(self, *, accept: str = "", query: str = "") -> tuple[Body, str]:
        """Return the body in parts, and its content type; raises FluxtrailError where it cannot be known now."""


class ResourceLines(Protocol):
    """Metrics of Flux's objects, ready to be sent."""

    async def pieces(
        self, *, is_openmetrics: bool, resources: frozenset[str] | None, excluded: frozenset[str]
    ) -> Sequence[bytes | Piece]:
        """Return whole families, without OpenMetrics' `# EOF`.

        Args:
            resources: plurals of the kinds to tell of; None for all but `excluded`.
        """


class Metrics:
    """Collects at each scrape, in the loop; renders in a thread, at most two at a time.

    Args:
        figures: the fold as it stands now; not copied, so it must be changed in this event loop only.
        created_at: when the ledger began: what all counters are cumulative since.
        sources: self-metrics of other parts of the process. Names must differ from each other's.
        leads: whether this process is the one to tell the delivery figures; the others tell only of themselves.
        records: deployment records, where they are on.
        tracker: what deployment-tracker counted, where deployment records are on.
        resources: metrics of Flux's objects, where they are on.
    """

    def __init__(
        self,
        *,
        figures: Callable[[], Figures],
        answers: Answers,
        created_at: datetime,
        now: Callable[[], datetime],
        sources: Sequence[MetricSource] = (),
        leads: Callable[[], bool] = lambda: True,
        records: RecordKeeper | None = None,
        tracker: Callable[[], TrackerCounters] | None = None,
        resources: ResourceLines | None = None,
    ) -> None:
        self._figures = figures
        self._answers = answers
        self._created_at = created_at
        self._now = now
        self._sources = tuple(sources)
        self._leads = leads
        self._records = records
        self._tracker = tracker
        self._resources = resources
        self._rendering = asyncio.Semaphore(RENDERINGS_AT_ONCE)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        GCCollector(registry=self._process)

    async def render(self, *, accept: str = "", query: str = "") -> tuple[Body, str]:
        """Return the body in parts, and its content type; where the query names resources, of these alone.

        Raises:
            StoreError: the ledger could not be read.
        """
        is_openmetrics = _wants_openmetrics(accept)
        async with self._rendering:
            resources: Body = ()
            if self._resources is not None:
                wanted, excluded = asked_resources(query)
                resources = await self._resources.pieces(
                    is_openmetrics=is_openmetrics, resources=wanted, excluded=excluded
                )
                if wanted is not None:
                    return _alone(resources, is_openmetrics=is_openmetrics)
            now = self._now()
            leads = self._leads()
            counts = await self._answers.counts(now=now) if leads else None
            figures = self._figures() if leads else Figures()
            measures = [build_info(), *(m for source in self._sources for m in source.measures())]
            if self._records is not None and leads:
                measures.append(record_measure(await self._records.count_records()))
            snapshot = Snapshot(figures=figures, counts=counts, measures=measures, created_at=self._created_at, now=now)
            histograms = figures.counted()
            tracked = b"" if self._tracker is None else render_tracker(self._tracker(), is_openmetrics=is_openmetrics)
            beside = [*resources, tracked]
            return await asyncio.to_thread(self._render, histograms, snapshot, beside, is_openmetrics=is_openmetrics)

    def _render(
        self, histograms: Sequence[Counted], snapshot: Collector, beside: Body, *, is_openmetrics: bool
    ) -> tuple[Body, str]:
        created = self._created_at.timestamp()
        body = list(render_histograms(histograms, created, is_openmetrics=is_openmetrics))
        others = _Both(snapshot, self._process)
        if is_openmetrics:
            rest: bytes = openmetrics.generate_latest(others)  # type: ignore[no-untyped-call]
            return [*body, rest.removesuffix(_EOF), *beside, _EOF], openmetrics.CONTENT_TYPE_LATEST
        return [*body, generate_latest(others), *beside], CONTENT_TYPE_PLAIN_0_0_4


def record_measure(counts: Iterable[RecordCount]) -> Measure:
    """How many deployment names there are, and where they stand with GitHub."""
    # By name: a cluster that was made anew has its name twice.
    totals: Counter[tuple[str, ...]] = Counter()
    for row in counts:
        totals[row.cluster, row.status, row.told] += row.count
    return Measure(
        name="fluxtrail_deployment_records",
        help="Deployment names by the status they should have, and where that stands with GitHub.",
        kind=Kind.GAUGE,
        labels=("cluster", "status", "told"),
        values=[(labels, float(count)) for labels, count in totals.items()],
    )


def build_info() -> Measure:
    """Which version this is: joined to everything else in queries."""
    return Measure(
        name="fluxtrail_build",
        help="The version of Fluxtrail that runs here.",
        kind=Kind.INFO,
        labels=("version", "python"),
        values=[((__version__, platform.python_version()), 1.0)],
    )


def create_metrics_app(metrics: Rendering) -> AsgiApp:
    """Return the ASGI application that answers `/metrics` and nothing else."""
    packer, packing = Packer(), asyncio.Lock()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"].rstrip("/") != "/metrics" or scope["method"] not in ("GET", "HEAD"):
            await _send(send, 404, [b"GET /metrics is answered here\n"], "text/plain; charset=utf-8")
            return
        headers = dict(scope["headers"])
        try:
            body, content_type = await metrics.render(
                accept=headers.get(b"accept", b"").decode("latin-1"),
                query=scope.get("query_string", b"").decode("latin-1"),
            )
        except FluxtrailError as exc:
            _log.error("metrics_failed", error=str(exc))
            await _send(send, 503, [f"{exc}\n".encode()], "text/plain; charset=utf-8")
            return
        wants_gzip = b"gzip" in headers.get(b"accept-encoding", b"") and sum(map(len, body)) >= GZIP_FROM_BYTES
        if wants_gzip:
            async with packing:  # who scrapes at the same moment waits, and finds packed what is the same for both
                body = await asyncio.to_thread(packer.pack, body)
        await _send(send, 200, body, content_type, is_gzipped=wants_gzip)

    return app


class _Both(Collector):
    """The snapshot first, then what the process collectors read."""

    def __init__(self, *parts: Collector) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            yield from part.collect()


def asked_resources(query: str) -> tuple[frozenset[str] | None, frozenset[str]]:
    """Return which resources a query string asks for (None: everything), and which it does not want.

    Source: kube-state-metrics, `?resources=a,b` and `?exclude_resources=c`.
    """
    found = parse_qs(query, keep_blank_values=True) if len(query) < MAX_QUERY else {}
    wanted = _names(found["resources"]) if "resources" in found else None
    return wanted, _names(found.get("exclude_resources", ()))


def _names(values: Iterable[str]) -> frozenset[str]:
    return frozenset(name for value in values for part in value.split(",") if (name := part.strip().lower()))


def _alone(pieces: Body, *, is_openmetrics: bool) -> tuple[Body, str]:
    if is_openmetrics:
        return [*pieces, _EOF], openmetrics.CONTENT_TYPE_LATEST
    return pieces, CONTENT_TYPE_PLAIN_0_0_4


def _wants_openmetrics(accept: str) -> bool:
    return any(part.split(";")[0].strip() == "application/openmetrics-text" for part in accept.lower().split(","))


async def _send(send: Send, status: int, body: Body, content_type: str, *, is_gzipped: bool = False) -> None:
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(sum(map(len, body))).encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"accept, accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if is_gzipped:
        headers.append((b"content-encoding", b"gzip"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for part in gathered(body):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
