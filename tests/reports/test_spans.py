"""Spans of one delivery: what is told, with which times, under which parent."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tests.reports.worlds import CARRIER_SHA, SHA, at, commit, content, delivery, moment, sync, values

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncId
from fluxtrail.model.telling import CommitTelling, DeliveryTelling, TrackedRun
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.plan import Subject
from fluxtrail.reports.telemetry.ids import root_span_id, trace_id
from fluxtrail.reports.telemetry.messages import nanoseconds
from fluxtrail.reports.telemetry.rendering import Known, NotYet, delivery_key, render_spans
from fluxtrail.reports.telemetry.spans import attempt_span_id, attempt_spans, root_span, running_spans, stage_spans

TRACE = trace_id("github.com/acme/shop", SHA)
CARRIER_TRACE = trace_id("github.com/acme/manifests", CARRIER_SHA)


def times(spans: list[Span]) -> dict[str, tuple[float, float]]:
    """Seconds after noon by name."""
    start = nanoseconds(at(0))
    return {
        span.name: ((span.start_time_unix_nano - start) / 1e9, (span.end_time_unix_nano - start) / 1e9)
        for span in spans
    }


def test_a_deployed_commit_is_an_attempt_with_its_stages() -> None:
    told = delivery()
    spans = attempt_spans(content(has_stages=True), told)
    assert times(spans) == {
        "SYNC kustomization/flux-system/apps": (0, 150),
        "exported": (0, 60),
        "fetched": (60, 75),
        "applied": (75, 130),
        "healthy": (130, 150),
    }
    attempt, *stages = spans
    assert {span.trace_id for span in spans} == {TRACE}
    assert attempt.parent_span_id == root_span_id(TRACE)
    assert {span.parent_span_id for span in stages} == {attempt.span_id}
    assert len({span.span_id for span in spans}) == 5
    assert attempt.kind == Span.SPAN_KIND_SERVER
    assert {span.kind for span in stages} == {Span.SPAN_KIND_INTERNAL}
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_OK}


def test_an_attempt_says_what_it_is_in_the_words_of_the_conventions() -> None:
    (attempt, *_) = attempt_spans(content(), delivery())
    assert values(attempt.attributes) == {
        "vcs.repository.url.full": "https://github.com/acme/shop",
        "vcs.repository.name": "shop",
        "vcs.owner.name": "acme",
        "vcs.ref.head.revision": SHA,
        "vcs.ref.head.name": "main",
        "vcs.ref.head.type": "branch",
        "vcs.change.id": "12",
        "fluxtrail.repository": "github.com/acme/shop",
        "k8s.cluster.name": "prod",
        "k8s.cluster.uid": "uid-1",
        "k8s.namespace.name": "flux-system",
        "k8s.resource.kind": "Kustomization",
        "k8s.resource.name": "apps",
        "k8s.source.kind": "GitRepository",
        "k8s.source.name": "manifests",
        "deployment.environment.name": "prod",
        "cicd.pipeline.name": "kustomization/flux-system/apps",
        "cicd.pipeline.run.id": "5",
        "cicd.pipeline.action.name": "SYNC",
        "cicd.pipeline.result": "success",
        "deployment.name": "kustomization/flux-system/apps",
        "deployment.status": "succeeded",
        "fluxtrail.revision": f"main@sha1:{CARRIER_SHA}",
        "fluxtrail.verdict": "deployed",
        "fluxtrail.carrier": CARRIER_SHA,
    }


def test_a_stage_says_how_well_it_is_known() -> None:
    told = delivery(applied=moment(130, estimated_from=90))
    applied = next(span for span in stage_spans(told) if span.name == "applied")
    found = values(applied.attributes)
    assert {
        name: found[name] for name in found if name.startswith(("fluxtrail.moment", "fluxtrail.stage", "cicd"))
    } == {
        "cicd.pipeline.name": "kustomization/flux-system/apps",
        "cicd.pipeline.run.id": "5",
        "cicd.pipeline.task.name": "applied",
        "cicd.pipeline.task.run.id": f"5/{SHA}/applied",
        "cicd.pipeline.task.run.result": "success",
        "fluxtrail.stage": "applied",
        "fluxtrail.stage.since": "fetched",
        "fluxtrail.moment.precision": "estimated",
        "fluxtrail.moment.evidence": "bracket",
        "fluxtrail.moment.not_before": "2026-03-01T12:01:30+00:00",
        "fluxtrail.moment.not_after": "2026-03-01T12:02:10+00:00",
    }


@pytest.mark.parametrize(
    ("known", "stages"),
    [
        ({"fetched": None}, {"exported": (0, 60), "applied": (60, 130)}),
        ({"carrier": None, "stated_at": None}, {"fetched": (0, 75), "applied": (75, 130)}),
        ({"fetched": moment(50)}, {"exported": (0, 60), "applied": (50, 130)}),
        ({"fetched": moment(58.5)}, {"exported": (0, 60), "fetched": (58.5, 58.5), "applied": (58.5, 130)}),
        ({"commit": commit(merged=None)}, {"fetched": (60, 75), "applied": (75, 130)}),
        ({"applied_sync": SyncId(4)}, {}),
        ({"applied": None, "applied_sync": None}, {}),
    ],
    ids=["no fetch", "no export", "inverted", "within tolerance", "no merge time", "of another attempt", "not applied"],
)
def test_stages_that_are_missing_or_inverted_have_no_span(
    known: dict[str, Any], stages: dict[str, tuple[float, float]]
) -> None:
    assert times(stage_spans(delivery(**known))) == stages


def test_a_failed_attempt_is_an_error_with_its_reason() -> None:
    failed = sync(
        outcome=Outcome.FAILED, reason="HealthCheckFailed", message="timeout", failed=moment(300), succeeded=None
    )
    told = delivery(sync=failed, verdict=Verdict.FAILED, healthy=None, healthy_sync=None, succeeded=None)
    spans = attempt_spans(content(Verdict.FAILED, reason="HealthCheckFailed", has_stages=True), told)
    attempt, *stages = spans
    assert times([attempt]) == {"SYNC kustomization/flux-system/apps": (0, 300)}
    assert (attempt.status.code, attempt.status.message) == (Status.STATUS_CODE_ERROR, "HealthCheckFailed: timeout")
    found = values(attempt.attributes)
    assert (found["cicd.pipeline.result"], found["error.type"]) == ("failure", "HealthCheckFailed")
    assert [span.name for span in stages] == ["exported", "fetched", "applied"]
    assert {span.parent_span_id for span in stages} == {attempt.span_id}


def test_a_failure_and_the_success_of_its_retry_share_no_id() -> None:
    """Flux retries the same revision: one attempt of ours, told as failed once and as deployed once."""
    failed = attempt_spans(content(Verdict.FAILED), delivery())
    healed = attempt_spans(content(), delivery())
    assert not {span.span_id for span in failed} & {span.span_id for span in healed}


def test_an_overtaken_attempt_leaves_its_stages_to_the_commit() -> None:
    overtaken = sync(outcome=Outcome.CHECKING, succeeded=None)
    (exported, *_) = stage_spans(delivery(sync=overtaken, healthy_sync=SyncId(6)))
    assert exported.parent_span_id == root_span_id(TRACE)


def test_health_belongs_to_the_attempt_that_reached_it() -> None:
    told = delivery(sync=sync(id=SyncId(6)), healthy_sync=SyncId(6))
    assert [span.name for span in attempt_spans(content(sync=SyncId(6), has_stages=True), told)] == [
        "SYNC kustomization/flux-system/apps",
        "healthy",
    ]


def test_delivered_again_after_a_rollback_it_has_not_come_all_the_way_again() -> None:
    told = delivery(sync=sync(id=SyncId(9), started=moment(900), succeeded=moment(920)))
    spans = attempt_spans(content(sync=SyncId(9)), told)
    assert [span.name for span in spans] == ["SYNC kustomization/flux-system/apps"]


def test_a_rollback_is_a_span_of_its_own() -> None:
    told = delivery(sync=sync(id=SyncId(8), started=moment(500), succeeded=moment(520), sha="c3" * 20))
    (span,) = attempt_spans(content(Verdict.ROLLED_BACK, sync=SyncId(8), at=at(520)), told)
    assert times([span]) == {"ROLLBACK kustomization/flux-system/apps": (500, 520)}
    assert span.parent_span_id == root_span_id(TRACE)
    assert span.span_id != attempt_span_id(told, sync(), Verdict.DEPLOYED)
    assert values(span.attributes)["fluxtrail.verdict"] == "rolled_back"


def test_a_later_revision_that_carried_it_is_named() -> None:
    (attempt, *_) = attempt_spans(content(), delivery(sync=sync(sha="d4" * 20)))
    assert values(attempt.attributes)["fluxtrail.via"] == "d4" * 20


@pytest.mark.parametrize(
    ("link", "trace", "span"),
    [
        (
            "https://ci.example/run/1?traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "00f067aa0ba902b7",
        ),
        # sha256("4211t") and sha256("4211s"), as the collector's GitHub receiver makes them.
        (
            "https://github.com/acme/shop/actions/runs/421/attempts/1",
            "8aaa29b968b521ec4f09abc4d5ce7c92",
            "44b9dbec86d8da81",
        ),
    ],
    ids=["traceparent", "workflow run"],
)
def test_an_export_links_to_the_run_that_made_it(link: str, trace: str, span: str) -> None:
    told = delivery(build_link=link)
    exported = next(item for item in stage_spans(told) if item.name == "exported")
    assert [(item.trace_id.hex(), item.span_id.hex()) for item in exported.links] == [(trace, span)]
    (attempt, *_) = attempt_spans(content(), told)
    assert [item.trace_id.hex() for item in attempt.links] == [trace, CARRIER_TRACE.hex()]
    assert values(attempt.attributes)["fluxtrail.export.build_link"] == link
    assert values(exported.attributes)["cicd.pipeline.task.run.url.full"] == link


@pytest.mark.parametrize(("attempt", "ids"), [(1, "11t"), (3, "13t")])
def test_what_ci_built_links_to_the_run_that_did(attempt: int, ids: str) -> None:
    """As the collector's GitHub receiver makes it: sha256 of the run's number, its attempt and a letter."""
    run = TrackedRun(url="https://github.com/acme/shop/actions/runs/1", pipeline="Images", run_id="1", attempt=attempt)
    told = delivery(commit=commit(built=moment(40), built_by=run))
    built, exported, *_ = stage_spans(told)
    assert [item.name for item in (built, exported)] == ["built", "exported"]
    assert (built.start_time_unix_nano, built.end_time_unix_nano) == (nanoseconds(at(0)), nanoseconds(at(40)))
    assert exported.start_time_unix_nano == nanoseconds(at(40))
    (link,) = built.links
    assert link.trace_id.hex() == hashlib.sha256(ids.encode()).hexdigest()[:32]
    found = values(built.attributes)
    assert found["cicd.pipeline.task.run.url.full"] == run.url
    assert (found["fluxtrail.ci.pipeline"], found["fluxtrail.ci.run.id"]) == ("Images", "1")
    assert int(found["fluxtrail.ci.run.attempt"]) == attempt


def test_what_was_built_by_nobody_known_has_its_stage_without_a_link() -> None:
    built, *_ = stage_spans(delivery(commit=commit(built=moment(40))))
    assert (built.name, list(built.links)) == ("built", [])
    run = TrackedRun(url="https://gitlab.test/acme/shop/-/pipelines/7", pipeline="", run_id="7")
    built, *_ = stage_spans(delivery(commit=commit(built=moment(40), built_by=run)))
    assert (built.name, list(built.links)) == ("built", [])


@pytest.mark.parametrize(
    "link",
    ["https://ci.example/run/1", "", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 100_000],
    ids=["none in it", "empty", "zeros", "endless"],
)
def test_a_link_without_a_trace_is_only_an_attribute(link: str) -> None:
    exported = next(item for item in stage_spans(delivery(build_link=link)) if item.name == "exported")
    assert list(exported.links) == []


def test_a_source_commit_links_to_the_trace_of_its_export() -> None:
    (attempt, *_) = attempt_spans(content(), delivery())
    (link,) = attempt.links
    assert (link.trace_id, link.span_id) == (CARRIER_TRACE, root_span_id(CARRIER_TRACE))


def whole(**given: Any) -> CommitTelling:
    known = CommitTelling(
        commit=commit(), verdicts={Verdict.DEPLOYED: 2, Verdict.UNAFFECTED: 1}, is_settled=True, last_at=at(400)
    )
    return msgspec.structs.replace(known, **given)


def test_the_root_spans_from_the_merge_to_the_last_delivery() -> None:
    root = root_span(whole(), now=at(999))
    assert times([root]) == {"commit github.com/acme/shop": (0, 400)}
    assert (root.trace_id, root.span_id, root.parent_span_id) == (TRACE, root_span_id(TRACE), b"")
    assert root.status.code == Status.STATUS_CODE_OK
    found = values(root.attributes)
    assert found["fluxtrail.commit.subject"] == "Sell more"
    assert (found["fluxtrail.deliveries.deployed"], found["fluxtrail.deliveries.unaffected"]) == (2, 1)
    assert found["fluxtrail.is_settled"] is True


def test_the_root_of_a_failed_commit_is_an_error() -> None:
    root = root_span(whole(verdicts={Verdict.DEPLOYED: 1, Verdict.FAILED: 1}), now=at(999))
    assert (root.status.code, root.status.message) == (Status.STATUS_CODE_ERROR, "failed on 1 of 2 targets")


def test_a_root_that_could_not_wait_says_so() -> None:
    root = root_span(whole(verdicts={Verdict.DEPLOYED: 1, Verdict.PENDING: 1}, is_settled=False), now=at(999))
    assert root.status.code == Status.STATUS_CODE_UNSET
    assert values(root.attributes)["fluxtrail.is_settled"] is False


@pytest.mark.parametrize("told", [delivery(), delivery(commit=commit(merged=moment(400)))], ids=["usual", "inverted"])
def test_no_span_ends_before_it_begins(told: DeliveryTelling) -> None:
    spans = [*attempt_spans(content(has_stages=True), told), root_span(whole(commit=told.commit), now=at(0))]
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)


def test_running_is_told_under_the_attempt_that_applied_it() -> None:
    told = delivery(running=moment(170))
    (span,) = running_spans(told)
    (attempt, *_) = attempt_spans(content(), told)
    assert times([span]) == {"running": (130, 170)}
    assert (span.trace_id, span.parent_span_id) == (TRACE, attempt.span_id)
    found = values(span.attributes)
    assert (found["fluxtrail.stage"], found["fluxtrail.stage.since"]) == ("running", "applied")
    assert found["cicd.pipeline.task.run.id"] == f"5/{SHA}/running"


def test_running_is_told_under_the_attempt_that_brought_anew_what_was_taken_back() -> None:
    told = delivery(running=moment(170), applied_sync=SyncId(4))
    (span,) = running_spans(told)
    (attempt, *_) = attempt_spans(content(), told)
    assert times([span]) == {"running": (130, 170)}
    assert (span.parent_span_id, attempt.name) == (attempt.span_id, "SYNC kustomization/flux-system/apps")


def test_what_was_told_before_running_is_told_alike_after_it() -> None:
    before, after = delivery(), delivery(running=moment(170))
    assert attempt_spans(content(has_stages=True), before) == attempt_spans(content(has_stages=True), after)
    assert running_spans(before) == []


@pytest.mark.parametrize(
    "known",
    [
        {"applied_sync": SyncId(4), "healthy_sync": SyncId(6)},
        {"sync": None},
        {"running": moment(100)},
        {"applied": None, "fetched": None},
    ],
    ids=["of another attempt", "no attempt", "inverted", "not applied"],
)
def test_running_without_its_attempt_is_not_told(known: dict[str, Any]) -> None:
    spans = running_spans(delivery(**({"running": moment(170)} | known)))
    assert [span.name for span in spans] == (["running"] if "fetched" in known else [])


@pytest.mark.parametrize("is_over", [True, False])
def test_running_waits_until_its_attempt_is_over(is_over: bool) -> None:
    about = content(None, about=Subject.RUNNING)
    key = delivery_key(about)
    assert key is not None
    told = delivery(running=moment(140), sync=sync(is_over=is_over))
    found = render_spans(about, Known({key: told}, {}), at(200), timedelta())
    assert isinstance(found, NotYet) != is_over
    assert is_over == (found == running_spans(told))


def test_running_of_an_attempt_whose_checks_failed_is_told_under_the_failure() -> None:
    failed = sync(outcome=Outcome.FAILED, succeeded=None, failed=moment(160))
    (span,) = running_spans(delivery(sync=failed, running=moment(170), healthy=None))
    assert span.parent_span_id == attempt_span_id(delivery(sync=failed), failed, Verdict.FAILED)
