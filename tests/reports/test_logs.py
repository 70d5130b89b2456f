from __future__ import annotations

import msgspec
import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from tests.reports.worlds import CARRIER, CARRIER_SHA, SHA, at, commit, content, delivery, moment, sync, values

from fluxtrail.model.records import SyncId
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.plan import Subject
from fluxtrail.reports.telemetry.ids import root_span_id, trace_id
from fluxtrail.reports.telemetry.logs import seen_record, verdict_record
from fluxtrail.reports.telemetry.spans import attempt_spans

NOW = at(200)


def test_a_delivered_commit_has_the_fields_of_the_replaced_tool() -> None:
    """A manifests commit 10 minutes before its reconciliation, with a source commit 15 minutes before that."""
    told = delivery(
        stated_at=at(-1500),
        carrier=msgspec.structs.replace(CARRIER, committed_at=at(-600)),
        succeeded=moment(0),
    )
    found = values(verdict_record(content(), told, now=NOW).attributes)
    expected = {
        "name": "apps",
        "namespace": "flux-system",
        "kustomization.revision": f"main@sha1:{CARRIER_SHA}",
        "kustomization.sourceKind": "GitRepository",
        "flux.apply_time": "2026-03-01T12:00:00Z",
        "repo.kube_manifests.hash": CARRIER_SHA,
        "repo.kube_manifests.commit_time": "2026-03-01T11:50:00Z",
        "repo.deployment_tools.hash": SHA,
        "repo.deployment_tools.time": "2026-03-01T11:35:00Z",
        "duration.deployment_tools_commit_to_kube_manifests_commit_seconds": 900.0,
        "duration.kube_manifests_commit_to_flux_apply_seconds": 600.0,
        "duration.e2e_deployment_tools_commit_to_flux_apply_seconds": 1500.0,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_a_delivered_commit_says_how_long_each_stage_took() -> None:
    found = values(verdict_record(content(), delivery(), now=NOW).attributes)
    durations = {
        name: value for name, value in found.items() if name.startswith(("fluxtrail.duration", "fluxtrail.lead"))
    }
    assert durations == {
        "fluxtrail.duration.exported": 60.0,
        "fluxtrail.duration.fetched": 15.0,
        "fluxtrail.duration.applied": 55.0,
        "fluxtrail.duration.healthy": 20.0,
        "fluxtrail.lead_time": 130.0,
    }


def test_a_record_belongs_to_the_span_that_tells_the_same() -> None:
    told = delivery()
    record, (attempt, *_) = verdict_record(content(), told, now=NOW), attempt_spans(content(), told)
    assert (record.trace_id, record.span_id) == (attempt.trace_id, attempt.span_id)
    assert record.time_unix_nano == attempt.end_time_unix_nano
    assert record.event_name == "fluxtrail.delivery.deployed"
    assert (
        record.body.string_value
        == f"{SHA[:12]} of github.com/acme/shop: deployed, kustomization/flux-system/apps on prod"
    )


@pytest.mark.parametrize(
    ("verdict", "severity"),
    [
        (Verdict.DEPLOYED, SeverityNumber.SEVERITY_NUMBER_INFO),
        (Verdict.FAILED, SeverityNumber.SEVERITY_NUMBER_ERROR),
        (Verdict.ROLLED_BACK, SeverityNumber.SEVERITY_NUMBER_WARN),
        (Verdict.LOST, SeverityNumber.SEVERITY_NUMBER_WARN),
        (Verdict.ABANDONED, SeverityNumber.SEVERITY_NUMBER_WARN),
    ],
)
def test_each_verdict_is_an_event_of_its_own(verdict: Verdict, severity: SeverityNumber.ValueType) -> None:
    record = verdict_record(content(verdict), delivery(), now=NOW)
    assert (record.event_name, record.severity_number) == (f"fluxtrail.delivery.{verdict.value}", severity)
    assert values(record.attributes)["fluxtrail.verdict"] == verdict.value


def test_a_failure_says_why() -> None:
    told = delivery(sync=sync(reason="BuildFailed", message="no such file", failed=moment(99), succeeded=None))
    found = values(verdict_record(content(Verdict.FAILED, reason="BuildFailed"), told, now=NOW).attributes)
    assert (found["fluxtrail.reason"], found["fluxtrail.message"]) == ("BuildFailed", "no such file")
    assert "repo.deployment_tools.hash" not in found


def test_a_second_delivery_measures_nothing_again() -> None:
    told = delivery(sync=sync(id=SyncId(9)))
    found = values(verdict_record(content(sync=SyncId(9)), told, now=NOW).attributes)
    assert not [name for name in found if "duration" in name or "deployment_tools" in name]


def test_samples_are_never_negative() -> None:
    told = delivery(stated_at=at(61.5), carrier=CARRIER)
    name = "duration.deployment_tools_commit_to_kube_manifests_commit_seconds"
    assert values(verdict_record(content(), told, now=NOW).attributes)[name] == 0.0
    beyond = delivery(stated_at=at(63), carrier=CARRIER)
    assert name not in values(verdict_record(content(), beyond, now=NOW).attributes)


def test_a_verdict_without_an_attempt_belongs_to_the_commit() -> None:
    record = verdict_record(content(Verdict.LOST, sync=None), delivery(sync=None), now=NOW)
    assert record.span_id == root_span_id(trace_id("github.com/acme/shop", SHA))


def test_a_commit_that_is_seen_is_an_event() -> None:
    record = seen_record(content(None, about=Subject.SEEN, target=None, at=at(3)), commit(), now=NOW)
    assert (record.event_name, record.severity_text) == ("fluxtrail.commit.seen", "INFO")
    assert values(record.attributes)["vcs.ref.head.revision"] == SHA
    assert record.observed_time_unix_nano - record.time_unix_nano == 197 * 10**9
