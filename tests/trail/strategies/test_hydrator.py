from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.trail.strategies.hydrator import SIZE_LIMIT_BYTES, parse_hydrator_metadata
from fluxtrail.trail.strategies.stated import ExportedCommit, StatedExport

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHA = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738"
METADATA: dict[str, Any] = {
    "repoURL": "https://github.com/Acme/Dry.git",
    "drySha": SHA,
    "author": "Ada <ada@example.com>",
    "date": "2026-03-01T12:00:00+01:00",
    "subject": "Bump the image",
    "body": "Signed-off-by: Ada",
    "references": [{"commit": {"sha": "0" * 40}}],
}


def read(**changes: Any) -> StatedExport:
    return parse_hydrator_metadata(json.dumps(METADATA | changes).encode(), now=NOW)


def test_the_dry_commit_and_its_repository() -> None:
    found = read()
    assert found.commits == (
        ExportedCommit(
            sha=SHA, summary="Bump the image", author="Ada <ada@example.com>", stated_at=NOW - timedelta(hours=1)
        ),
    )
    assert (found.repository, found.build_link, found.problems) == ("github.com/acme/dry", None, ())


@pytest.mark.parametrize(
    "data",
    [
        b"{not json",
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"drySha": null}',
        b'{"drySha": 5}',
        b'{"drySha": ["' + SHA.encode() + b'"]}',
        b'{"drySha": "5394cb7"}',
        b'{"drySha": "' + SHA.encode() + b'0"}',
        b'{"drysha": "' + SHA.encode() + b'"}',
        b"[" * 100_000,
    ],
    ids=lambda data: data[:30].decode("latin-1"),
)
def test_what_names_no_dry_commit_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match=r"hydrator\.metadata") as raised:
        parse_hydrator_metadata(data, now=NOW)
    assert not raised.value.retryable


def test_a_large_document_is_refused_unread() -> None:
    with pytest.raises(WireError, match=f"more than the {SIZE_LIMIT_BYTES}"):
        parse_hydrator_metadata(b" " * (SIZE_LIMIT_BYTES + 1), now=NOW)


@pytest.mark.parametrize("sha", [SHA.upper(), f" {SHA}\n", "a" * 64])
def test_forms_of_the_sha(sha: str) -> None:
    assert read(drySha=sha).commits[0].sha == sha.strip().lower()


@pytest.mark.parametrize("field", ["subject", "author", "date"])
@pytest.mark.parametrize("value", [None, 5, [], {"a": 1}], ids=str)
def test_a_field_of_another_type_costs_only_itself(field: str, value: object) -> None:
    (commit,) = read(**{field: value}).commits
    empty = {"subject": commit.summary == "", "author": commit.author == "", "date": commit.stated_at is None}
    assert commit.sha == SHA
    assert [name for name, is_empty in empty.items() if is_empty] == [field]


@pytest.mark.parametrize("date", ["yesterday", "", "2026-03-01T12:02:01Z", "0001-01-01T00:00:00Z"])
def test_an_unbelievable_date_is_none(date: str) -> None:
    assert read(date=date).commits[0].stated_at is None


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    assert read(date="2026-03-01T12:01:59Z").commits[0].stated_at == NOW + timedelta(seconds=119)


def test_texts_are_one_line_cut_and_without_secrets() -> None:
    (commit,) = read(subject="use ghp_0123456789abcdefghijABCDEFGHIJ\nbody", author="A" * 999).commits
    assert commit.summary == "use [redacted]"
    assert len(commit.author) < 210


@pytest.mark.parametrize("url", [None, "", 7, ["https://github.com/acme/dry"]])
def test_without_a_repository(url: object) -> None:
    found = read(repoURL=url)
    assert (found.repository, found.problems) == (None, ())
    assert found.commits[0].sha == SHA


def test_a_repository_that_is_none_is_a_problem_without_its_secret() -> None:
    found = read(repoURL="https://user:hunter2@/nowhere")
    assert found.repository is None
    (problem,) = found.problems
    assert problem.startswith("repoURL: ")
    assert "hunter2" not in problem


def test_two_forms_of_one_repository_are_one() -> None:
    assert read(repoURL="git@github.com:acme/dry").repository == read().repository


@given(
    st.dictionaries(st.sampled_from(sorted(METADATA)), st.none() | st.text(max_size=9) | st.integers() | st.just([]))
)
def test_any_object_is_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        found = read(**changes)
    except WireError:
        assert changes["drySha"] != SHA
    else:
        assert [commit.sha for commit in found.commits] == [changes.get("drySha", SHA)]
