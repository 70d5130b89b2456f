"""What a manifests commit's message says of its pipeline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.reports.phases.dispatches import (
    MESSAGE_LIMIT,
    DispatchPayload,
    dispatch_of,
    pull_request_of,
    why_silent,
)

SHA = "40d6b21b888db0ca794876cf7bdd399e3da2137e"


def test_payload_has_the_connectors_fields_and_ours() -> None:
    message = "Merge pull request #12 from acme/deploy/6543/v1.2-abc/main\n\nBody"
    assert dispatch_of(message, SHA) == DispatchPayload(
        sha="v1.2-abc",
        runid="6543",
        commitmessage=message,
        image_tag="v1.2-abc",
        branch="main",
        manifests_sha=SHA,
    )
    assert why_silent(message) == ""


@pytest.mark.parametrize(
    ("message", "run", "tag", "branch"),
    [
        ("deploy/77/abc/main", "77", "abc", "main"),
        ("deploy/77/abc/feature/x (#12)", "77", "abc", "feature/x"),
        ("Merge branch 'deploy/77/abc/main' into 'main'", "77", "abc", "main"),
        ("Merge branch 'deploy/77/abc'", "77", "abc", ""),
        ("Merged PR 5: refs/heads/deploy/77/abc/main", "77", "abc", "main"),
        ("Update\n\nacme/deploy/77/abc/main", "77", "abc", "main"),
        ("Merge pull request #1 from acme/release/77/abc", "77", "abc", ""),
    ],
)
def test_convention_in_whatever_words(message: str, run: str, tag: str, branch: str) -> None:
    payload = dispatch_of(message, SHA)
    assert payload is not None
    assert (payload.runid, payload.sha, payload.branch) == (run, tag, branch)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Fix a typo",
        "deploy/77",
        "a/b/c/d/e",
        "Merge pull request #12 from acme/feature/login/form",
        "See https://github.com/acme/deploy/blob/main/README.md",
        "redeploy/77/abc/main",
        "deploy//abc/main",
        "/" * 1000,
    ],
)
def test_message_without_the_convention_says_nothing_and_why(message: str) -> None:
    assert dispatch_of(message, SHA) is None
    assert "deploy/<run id>/<image tag>/<branch>" in why_silent(message)


def test_long_message_is_cut() -> None:
    payload = dispatch_of("deploy/77/abc/main " + "x" * 50_000, SHA)
    assert payload is not None
    assert len(payload.commitmessage) == MESSAGE_LIMIT


@pytest.mark.parametrize(
    ("comment", "number"),
    [
        ("Merged PR 12: deploy", 12),
        ("Merged PR 12", 12),
        ("Merged PR 12 - deploy", 12),
        ("Merged PR #12: x", 12),
        ('🚀 [hotfix] «Merged PR 12»: ünïcode & "quotes"', 12),
        ("merged pr 12", 12),
        ("Deploy\n\nMerged PR 12: deploy", 12),
        ("Merge pull request #12 from acme/deploy/1/2/main", 12),
        ("Deploy shop (#12)", 12),
        ('Revert "Deploy shop (#11)" (#12)\n\nMerged PR 9: x', 12),
        ("Merge pull request #12 from acme/x (#11)", 12),
        ("Merged PR twelve", None),
        ("Merged PR 1234567890: too many digits", None),
        ("Deploy (#12) again", None),
        ("Fixes #12", None),
        ("", None),
    ],
)
def test_pull_request_that_a_message_names(comment: str, number: int | None) -> None:
    assert pull_request_of(comment) == number


@given(st.text(alphabet="deploy/merg PR#1()from '\n:\u00e9", max_size=200))
def test_no_message_is_an_error(message: str) -> None:
    assert (dispatch_of(message, SHA) is None) == bool(why_silent(message))
    assert pull_request_of(message) is None or pull_request_of(message) in range(10**9)
