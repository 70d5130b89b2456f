"""Every case of gitops-connector, and every output of it that was seen; what differs says why.

Its cases of revisions are in tests/model/test_notice_commits.py.
"""

from __future__ import annotations

import msgspec
import pytest
from tests.reports.phases.events import PAGE, SHA, argo, flux, lines, names, records, signed

from fluxtrail.model.report import Mode
from fluxtrail.model.status import StatusState
from fluxtrail.reports.phases.maps import state_of
from fluxtrail.reports.phases.records import PhaseRecord, phase_records, plan_phases

AS_SENT = (
    "ReconciliationSucceeded ReconciliationFailed DependencyNotReady PruneFailed ArtifactFailed BuildFailed info error "
    "NewArtifact HealthCheckCanceled NeverHeardOf"
)
UNDERWAY = ("Status", "Reconciliation underway.")


def test_record_has_the_connectors_names_and_nothing_else() -> None:
    [record] = records(flux("ReconciliationSucceeded", "Applied revision"))
    assert msgspec.json.decode(msgspec.json.encode(record)) == {
        "commit_id": SHA,
        "status_name": "Status",
        "state": "ReconciliationSucceeded",
        "message": "Applied revision",
        "callback_url": PAGE,
        "gitops_operator": "Flux",
        "genre": "Kustomization",
    }


def test_progressing_counts_what_was_done_by_type() -> None:
    notice = flux("Progressing", "deployment.apps/abc configured\ndeployment.apps/def unchanged\nservice/x created\n")
    # There `1 configured1 unchanged`: verbs ran together.
    assert lines(notice) == [
        UNDERWAY,
        ("deployment.apps", "1 configured, 1 unchanged"),
        ("service", "1 created"),
        UNDERWAY,
    ]
    assert [record.state for record in records(notice)] == [
        "Progressing",
        "NotApplicable",
        "NotApplicable",
        "Progressing",
    ]


def test_progressing_with_another_message_is_told_as_it_is() -> None:
    notice = flux("Progressing", "Health check passed in 5s")
    assert lines(notice) == [UNDERWAY, ("Info", "Health check passed in 5s"), UNDERWAY]


def test_progressing_counts_warnings() -> None:
    notice = flux("Progressing", "Warning: foo bar\n\nservice/x configured")
    assert lines(notice) == [UNDERWAY, ("service", "1 configured"), ("warnings", "Warnings: 1"), UNDERWAY]


def test_progressing_without_a_message_is_only_under_way() -> None:
    assert lines(flux("Progressing", "\n\n")) == [UNDERWAY, UNDERWAY]


@pytest.mark.parametrize(
    ("message", "found"),
    [
        # There `…'InProgress` and `Deployment dev/`: the last character was cut off.
        (
            "timeout waiting for: [Deployment/dev/foo status: 'InProgress']",
            ["Deployment/dev/foo status: 'InProgress'"],
        ),
        ("failed: [Deployment dev/a, Deployment dev/b]", ["Deployment dev/a", "Deployment dev/b"]),
        # There a 500.
        ("no brackets at all\nsecond line", ["no brackets at all"]),
        ("an unclosed [list", ["an unclosed [list"]),
        ("an empty list []", ["an empty list []"]),
        ("] the wrong way round [", ["] the wrong way round ["]),
        ("", ["Status"]),
    ],
)
def test_health_check_failed_names_resources(message: str, found: list[str]) -> None:
    notice = flux("HealthCheckFailed", message, severity="error")
    assert names(notice) == ["Status", *found]
    assert {record.state for record in records(notice)} == {"HealthCheckFailed"}


def test_health_check_failed_without_a_list_says_the_whole_message() -> None:
    told = records(flux("HealthCheckFailed", "no brackets\nat all"))
    assert [record.message for record in told] == ["Health Check Failed", "no brackets\nat all"]


@pytest.mark.parametrize(
    ("reason", "severity", "state"),
    [
        ("ReconciliationSucceeded", "info", StatusState.SUCCESS),
        ("ReconciliationFailed", "error", StatusState.FAILURE),
        ("HealthCheckFailed", "error", StatusState.FAILURE),
        ("error", "error", StatusState.FAILURE),
        ("Progressing", "info", StatusState.RUNNING),
        # There finished, and failed.
        ("DependencyNotReady", "info", StatusState.PENDING),
        ("info", "info", StatusState.PENDING),
        ("NewArtifact", "info", StatusState.PENDING),
        ("HealthCheckCanceled", "info", StatusState.PENDING),
        ("NeverHeardOf", "info", StatusState.PENDING),
        ("NeverHeardOf", "error", StatusState.FAILURE),
    ],
)
def test_what_a_reason_means(reason: str, severity: str, state: StatusState) -> None:
    assert state_of(reason, severity=severity) is state


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        *[(reason, "as sent") for reason in AS_SENT.split(" ")],
        ("ValidationFailed", "Manifests validation failed."),
        ("HealthCheckFailed", "Health Check Failed"),
    ],
)
def test_messages_by_reason(reason: str, said: str) -> None:
    first = records(flux(reason, "as sent"))[0]
    assert (first.state, first.message) == (reason, said)


def test_sources_say_what_they_are_at_but_not_that_they_fetched() -> None:
    fetched = flux("info", "Fetched revision", kind="GitRepository")
    assert lines(fetched) == [("Status", "Fetched revision")]
    assert records(fetched)[0].genre == "GitRepository"
    assert records(flux("NewArtifact", "stored artifact", kind="GitRepository")) == []
    assert names(flux("NewArtifact", "stored artifact")) == ["Status"]


def test_without_a_reason_the_severity_is_the_state() -> None:
    assert [record.state for record in records(flux("", "oops", severity="error"))] == ["error"]
    assert [record.state for record in records(flux("", "oops", severity=""))] == ["info"]


def test_argo_sums_up_its_resources() -> None:
    notice = argo("Succeeded", "Healthy")
    # Shares are of all resources, also of those without a health.
    assert lines(notice) == [
        ("Phase", "Succeeded: ok"),
        ("Sync", "1/3 Synced, 1/3 OutOfSync"),
        ("Health", "2/3 Healthy"),
    ]
    assert [record.state for record in records(notice)] == ["Succeeded", "Synced", "Healthy"]
    assert {(record.gitops_operator, record.genre) for record in records(notice)} == {("ArgoCD", "ArgoCD")}


def test_argo_template_without_a_revision_says_nothing() -> None:
    assert records(argo("Running", "Healthy", commit="<no value>")) == []


def test_five_events_are_planned_in_their_order() -> None:
    """There five queued entries came out as 4, 2, 0, 1, 3."""
    notice = flux("Progressing", "a/x created\nb/x created\nc/x created\n")
    planned = plan_phases(signed(notice), sinks=["one", "two"], callback_url=PAGE)
    for sink in ("one", "two"):
        bodies = [msgspec.json.decode(item.body, type=PhaseRecord) for item in planned if item.sink == sink]
        assert bodies == phase_records(notice, callback_url=PAGE)
        assert [record.status_name for record in bodies] == ["Status", "a", "b", "c", "Status"]
    assert {item.mode for item in planned} == {Mode.EVERY}
    assert len({(item.sink, item.key) for item in planned}) == 10


def test_names_have_an_end() -> None:
    many = ", ".join(f"Deployment/dev/{number}" for number in range(1000))
    told = records(flux("HealthCheckFailed", f"[{many}, {'x' * 1000}]"))
    assert len(told) == 101
    assert len(records(flux("HealthCheckFailed", "x" * 1000))[1].status_name) == 255
