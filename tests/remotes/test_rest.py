"""What every forge's client stands: limits, refusals, redirects, odd bytes; and to whom it shows its token."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.remotes.forges import SECRET, SHA, Asking, FakeForge, Says, Times, making, serve

from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
    WireError,
)
from fluxtrail.remotes import rest
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.azure_devops.facts import WireQuery, read_pull_request
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.facts import WireMergeRequest, read_merge_request
from fluxtrail.remotes.waits import find_wait_seconds

NAMES = (
    "iid", "title", "web_url", "state", "merged_at", "merge_commit_sha", "squash_commit_sha", "sha", "author",
    "username", "pullRequestId", "status", "closedDate", "lastMergeCommit", "commitId", "targetRefName", "createdBy",
    "displayName",
)  # fmt: skip
LEAST = {"iid": 1, "pullRequestId": 1}
BASIC = base64.b64encode(f":{SECRET}".encode()).decode()


@pytest.fixture(params=["gitlab", "azure_devops"])
async def ask(request: pytest.FixtureRequest, forge: FakeForge, times: Times) -> AsyncIterator[Asking]:
    tokens = [{"host": "forge.test", "owner": "acme", "token": SECRET}]
    where = {"host": "forge.test", "api_url": forge.base_url}
    async with (
        making(GitLabClient, times, credentials=tokens, **where) as gitlab,
        making(AzureDevOpsClient, times, credentials=tokens, **where) as azure,
    ):

        async def asking(*, owner: str = "acme", **options: Any) -> Any:
            if request.param == "gitlab":
                return await gitlab(**options).find_merge_requests(f"{owner}/shop", SHA)
            repository = AzureRepository(organisation=owner, project="web", name="shop", owner=f"{owner}/web")
            return await azure(**options).find_pull_requests(repository, SHA)

        yield asking


def nothing(request: web.Request) -> Says:
    return Says(json=[] if request.method == "GET" else {"results": []})


# -- the token ------------------------------------------------------------------------------------------------


async def test_the_token_is_shown_for_its_owner_only(forge: FakeForge, ask: Asking) -> None:
    forge.says(nothing)
    await ask(owner="acme")
    await ask(owner="acme2")
    await ask(owner="evil")
    assert [asked.headers.get("authorization") for asked in forge.asked][1:] == [None, None]
    assert forge.asked[0].headers["authorization"] in (f"Bearer {SECRET}", f"Basic {BASIC}")


async def test_the_token_is_shown_to_its_host_only(forge: FakeForge, ask: Asking) -> None:
    forge.says(nothing)
    await ask(host="forge.test.evil.com")
    await ask(host="forge.test:8443", credentials=[{"host": "forge.test:9443", "token": SECRET}])
    assert ["authorization" in asked.headers for asked in forge.asked] == [False, False]
    await ask(host="forge.test:8443", credentials=[{"host": "forge.test:8443", "token": SECRET}])
    assert "authorization" in forge.asked[2].headers


async def test_a_redirect_never_carries_the_token_elsewhere(forge: FakeForge, ask: Asking) -> None:
    async with serve(FakeForge()) as other:
        other.says(nothing)
        forge.says(Says(status=307, headers={"Location": f"{other.base_url}/x"}))
        with pytest.raises(UpstreamError, match="redirects to another host") as caught:
            await ask()
        assert not caught.value.retryable
        assert other.asked == []


async def test_a_circle_of_redirects_ends(forge: FakeForge, ask: Asking) -> None:
    forge.says(Says(status=307, headers={"Location": "/x"}))
    with pytest.raises(UpstreamError, match="in a circle"):
        await ask()
    assert len(forge.asked) == 4


async def test_no_cookie_is_sent_back(forge: FakeForge, ask: Asking) -> None:
    forge.says(lambda request: Says(json=nothing(request).json, headers={"Set-Cookie": "session=1"}))
    await ask()
    await ask()
    assert ["cookie" in asked.headers for asked in forge.asked] == [False, False]


async def test_a_refused_token_is_read_again_once(forge: FakeForge, ask: Asking, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old-token-0123456789")

    def refuse(_request: web.Request) -> Says:
        file.write_text("new-token-0123456789-longer")
        return Says(status=401, json={"message": "401 Unauthorized"})

    forge.says(refuse, nothing)
    assert await ask(credentials=[{"host": "forge.test", "token_file": str(file)}]) == []
    assert len({asked.headers["authorization"] for asked in forge.asked}) == 2

    count = len(forge.asked)
    forge.says(Says(status=401, json={"message": "401 Unauthorized"}))
    with pytest.raises(AuthError, match=r"refused, check `credentials` for forge\.test.*401 Unauthorized"):
        await ask(credentials=[{"host": "forge.test", "token_file": str(file)}])
    assert len(forge.asked) == count + 1, "the same token is not shown twice"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500])
async def test_no_error_and_no_log_repeats_the_token(status: int, forge: FakeForge, ask: Asking) -> None:
    def echo(request: web.Request) -> Says:
        shown = request.headers["Authorization"]
        return Says(status=status, json={"message": f"you sent {SECRET}, {shown} and {shown.split()[1]}"})

    forge.says(echo)
    with capture_logs() as logs, pytest.raises(FluxtrailError) as caught:
        await ask()
    said = f"{caught.value} {caught.value!r} {logs}"
    assert SECRET not in said
    assert BASIC not in said


# -- refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "is_retryable"),
    [
        (403, AuthError, False),
        (404, NotFoundError, False),
        (410, NotFoundError, False),
        (409, ConflictError, False),
        (422, ConflictError, False),
        (400, UpstreamError, False),
        (204, UpstreamError, False),
    ],
)
async def test_a_refusal_is_one_of_our_errors(
    status: int, kind: type[UpstreamError], is_retryable: bool, forge: FakeForge, ask: Asking
) -> None:
    forge.says(Says(status=status, body=b"" if status == 204 else b'{"message": {"base": ["no"]}}'))
    with pytest.raises(kind) as caught:
        await ask()
    assert (caught.value.status, caught.value.retryable) == (status, is_retryable)
    assert len(forge.asked) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503])
async def test_a_failure_is_tried_five_times_in_all(status: int, forge: FakeForge, ask: Asking) -> None:
    forge.says(Says(status=status, body=b"<html>down</html>"))
    with pytest.raises(UpstreamError, match=f"answered {status}"):
        await ask()
    assert len(forge.asked) == 5
    forge.says(Says(status=status), nothing)
    assert await ask() == []


@pytest.mark.parametrize("body", [b"<html>", b"\xff\xfe", b"", b'{"results": 7}', b"[7]", b"null", b"[" * 60_000])
async def test_odd_answers_are_wire_errors(body: bytes, forge: FakeForge, ask: Asking) -> None:
    forge.says(Says(body=body))
    with pytest.raises(WireError):
        await ask()
    assert len(forge.asked) == 1


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"message": ' + b"[" * 60_000, b'{"message": ' + b"[7" * 60_000])
async def test_odd_refusals_are_refusals(body: bytes, forge: FakeForge, ask: Asking) -> None:
    forge.says(Says(status=403, body=body))
    with pytest.raises(AuthError) as caught:
        await ask()
    assert len(str(caught.value)) < 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.datetimes().map(lambda moment: moment.isoformat() + "+14:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8).map(lambda more: {**LEAST, **more})))
@example([{**LEAST, "merged_at": "0001-01-01T00:00:00+14:00", "state": "merged"}])
@example([{**LEAST, "closedDate": "0001-01-01T00:00:00+14:00", "status": "completed"}])
@settings(deadline=None)
def test_whatever_is_answered_is_read_or_refused(items: list[Any]) -> None:
    for body, type_, read in (
        (items, list[WireMergeRequest], lambda found: [read_merge_request(wire) for wire in found]),
        ({"results": [{SHA: items}]}, WireQuery, lambda found: [read_pull_request(w) for w in found.results[0][SHA]]),
    ):
        with contextlib.suppress(WireError):
            found = rest.Answer(200, {}, msgspec.json.encode(body)).read(type_, name="forge")
            assert len(read(found)) == len(items)


async def test_a_large_answer_is_cut_off(forge: FakeForge, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "BODY_LIMIT_BYTES", 1000)
    forge.says(Says(body=b" " * 200_000))
    with pytest.raises(WireError, match="larger than the limit of 1000 bytes"):
        await ask()


async def test_an_answer_that_does_not_come_is_given_up(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "REQUEST_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(rest, "ATTEMPTS", 2)
    forever = asyncio.Event()

    async def never(_request: web.Request) -> web.Response:
        await forever.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with pytest.raises(UpstreamError, match="does not answer"):
        await ask(api_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    forever.set()
    await runner.cleanup()


async def test_a_forge_that_is_not_there_is_retryable(ask: Asking) -> None:
    with pytest.raises(UpstreamError, match="does not answer") as caught:
        await ask(api_url="http://127.0.0.1:9")
    assert caught.value.retryable


@pytest.mark.parametrize("bad", ["forge.test", "ftp://x", "https://u:p@h", "https://h/?q=1", "https:///x"])
async def test_what_is_no_api_address_is_refused(bad: str, ask: Asking) -> None:
    with pytest.raises(ConfigError, match="not an API address"):
        await ask(api_url=bad)


# -- limits ---------------------------------------------------------------------------------------------------


async def test_a_short_limit_is_waited_for(forge: FakeForge, ask: Asking, times: Times) -> None:
    forge.says(Says(status=429, body=b"Retry later", headers={"Retry-After": "3"}), nothing)
    assert await ask() == []
    assert times.slept == [3.0]


async def test_a_long_limit_raises_and_says_when(forge: FakeForge, ask: Asking, times: Times) -> None:
    forge.says(Says(status=429, body=b"Retry later", headers={"Retry-After": "3600"}))
    with pytest.raises(RateLimitedError, match="used up for another 3600 s") as caught:
        await ask()
    assert caught.value.retry_after_seconds == 3600
    assert (len(forge.asked), times.slept) == (1, [])


async def test_a_limit_that_goes_on_is_given_up(forge: FakeForge, ask: Asking, times: Times) -> None:
    forge.says(Says(status=429, headers={"Retry-After": "1"}))
    with pytest.raises(RateLimitedError):
        await ask()
    assert (len(forge.asked), times.slept) == (3, [1.0, 1.0])


NOW = 1_768_212_000.0


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (200, {}, None),
        (200, {"ratelimit-remaining": "5", "ratelimit-reset": "1768212060"}, None),
        (200, {"ratelimit-remaining": "0", "ratelimit-reset": "1768212060"}, 61.0),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1768212060"}, 61.0),
        (200, {"ratelimit-remaining": "0", "ratelimit-reset": "45"}, 45.0),
        (200, {"ratelimit-remaining": "0", "ratelimit-reset": "soon"}, 60.0),
        (200, {"ratelimit-remaining": "0", "ratelimit-reset": "9" * 15}, 7200.0),
        (200, {"retry-after": "30"}, 30.0),
        (429, {}, 60.0),
        (429, {"retry-after": "0"}, 1.0),
        (429, {"retry-after": "x"}, 60.0),
        (429, {"retry-after": "9" * 400}, 60.0),
        (429, {"retry-after": "Mon, 12 Jan 2026 10:00:30 GMT", "date": "Mon, 12 Jan 2026 10:00:10 GMT"}, 20.0),
        (
            429,
            {"ratelimit-remaining": "0", "ratelimit-reset": "1768212060", "date": "Mon, 12 Jan 2026 10:00:30 GMT"},
            31,
        ),
        (503, {"retry-after": "5"}, 5.0),
        (503, {}, None),
        (403, {"ratelimit-remaining": "0"}, None),
        (404, {"retry-after": "5"}, None),
    ],
)
def test_how_long_an_answer_asks_to_wait(status: int, headers: dict[str, str], wait: float | None) -> None:
    assert find_wait_seconds(status, headers, now=NOW) == wait
