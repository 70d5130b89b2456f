"""Kills and an outage of the collector, and then: does every span, log and histogram say what really happened?

    python -m benchmarks.telemetry --kills 10 --outage 3600 --time-scale 20

The simulated world and the collector are not killed; `fluxtrail run --telemetry-mode otlp` is, while the script plays,
and the collector is away for `--outage` simulated seconds. At the end what it took is compared: with the truth (who was
delivered where, and how often that is in the histograms), and with the moments that the API gives, which are compared
with the truth themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml
from benchmarks.outcomes import folder_for, told
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families
from tests.remotes.otlp.receiver import Receiver, serving_grpc

from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.moment import Evidence, Moment, Precision
from fluxtrail.model.stage import Stage, stage_intervals
from fluxtrail.reports.telemetry.ids import root_span_id, trace_id
from fluxtrail.reports.telemetry.messages import nanoseconds
from fluxtrail.simulator.clock import parse_precise_time
from fluxtrail.simulator.compare import compare, expected_counts
from fluxtrail.simulator.compare_figures import (
    DURATION,
    LEAD_TIME,
    Place,
    compare_running,
    count_lead_times,
    count_unknown,
    worst_lead_time,
)
from fluxtrail.simulator.compare_figures import Told as Figure
from fluxtrail.simulator.observer import Observer, as_answer
from fluxtrail.simulator.ports import choose_addresses
from fluxtrail.simulator.processes import Listeners, RunProcess, SimulatorProcess, write_settings

LATE_SECONDS = (0.3, 3.0)
SETTLE_SECONDS = 2.0
DRAIN_SECONDS = 180.0
"""For which the outbox may need after all is settled: leases of the killed, a probe a minute, the roots."""
EXPORT_SECONDS = 45.0
"""For the last metrics: the lead of a process that was killed must run out."""

Json = dict[str, Any]
Delivery = tuple[str, str, str]
"""(sha, cluster, target): `<Kind>/<namespace>/<name>`."""


@dataclass
class Outcome:
    kills: int
    seed: int
    changes: int
    outage_seconds: float
    commits: int = 0
    deliveries: int = 0
    spans: int = 0
    records: int = 0
    repeated: int = 0
    """Spans that came more than once: of requests whose answer a kill cut off."""
    lead_times: int = 0
    """To running, that are in the histograms."""
    worst_lead_time_seconds: float = 0.0
    """How far the worst of them is from the true one."""
    unknown: int = 0
    """Deliveries that ran, and of which it is said that nobody knows."""
    seconds: float = 0.0
    peak_mib: dict[str, float] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def summary(self) -> Json:
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "differences"}
        return shown | {"differences": len(self.differences), "seconds": round(self.seconds, 1)}


class Collector:
    """A collector on one port that can be away for a while."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        [self.address] = choose_addresses(["127.0.0.1:0"])
        self._stack: Any = None

    async def open(self) -> None:
        port = int(self.address.rpartition(":")[2])
        self._stack = serving_grpc(self.receiver, port=port)
        self.address = await self._stack.__aenter__()

    async def close(self) -> None:
        await self._stack.__aexit__(None, None, None)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    await collector.open()
    try:
        yield collector
    finally:
        await collector.close()


async def check_telemetry(
    directory: Path,
    *,
    kills: int,
    seed: int,
    changes: int,
    outage_seconds: float,
    time_scale: float = 4.0,
    hold_seconds: float = 8.0,
    patience_seconds: float = 60.0,
) -> Outcome:
    """Play a world of `changes` commits with kills and an outage, and compare what a collector was told."""
    outcome = Outcome(kills=kills, seed=seed, changes=changes, outage_seconds=outage_seconds)
    began = time.monotonic()
    listeners = Listeners().with_ports()
    settings = directory / "fluxtrail.yaml"
    arguments = [f"--seed={seed}", f"--changes={changes}", f"--time-scale={time_scale}", f"--hold={hold_seconds}"]
    async with collecting() as collector, SimulatorProcess(f"--directory={directory / 'world'}", *arguments) as world:
        write_settings(
            settings, world.description, listeners=listeners, settle_seconds=SETTLE_SECONDS, poll_seconds=0.5
        )
        _tell(settings, collector.address)
        run = RunProcess(settings, world.clock, listeners, log=directory / "run.log")
        try:
            await run.start()
            await run.until_ready()
            await world.begin()
            async with asyncio.TaskGroup() as group:
                group.create_task(_kill(run, outcome, random.Random(seed)), name="kills")
                group.create_task(_be_away(collector, run, outcome, outage_seconds / time_scale), name="outage")
            trails = await Observer(run).until_settled(world, patience_seconds=patience_seconds)
            await _until_sent(run)
            await _until_exported(collector)
            truth = await world.truth()
            outcome.commits = len(truth)
            outcome.deliveries = sum(len(commit["deliveries"]) for commit in truth)
            outcome.differences = [
                *compare(truth, as_answer(trails)["commits"], slack_seconds=0.3 * time_scale, was_away=True),
                *_compare_spans(truth, trails, collector.receiver, outcome),
                *_compare_metrics(truth, collector.receiver),
                *compare_running(truth, trails, _running_figures(collector.receiver)),
            ]
            outcome.lead_times = count_lead_times(truth, trails)
            outcome.unknown = count_unknown(truth, trails)
            outcome.worst_lead_time_seconds = round(worst_lead_time(truth, trails), 2)
        finally:
            await run.stop()
    outcome.seconds = time.monotonic() - began
    return outcome


def _tell(settings: Path, address: str) -> None:
    document = yaml.safe_load(settings.read_text(encoding="utf-8"))
    document["telemetry"] = {"mode": "stdout-logs+otlp", "endpoint": address}
    settings.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


async def _kill(run: RunProcess, outcome: Outcome, dice: random.Random) -> None:
    for _ in range(outcome.kills):
        await asyncio.sleep(dice.uniform(*LATE_SECONDS))
        await run.kill()
        await run.start()
        await run.until_ready()


async def _be_away(collector: Collector, run: RunProcess, outcome: Outcome, seconds: float) -> None:
    if seconds <= 0:
        return
    await asyncio.sleep(5.0)
    outcome.peak_mib["before"] = _memory(run)
    await collector.close()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        outcome.peak_mib["outage"] = max(_memory(run), outcome.peak_mib.get("outage", 0.0))
        await asyncio.sleep(1.0)
    await collector.open()


def _memory(run: RunProcess) -> float:
    try:
        return round(psutil.Process(run.pid).memory_info().rss / 2**20, 1) if run.pid else 0.0
    except psutil.NoSuchProcess:
        return 0.0


async def _until_sent(run: RunProcess) -> None:
    """Wait until nothing is left in the outbox.

    Raises:
        UpstreamError: something still is.
    """
    ends = time.monotonic() + DRAIN_SECONDS
    while True:
        waiting = await _waiting(run)
        if waiting is not None and not any(waiting.values()):
            return
        if time.monotonic() > ends:
            raise UpstreamError(f"reports are still waiting: {waiting}")
        await asyncio.sleep(1.0)


async def _waiting(run: RunProcess) -> dict[str, float] | None:
    async with aiohttp.ClientSession() as session, session.get(run.metrics) as answer:
        text = await answer.text()
    return {
        sample.labels["sink"]: sample.value
        for found in text_string_to_metric_families(text)
        for sample in found.samples
        if sample.name == "fluxtrail_reports_waiting"
    } or None


async def _until_exported(collector: Collector) -> None:
    """Wait for two more exports of metrics: the second began after everything was there."""
    for _ in range(2):
        before = len(collector.receiver.metrics)
        ends = time.monotonic() + EXPORT_SECONDS
        while len(collector.receiver.metrics) == before:
            if time.monotonic() > ends:
                raise UpstreamError("no metrics were exported")
            await asyncio.sleep(0.2)


# what was told, and what should have been


@dataclass
class Told:
    """What a collector knows, each span once."""

    spans: dict[bytes, Span]
    attempts: dict[Delivery, Counter[str]]
    """Verdicts of the attempts."""
    stages: dict[Delivery, dict[str, Span]]


def _read(receiver: Receiver) -> Told:
    told = Told(spans={}, attempts=defaultdict(Counter), stages=defaultdict(dict))
    for span in receiver.spans:
        if span.span_id in told.spans:
            continue
        told.spans[span.span_id] = span
        values = _values(span.attributes)
        place = _place(values)
        if "fluxtrail.verdict" in values:
            told.attempts[place][values["fluxtrail.verdict"]] += 1
        elif "fluxtrail.stage" in values:
            told.stages[place][values["fluxtrail.stage"]] = span
    return told


def _compare_spans(
    truth: Sequence[Json], trails: Sequence[Json], receiver: Receiver, outcome: Outcome
) -> Iterator[str]:
    told = _read(receiver)
    outcome.spans, outcome.records = len(told.spans), len(receiver.log_records)
    outcome.repeated = len(receiver.spans) - len(told.spans)
    yield from _compare_repeats(receiver, told)
    logged = Counter(
        (_place(_values(record.attributes)), record.event_name.rpartition(".")[2])
        for record in {record.SerializeToString(): record for record in map(_undated, receiver.log_records)}.values()
        if record.event_name.startswith("fluxtrail.delivery.")
    )
    for true, trail in zip(truth, _in_order(truth, trails), strict=True):
        said = {(delivery["cluster"], delivery["target"]): delivery for delivery in trail["deliveries"]}
        is_told = False
        for delivery in true["deliveries"]:
            place = (true["sha"], delivery["cluster"], delivery["target"])
            is_told |= delivery["verdict"] in ("deployed", "failed")
            yield from _compare_attempts(place, delivery["verdict"], told, logged)
            if delivery["verdict"] == "deployed":
                yield from _compare_stages(place, said.get(place[1:], {}), told.stages.get(place, {}))
        yield from _compare_root(true, trail, told, is_told=is_told)


def _compare_attempts(
    place: Delivery, verdict: str, told: Told, logged: Counter[tuple[Delivery, str]]
) -> Iterator[str]:
    attempts = told.attempts.get(place, Counter())
    where = f"{place[0][:9]} on {place[1]} {place[2]}"
    if verdict in ("deployed", "failed", "rolled_back") and not attempts[verdict]:
        yield f"{where}: no span says {verdict}"
    if verdict == "unaffected" and (attempts or told.stages.get(place)):
        yield f"{where}: unaffected, and spans say {dict(attempts)}"
    for said, count in attempts.items():
        if logged[place, said] != count:
            yield f"{where}: {count} spans and {logged[place, said]} records say {said}"


def _compare_stages(place: Delivery, delivery: Json, spans: dict[str, Span]) -> Iterator[str]:
    """Each stage that has an interval has its span, from moment to moment."""
    where = f"{place[0][:9]} on {place[1]} {place[2]}"
    moments = {Stage(name): _moment(value) for name, value in (delivery.get("stages") or {}).items()}
    expected = {
        interval.stage.value: interval.since
        for interval in stage_intervals(moments)
        if not interval.is_inverted and interval.stage is not Stage.MERGED
    }
    for name in sorted(set(expected) ^ set(spans)):
        yield f"{where}: {'no' if name in expected else 'a needless'} span for {name}"
    for name in sorted(set(expected) & set(spans)):
        end = moments[Stage(name)].at
        start = min(moments[expected[name]].at, end)
        if (spans[name].start_time_unix_nano, spans[name].end_time_unix_nano) != (nanoseconds(start), nanoseconds(end)):
            yield f"{where}: the span of {name} has other times than {start} to {end}"


def _compare_root(true: Json, trail: Json, told: Told, *, is_told: bool) -> Iterator[str]:
    trace = trace_id(trail["commit"]["repository"], true["sha"])
    root = told.spans.get(root_span_id(trace))
    if root is None and is_told:
        yield f"{true['sha'][:9]}: its trace has no root"
    if root is not None and root.start_time_unix_nano > root.end_time_unix_nano:
        yield f"{true['sha'][:9]}: its root ends before it begins"


def _compare_repeats(receiver: Receiver, told: Told) -> Iterator[str]:
    """What comes again, comes as the same thing of the same name."""
    for span in receiver.spans:
        known = told.spans[span.span_id]
        if (span.trace_id, span.name, span.end_time_unix_nano) != (
            known.trace_id,
            known.name,
            known.end_time_unix_nano,
        ):
            yield f"span {span.span_id.hex()} is {known.name} and {span.name}"


def _compare_metrics(truth: Sequence[Json], receiver: Receiver) -> Iterator[str]:
    names = {
        "flux_commit_tracker_kube_manifests_exporter_export_time_seconds": "kube-manifests-exporter.export-time",
        "flux_commit_tracker_flux_reconcile_time_seconds": "flux.reconcile-time",
        "flux_commit_tracker_e2e_export_time_seconds": "e2e.export-time",
    }
    last = {metric.name: metric for metric in receiver.metrics}
    for family, counts in expected_counts(truth).items():
        metric = last.get(f"flux-commit-tracker.{names[family]}")
        points = list(metric.exponential_histogram.data_points) if metric else []
        said: Counter[tuple[str, str]] = Counter()
        for point in points:
            values = _values(point.attributes)
            said[values["k8s.cluster.name"], values["k8s.resource.name"]] += point.count
            if sum(point.positive.bucket_counts) + point.zero_count != point.count:
                yield f"{family}: its buckets do not hold what it counts"
        for place in sorted(set(counts) | set(said)):
            if counts[place] != said[place]:
                yield f"{family} of {place}: {said[place]}, true is {counts[place]}"


def _running_figures(receiver: Receiver) -> dict[Place, Figure]:
    """Return the newest histograms of running."""
    last = {metric.name: metric for metric in receiver.metrics}
    found: dict[Place, Figure] = {}
    for family, name in ((LEAD_TIME, "fluxtrail.lead_time_running"), (DURATION, "fluxtrail.delivery.duration")):
        for point in last[name].histogram.data_points if name in last else ():
            values = _values(point.attributes)
            if values.get("fluxtrail.stage", "running") != "running":
                continue
            cumulative = dict(zip(point.explicit_bounds, itertools.accumulate(point.bucket_counts), strict=False))
            place = Place(family, values["k8s.cluster.name"], _target(values))
            found[place] = Figure(cumulative, point.count, point.sum)
    return found


def _in_order(truth: Sequence[Json], trails: Sequence[Json]) -> list[Json]:
    by_sha = {trail["commit"]["sha"]: trail for trail in trails}
    return [by_sha[true["sha"]] for true in truth]


def _undated(record: Any) -> Any:
    """A record that is sent again was rendered again: it was observed at another time."""
    copy = type(record)()
    copy.CopyFrom(record)
    copy.observed_time_unix_nano = 0
    return copy


def _place(values: Json) -> Delivery:
    return values.get("vcs.ref.head.revision", ""), values.get("k8s.cluster.name", ""), _target(values)


def _target(values: Json) -> str:
    return "/".join(values.get(f"k8s.{part}", "") for part in ("resource.kind", "namespace.name", "resource.name"))


def _values(pairs: Sequence[KeyValue]) -> Json:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


def _moment(value: Json) -> Moment:
    def at(name: str) -> datetime | None:
        return parse_precise_time(value[name]) if value.get(name) else None

    reached = at("at")
    assert reached is not None
    return Moment(
        at=reached,
        evidence=Evidence(value["evidence"]),
        precision=Precision(value["precision"]),
        not_before=at("not_before"),
        not_after=at("not_after"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--outage", type=float, default=3600.0, help="simulated seconds without a collector")
    parser.add_argument("--time-scale", type=float, default=20.0)
    parser.add_argument("--hold", type=float, default=8.0, help="real seconds for which what will be undone stays")
    parser.add_argument("--keep", type=Path, help="keep the world, the ledger and the logs here")
    options = parser.parse_args()
    with folder_for(options.keep, "telemetry") as directory:
        outcome = asyncio.run(
            check_telemetry(
                directory,
                kills=options.kills,
                seed=options.seed,
                changes=options.changes,
                outage_seconds=options.outage,
                time_scale=options.time_scale,
                hold_seconds=options.hold,
            )
        )
    return told(outcome)


if __name__ == "__main__":
    sys.exit(main())
