"""Bytes of a refusal, whatever they are, end in a bounded wait or in none."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.remotes.otlp.answers import LONGEST_WAIT_SECONDS, find_retry_delay, parse_status, redactor


def status_with(*details: AnyMessage) -> Status:
    return Status(code=14, details=details)


def packed(message: BadRequest | RetryInfo) -> AnyMessage:
    found = AnyMessage()
    found.Pack(message)
    return found


def test_the_delay_is_found_among_other_details() -> None:
    info = RetryInfo()
    info.retry_delay.FromNanoseconds(1_500_000_000)
    assert find_retry_delay(status_with(packed(BadRequest()), packed(info))) == 1.5
    assert find_retry_delay(status_with(packed(BadRequest()))) is None
    assert find_retry_delay(status_with()) is None


@given(st.integers(min_value=-(2**62), max_value=2**62), st.integers(min_value=-(2**31), max_value=2**31 - 1))
def test_any_delay_is_bounded(seconds: int, nanos: int) -> None:
    info = RetryInfo()
    info.retry_delay.seconds, info.retry_delay.nanos = seconds, nanos
    found = find_retry_delay(status_with(packed(info)))
    assert found is not None
    assert 0 <= found <= LONGEST_WAIT_SECONDS


def test_half_a_detail_is_no_delay() -> None:
    broken = AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a\xff")
    assert find_retry_delay(status_with(broken)) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_status_or_none(content: bytes) -> None:
    status = parse_status(content)
    assert status is None or find_retry_delay(status) is None or isinstance(find_retry_delay(status), float)


def test_secrets_are_cleared_longest_first() -> None:
    redacted = redactor((("authorization", "Basic abcdefgh"), ("x-key", "abcd"), ("x-short", "on")))
    assert redacted("on: Basic abcdefgh, abcdefgh, abcd") == "on: [redacted], [redacted], [redacted]"
