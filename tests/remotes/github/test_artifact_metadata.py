"""Single records: what is sent, what comes of each answer, how it is counted, how long everybody waits."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import Any

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.remotes.github.artifacts import (
    BEGIN,
    DATE,
    DIGEST,
    SINGLE,
    ArtifactClientMaker,
    VirtualClock,
    counts,
    record,
)
from tests.remotes.github.forge import FakeForge, Says

from fluxtrail.model.deployment import Content, DeploymentStatus, Destination
from fluxtrail.model.errors import (
    AuthError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
)
from fluxtrail.remotes.github.artifact_errors import (
    CredentialsRefusedError,
    LimitedOutError,
    RecordConflictError,
    RequestRefusedError,
    RetriesExhaustedError,
    UnknownArtifactError,
    UnsendableError,
)
from fluxtrail.remotes.github.artifact_wire import record_of

OK = Says(json={"total_count": 1})
LIMITED = {"Retry-After": "1", **DATE}
EXHAUSTED = {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": str(int(BEGIN.timestamp()) + 1), **DATE}
FORBIDDEN = Says(status=403, json={"message": "forbidden"})


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_success_is_one(forge: FakeForge, make_artifacts: ArtifactClientMaker, status: int) -> None:
    forge.says(Says(status=status, json={}))
    client = make_artifacts()
    await client.post_record(record())
    assert counts(client.counters) == (1, 0, 0, 0, 0, 0)
    assert len(forge.asked) == 1


async def test_no_record_is_an_error_and_asks_nothing(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    client = make_artifacts()
    with pytest.raises(UnsendableError, match="record cannot be nil"):
        await client.post_record(None)
    assert forge.asked == []
    assert counts(client.counters) == (0,) * 6


async def test_an_unknown_artifact_names_the_digest(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(Says(status=404, json={"message": "no artifacts found"}))
    client = make_artifacts()
    with pytest.raises(UnknownArtifactError, match=r"no artifact found.*sha256:abc123") as caught:
        await client.post_record(record())
    assert isinstance(caught.value, NotFoundError)
    assert (caught.value.digest, caught.value.said, caught.value.status) == (
        "sha256:abc123", "no artifacts found", 404,
    )  # fmt: skip
    assert not caught.value.retryable
    assert counts(client.counters) == (0, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("answer", [
    Says(status=400, body=b"bad request"),
    FORBIDDEN,
    Says(status=422, body=b"invalid body"),
    Says(status=401, json={"message": "Bad credentials"}),
    Says(status=422, json={"message": "x"}, headers={"X-Ratelimit-Remaining": "0"}),
], ids=["400", "403", "422", "401", "the last of the hour"])  # fmt: skip
async def test_a_client_error_is_not_tried_again(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, answer: Says
) -> None:
    forge.says(answer)
    client = make_artifacts(retries=2)
    with pytest.raises(RequestRefusedError, match=f"client error.*{answer.status}") as caught:
        await client.post_record(record())
    assert not caught.value.retryable
    assert caught.value.status == answer.status
    assert isinstance(caught.value, AuthError) == (answer.status in (401, 403))
    assert counts(client.counters) == (0, 0, 0, 0, 0, 1)
    assert len(forge.asked) == 1


async def test_a_refusal_says_what_github_said(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    said = {"message": "Validation Failed", "errors": [{"field": "tags", "code": "too_long"}]}
    forge.says(Says(status=422, json=said))
    with pytest.raises(RequestRefusedError, match=r'answered 422: Validation Failed.*"field":"tags"'):
        await make_artifacts().post_record(record())


SERVER_ERROR = Says(status=500, body=b"internal error")


@pytest.mark.parametrize(("answer", "expected"), [
    (Says(status=429, headers=LIMITED), (0, 0, 2, 0, 1, 0)),
    (Says(status=403, headers=LIMITED, json={"message": "rate limit"}), (0, 0, 2, 0, 1, 0)),
    (Says(status=403, headers=EXHAUSTED), (0, 0, 2, 0, 1, 0)),
    (SERVER_ERROR, (0, 0, 0, 2, 1, 0)),
    (Says(status=429, headers=DATE), (0, 0, 2, 0, 1, 0)),
    (Says(status=403, json={"message": "You have exceeded a secondary rate limit."}), (0, 0, 2, 0, 1, 0)),
    (Says(status=409, json={"message": "conflict"}), (0, 0, 0, 0, 1, 0)),
    (Says(status=304), (0, 0, 0, 2, 1, 0)),
], ids=["429", "403 retry-after", "403 remaining 0", "500", "429 bare", "403 in words", "409", "304"])  # fmt: skip
async def test_after_its_retries_it_gives_up(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, answer: Says, expected: tuple[int, ...]
) -> None:
    forge.says(answer)
    client = make_artifacts(retries=1)
    with pytest.raises(UpstreamError, match="all retries exhausted") as caught:
        await client.post_record(record())
    assert caught.value.retryable, "whoever keeps the report may come again"
    assert counts(client.counters) == expected
    assert len(forge.asked) == 2
    kind = {429: LimitedOutError, 403: LimitedOutError, 409: RecordConflictError}
    assert type(caught.value) is kind.get(answer.status, RetriesExhaustedError)
    assert isinstance(caught.value, RateLimitedError) == (answer.status in (403, 429))
    assert isinstance(caught.value, ConflictError) == (answer.status == 409)


@pytest.mark.parametrize(("first", "expected"), [
    (Says(status=500), (1, 0, 0, 1, 0, 0)),
    (Says(status=429, headers={"Retry-After": "0"}), (1, 0, 1, 0, 0, 0)),
    (Says(status=403, headers={"Retry-After": "0"}, json={"message": "secondary rate limit"}), (1, 0, 1, 0, 0, 0)),
    (Says(status=409), (1, 0, 0, 0, 0, 0)),
], ids=["500", "429", "403", "409"])  # fmt: skip
async def test_what_passes_is_tried_again(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, first: Says, expected: tuple[int, ...]
) -> None:
    forge.says(first, OK)
    client = make_artifacts(retries=2)
    await client.post_record(record())
    assert counts(client.counters) == expected


async def test_three_retries_are_the_default_with_a_growing_pause(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    forge.says(SERVER_ERROR)
    client = make_artifacts(jitter=lambda: 0.5)
    with pytest.raises(RetriesExhaustedError):
        await client.post_record(record())
    assert len(forge.asked) == 4
    assert turning.slept == pytest.approx([0.225, 0.425, 0.825])


async def test_a_broken_connection_is_a_soft_failure(make_artifacts: ArtifactClientMaker, unused_port: int) -> None:
    client = make_artifacts(base_url=f"http://127.0.0.1:{unused_port}", retries=2)
    with pytest.raises(RetriesExhaustedError, match="all retries exhausted: GitHub does not answer"):
        await client.post_record(record())
    assert counts(client.counters) == (0, 0, 0, 3, 1, 0)


@pytest.fixture
async def unused_port() -> int:
    """A port that was free a moment ago."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_the_request_is_the_one_that_github_documents(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    forge.says(OK)
    await make_artifacts(token="test-token").post_record(record())
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", SINGLE)
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == "Bearer test-token"
    assert asked.headers["user-agent"] == "fluxtrail"
    assert asked.headers["accept"] == "application/vnd.github+json"
    assert asked.headers["x-github-api-version"] == "2022-11-28"
    assert b'"return_records":false' in asked.body
    assert msgspec.json.decode(asked.body) == {
        "name": "ghcr.io/my-org/my-image",
        "digest": "sha256:abc123",
        "version": "v1.0.0",
        "status": "deployed",
        "deployment_name": "my-deployment",
        "logical_environment": "production",
        "physical_environment": "us-east-1",
        "cluster": "cluster-1",
        "return_records": False,
    }


async def test_empty_fields_are_left_out_but_for_the_environment(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    forge.says(OK)
    content = Content(
        name="ghcr.io/acme/shop",
        digest=DIGEST,
        version="",
        status=DeploymentStatus.DECOMMISSIONED,
        runtime_risks=("critical-resource", "internet-exposed"),
        tags=(("env", "prod"), ("team", "café")),
    )
    where = Destination(organization="test-org", logical_environment="prod", physical_environment="", cluster="c1")
    client = make_artifacts()
    await client.post_record(record_of("shop/web/app", content, where))
    plain = Content(name="a", digest=DIGEST, version="", status=DeploymentStatus.DEPLOYED)
    await client.post_record(record_of("shop/web/app", plain, where))
    full, bare = (msgspec.json.decode(asked.body) for asked in forge.asked)
    assert full == {
        "name": "ghcr.io/acme/shop", "digest": DIGEST, "status": "decommissioned", "deployment_name": "shop/web/app",
        "runtime_risks": ["critical-resource", "internet-exposed"], "tags": {"env": "prod", "team": "café"},
        "logical_environment": "prod", "physical_environment": "", "cluster": "c1", "return_records": False,
    }  # fmt: skip
    assert full.keys() - bare.keys() == {"runtime_risks", "tags"}
    assert "authorization" not in forge.asked[0].headers


@pytest.mark.parametrize("field", ["name", "deployment_name", "version"])
async def test_text_that_is_no_unicode_is_not_sent(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, field: str
) -> None:
    with pytest.raises(UnsendableError, match="surrogate"):
        await make_artifacts().post_record(record(**{"deployment_name": "d", field: "a\ud800"}))
    assert forge.asked == []


async def test_every_round_trip_is_timed(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    def slow(_request: web.Request) -> Says:
        turning.elapsed += 0.75
        return SERVER_ERROR

    forge.says(slow, OK)
    seen: list[float] = []
    client = make_artifacts(observe=seen.append)
    await client.post_record(record())
    assert seen == pytest.approx([0.75, 0.0])


async def test_a_silent_server_is_given_up_in_time(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, silent: str
) -> None:
    client = make_artifacts(base_url=silent, retries=1, timeout_seconds=0.05)
    with pytest.raises(RetriesExhaustedError):
        await client.post_record(record())
    assert counts(client.counters) == (0, 0, 0, 2, 1, 0)


@pytest.fixture
async def silent(request: pytest.FixtureRequest) -> Any:
    """The address of a server that takes requests and says nothing until the test is over."""
    over = asyncio.Event()

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    over.set()
    server.close()
    await server.wait_closed()


# -- waiting together -----------------------------------------------------------------------------------------


async def test_a_rate_limit_holds_everybody(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(Says(status=429, headers={"Retry-After": "2"}), OK)
    clock = VirtualClock(is_still=True)
    client = make_artifacts(clock=clock, retries=2)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.post_record(record()))
        await clock.asleep(1)
        clock.advance(0.05)
        group.create_task(client.post_record(record()))
        await clock.asleep(2)
        assert clock.slept[-1] == pytest.approx(1.95)
        assert len(forge.asked) == 1
        clock.advance(0.15)  # the first one's pause before its second attempt
        await clock.asleep(2)
        clock.advance(1.7)
        await clock.asleep(2)
        assert len(forge.asked) == 1, "1.9 s after the refusal"
        clock.advance(0.1)
    assert counts(client.counters) == (2, 0, 1, 0, 0, 0)
    assert len(forge.asked) == 3


async def test_a_long_limit_is_not_waited_for_but_said(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    forge.says(Says(status=403, headers={"Retry-After": "3600"}), OK)
    client = make_artifacts(longest_wait_seconds=5.0)
    for _ in range(3):
        with pytest.raises(RateLimitedError, match="another 3600 s") as caught:
            await client.post_record(record())
        assert caught.value.retry_after_seconds == pytest.approx(3600)
        assert not isinstance(caught.value, LimitedOutError)
    assert turning.slept == []
    assert len(forge.asked) == 1
    assert counts(client.counters) == (0, 0, 1, 0, 0, 0), "postponed is not given up"
    turning.elapsed += 3600
    await client.post_record(record())
    assert counts(client.counters) == (1, 0, 1, 0, 0, 0)


async def test_the_last_request_of_the_hour_holds_the_next(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    reset = str(int(BEGIN.timestamp()) + 600)
    forge.says(Says(status=200, json={}, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset, **DATE}))
    client = make_artifacts(longest_wait_seconds=5.0)
    await client.post_record(record())
    with pytest.raises(RateLimitedError, match="another 600 s"):
        await client.post_record(record())
    assert len(forge.asked) == 1


async def test_a_server_under_load_may_ask_for_time(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    when = formatdate(BEGIN.timestamp() + 90, usegmt=True)
    forge.says(Says(status=503, headers={"Retry-After": when, **DATE}), OK)
    client = make_artifacts()
    await client.post_record(record())
    assert turning.elapsed == pytest.approx(90)
    assert counts(client.counters) == (1, 0, 0, 1, 0, 0)


async def test_never_more_than_three_a_second_after_a_burst(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    moments: list[float] = []

    def note(_request: web.Request) -> Says:
        moments.append(turning.elapsed)
        return OK

    forge.says(note)
    client = make_artifacts()
    for _ in range(35):
        await client.post_record(record())
    assert moments[:20] == [0.0] * 20
    assert moments[34] == pytest.approx(5.0)


# -- strange servers ------------------------------------------------------------------------------------------


async def test_a_cancelled_caller_leaves_the_client_sound(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()
    forge.says(OK)
    plain = forge.handle

    async def held(request: web.Request) -> web.Response:
        if not gate.is_set():
            entered.set()
            await gate.wait()
        return await plain(request)

    runner = web.AppRunner(_app(held), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = make_artifacts(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    call = asyncio.create_task(client.post_record(record()))
    await entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.set()
    assert counts(client.counters) == (0,) * 6
    await client.post_record(record())
    assert counts(client.counters) == (1, 0, 0, 0, 0, 0)
    await runner.cleanup()


def _app(handler: Any) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


async def test_a_body_without_end_is_read_no_further_than_its_limit(make_artifacts: ArtifactClientMaker) -> None:
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        await request.read()
        response = web.StreamResponse(status=422)
        await response.prepare(request)
        try:
            while written < 64 * 1024**2:
                await response.write(b"x" * 2**20)
                written += 2**20
        except ConnectionError:
            pass
        return response

    runner = web.AppRunner(_app(flood), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = make_artifacts(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    with pytest.raises(RequestRefusedError) as caught:
        await client.post_record(record())
    assert len(str(caught.value)) < 1000
    assert written < 32 * 1024**2
    await runner.cleanup()


@pytest.mark.parametrize("body", [
    b"", b"\x00\xff\xfe", b"[" * 100_000, b'{"message": null, "errors": null}', b'{"message": {"a": [1]}}', b"[]",
    b"null", b'"text"', b"<html>nginx</html>",
], ids=["empty", "binary", "deep", "nulls", "object", "list", "null", "string", "html"])  # fmt: skip
@pytest.mark.parametrize("status", [200, 404, 422, 403])
async def test_no_body_breaks_it(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, status: int, body: bytes
) -> None:
    forge.says(Says(status=status, body=body))
    client = make_artifacts()
    if status == 200:
        await client.post_record(record())
    else:
        with pytest.raises(FluxtrailError) as caught:
            await client.post_record(record())
        assert "\x00" not in str(caught.value)
    assert sum(counts(client.counters)) == 1


async def test_a_renamed_organisation_is_followed_on_the_same_host(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    forge.says(Says(status=307, headers={"Location": "/organizations/7/artifacts"}), OK)
    await make_artifacts(token="t0ken").post_record(record())
    assert [asked.path for asked in forge.asked] == [SINGLE, "/organizations/7/artifacts"]
    assert forge.asked[0].body == forge.asked[1].body
    assert forge.asked[1].headers["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:1/x", "https://evil.example/x", "//evil.example/x", "http://[", "http://a:9x/"]
)
async def test_the_token_follows_nobody_to_another_host(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, place: str
) -> None:
    forge.says(Says(status=308, headers={"Location": place}))
    client = make_artifacts(token="t0ken")
    with pytest.raises(UpstreamError, match="another host") as caught:
        await client.post_record(record())
    assert not caught.value.retryable
    assert len(forge.asked) == 1
    assert counts(client.counters) == (0, 0, 0, 0, 1, 0)


async def test_a_circle_of_redirects_ends(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(Says(status=302, headers={"Location": SINGLE}))
    with pytest.raises(UpstreamError, match="circle"):
        await make_artifacts().post_record(record())
    assert len(forge.asked) == 4


async def test_weak_credentials_name_the_permission(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(Says(status=403, json={"message": "Resource not accessible by integration"}))
    with capture_logs() as logs, pytest.raises(CredentialsRefusedError, match="'Artifact metadata: write'"):
        await make_artifacts(token="test-token").post_record(record())
    assert [entry["event"] for entry in logs] == ["artifact metadata refused"]
