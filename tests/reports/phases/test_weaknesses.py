"""What was wrong with gitops-connector, by the numbers of its known weaknesses: what these rules decide of it is gone.

What only the whole process can show (tokens in logs, lost queues, hung calls) is tested with it; the list is in
docs/migrate-from-gitops-connector.md.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace
from tests.reports.phases.events import NOON, PAGE, SHA, argo, flux, lines, names, records, signed

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import WireError
from fluxtrail.model.notice_parsing import read_gitopsphase
from fluxtrail.model.notices import Hook, NewNotice
from fluxtrail.model.report import NewReport
from fluxtrail.reports.phases.dispatches import dispatch_of, pull_request_of
from fluxtrail.reports.phases.maps import state_of
from fluxtrail.reports.phases.records import phase_records, plan_phases

DIGEST = "c3" * 32


def plan(notice: NewNotice) -> list[NewReport]:
    return plan_phases(notice, sinks=["route.board"], callback_url=PAGE)


def test_2_nothing_unsigned_is_passed_on() -> None:
    assert plan(signed(flux("ReconciliationSucceeded"), sender="")) == []
    assert len(plan(signed(flux("ReconciliationSucceeded")))) == 1


@pytest.mark.parametrize("hook", [hook for hook in Hook if hook not in (Hook.GITOPSPHASE, Hook.ARGOCD)])
def test_what_comes_by_another_hook_is_not_told_once_more(hook: Hook) -> None:
    """Flux may have two providers, one that makes us look and one that is passed on: the same event comes by both."""
    assert plan(signed(flux("ReconciliationSucceeded"), hook=hook)) == []


def test_2_an_error_does_not_give_the_payload_back() -> None:
    secret = "s3cr3t-value-of-somebody"
    with pytest.raises(WireError) as caught:
        read_gitopsphase(msgspec.json.encode({"involvedObject": {"kind": None}, "message": secret}))
    assert secret not in str(caught.value)


@pytest.mark.parametrize("reason", ["HealthCheckCanceled", "GitOperationSucceeded", "NeverHeardOf"])
def test_5_unknown_reasons_are_told_as_they_are(reason: str) -> None:
    assert [(record.state, record.message) for record in records(flux(reason, "said"))] == [(reason, "said")]
    assert not state_of(reason).is_final


def test_5_a_message_without_brackets_is_told_whole() -> None:
    assert lines(flux("HealthCheckFailed", "timed out")) == [
        ("Status", "Health Check Failed"),
        ("timed out", "timed out"),
    ]


@pytest.mark.parametrize("message", ["", "a/b", "Merged PR", "Merged PR x:", "deploy/", "////"])
def test_5_odd_commit_messages_are_no_error(message: str) -> None:
    assert dispatch_of(message, SHA) is None
    assert pull_request_of(message) is None


def test_5_missing_metadata_is_no_error() -> None:
    assert records(flux("ReconciliationSucceeded", metadata={})) == []


@pytest.mark.parametrize("key", ["", "delivery-7"], ids=["by what it says", "by its sender's id"])
async def test_7_a_repeated_notice_says_nothing_twice(ledger: SqlLedger, key: str) -> None:
    notice = signed(flux("Progressing", "service/x created"), key=key)
    again = replace(notice, received_at=NOON + timedelta(minutes=1))
    for one in (notice, again, notice):
        async with ledger.unit() as unit:
            await unit.add_reports(plan(one))
    assert (await ledger.outbox.counts())["route.board"].waiting == 3


def test_7_another_event_sender_or_moment_is_another_notice() -> None:
    first = signed(flux("ReconciliationSucceeded", "same"))
    others = [
        signed(flux("ReconciliationFailed", "same")),
        signed(flux("ReconciliationSucceeded", "same", at=NOON + timedelta(minutes=10))),
        signed(flux("ReconciliationSucceeded", "same", uid="another cluster's")),
        replace(first, sender="prod-2"),
        replace(first, key="delivery-7"),
    ]
    assert len({plan(notice)[0].key for notice in (first, *others)}) == 6


@pytest.mark.parametrize("reason", ["DependencyNotReady", "info", "HealthCheckCanceled", "NewArtifact"])
def test_8_what_passes_is_no_failure(reason: str) -> None:
    """Also https://github.com/Azure/gitops-connector/pull/39."""
    assert not state_of(reason).is_final


def test_9_names_are_whole_and_counts_apart() -> None:
    failed = flux("HealthCheckFailed", "[Deployment dev/a, Deployment dev/b]")
    assert names(failed) == ["Status", "Deployment dev/a", "Deployment dev/b"]
    done = flux("Progressing", "service/x created\nservice/y configured\nservice/z configured")
    assert lines(done)[1] == ("service", "1 created, 2 configured")


def test_13_the_digest_of_an_artifact_is_no_commit() -> None:
    by_digest = {"revision": f"latest@sha256:{DIGEST}"}
    assert records(flux("ReconciliationSucceeded", metadata=by_digest)) == []
    [record] = records(flux("ReconciliationSucceeded", metadata=by_digest | {"originRevision": f"main@sha1:{SHA}"}))
    assert record.commit_id == SHA


@pytest.mark.parametrize("kind", ["HelmRelease", "OCIRepository", "Bucket", "ImageUpdateAutomation", "NextYearsKind"])
def test_13_every_kind_that_names_its_commit_is_told(kind: str) -> None:
    [record] = records(flux("info", "said", kind=kind, metadata={"event.toolkit.fluxcd.io/commit": SHA}))
    assert (record.genre, record.commit_id, record.message) == (kind, SHA, "said")


def test_15_records_of_one_notice_keep_their_order() -> None:
    notice = flux("Progressing", "\n".join(f"kind{number}/x created" for number in range(15)))
    planned = plan(signed(notice))
    assert [msgspec.json.decode(item.body)["status_name"] for item in planned] == names(notice)
    assert [item.key.rpartition(".")[2] for item in planned] == [str(number) for number in range(17)]


def test_requests_revision_formats() -> None:
    """Issues 47 and 51, pulls 48 and 49: `dev@sha1:…` made a 404."""
    for revision in (f"dev@sha1:{SHA}", f"dev/{SHA}", f"refs/tags/v1@sha1:{SHA}", f"sha1:{SHA}", SHA):
        assert [record.commit_id for record in records(flux("info", metadata={"revision": revision}))] == [SHA]


def test_requests_special_characters_in_a_merge_message() -> None:
    """Issue 41."""
    assert pull_request_of('Merged PR 41: fix «x» & "y" [skip ci] 🚀 #7 (#3)') == 41


def test_requests_argo_bodies_of_its_template() -> None:
    """Issue 25."""
    read = read_gitopsphase(msgspec.json.encode({"commitid": SHA, "phase": "Running", "resources": None}))
    assert [record.state for record in phase_records(read, callback_url=PAGE)] == ["Running", "", ""]
    assert len(records(argo("Running", "Progressing"))) == 3
