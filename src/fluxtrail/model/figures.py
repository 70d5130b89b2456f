"""Delivery figures: histograms and counters as a fold over the ledger's deliveries (docs/metrics.md).

The same deliveries give the same figures, in whatever order and however often they are offered: sums are kept
in whole microseconds, and each (commit, target) is counted once in each of four phases:

    applied     exported, fetched and applied intervals, and the lead time; nothing before it is counted, since
                earlier moments may still be replaced by better evidence, and are frozen once it is reached
    healthy     applied → healthy
    running     applied → running, and the lead time to running; whether there are health checks does not matter to it,
                since they may end before it or after it
    succeeded   the three histograms of flux-commit-tracker

What was counted is remembered in four bits a delivery, packed by target and range of commit ids.

Flux-commit-tracker's histograms are kept in exponential buckets too, and each series with its newest sample: what OTLP
asks for (docs/telemetry.md). Both follow from the set of samples alone.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.exponential import Exponential
from fluxtrail.model.moment import Moment, Precision
from fluxtrail.model.stage import INVERSION_TOLERANCE, Interval, Stage, lead_time, stage_intervals
from fluxtrail.model.trend import Trend
from fluxtrail.model.views import DeliveryFacts

BUCKETS_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Upper bounds, inclusive; one more bucket takes what is longer than a day."""

_APPLIED, _HEALTHY, _SUCCEEDED, _RUNNING = 1, 2, 4, 8
_PHASES = 4
_COMMITS_PER_WORD = 512
_MICROSECOND = timedelta(microseconds=1)
_VERSION = 3
_PHASES_OF = {1: 3, 2: 3, _VERSION: _PHASES}
"""By readable version: how many bits a delivery has. Version 1 has neither exponential buckets nor newest samples, of
what stands for pruned deliveries; before 3 nothing was known of running."""


class Family(msgspec.Struct, frozen=True):
    """A metric as Prometheus names it: counters without their `_total`."""

    name: str
    help: str
    labels: tuple[str, ...]


_TARGET = ("cluster", "namespace", "name", "kind")
_OLD_KIND = "Kustomization"
"""The only one that flux-commit-tracker knew."""
_OLD_TARGET = ("k8s_cluster_name", "k8s_namespace_name", "k8s_resource_name")

DURATION = Family(
    "fluxtrail_delivery_duration_seconds",
    "Time a commit took to reach a stage on a target, since the previous stage known. Estimates are left out.",
    (*_TARGET, "stage"),
)
LEAD_TIME = Family(
    "fluxtrail_lead_time_seconds",
    "Time from merged to applied, of commits that are not carriers. Estimates are left out.",
    _TARGET,
)
LEAD_TIME_RUNNING = Family(
    "fluxtrail_lead_time_running_seconds",
    "Time from merged to running, of commits that are not carriers. Estimates are left out.",
    _TARGET,
)
EXPORT_TIME = Family(
    "flux_commit_tracker_kube_manifests_exporter_export_time_seconds",
    "Time from a source commit, as exporter-info states it, to the manifests commit that carries it.",
    _OLD_TARGET,
)
RECONCILE_TIME = Family(
    "flux_commit_tracker_flux_reconcile_time_seconds",
    "Time from a manifests commit to its successful reconciliation.",
    _OLD_TARGET,
)
END_TO_END_TIME = Family(
    "flux_commit_tracker_e2e_export_time_seconds",
    "Time from a source commit, as exporter-info states it, to its successful reconciliation.",
    _OLD_TARGET,
)
HISTOGRAMS = (DURATION, LEAD_TIME, LEAD_TIME_RUNNING, EXPORT_TIME, RECONCILE_TIME, END_TO_END_TIME)
DROP_IN = (EXPORT_TIME, RECONCILE_TIME, END_TO_END_TIME)
"""Flux-commit-tracker's: kept in exponential buckets too."""

ESTIMATED = Family(
    "fluxtrail_moments_estimated",
    "Moments of applied deliveries that are only known as a bracket; intervals with one are in no fluxtrail histogram.",
    ("stage",),
)
INVERTED = Family(
    "fluxtrail_moments_inverted",
    "Pairs of moments dated in the wrong order by more than 2 s (two clocks disagree): left out of every histogram.",
    ("since", "stage"),
)
SCOPE_UNKNOWN = Family(
    "fluxtrail_deliveries_scope_unknown",
    "Applied deliveries whose commit may not concern the target: left out of the lead time.",
    ("cluster",),
)
COUNTERS = (ESTIMATED, INVERTED, SCOPE_UNKNOWN)


class Sample(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One measurement, and which delivery it is of."""

    at: datetime
    """When the interval ended."""
    commit_id: int
    target_id: int
    microseconds: int

    @property
    def seconds(self) -> float:
        return self.microseconds / 1_000_000


class HistogramSeries(msgspec.Struct, frozen=True, kw_only=True):
    """One series as it stands now."""

    family: Family
    labels: tuple[str, ...]
    """Values, in the order of the family's label names."""
    cumulative: tuple[int, ...]
    """Counts up to each of BUCKETS_SECONDS, and the count of all last."""
    sum_seconds: float
    exponential: Exponential | None = None
    """Only of DROP_IN; a snapshot."""
    newest: Sample | None = None


class Counted(NamedTuple):
    """One series as it stands now, for who makes many lines of many: little to take, the rest is for elsewhere."""

    family: Family
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    """In each bucket, not cumulative; the last one is above all bounds."""
    sum_microseconds: int


class CounterSeries(msgspec.Struct, frozen=True, kw_only=True):
    family: Family
    labels: tuple[str, ...]
    value: int


class _Histogram(msgspec.Struct, array_like=True):
    counts: list[int]
    sum_microseconds: int = 0
    exponential: Exponential | None = None
    newest: Sample | None = None

    def observe(self, sample: Sample) -> None:
        self.counts[bisect.bisect_left(_BOUNDS_MICROSECONDS, sample.microseconds)] += 1
        self.sum_microseconds += sample.microseconds
        if self.exponential is not None:
            self.exponential.observe(sample.microseconds)
        if self.newest is None or sample > self.newest:
            self.newest = sample

    def ordered(self) -> "_Histogram":
        exponential = self.exponential.ordered() if self.exponential is not None else None
        return _Histogram(self.counts, self.sum_microseconds, exponential, self.newest)


class _State(msgspec.Struct, kw_only=True):
    version: int
    bounds: tuple[int, ...]
    histograms: list[tuple[str, tuple[str, ...], _Histogram]]
    counters: list[tuple[str, tuple[str, ...], int]]
    counted: dict[int, bytes]


_BOUNDS_MICROSECONDS = tuple(bound * 1_000_000 for bound in BUCKETS_SECONDS)
_FAMILIES = {family.name: family for family in (*HISTOGRAMS, *COUNTERS)}
_LATER = {Stage.HEALTHY: _HEALTHY, Stage.RUNNING: _RUNNING}
"""Stages behind `applied`, each a phase of its own."""
_DROP_IN_NAMES = frozenset(family.name for family in DROP_IN)


class Figures:
    """Cumulative since the ledger began. Not for several threads; what it returns are snapshots."""

    def __init__(self) -> None:
        self._histograms: dict[tuple[str, tuple[str, ...]], _Histogram] = {}
        self._counters: dict[tuple[str, tuple[str, ...]], int] = {}
        self._counted: dict[int, int] = {}
        self.trend = Trend()
        """Lead times by hour; not in `dump`, since it only goes back for a month."""

    def add(self, facts: DeliveryFacts) -> None:
        """Count what this delivery has reached and was not counted for yet."""
        reached = _reached(facts)
        if not reached:
            return
        fresh = self._take(facts.commit_id, facts.target_id, reached)
        if fresh & (_APPLIED | _HEALTHY | _RUNNING):
            moments = _moments(facts)
            intervals = stage_intervals(moments)
            later = {stage: moments.pop(stage) for stage in _LATER if stage in moments}
            if fresh & _APPLIED:
                self._count_intervals(facts, moments, [i for i in intervals if i.stage not in _LATER])
                self._count_lead_time(facts, moments)
            for stage, bit in _LATER.items():
                if fresh & bit:
                    self._count_intervals(facts, {stage: later[stage]}, [i for i in intervals if i.stage is stage])
            if fresh & _RUNNING:
                self._count_lead_time_running(facts, {**moments, Stage.RUNNING: later[Stage.RUNNING]})
        if fresh & _SUCCEEDED and facts.succeeded is not None and facts.kind == _OLD_KIND:
            self._count_old(facts, facts.succeeded.at)

    def add_all(self, rows: Iterable[DeliveryFacts]) -> None:
        for facts in rows:
            self.add(facts)

    def histograms(self) -> Iterator[HistogramSeries]:
        """Every series, ordered by family and labels."""
        for (name, labels), histogram in sorted(self._histograms.items(), key=_by_key):
            yield HistogramSeries(
                family=_FAMILIES[name],
                labels=labels,
                cumulative=tuple(itertools.accumulate(histogram.counts)),
                sum_seconds=histogram.sum_microseconds / 1_000_000,
                exponential=histogram.exponential.ordered() if histogram.exponential is not None else None,
                newest=histogram.newest,
            )

    def counted(self) -> list[Counted]:
        """Every series of the histograms, in no order, without exponential buckets and newest samples."""
        return [
            Counted(_FAMILIES[name], labels, tuple(histogram.counts), histogram.sum_microseconds)
            for (name, labels), histogram in self._histograms.items()
        ]

    def counters(self) -> Iterator[CounterSeries]:
        for (name, labels), value in sorted(self._counters.items()):
            yield CounterSeries(family=_FAMILIES[name], labels=labels, value=value)

    def dump(self, *, remember_deliveries: bool = True) -> bytes:
        """Return everything as bytes that `load` takes; equal figures give equal bytes.

        Args:
            remember_deliveries: False for the base that stands for rows which retention removed: those never
                come again, and what is remembered of them would grow for ever.
        """
        counted = sorted(self._counted.items()) if remember_deliveries else []
        return msgspec.msgpack.encode(
            _State(
                version=_VERSION,
                bounds=BUCKETS_SECONDS,
                histograms=[
                    (name, labels, h.ordered()) for (name, labels), h in sorted(self._histograms.items(), key=_by_key)
                ],
                counters=[(name, labels, value) for (name, labels), value in sorted(self._counters.items())],
                counted={word: bits.to_bytes(-(-bits.bit_length() // 8), "little") for word, bits in counted},
            )
        )

    @classmethod
    def load(cls, data: bytes) -> "Figures":
        """Return what `dump` wrote.

        Raises:
            WireError: not such bytes, or of another version or with other buckets: rebuild from the ledger's rows.
        """
        try:
            state = msgspec.msgpack.decode(data, type=_State)
        except msgspec.MsgspecError as exc:
            raise WireError(
                f"not a dump of figures: {exc}; rebuild them from the deliveries", subject="figures"
            ) from exc
        phases = _PHASES_OF.get(state.version)
        if phases is None or state.bounds != BUCKETS_SECONDS:
            raise WireError(
                f"figures of version {state.version} with buckets {state.bounds} cannot be continued; "
                "rebuild them from the deliveries",
                subject="figures",
            )
        figures = cls()
        figures._histograms = {(name, labels): h for name, labels, h in state.histograms if name in _FAMILIES}
        for (name, _), histogram in figures._histograms.items():
            if name in _DROP_IN_NAMES and histogram.exponential is None:
                histogram.exponential = Exponential()
        figures._counters = {(name, labels): value for name, labels, value in state.counters if name in _FAMILIES}
        counted = {word: int.from_bytes(bits, "little") for word, bits in state.counted.items()}
        figures._counted = {word: _widened(bits, phases) for word, bits in counted.items()}
        return figures

    def _take(self, commit_id: int, target_id: int, reached: int) -> int:
        """Mark the phases as counted; returns those that were not."""
        word, place = divmod(commit_id, _COMMITS_PER_WORD)
        key, shift = target_id << 32 | word, _PHASES * place
        bits = self._counted.get(key, 0)
        fresh = reached & ~(bits >> shift)
        if fresh:
            self._counted[key] = bits | fresh << shift
        return fresh

    def _count_intervals(
        self, facts: DeliveryFacts, moments: dict[Stage, Moment], intervals: Iterable[Interval]
    ) -> None:
        for stage, moment in moments.items():
            if moment.precision is Precision.ESTIMATED:
                self._increment(ESTIMATED, stage.value)
        target = _target_labels(facts)
        for interval in intervals:
            if interval.is_inverted:
                self._increment(INVERTED, interval.since.value, interval.stage.value)
            elif not interval.is_estimated:
                sample = _sample(facts, moments[interval.stage].at, _microseconds(interval.seconds))
                self._observe(DURATION, (*target, interval.stage.value), sample)

    def _count_lead_time(self, facts: DeliveryFacts, moments: dict[Stage, Moment]) -> None:
        if facts.is_scope_unknown:
            self._increment(SCOPE_UNKNOWN, facts.cluster)
            return
        lead = None if facts.is_carrier else lead_time(moments)
        if lead is None or lead.is_estimated:
            return
        if not lead.is_inverted:
            sample = _sample(facts, moments[lead.stage].at, _microseconds(lead.seconds))
            self._observe(LEAD_TIME, _target_labels(facts), sample)
            self.trend.observe(sample.at, sample.seconds)
        elif len(moments) > 2:  # with nothing between the two, the pair has been counted as an interval
            self._increment(INVERTED, lead.since.value, lead.stage.value)

    def _count_lead_time_running(self, facts: DeliveryFacts, moments: dict[Stage, Moment]) -> None:
        """As the lead time; a scope that is unknown has been counted with it, and a pair is never an interval."""
        lead = None if facts.is_carrier or facts.is_scope_unknown else lead_time(moments, until=Stage.RUNNING)
        if lead is None or lead.is_estimated:
            return
        if lead.is_inverted:
            self._increment(INVERTED, lead.since.value, lead.stage.value)
        else:
            sample = _sample(facts, moments[lead.stage].at, _microseconds(lead.seconds))
            self._observe(LEAD_TIME_RUNNING, _target_labels(facts), sample)

    def _count_old(self, facts: DeliveryFacts, succeeded: datetime) -> None:
        """flux-commit-tracker's samples: estimates included, as that tool knew no better ones."""
        committed, stated = facts.carrier_committed_at, facts.stated_at
        if facts.is_carrier and committed is not None:
            self._observe_old(RECONCILE_TIME, facts, ("committed", committed), ("succeeded", succeeded))
        if stated is None or facts.is_carrier:
            return
        self._observe_old(END_TO_END_TIME, facts, ("stated", stated), ("succeeded", succeeded))
        if committed is not None:
            self._observe_old(EXPORT_TIME, facts, ("stated", stated), ("committed", committed))

    def _observe_old(
        self, family: Family, facts: DeliveryFacts, since: tuple[str, datetime], until: tuple[str, datetime]
    ) -> None:
        lasted = until[1] - since[1]
        if lasted < -INVERSION_TOLERANCE:
            self._increment(INVERTED, since[0], until[0])
        else:
            labels = (facts.cluster, facts.namespace, facts.name)
            self._observe(family, labels, _sample(facts, until[1], max(lasted // _MICROSECOND, 0)))

    def _observe(self, family: Family, labels: tuple[str, ...], sample: Sample) -> None:
        key = (family.name, labels)
        histogram = self._histograms.get(key)
        if histogram is None:
            exponential = Exponential() if family.name in _DROP_IN_NAMES else None
            counts = [0] * (len(BUCKETS_SECONDS) + 1)
            histogram = self._histograms[key] = _Histogram(counts=counts, exponential=exponential)
        histogram.observe(sample)

    def _increment(self, family: Family, *labels: str) -> None:
        key = (family.name, labels)
        self._counters[key] = self._counters.get(key, 0) + 1


def _reached(facts: DeliveryFacts) -> int:
    reached = 0
    if facts.applied is not None:
        reached |= _APPLIED
        if facts.healthy is not None:
            reached |= _HEALTHY
        if facts.running is not None:
            reached |= _RUNNING
    if facts.succeeded is not None:
        reached |= _SUCCEEDED
    return reached


def _moments(facts: DeliveryFacts) -> dict[Stage, Moment]:
    known = {
        Stage.MERGED: facts.merged,
        Stage.EXPORTED: facts.exported,
        Stage.FETCHED: facts.fetched,
        Stage.APPLIED: facts.applied,
        Stage.HEALTHY: facts.healthy,
        Stage.RUNNING: facts.running,
    }
    return {stage: moment for stage, moment in known.items() if moment is not None}


def _widened(bits: int, phases: int) -> int:
    """Return what was counted of a word of deliveries, `phases` bits each, with today's bits each."""
    if phases == _PHASES:
        return bits
    found, place, mask = 0, 0, (1 << phases) - 1
    while bits:
        found |= (bits & mask) << _PHASES * place
        bits >>= phases
        place += 1
    return found


def _target_labels(facts: DeliveryFacts) -> tuple[str, str, str, str]:
    return (facts.cluster, facts.namespace, facts.name, facts.kind)


def _sample(facts: DeliveryFacts, at: datetime, microseconds: int) -> Sample:
    return Sample(at=at, commit_id=facts.commit_id, target_id=facts.target_id, microseconds=microseconds)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _by_key(item: tuple[tuple[str, tuple[str, ...]], _Histogram]) -> tuple[str, tuple[str, ...]]:
    return item[0]
