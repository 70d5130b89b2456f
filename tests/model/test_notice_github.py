"""GitHub's webhooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest

from fluxtrail.model.errors import WireError
from fluxtrail.model.notice_github import read_github
from fluxtrail.model.notices import PullRequestNotice, PushNotice, RunNotice

A, B, ZEROS = "a1" * 20, "b2" * 20, "0" * 40
REPOSITORY = {"clone_url": "https://github.com/acme/shop.git", "html_url": "https://github.com/acme/shop", "id": 7}
PUSH = {"ref": "refs/heads/main", "before": A, "after": B, "forced": True, "repository": REPOSITORY, "commits": [{}]}
PULL = {
    "action": "closed",
    "number": 12,
    "repository": REPOSITORY,
    "pull_request": {
        "base": {"ref": "main"},
        "merged": True,
        "merge_commit_sha": B,
        "merged_at": "2026-08-07T07:26:19Z",
    },
}
PUSHED = PushNotice(
    repository="https://github.com/acme/shop.git", ref="refs/heads/main", before=A, after=B, is_forced=True
)


def body(given: dict[str, Any], **more: Any) -> bytes:
    return json.dumps(given | more).encode()


def test_push_in_both_content_types() -> None:
    assert read_github(body(PUSH), "push") == PUSHED
    form = f"payload={quote_plus(json.dumps(PUSH))}&more=1".encode()
    assert read_github(form, "push") == PUSHED


def test_branch_that_is_made_or_deleted_has_one_sha() -> None:
    made = read_github(body(PUSH, before=ZEROS, forced=None), "push")
    deleted = read_github(body(PUSH, after=ZEROS), "push")
    assert isinstance(made, PushNotice)
    assert isinstance(deleted, PushNotice)
    assert (made.before, made.after, made.is_forced) == ("", B, False)
    assert (deleted.before, deleted.after) == (A, "")


def test_merged_pull_request() -> None:
    assert read_github(body(PULL), "pull_request") == PullRequestNotice(
        repository="https://github.com/acme/shop.git",
        number=12,
        action="closed",
        base="main",
        merge_sha=B,
        merged_at=datetime(2026, 8, 7, 7, 26, 19, tzinfo=UTC),
    )


def test_test_merge_of_an_open_pull_request_is_no_merge() -> None:
    pull = {"number": 13, "merge_commit_sha": B, "merged_at": None, "base": None}
    notice = read_github(body(PULL, action="opened", number=None, pull_request=pull), "pull_request")
    assert isinstance(notice, PullRequestNotice)
    assert (notice.number, notice.merge_sha, notice.merged_at, notice.base) == (13, "", None, "")


def test_token_in_a_url_does_not_come_in() -> None:
    notice = read_github(body(PUSH, repository={"clone_url": "https://me:secret@github.com/acme/shop.git"}), "push")
    assert isinstance(notice, PushNotice)
    assert notice.repository == "https://github.com/acme/shop.git"


def test_a_run_of_a_workflow() -> None:
    said = {"action": "completed", "workflow_run": {"id": 7, "head_sha": "A" * 40}, "repository": REPOSITORY}
    notice = read_github(json.dumps(said).encode(), "workflow_run")
    assert notice == RunNotice(repository="https://github.com/acme/shop.git", action="completed", sha="a" * 40)


@pytest.mark.parametrize("event", ["ping", "check_run", ""])
def test_other_events_are_not_read(event: str) -> None:
    assert read_github(b"\xff not even JSON", event) is None


@pytest.mark.parametrize(
    ("given", "event", "subject"),
    [
        (body(PUSH, ref=None), "push", "ref"),
        (body(PUSH, repository=None), "push", "repository.clone_url"),
        (body(PUSH, repository={"clone_url": "nothing"}), "push", "repository.clone_url"),
        (body(PUSH, forced="yes"), "push", "forced"),
        (body(PULL, number=None, pull_request=None), "pull_request", "number"),
        (body(PULL, number=0), "pull_request", "number"),
        (b"payload=%FF", "push", "body"),
    ],
)
def test_error_names_the_field(given: bytes, event: str, subject: str) -> None:
    with pytest.raises(WireError) as caught:
        read_github(given, event)
    assert caught.value.subject == subject
