"""What holds over either transport: what arrives, and which error a refusal or a silence is."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import pytest
from tests.remotes.otlp.conftest import Transport
from tests.remotes.otlp.receiver import Hang, Lose, Partial, Receiver, Refuse
from tests.remotes.otlp.requests import logs, metrics, traces

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.remotes.otlp.answers import Answer, TooLargeError
from fluxtrail.remotes.otlp.variables import Signal

TAKEN = Answer(rejected=0, message="")


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_each_signal_arrives_as_it_was_sent(transport: Transport, receiver: Receiver, compression: str) -> None:
    async with (
        transport.serving(receiver) as endpoint,
        transport.sending(endpoint, COMPRESSION=compression) as sender,
    ):
        assert await sender.send_traces(traces("fetched", "applied")) == TAKEN
        assert await sender.send_logs(logs()) == TAKEN
        assert await sender.send_metrics(metrics()) == TAKEN
    assert [one.signal for one in receiver.received] == [Signal.TRACES, Signal.LOGS, Signal.METRICS]
    assert [one.message for one in receiver.received] == [traces("fetched", "applied"), logs(), metrics()]
    assert [span.name for span in receiver.spans] == ["fetched", "applied"]
    assert [record.event_name for record in receiver.log_records] == ["delivered"]
    assert [metric.name for metric in receiver.metrics] == ["fluxtrail.lead_time"]


async def test_a_request_that_is_already_encoded_arrives_too(transport: Transport, receiver: Receiver) -> None:
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint) as sender:
        await sender.send_traces(traces("applied").SerializeToString())
    assert [one.message for one in receiver.received] == [traces("applied")]


async def test_headers_go_along(transport: Transport, receiver: Receiver) -> None:
    stated = "Authorization=Bearer%20abc%2Cdef,x-scope-orgid=team%201"
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint, HEADERS=stated) as sender:
        await sender.send_logs(logs())
    headers = receiver.received[0].headers
    assert headers["authorization"] == "Bearer abc,def"
    assert headers["x-scope-orgid"] == "team 1"


@pytest.mark.parametrize("rejected", [0, 3], ids=["a warning", "some refused"])
@pytest.mark.parametrize("signal", list(Signal))
async def test_partial_success_is_read(transport: Transport, receiver: Receiver, signal: Signal, rejected: int) -> None:
    receiver.script.append(Partial(rejected, "too old, see https://me:hunter2@help.example/?token=abcdef"))
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint) as sender:
        sending = {
            Signal.TRACES: lambda: sender.send_traces(traces()),
            Signal.LOGS: lambda: sender.send_logs(logs()),
            Signal.METRICS: lambda: sender.send_metrics(metrics()),
        }
        answer = await sending[signal]()
    assert answer == Answer(rejected=rejected, message="too old, see https://help.example/")


@pytest.mark.parametrize(
    ("refusal", "kind", "is_retryable", "wait"),
    [
        (Refuse(503, grpc.StatusCode.UNAVAILABLE), UpstreamError, True, None),
        (Refuse(503, grpc.StatusCode.UNAVAILABLE, retry_seconds=30), UpstreamError, True, 30),
        (Refuse(429, grpc.StatusCode.RESOURCE_EXHAUSTED, retry_seconds=7), RateLimitedError, True, 7),
        (Refuse(503, grpc.StatusCode.UNAVAILABLE, retry_seconds=10**9), UpstreamError, True, 3600),
        (Refuse(502, grpc.StatusCode.ABORTED), UpstreamError, True, None),
        (Refuse(504, grpc.StatusCode.DEADLINE_EXCEEDED), UpstreamError, True, None),
        (Refuse(400, grpc.StatusCode.INVALID_ARGUMENT, retry_seconds=5), UpstreamError, False, None),
        (Refuse(500, grpc.StatusCode.INTERNAL), UpstreamError, False, None),
        (Refuse(507, grpc.StatusCode.RESOURCE_EXHAUSTED), UpstreamError, False, None),
        (Refuse(401, grpc.StatusCode.UNAUTHENTICATED), AuthError, False, None),
        (Refuse(403, grpc.StatusCode.PERMISSION_DENIED), AuthError, False, None),
        (Refuse(404, grpc.StatusCode.UNIMPLEMENTED), NotFoundError, False, None),
    ],
    ids=lambda value: f"{value.status} {value.code.name}" if isinstance(value, Refuse) else "",
)
async def test_a_refusal_is_the_error_that_says_what_helps(
    transport: Transport,
    receiver: Receiver,
    refusal: Refuse,
    kind: type[UpstreamError],
    is_retryable: bool,
    wait: float | None,
) -> None:
    receiver.usual = refusal
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint) as sender:
        with pytest.raises(UpstreamError) as caught:
            await sender.send_traces(traces())
    assert type(caught.value) is kind
    assert (caught.value.retryable, caught.value.retry_after_seconds) == (is_retryable, wait)
    assert "not now" in caught.value.message
    assert receiver.asked == 1  # one attempt


async def test_secrets_that_a_refusal_quotes_are_cleared(transport: Transport, receiver: Receiver) -> None:
    receiver.usual = Refuse(400, grpc.StatusCode.INVALID_ARGUMENT, "who is Bearer s3same-open, s3same-open of acme-x?")
    stated = "authorization=Bearer s3same-open,x-scope-orgid=acme-x"
    options = transport.options("http://127.0.0.1:1", HEADERS=stated)
    assert "s3same" not in repr(options)
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint, HEADERS=stated) as sender:
        with pytest.raises(UpstreamError) as caught:
            await sender.send_traces(traces())
    assert receiver.asked == 1
    assert "who is" in str(caught.value)
    assert "s3same" not in str(caught.value)
    assert "acme" not in str(caught.value)


async def test_a_lost_answer_may_be_retried(transport: Transport, receiver: Receiver) -> None:
    receiver.script.append(Lose())
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint) as sender:
        with pytest.raises(UpstreamError) as caught:
            await sender.send_traces(traces())
        assert caught.value.retryable
        await sender.send_traces(traces())
    assert len(receiver.spans) == 2


async def test_a_closed_port_may_be_retried(transport: Transport, dead_port: int) -> None:
    async with transport.sending(f"http://127.0.0.1:{dead_port}") as sender:
        with pytest.raises(UpstreamError) as caught:
            await sender.send_traces(traces())
    assert caught.value.retryable
    assert f"127.0.0.1:{dead_port}" in str(caught.value)


@pytest.mark.parametrize("kind", ["mute", "hanging"])
async def test_silence_ends_at_the_deadline(
    transport: Transport, receiver: Receiver, mute_port: int, kind: str
) -> None:
    receiver.usual = Hang()
    async with transport.serving(receiver) as endpoint:
        where = endpoint if kind == "hanging" else f"http://127.0.0.1:{mute_port}"
        async with transport.sending(where, TIMEOUT="300") as sender, asyncio.timeout(5):
            with pytest.raises(UpstreamError, match=r"no answer within 0\.3 s") as caught:
                await sender.send_traces(traces())
    assert caught.value.retryable


async def test_a_collector_that_comes_back_is_reached_by_the_same_sender(
    transport: Transport, receiver: Receiver
) -> None:
    async with transport.serving(receiver) as endpoint:
        port = int(endpoint.rpartition(":")[2])
        sending = transport.sending(endpoint)
        sender = await sending.__aenter__()
        await sender.send_traces(traces("before"))
    with pytest.raises(UpstreamError):
        await sender.send_traces(traces("meanwhile"))
    async with transport.serving(receiver, port=port), asyncio.timeout(10):
        while len(receiver.spans) < 2:
            with suppress(UpstreamError):
                await sender.send_traces(traces("after"))
            await asyncio.sleep(0.02)
        await sending.__aexit__(None, None, None)
    assert [span.name for span in receiver.spans] == ["before", "after"]


async def test_what_the_other_side_finds_too_large_is_to_be_split(transport: Transport, receiver: Receiver) -> None:
    async with transport.serving(receiver, limit_bytes=1000) as endpoint, transport.sending(endpoint) as sender:
        with pytest.raises(TooLargeError) as caught:
            await sender.send_traces(traces("x" * 1200))
        assert (caught.value.status, caught.value.retryable) == (413, False)
        await sender.send_traces(traces("x" * 600))
    assert len(receiver.spans) == 1


async def test_what_we_find_too_large_is_not_sent(transport: Transport, receiver: Receiver) -> None:
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint) as sender:
        with pytest.raises(TooLargeError, match="bytes, more than"):
            await sender.send_traces(b"\x00" * (20 * 1024 * 1024 + 1))
    assert receiver.asked == 0


async def test_a_large_request_is_sent_whole(transport: Transport, receiver: Receiver) -> None:
    request = traces(*(f"{number:064}" for number in range(30_000)))
    async with (
        transport.serving(receiver) as endpoint,
        transport.sending(endpoint, COMPRESSION="gzip") as sender,
    ):
        await sender.send_traces(request)
    assert receiver.received[0].message == request


async def test_many_at_once_all_arrive(transport: Transport, receiver: Receiver) -> None:
    async with (
        transport.serving(receiver) as endpoint,
        transport.sending(endpoint) as sender,
        asyncio.TaskGroup() as group,
    ):
        sendings = [group.create_task(sender.send_traces(traces(str(number)))) for number in range(40)]
        await asyncio.gather(*sendings)
    assert sorted(int(span.name) for span in receiver.spans) == list(range(40))


async def test_cancelling_stops_a_call_and_leaves_the_sender_usable(transport: Transport, receiver: Receiver) -> None:
    receiver.script.append(Hang())
    async with transport.serving(receiver) as endpoint, transport.sending(endpoint) as sender:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(sender.send_traces(traces("cancelled")))
            await receiver.wait_until_asked(1)
            sending.cancel()
        assert sending.cancelled()
        assert await sender.send_traces(traces("next")) == TAKEN
    assert [span.name for span in receiver.spans] == ["next"]
