"""What an answer means, how long it asks to wait, how much of it is read, in which of its shapes it is understood."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remotes.github.artifacts import record

from fluxtrail.model.errors import WireError
from fluxtrail.remotes.github.artifact_answers import (
    LONGEST_WAIT_SECONDS,
    Answer,
    Meaning,
    find_delay_seconds,
    judge,
    read_bounded,
    read_message,
    said_by,
)
from fluxtrail.remotes.github.artifact_wire import parse_cluster_answer, parse_job, parse_job_status

NOW = 1_768_212_000.0


def at(seconds: float) -> str:
    return formatdate(NOW + seconds, usegmt=True)


def reset(seconds: int) -> dict[str, str]:
    return {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + seconds)}


@pytest.mark.parametrize(("headers", "expected"), [
    ({"retry-after": "5"}, 5),
    ({"retry-after": "0"}, 0),
    (reset(10), 10),
    ({}, 60),
    ({"retry-after": "3", **reset(60)}, 60),
    ({"retry-after": "90", **reset(60)}, 90),
    ({"retry-after": at(90)}, 90),
    ({"retry-after": at(90), "date": at(30)}, 60),
    ({"retry-after": at(-90)}, 0),
    ({"retry-after": at(20), **reset(60)}, 60),
    ({"retry-after": "soon"}, 60),
    ({"retry-after": "soon", **reset(7)}, 7),
    ({"retry-after": ""}, 60),
    ({"retry-after": "-5"}, 60),
    ({"retry-after": "1.5"}, 60),
    ({"retry-after": "٣"}, 60),
    ({"retry-after": "9" * 400}, 7200),
    ({**reset(10), "date": at(-300)}, 310),
    (reset(-10), 60),
    ({**reset(10), "x-ratelimit-remaining": "1"}, 60),
    ({"x-ratelimit-remaining": "0"}, 60),
    ({**reset(0), "x-ratelimit-reset": "nan"}, 60),
    ({**reset(0), "x-ratelimit-reset": "9" * 5000}, 7200),
])  # fmt: skip
def test_how_long_to_wait(headers: dict[str, str], expected: float) -> None:
    assert find_delay_seconds(headers, now=NOW) == expected


HEADER = st.one_of(
    st.text(max_size=40),
    st.integers(-10, 10**20).map(str),
    st.integers(int(NOW) - 10_000, int(NOW) + 10_000).map(str),
    st.floats(-1e5, 1e5).map(at),
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "date"]), HEADER | st.just("0")
)


@given(HEADERS)
def test_no_header_makes_it_wait_for_ever_or_fail(headers: Mapping[str, str]) -> None:
    assert 0 <= find_delay_seconds(headers, now=NOW) <= LONGEST_WAIT_SECONDS


@given(st.integers(0, 7200), st.integers(1, 7200), st.booleans())
def test_the_larger_of_the_two_counts(after: int, left: int, is_date: bool) -> None:
    headers = {"retry-after": at(after) if is_date else str(after), **reset(left)}
    assert find_delay_seconds(headers, now=NOW) == max(after, left)


@pytest.mark.parametrize(("status", "headers", "body", "meaning"), [
    (200, {}, b"", Meaning.TAKEN),
    (204, {"retry-after": "5"}, b"", Meaning.TAKEN),
    (404, {"retry-after": "5"}, b"", Meaning.UNKNOWN),
    (409, reset(5), b"", Meaning.CONFLICT),
    (429, {}, b"", Meaning.LIMITED),
    (403, {"retry-after": "5"}, b"", Meaning.LIMITED),
    (403, reset(5), b"", Meaning.LIMITED),
    (400, {"retry-after": "5"}, b"", Meaning.LIMITED),
    (403, {}, b'{"message":"You have exceeded a secondary rate limit"}', Meaning.LIMITED),
    (403, {}, b'{"message":"API rate limit exceeded for 1.2.3.4"}', Meaning.LIMITED),
    (403, {"x-ratelimit-remaining": "5"}, b'{"message":"Resource not accessible"}', Meaning.REFUSED),
    (422, reset(5), b"", Meaning.REFUSED),
    (422, {}, b'{"message":"tag \'rate limit exceeded\'"}', Meaning.REFUSED),
    (401, {}, b"", Meaning.REFUSED),
    (500, {}, b"", Meaning.FAILED),
    (503, {"retry-after": "5"}, b"", Meaning.FAILED),
    (304, {}, b"", Meaning.FAILED),
    (100, {}, b"", Meaning.FAILED),
])  # fmt: skip
def test_what_an_answer_means(status: int, headers: dict[str, str], body: bytes, meaning: Meaning) -> None:
    assert judge(Answer(status, headers, body)) is meaning


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(0, 300))
def test_a_body_is_read_to_its_limit(chunks: list[bytes], limit: int) -> None:
    taken = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal taken
        for chunk in chunks:
            taken += len(chunk)
            yield chunk

    content, is_cut = asyncio.run(read_bounded(stream(), limit))
    whole = b"".join(chunks)
    assert content == whole[:limit]
    assert is_cut == (len(whole) > limit)
    assert taken <= limit + 50


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["message", "errors", "job_id", "status", "deployment_records", "deployment_name", "deployment", "name",
             "digest", "cause", "started_at", "total_count"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip
BODY = st.binary(max_size=100) | JSON.map(msgspec.json.encode)


@given(BODY)
def test_no_body_is_more_than_no_answer(body: bytes) -> None:
    entries = [record("a"), record("b", name="", digest="")]
    for parse in (parse_job, lambda body: parse_job_status(body, 1)):
        with contextlib.suppress(WireError):
            parse(body)
    try:
        answer = parse_cluster_answer(body, entries)
    except WireError:
        return
    parts = (answer.accepted, answer.rejected.keys(), answer.unanswered)
    assert sorted(name for part in parts for name in part) == ["a", "b"], "each name is in exactly one of the three"


@given(BODY)
def test_what_was_said_is_short_and_plain(body: bytes) -> None:
    said = said_by(Answer(422, {}, body), secrets=("s3cr3t",))
    assert 0 < len(said.encode()) <= 300


@pytest.mark.parametrize(("body", "said"), [
    (b'{"message":"no"}', "no"),
    (b'{"message":"no","errors":["a"]}', 'no ["a"]'),
    (b'{"message":null,"errors":[]}', ""),
    (b"plain ", "plain"),
])  # fmt: skip
def test_what_an_error_says(body: bytes, said: str) -> None:
    assert read_message(body) == said


def test_secrets_in_an_answer_are_cleared() -> None:
    answer = Answer(422, {}, b'{"message":"bad token s3cr3t-value at https://u:p@host/x?token=abc"}')
    said = said_by(answer, secrets=("s3cr3t-value",))
    assert "s3cr3t" not in said
    assert "u:p" not in said
    assert "abc" not in said
    job = parse_job(b'{"job_id":1,"errors":[{"name":"n","cause":"token s3cr3t-value"}]}', secrets=("s3cr3t-value",))
    assert "s3cr3t" not in job.errors[0].cause
