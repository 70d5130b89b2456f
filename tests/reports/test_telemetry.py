"""From a ledger's transaction to a collector: what follows from the ledger arrives, whatever happens between."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.ledger.world import World, fresh_place, moment, sha
from tests.remotes.otlp.receiver import Lose, Partial, Receiver, Refuse, serving_grpc, serving_http
from tests.reports.worlds import FakeClock, at, values

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    Attribution,
    CommitRecord,
    DeliveryRecord,
    ExportRecord,
    SyncRecord,
    TargetRecord,
    Transition,
    TransitionKind,
)
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.telemetry.ids import root_span_id, trace_id
from fluxtrail.runtime import telemetry as module
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.logs import configure_logs
from fluxtrail.runtime.routes import Routes, read_routes
from fluxtrail.runtime.settings.sections import TelemetrySetting
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.telemetry import Telemetry, open_telemetry, resource_of

SOURCE, CARRIER = 1, 2


def routes_of(mode: str, environ: Mapping[str, str], *, own_logs: str = "false") -> tuple[Settings, Routes]:
    telemetry = TelemetrySetting.model_validate({"mode": mode, "own_logs": own_logs})
    settings = Settings(telemetry=telemetry, settle_seconds=600.0)
    return settings, read_routes(settings, environ)


@dataclass
class Process:
    """What `fluxtrail run` has of telemetry, on a ledger of its own."""

    ledger: FoldedLedger
    telemetry: Telemetry
    clock: FakeClock

    async def send(self) -> None:
        """Send all that is due."""
        for dispatcher in self.telemetry.dispatchers:
            while await dispatcher.work():
                pass

    async def deliver(self, *targets: str, source: int = SOURCE, carrier: int = CARRIER) -> None:
        """A source commit and its export reach targets: exported 60 s, fetched 15, applied 55, healthy 20."""
        async with self.ledger.unit() as unit:
            world = World(unit)
            shop, manifests = await world.repository("shop"), await world.repository("manifests")
            (made,) = await world.commits(shop, range(source, source + 1))
            (export,) = await world.commits(manifests, range(carrier, carrier + 1), is_carrier=True)
            made, export = await unit.put_commits(
                [
                    msgspec.structs.replace(made, merged=moment(0), committed_at=at(0)),
                    msgspec.structs.replace(export, merged=moment(60), committed_at=at(60)),
                ]
            )
            await unit.put_exports(
                [ExportRecord(carrier_id=export.id, source_id=made.id, stated_at=at(0), build_link=BUILD)]
            )
            await unit.add_transitions([seen(made), seen(export)])
            for name in targets:
                target = await world.target(manifests, name)
                sync = await world.sync(
                    target,
                    carrier,
                    started=moment(80),
                    fetched=moment(75),
                    applied=moment(130),
                    healthy=moment(150),
                    succeeded=moment(150),
                    attribution=Attribution.DONE,
                    attributed_version=0,
                )
                for commit in (made, export):
                    await world.delivery(
                        commit,
                        target,
                        since=at(150),
                        carrier_id=export.id if commit is made else None,
                        applied_sync=sync.id,
                        healthy_sync=sync.id,
                    )
                    await unit.add_transitions([applied(commit, target, sync), verdict(commit, target, sync)])


BUILD = "https://github.com/acme/shop/actions/runs/421/attempts/1"


def seen(commit: CommitRecord) -> Transition:
    return Transition(at=at(1), kind=TransitionKind.COMMIT_SEEN, commit_id=commit.id, after=commit.sha)


def applied(commit: CommitRecord, target: TargetRecord, sync: SyncRecord) -> Transition:
    return Transition(
        at=at(130), kind=TransitionKind.APPLIED, commit_id=commit.id, target_id=target.id, sync_id=sync.id
    )


def verdict(
    commit: CommitRecord, target: TargetRecord, sync: SyncRecord, after: Verdict = Verdict.DEPLOYED, **given: Any
) -> Transition:
    fields: dict[str, Any] = {
        "at": at(150),
        "kind": TransitionKind.VERDICT,
        "commit_id": commit.id,
        "target_id": target.id,
        "sync_id": sync.id,
        "before": "pending",
        "after": after.value,
    }
    return Transition(**(fields | given))


@asynccontextmanager
async def process(
    place: Path, clock: FakeClock, *, mode: str = "otlp", own_logs: str = "false", **environ: str
) -> AsyncIterator[Process]:
    settings, routes = routes_of(mode, environ, own_logs=own_logs)
    async with AsyncExitStack() as stack:
        store = await SqlLedger.open(place, clock=clock, plan=routes.planner())
        stack.push_async_callback(store.close)
        ledger = FoldedLedger(store)
        await ledger.rebuild()
        telemetry = await open_telemetry(
            routes,
            settings,
            environ,
            ledger=ledger,
            source_kinds=dict,
            cluster_names=["prod"],
            clock=clock,
            stack=stack,
        )
        yield Process(ledger, telemetry, clock)


@pytest.fixture
async def place(tmp_path: Path) -> Path:
    return await fresh_place(tmp_path / "data" / "ledger.sqlite")


@pytest.fixture
async def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def endpoint(receiver: Receiver) -> AsyncIterator[str]:
    async with serving_grpc(receiver) as address:
        yield f"http://{address}"


def names(spans: list[Span], trace: bytes) -> list[str]:
    return sorted(span.name for span in spans if span.trace_id == trace)


SOURCE_TRACE = trace_id("github.com/acme/shop", sha(SOURCE))
CARRIER_TRACE = trace_id("github.com/acme/manifests", sha(CARRIER))


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_exactly_what_follows_from_the_ledger_arrives(place: Path, clock: FakeClock, protocol: str) -> None:
    receiver = Receiver()
    serving = serving_grpc(receiver) if protocol == "grpc" else serving_http(receiver)
    async with serving as address:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": address if "://" in address else f"http://{address}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=live",
            "OTEL_SERVICE_NAME": "trail",
        }
        async with process(place, clock, **variables) as found:
            await found.deliver("apps", "infra")
            clock.turn(200)
            await found.send()
            instance = found.ledger.store.instance_id
    attempt = ["SYNC kustomization/flux-system/apps", "SYNC kustomization/flux-system/infra"]
    assert names(receiver.spans, SOURCE_TRACE) == [
        *attempt, "applied", "applied", "commit github.com/acme/shop", "exported", "exported", "fetched", "fetched",
        "healthy", "healthy",
    ]  # fmt: skip
    assert names(receiver.spans, CARRIER_TRACE) == [
        *attempt, "applied", "applied", "commit github.com/acme/manifests", "fetched", "fetched", "healthy", "healthy",
    ]  # fmt: skip
    assert len({span.span_id for span in receiver.spans}) == len(receiver.spans) == 20
    events = sorted(record.event_name for record in receiver.log_records)
    assert events == ["fluxtrail.commit.seen"] * 2 + ["fluxtrail.delivery.deployed"] * 4
    told = {span.span_id for span in receiver.spans}
    assert {record.span_id for record in receiver.log_records} <= told
    resource = receiver.received[0].message.resource_spans[0].resource  # type: ignore[union-attr]
    assert values(resource.attributes) == {
        "service.name": "trail",
        "service.version": values(resource.attributes)["service.version"],
        "service.instance.id": instance,
        "k8s.cluster.name": "prod",
        "deployment.environment.name": "live",
    }


async def test_spans_last_as_long_as_their_stages(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        await found.deliver("apps")
        clock.turn(200)
        await found.send()
    lasted = {
        span.name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        for span in receiver.spans
        if span.trace_id == SOURCE_TRACE
    }
    assert lasted == {
        "commit github.com/acme/shop": 150.0,
        "SYNC kustomization/flux-system/apps": 150.0,
        "exported": 60.0,
        "fetched": 15.0,
        "applied": 55.0,
        "healthy": 20.0,
    }
    (root,) = [span for span in receiver.spans if span.span_id == root_span_id(SOURCE_TRACE)]
    assert values(root.attributes)["fluxtrail.export.build_link"] == BUILD
    assert len(root.links) == 1


async def test_a_collector_that_is_down_for_an_hour_loses_nothing(place: Path, clock: FakeClock) -> None:
    receiver = Receiver()
    async with serving_grpc(receiver) as address:
        receiver.usual = Refuse(message="out of order")
        async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}") as found:
            for minute in range(60):
                await found.deliver("apps", source=10 + minute * 2, carrier=11 + minute * 2)
                clock.turn(60)
                await found.send()
            assert receiver.received == []
            assert receiver.asked < 200
            receiver.usual = None
            clock.turn(600)
            await found.send()
            clock.turn(600)
            await found.send()
    assert len(receiver.spans) == len({span.span_id for span in receiver.spans}) == 60 * 11
    assert len(receiver.log_records) == 60 * 4


async def test_a_restart_during_the_outage_loses_nothing_either(place: Path, clock: FakeClock) -> None:
    receiver = Receiver()
    receiver.usual = Refuse()
    async with serving_grpc(receiver) as address:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}"}
        async with process(place, clock, **variables) as found:
            await found.deliver("apps")
            clock.turn(200)
            await found.send()
        receiver.usual = None
        async with process(place, clock, **variables) as found:
            clock.turn(60)
            await found.send()
    assert len(receiver.spans) == len({span.span_id for span in receiver.spans}) == 11
    assert len(receiver.log_records) == 4


async def test_killed_between_sending_and_noting_it_repeats_the_same_ids(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    class Killed(BaseException):
        pass

    async def kill(*_: object) -> None:
        raise Killed

    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        await found.deliver("apps")
        clock.turn(200)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(found.ledger.store.outbox, "acknowledge", kill)
            with pytest.raises(Killed):
                await found.send()
    first = list(receiver.spans)
    assert len(first) == 11
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        clock.turn(60)
        await found.send()
    again = receiver.spans[len(first) :]
    by_id = {span.span_id: span for span in first}
    assert sorted(span.span_id for span in again) == sorted(by_id)
    assert all(span == by_id[span.span_id] for span in again)


async def test_an_answer_that_is_lost_repeats_the_same_ids(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    receiver.script.append(Lose())
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        await found.deliver("apps")
        clock.turn(200)
        for _ in range(3):
            await found.send()
            clock.turn(5)
    assert len({span.span_id for span in receiver.spans}) == 11
    assert len(receiver.spans) == 22


async def test_what_a_collector_refuses_for_good_is_counted(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    receiver.script.append(Partial(3, "too old"))
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        await found.deliver("apps")
        clock.turn(200)
        await found.send()
        measures = {measure.name: dict(measure.values) for measure in found.telemetry.measures()}
    assert measures["fluxtrail_reports_rejected"][("otlp.traces",)] == 3.0
    assert measures["fluxtrail_reports_sent"] == {("otlp.traces",): 4.0, ("otlp.logs",): 4.0}
    assert measures["fluxtrail_reports_waiting"] == {("otlp.traces",): 0.0, ("otlp.logs",): 0.0}


async def test_stages_wait_until_the_checks_are_over(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    """A sync whose checks run may still turn out to have changed nothing."""
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        commit, target, sync = await checking(found)
        clock.turn(200)
        await found.send()
        assert receiver.spans == []
        await end(found, commit, target, sync, Outcome.SUCCEEDED)
        clock.turn(60)
        await found.send()
    assert names(receiver.spans, CARRIER_TRACE) == [
        "SYNC kustomization/flux-system/apps", "applied", "commit github.com/acme/manifests", "healthy",
    ]  # fmt: skip
    attempt, applied_, healthy = (
        next(span for span in receiver.spans if span.name.startswith(name)) for name in ("SYNC", "applied", "healthy")
    )
    assert applied_.parent_span_id == healthy.parent_span_id == attempt.span_id


async def test_what_changed_nothing_after_all_is_never_told(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        commit, target, sync = await checking(found)
        async with found.ledger.unit() as unit:
            unchanged = {"outcome": Outcome.SUCCEEDED, "is_unchanged": True, "succeeded": moment(150), "version": 1}
            ended = msgspec.structs.replace(sync, **unchanged, attributed_version=1)
            await unit.put_sync(ended)
            row = (await unit.deliveries(target.id, [commit.id]))[commit.id]
            await unit.put_deliveries([msgspec.structs.replace(row, verdict=Verdict.UNAFFECTED, applied_sync=None)])
            await unit.add_transitions([verdict(commit, target, sync, Verdict.UNAFFECTED)])
        clock.turn(600)
        await found.send()
        assert (await found.ledger.store.outbox.counts()).get("otlp.traces") is None
    assert receiver.spans == []


async def test_a_failure_is_told_at_once_and_the_commit_when_it_has_settled(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        commit, target, sync = await checking(found)
        await end(found, commit, target, sync, Outcome.FAILED)
        clock.turn(200)
        await found.send()
        assert names(receiver.spans, CARRIER_TRACE) == ["SYNC kustomization/flux-system/apps", "applied"]
        clock.turn(601)
        await found.send()
    (root,) = [span for span in receiver.spans if not span.parent_span_id]
    assert root.status.message == "failed on 1 of 1 targets"
    assert values(root.attributes)["fluxtrail.is_settled"] is True


async def test_the_commit_does_not_wait_for_ever(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    """One cluster has it, on another it is pending: suspended, perhaps for weeks."""
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        await found.deliver("apps")
        async with found.ledger.unit() as unit:
            world = World(unit)
            manifests = await world.repository("manifests")
            export = (await unit.commits_by_sha(manifests.id, [sha(CARRIER)]))[sha(CARRIER)]
            await world.delivery(export, await world.target(manifests, "held"), Verdict.PENDING)
        for _ in range(23):
            clock.turn(3600)
            await found.send()
        root = root_span_id(CARRIER_TRACE)
        assert root not in {span.span_id for span in receiver.spans}
        clock.turn(3600)
        await found.send()
    (told,) = [span for span in receiver.spans if span.span_id == root]
    assert values(told.attributes)["fluxtrail.is_settled"] is False


async def checking(found: Process) -> tuple[CommitRecord, TargetRecord, SyncRecord]:
    """A manifests commit is applied, its health checks run."""
    async with found.ledger.unit() as unit:
        world = World(unit)
        manifests = await world.repository("manifests")
        (commit,) = await world.commits(manifests, range(CARRIER, CARRIER + 1), is_carrier=True)
        target = await world.target(manifests)
        given = {"outcome": Outcome.CHECKING, "applied": moment(130), "started": moment(80)}
        sync = await world.sync(target, CARRIER, **given, attributed_version=0)
        target = await unit.put_target(msgspec.structs.replace(target, sync_id=sync.id))
        await world.delivery(commit, target, Verdict.PENDING, applied_sync=sync.id)
        await unit.add_transitions([applied(commit, target, sync)])
    return commit, target, sync


async def end(found: Process, commit: CommitRecord, target: TargetRecord, sync: SyncRecord, outcome: Outcome) -> None:
    is_well = outcome is Outcome.SUCCEEDED
    ended = moment(150)
    after: dict[str, Any] = (
        {"healthy": ended, "succeeded": ended} if is_well else {"failed": ended, "reason": "HealthCheckFailed"}
    )
    async with found.ledger.unit() as unit:
        await unit.put_sync(msgspec.structs.replace(sync, outcome=outcome, version=1, attributed_version=1, **after))
        row: DeliveryRecord = (await unit.deliveries(target.id, [commit.id]))[commit.id]
        became = Verdict.DEPLOYED if is_well else Verdict.FAILED
        row = msgspec.structs.replace(
            row,
            verdict=became,
            since=at(150),
            healthy_sync=sync.id if is_well else None,
            reason=after.get("reason", ""),
        )
        await unit.put_deliveries([row])
        await unit.add_transitions([verdict(commit, target, sync, became)])


# metrics


async def test_metrics_continue_over_restarts(place: Path, clock: FakeClock, receiver: Receiver, endpoint: str) -> None:
    name = "flux-commit-tracker.e2e.export-time"
    for number in (1, 3):
        async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
            await found.deliver("apps", source=number * 10, carrier=number * 10 + 1)
            await found.ledger.rebuild()
            meter = found.telemetry.meter
            assert meter is not None
            assert await meter.export()
            await meter.close()
    points = [item.exponential_histogram.data_points[0] for item in receiver.metrics if item.name == name]
    assert [(point.count, point.sum) for point in points] == [(1, 150.0), (1, 150.0), (2, 300.0), (2, 300.0)]
    assert len({point.start_time_unix_nano for point in points}) == 1
    assert points[-1].exemplars[0].trace_id == trace_id("github.com/acme/shop", sha(30))


async def test_only_the_leader_exports_metrics(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        meter = found.telemetry.meter
        assert meter is not None
        await found.deliver("apps")
        leadership = found.ledger.store.leadership
        assert await leadership.acquire("metrics", "another process", timedelta(seconds=60))
        assert not await meter.export()
        assert receiver.received == []
        clock.turn(61)
        assert await meter.export()
    assert {metric.name for metric in receiver.metrics} == {
        "fluxtrail.commits.inflight",
        "fluxtrail.commits.oldest_age",
    }


async def test_a_failed_export_of_metrics_is_made_up_for_by_the_next(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    receiver.script.append(Refuse())
    async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as found:
        meter = found.telemetry.meter
        assert meter is not None
        await found.deliver("apps")
        await meter.export()
        assert (meter.failed, receiver.received) == (1, [])
        await meter.export()
    assert (meter.problem, len(receiver.received)) == ("", 1)


# modes


MODES = {
    "stdout-logs": (["stdout.logs"], False),
    "stdout-all": (["stdout.logs", "stdout.traces"], True),
    "stdout-logs+otlp": (["stdout.logs", "otlp.traces", "otlp.logs"], True),
    "stdout-all+otlp": (["stdout.logs", "stdout.traces", "otlp.traces", "otlp.logs"], True),
    "otlp": (["otlp.traces", "otlp.logs"], True),
}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_tells_whom_its_name_says(mode: str) -> None:
    _, routes = routes_of(mode, {})
    assert ([output.sink for output in routes.outputs()], routes.sends_metrics) == MODES[mode]


@pytest.mark.parametrize(
    ("environ", "sinks", "metrics"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, [], False),
        ({"OTEL_TRACES_EXPORTER": "none"}, ["otlp.logs"], True),
        ({"OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}, ["otlp.traces"], False),
    ],
    ids=["all off", "no traces", "traces only"],
)
def test_signals_can_be_left_out(environ: dict[str, str], sinks: list[str], metrics: bool) -> None:
    _, routes = routes_of("otlp", environ)
    assert ([output.sink for output in routes.outputs()], routes.sends_metrics) == (sinks, metrics)


def test_a_variable_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_PROTOCOL"):
        routes_of("otlp", {"OTEL_EXPORTER_OTLP_PROTOCOL": "smoke signals"})


def test_our_own_setting_wins_over_the_environment_only_where_it_is_set() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}
    _, routes = routes_of("otlp", environ)
    assert routes.otlp is not None
    assert routes.otlp.traces.endpoint.address == "collector:4317"
    settings = Settings(telemetry=TelemetrySetting(mode="otlp", endpoint="alloy:4317"))
    found = read_routes(settings, environ).otlp
    assert found is not None
    assert found.traces.endpoint.address == "alloy:4317"


def test_several_clusters_are_no_part_of_the_resource() -> None:
    assert "k8s.cluster.name" not in resource_of({}, instance_id="x", cluster_names=["a", "b"])


async def test_stdout_has_spans_and_metrics_as_lines_of_json(
    place: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(module, "write_stdout", said.write)
    async with process(place, clock, mode="stdout-all") as found:
        await found.deliver("apps")
        await found.ledger.rebuild()
        clock.turn(200)
        await found.send()
        assert found.telemetry.meter is not None
        await found.telemetry.meter.export()
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    spans = [line["span"] for line in lines if "span" in line]
    assert len(spans) == 11
    assert {span["traceId"] for span in spans} == {SOURCE_TRACE.hex(), CARRIER_TRACE.hex()}
    metrics = {line["metric"]["name"] for line in lines if "metric" in line}
    assert {"fluxtrail.lead_time", "fluxtrail.commits.inflight", "flux-commit-tracker.e2e.export-time"} <= metrics


async def test_stdout_logs_has_a_line_for_each_delivery(
    place: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with process(place, clock, mode="stdout-logs") as found:
        await found.deliver("apps")
        clock.turn(200)
        await found.send()
    said = capsys.readouterr().out
    assert said.count("fluxtrail.delivery.deployed") == 2
    assert f"repo.deployment_tools.hash={sha(SOURCE)}" in said
    assert f"trace_id={SOURCE_TRACE.hex()}" in said


# our own lines


async def test_own_lines_go_by_otlp_where_that_is_wanted(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str
) -> None:
    configure_logs(level="INFO", is_silent=True)
    try:
        async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, own_logs="true") as found:
            structlog.get_logger("test").warning("watch_failed", cluster="prod", attempts=3, reason=ValueError("x"))
            structlog.get_logger("test").debug("too_small_to_tell")
            await found.deliver("apps")
            clock.turn(200)
            await found.send()
    finally:
        structlog.reset_defaults()
    own = [record for record in receiver.log_records if not record.event_name]
    (told,) = [record for record in own if record.body.string_value == "watch_failed"]
    assert values(told.attributes) == {"cluster": "prod", "attempts": 3, "reason": "x"}
    assert told.severity_text == "WARNING"
    assert {record.body.string_value for record in own} == {"watch_failed"}
    assert len(receiver.log_records) == len(own) + 4


async def test_own_lines_that_cannot_be_sent_say_nothing_about_it(
    place: Path, clock: FakeClock, receiver: Receiver, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.usual = Refuse(message="not today")
    configure_logs(level="INFO")
    try:
        async with process(place, clock, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, own_logs="true"):
            structlog.get_logger("test").warning("watch_failed")
    finally:
        structlog.reset_defaults()
    assert receiver.asked == 1
    assert "not today" not in capsys.readouterr().out
