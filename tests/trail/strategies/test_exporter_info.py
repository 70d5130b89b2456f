from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.trail.strategies.exporter_info import ENTRY_LIMIT, SIZE_LIMIT_BYTES, parse_exporter_info

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHA = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738"
COMMIT = {"hash": SHA, "summary": "Change", "author": "Ada", "email": "a@x", "time": "2026-03-01T11:00:00Z"}


def payload(*entries: object, **fields: object) -> bytes:
    return json.dumps({"commit": "m1", "commits_since_last_export": list(entries)} | fields).encode()


def test_the_replaced_tools_fixture() -> None:
    info = parse_exporter_info(
        json.dumps(
            {
                "commit": "cptpicard",
                "commits_since_last_export": [
                    {
                        "hash": "ltdata",
                        "summary": "update deployment",
                        "author": "Data",
                        "email": "data@example.com",
                        "time": "2026-01-12T10:00:00Z",
                    }
                ],
                "export_build_link": "https://ci.example.com/builds/1",
            }
        ).encode(),
        now=NOW,
    )
    (commit,) = info.commits
    assert (commit.sha, commit.summary, commit.author) == ("ltdata", "update deployment", "Data")
    assert commit.stated_at == datetime(2026, 1, 12, 10, tzinfo=UTC)
    assert info.build_link == "https://ci.example.com/builds/1"
    assert info.problems == ()


@pytest.mark.parametrize(
    "data",
    [
        b"{not json",
        b"{invalid json",
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"x"',
        b"3",
        b'{"commits_since_last_export": 3}',
        b'{"commits_since_last_export": {"hash": 1}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda data: data[:40].decode("latin-1"),
)
def test_what_is_no_payload_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="exporter-info.json") as raised:
        parse_exporter_info(data, now=NOW)
    assert not raised.value.retryable


def test_ten_mebibytes_are_refused_unread() -> None:
    with pytest.raises(WireError, match=f"10485760 bytes are more than the {SIZE_LIMIT_BYTES}"):
        parse_exporter_info(b" " * 10 * 1024 * 1024, now=NOW)


@pytest.mark.parametrize("data", [b"{}", b'{"commits_since_last_export": null}', b'{"commits_since_last_export": []}'])
def test_no_commits_are_no_problem(data: bytes) -> None:
    info = parse_exporter_info(data, now=NOW)
    assert (info.commits, info.problems, info.build_link) == ((), (), None)


@pytest.mark.parametrize(
    "entry",
    [
        {"Hash": SHA, "Message": "Change\n\nbody", "Author": "Ada", "Email": "a@x", "Time": "2026-03-01T11:00:00Z"},
        {"HASH": SHA, "SUMMARY": "Change", "AUTHOR": "Ada", "TIME": "2026-03-01T12:00:00.000000000+01:00"},
        COMMIT | {"unknown": {"deep": [1]}, "email": None},
        COMMIT | {"hash": SHA.upper()},
        COMMIT | {"hash": f" {SHA} "},
    ],
    ids=["old names", "capitals", "unknown keys", "upper sha", "spaces"],
)
def test_keys_match_in_any_case(entry: dict[str, Any]) -> None:
    info = parse_exporter_info(payload(entry), now=NOW)
    (commit,) = info.commits
    assert (commit.sha, commit.summary, commit.author) == (SHA, "Change", "Ada")
    assert commit.stated_at == NOW - timedelta(hours=1)
    assert info.problems == ()


def test_top_level_keys_match_in_any_case() -> None:
    data = json.dumps({"Commits_Since_Last_Export": [COMMIT], "EXPORT_BUILD_LINK": "https://ci/1"}).encode()
    info = parse_exporter_info(data, now=NOW)
    assert ([commit.sha for commit in info.commits], info.build_link) == ([SHA], "https://ci/1")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (None, "commits_since_last_export[0]: expected an object, got NoneType"),
        ([], "commits_since_last_export[0]: expected an object, got list"),
        ("x", "commits_since_last_export[0]: expected an object, got str"),
        ({}, "commits_since_last_export[0].hash: 'None' is not a commit"),
        (COMMIT | {"hash": ""}, "commits_since_last_export[0].hash: '' is not a commit"),
        (COMMIT | {"hash": 12345}, "commits_since_last_export[0].hash: '12345' is not a commit"),
        (COMMIT | {"hash": {"a": 1}}, "commits_since_last_export[0].hash: \"{'a': 1}\" is not a commit"),
        (COMMIT | {"hash": True}, "commits_since_last_export[0].hash: 'True' is not a commit"),
        (COMMIT | {"hash": "two words"}, "commits_since_last_export[0].hash: 'two words' is not a commit"),
        (COMMIT | {"hash": "--upload-pack=x"}, "commits_since_last_export[0].hash: '--upload-pack=x' is not a commit"),
        (COMMIT | {"hash": "../x"}, "commits_since_last_export[0].hash: '../x' is not a commit"),
    ],
)
def test_an_unusable_entry_is_a_problem_and_stops_no_other(entry: object, problem: str) -> None:
    info = parse_exporter_info(payload(entry, COMMIT), now=NOW)
    assert [commit.sha for commit in info.commits] == [SHA]
    assert info.problems == (problem,)


def test_an_endless_hash_is_shown_cut() -> None:
    info = parse_exporter_info(payload(COMMIT | {"hash": "a" * 100_000}), now=NOW)
    assert info.commits == ()
    assert len(info.problems[0]) < 200


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        (None, "'None' is not an RFC 3339 time"),
        ("yesterday", "'yesterday' is not an RFC 3339 time"),
        (1772366400, "'1772366400' is not an RFC 3339 time"),
        ("0001-01-01T00:00:00Z", "'0001-01-01T00:00:00Z' is not an RFC 3339 time"),
        ("2026-03-01T12:02:01Z", "2026-03-01T12:02:01+00:00 lies in the future"),
        ("9999-01-01T00:00:00Z", "9999-01-01T00:00:00+00:00 lies in the future"),
    ],
)
def test_an_unbelievable_time_costs_only_itself(time: object, problem: str) -> None:
    info = parse_exporter_info(payload(COMMIT | {"time": time}), now=NOW)
    (commit,) = info.commits
    assert commit.stated_at is None
    assert info.problems == (f"commits_since_last_export[0].time: {problem}",)


def test_clocks_may_differ_a_little() -> None:
    info = parse_exporter_info(payload(COMMIT | {"time": "2026-03-01T12:02:00Z"}), now=NOW)
    assert info.commits[0].stated_at == NOW + timedelta(minutes=2)


def test_a_commit_that_is_named_twice_counts_once() -> None:
    info = parse_exporter_info(payload(COMMIT, COMMIT | {"summary": "again", "hash": SHA.upper()}), now=NOW)
    assert [commit.summary for commit in info.commits] == ["Change"]


def test_an_endless_list_is_cut_with_a_problem() -> None:
    info = parse_exporter_info(
        payload(*({"hash": f"c{n}", "time": COMMIT["time"]} for n in range(ENTRY_LIMIT + 5))), now=NOW
    )
    assert len(info.commits) == ENTRY_LIMIT
    assert info.problems == (
        f"commits_since_last_export: {ENTRY_LIMIT + 5} entries, only the first {ENTRY_LIMIT} are used",
    )


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://user:pw@ci.example.com/b/1?token=x", "https://ci.example.com/b/1"),
        ("javascript:alert(1)", None),
        ("file:///etc/passwd", None),
        ("ci.example.com/b/1", None),
        ("http://[bad", None),
        (None, None),
        (7, None),
        (["https://x"], None),
        ("", None),
    ],
)
def test_build_link(link: object, expected: str | None) -> None:
    assert parse_exporter_info(payload(COMMIT, export_build_link=link), now=NOW).build_link == expected


def test_text_is_cleared_of_secrets_and_cut() -> None:
    token = "ghp_" + "a1B2" * 9
    info = parse_exporter_info(payload(COMMIT | {"summary": f"use {token} " + "x" * 999, "author": token}), now=NOW)
    assert token not in info.commits[0].summary + info.commits[0].author
    assert len(info.commits[0].summary.encode()) <= 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["hash", "Hash", "time", "summary", "author", "x"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={"commits_since_last_export": JSON, "export_build_link": JSON | st.just("http://["), "commit": JSON},
    )
    | JSON
)
def test_any_json_is_read_or_refused(document: object) -> None:
    try:
        info = parse_exporter_info(json.dumps(document).encode(), now=NOW)
    except WireError:
        return
    assert all(commit.sha.isalnum() and commit.sha.isascii() for commit in info.commits)
    assert all(commit.stated_at is None or commit.stated_at <= NOW + timedelta(minutes=2) for commit in info.commits)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_exporter_info(data, now=NOW)
    except WireError:
        return
