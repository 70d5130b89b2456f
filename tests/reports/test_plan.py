from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.reports.worlds import at

from fluxtrail.model.errors import WireError
from fluxtrail.model.records import CommitId, SyncId, TargetId, Transition, TransitionKind
from fluxtrail.model.report import Mode
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.plan import Output, Subject, planner, read_content

T, L = "otlp.traces", "otlp.logs"
plan = planner([Output(sink=T, is_trace=True), Output(sink=L, is_trace=False)])


def transition(kind: TransitionKind, **given: Any) -> Transition:
    fields: dict[str, Any] = {
        "id": 40,
        "at": at(1),
        "kind": kind,
        "commit_id": CommitId(1),
        "target_id": TargetId(2),
        "sync_id": SyncId(3),
    }
    return Transition(**(fields | given))


def verdict(after: Verdict, before: Verdict = Verdict.PENDING, **given: Any) -> Transition:
    return transition(TransitionKind.VERDICT, before=before.value, after=after.value, **given)


APPLIED = transition(TransitionKind.APPLIED, id=39)


def planned(*transitions: Transition) -> list[tuple[str, str]]:
    return [(report.sink, report.key) for report in plan(transitions)]


@pytest.mark.parametrize(
    ("transitions", "expected"),
    [
        ([verdict(Verdict.DEPLOYED)], [(T, "1.2.3.deployed"), (L, "1.2.3.deployed"), (T, "1")]),
        ([verdict(Verdict.FAILED)], [(T, "1.2.3.failed"), (L, "1.2.3.failed"), (T, "1")]),
        ([verdict(Verdict.ROLLED_BACK)], [(T, "1.2.3.rolled_back"), (L, "1.2.3.rolled_back")]),
        ([verdict(Verdict.LOST, sync_id=None)], [(L, "t40"), (T, "1")]),
        ([verdict(Verdict.UNAFFECTED)], []),
        ([verdict(Verdict.PENDING, Verdict.FAILED)], []),
        ([APPLIED], [(T, "1.2.3.applied")]),
        ([transition(TransitionKind.RUNNING)], [(T, "1.2.3.running")]),
        ([transition(TransitionKind.RUNNING, sync_id=None)], []),
        ([transition(TransitionKind.COMMIT_SEEN, target_id=None, sync_id=None)], [(L, "t40")]),
        ([transition(TransitionKind.SYNC, commit_id=None)], []),
        ([transition(TransitionKind.TARGET, commit_id=None, sync_id=None)], []),
        ([transition(TransitionKind.UNDONE, sync_id=None)], []),
        ([transition(TransitionKind.BRANCH_REWRITTEN, commit_id=None, target_id=None, sync_id=None)], []),
    ],
    ids=[
        "deployed", "failed", "rolled back", "lost", "unaffected", "reopened", "applied", "running",
        "running of nothing", "seen", "sync", "target", "undone", "rewritten",
    ],
)  # fmt: skip
def test_what_matters_is_planned(transitions: list[Transition], expected: list[tuple[str, str]]) -> None:
    assert planned(*transitions) == expected


def test_applied_and_ended_in_one_moment_are_one_report() -> None:
    reports = [report for report in plan([APPLIED, verdict(Verdict.DEPLOYED)]) if report.sink == "otlp.traces"]
    assert [report.key for report in reports] == ["1.2.3.deployed", "1"]
    assert read_content(reports[0].body).has_stages


def test_stages_of_a_failure_are_told_apart_from_it() -> None:
    """It may have failed before: then its failure has been told, and what it applied since has not."""
    reports = [report for report in plan([APPLIED, verdict(Verdict.FAILED)]) if report.sink == "otlp.traces"]
    assert [report.key for report in reports] == ["1.2.3.applied", "1.2.3.failed", "1"]
    assert not read_content(reports[1].body).has_stages


def test_a_failure_whose_reason_changes_has_one_key() -> None:
    first = verdict(Verdict.FAILED, id=41, detail={"reason": "BuildFailed"})
    second = verdict(Verdict.FAILED, Verdict.FAILED, id=42, detail={"reason": "HealthCheckFailed"})
    assert planned(first, second) == planned(first)
    assert planned(second) == planned(first)


def test_a_failure_and_the_success_of_its_retry_have_two() -> None:
    keys = {key for _, key in planned(verdict(Verdict.FAILED), verdict(Verdict.DEPLOYED, Verdict.FAILED))}
    assert keys == {"1.2.3.failed", "1.2.3.deployed", "1"}


def test_each_commit_is_told_as_a_whole_once_however_many_targets() -> None:
    targets = [verdict(Verdict.DEPLOYED, target_id=TargetId(number)) for number in range(5)]
    assert [key for _, key in planned(*targets)].count("1") == 1


def test_a_report_names_ids_and_is_said_every_time() -> None:
    (report, *_) = plan([verdict(Verdict.FAILED, detail={"reason": "BuildFailed"})])
    assert report.mode is Mode.EVERY
    assert msgspec.json.decode(report.body) == {
        "about": "verdict",
        "commit": 1,
        "at": "2026-03-01T12:00:01Z",
        "target": 2,
        "sync": 3,
        "verdict": "failed",
        "reason": "BuildFailed",
    }


def test_nothing_is_planned_for_nobody() -> None:
    assert planner([])([verdict(Verdict.DEPLOYED)]) == []


def test_a_body_of_another_kind_is_refused() -> None:
    with pytest.raises(WireError, match="drop it"):
        read_content(b'{"about": "weather"}')
    assert read_content(b'{"about":"seen","commit":1,"at":"2026-03-01T12:00:00Z","later":true}').about is Subject.SEEN


def test_how_builds_stand_is_in_the_history_and_in_no_report() -> None:
    line = transition(TransitionKind.BUILT, target_id=None, sync_id=None, before="running", after="failed")
    assert planned(line) == []
