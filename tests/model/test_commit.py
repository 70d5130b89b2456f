from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.commit import find_pull_request_number, find_reverts, is_sha, is_sha_prefix, short

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("message", "reverts"),
    [
        (f'Revert "x"\n\nThis reverts commit {SHA}.\n', (SHA,)),
        (f"This reverts commit {SHA}, reversing\nchanges made to {'b' * 40}.", (SHA,)),
        (
            f"a\n\nThis reverts commit {SHA}.\nThis reverts commit abcdef1.\nThis reverts commit {SHA}.",
            (SHA, "abcdef1"),
        ),
        (f"  This reverts commit {SHA.upper()}.", (SHA,)),
        (f"> see: This reverts commit {SHA}.", ()),
        ("This reverts commit soon.", ()),
        ("Reverts acme/shop#12", ()),
        ("This reverts commit abc123.", ()),
        ("", ()),
    ],
)
def test_find_reverts(message: str, reverts: tuple[str, ...]) -> None:
    assert find_reverts(message) == reverts


@pytest.mark.parametrize(
    ("subject", "number"),
    [
        ("Add a cart (#12)", 12),
        ("Merge pull request #7 from acme/fix", 7),
        ("Merged PR 345: Add a cart", 345),
        ('Revert "Add a cart (#12)" (#13)', 13),
        ('Revert "Add a cart (#12)"', None),
        ("Fix #12", None),
        ("(#12) first", None),
        ("Merge branch 'main'", None),
        ("x (#99999999999999)", None),
    ],
)
def test_find_pull_request_number(subject: str, number: int | None) -> None:
    assert find_pull_request_number(subject) == number


def test_is_sha() -> None:
    assert is_sha(SHA)
    assert is_sha("a" * 64)
    assert not is_sha(SHA.upper())
    assert not is_sha(SHA + "\n")
    assert not is_sha("a" * 41)


@given(st.text("0123456789abcdefABCDEF", max_size=70))
def test_is_sha_prefix_is_a_matter_of_length(text: str) -> None:
    assert is_sha_prefix(text) == (4 <= len(text) <= 64)


def test_is_sha_prefix_refuses_what_git_would_expand() -> None:
    assert not any(map(is_sha_prefix, ("HEAD", "main", "abc", "abcd~1", "-abcd", "abcd\n")))
    assert short(SHA) == "012345678"
