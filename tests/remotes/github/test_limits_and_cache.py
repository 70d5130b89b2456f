from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from tests.remotes.github.forge import NOW, SHA, FakeForge, Says, Times, file_answer
from tests.remotes.github.keeping import ClientMaker

from fluxtrail.model.errors import AuthError, RateLimitedError
from fluxtrail.remotes.cache import AnswerCache
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.limits import find_wait_seconds

COMMIT = {"sha": SHA, "commit": {"message": "x", "committer": {"date": "2026-01-12T10:00:00Z"}}}
EXHAUSTED = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 600)}
DATE = {"date": formatdate(NOW, usegmt=True)}


@pytest.mark.parametrize(
    ("status", "headers", "message", "wait"),
    [
        (200, {}, "", None),
        (200, {"x-ratelimit-remaining": "1"}, "", None),
        (200, EXHAUSTED, "", 601),
        (403, EXHAUSTED, "API rate limit exceeded", 601),
        (429, EXHAUSTED, "", 601),
        (403, {**EXHAUSTED, "retry-after": "30"}, "", 30),
        (429, {"retry-after": "0"}, "", 1),
        (429, {"retry-after": formatdate(NOW + 90, usegmt=True)}, "", 90),
        (429, {"retry-after": "soon"}, "", 60),
        (429, {"retry-after": "999999999"}, "", 7200),
        (429, {}, "", 60),
        (403, {}, "You have exceeded a secondary rate limit.", 60),
        (403, {}, "Resource not accessible", None),
        (403, {"x-ratelimit-remaining": "0"}, "", 60),
        (403, {**EXHAUSTED, "x-ratelimit-reset": "x"}, "", 60),
        (403, {**EXHAUSTED, "x-ratelimit-reset": "nan"}, "", 60),
        (403, {**EXHAUSTED, "x-ratelimit-reset": "9" * 5000}, "", 7200),
        (429, {"retry-after": "9" * 400}, "", 7200),
        (429, {"retry-after": "\x1c5"}, "", 5),
        (429, {"retry-after": "Mon, 12 Jan 99999999999999999999 10:00:00 GMT"}, "", 60),
        (500, EXHAUSTED, "", None),
        (404, EXHAUSTED, "", None),
        # A clock that is an hour wrong: the server's own date is what its reset refers to.
        (403, {**EXHAUSTED, "date": formatdate(NOW + 300, usegmt=True)}, "", 301),
    ],
)
def test_how_long_to_wait(status: int, headers: dict[str, str], message: str, wait: float | None) -> None:
    assert find_wait_seconds(status, headers, message, now=NOW) == wait


@pytest.mark.parametrize(("status", "headers"), [(403, EXHAUSTED), (429, {"Retry-After": "600"}), (429, {})])
async def test_after_a_refusal_nobody_asks_until_it_ends(
    forge: FakeForge, client: GitHubClient, times: Times, status: int, headers: dict[str, str]
) -> None:
    forge.says(Says(status=status, json={"message": "no"}, headers={**headers, **DATE}), Says(json=COMMIT))
    with pytest.raises(RateLimitedError) as first:
        await client.get_commit("acme", "shop", SHA)
    assert first.value.retry_after_seconds is not None
    assert first.value.retryable
    with pytest.raises(RateLimitedError) as second:
        await client.find_pull_requests("acme", "shop", SHA)
    assert second.value.retry_after_seconds == pytest.approx(first.value.retry_after_seconds)
    assert len(forge.asked) == 1
    times.now += first.value.retry_after_seconds
    assert (await client.get_commit("acme", "shop", SHA)).sha == SHA
    assert times.slept == []


async def test_the_last_call_of_the_budget_is_answered_and_the_next_held_back(
    forge: FakeForge, client: GitHubClient
) -> None:
    forge.says(Says(json=COMMIT, headers={**EXHAUSTED, **DATE}))
    assert (await client.get_commit("acme", "shop", SHA)).sha == SHA
    with pytest.raises(RateLimitedError, match="another 601 s"):
        await client.get_commit("acme", "shop", "a" * 40)
    assert len(forge.asked) == 1


async def test_a_short_limit_is_waited_for(forge: FakeForge, client: GitHubClient, times: Times) -> None:
    refusal = Says(status=429, json={"message": "slow down"}, headers={"Retry-After": "3"})
    forge.says(refusal, Says(json=COMMIT))
    assert (await client.get_commit("acme", "shop", SHA)).sha == SHA
    assert times.slept == [3]
    forge.says(refusal)
    with pytest.raises(RateLimitedError):
        await client.get_commit("acme", "shop", "a" * 40)
    assert len(forge.asked) == 2 + 3


async def test_how_long_is_short_can_be_set(forge: FakeForge, make_client: ClientMaker, times: Times) -> None:
    forge.says(Says(status=429, json={}, headers={"Retry-After": "3"}), Says(json=COMMIT))
    with pytest.raises(RateLimitedError):
        await make_client(longest_wait_seconds=0).get_commit("acme", "shop", SHA)
    assert times.slept == []


async def test_limits_belong_to_the_credential(forge: FakeForge, make_client: ClientMaker) -> None:
    def answer(request: web.Request) -> Says:
        if "Authorization" in request.headers:
            return Says(json=COMMIT)
        return Says(status=403, json={"message": "API rate limit exceeded"}, headers={**EXHAUSTED, **DATE})

    forge.says(answer)
    client = make_client(credentials=[{"host": "127.0.0.1", "owner": "acme", "token": "the-token"}])
    with pytest.raises(RateLimitedError):
        await client.get_commit("anonymous", "shop", SHA)
    assert (await client.get_commit("acme", "shop", SHA)).sha == SHA


async def test_a_plain_403_is_no_limit(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(status=403, json={"message": "Must have admin rights"}), Says(json=COMMIT))
    with pytest.raises(AuthError):
        await client.get_commit("acme", "shop", SHA)
    assert (await client.get_commit("acme", "shop", SHA)).sha == SHA


def conditional(**headers: str) -> Callable[[web.Request], Says]:
    def answer(request: web.Request) -> Says:
        if "If-None-Match" in request.headers or "If-Modified-Since" in request.headers:
            return Says(status=304, headers=headers)
        return Says(json=file_answer("aGVsbG8gd29ybGQ="), headers=headers)

    return answer


async def test_a_fresh_answer_costs_no_request_and_a_stale_one_a_304(
    forge: FakeForge, client: GitHubClient, times: Times
) -> None:
    modified = formatdate(NOW - 100, usegmt=True)
    forge.says(conditional(**{"Cache-Control": "max-age=1, must-revalidate", "Last-Modified": modified}))

    async def read() -> bytes | None:
        return await client.read_file("acme", "shop", SHA, "exporter-info.json", limit_bytes=100)

    assert await read() == b"hello world"
    assert await read() == b"hello world"
    assert len(forge.asked) == 1
    times.now += 1
    assert await read() == b"hello world"
    assert len(forge.asked) == 2
    assert forge.asked[1].headers["if-modified-since"] == modified
    assert await read() == b"hello world"
    assert len(forge.asked) == 2


async def test_what_may_change_is_always_asked_again(forge: FakeForge, client: GitHubClient) -> None:
    def answer(request: web.Request) -> Says:
        headers = {"Cache-Control": "private, max-age=60, s-maxage=60", "ETag": 'W/"1"'}
        if request.headers.get("If-None-Match") == 'W/"1"':
            return Says(status=304, headers=headers)
        return Says(json=[{"number": 1}], headers=headers)

    forge.says(answer)
    for _ in range(2):
        assert [pull.number for pull in await client.find_pull_requests("acme", "shop", SHA)] == [1]
    assert len(forge.asked) == 2
    forge.says(Says(json=[{"number": 1}, {"number": 2}], headers={"ETag": 'W/"2"'}))
    assert len(await client.find_pull_requests("acme", "shop", SHA)) == 2


async def test_a_limit_does_not_stop_what_is_fresh(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(json=COMMIT, headers={**EXHAUSTED, **DATE, "ETag": '"1"', "Cache-Control": "max-age=60"}))
    assert await client.get_commit("acme", "shop", SHA) == await client.get_commit("acme", "shop", SHA)
    assert len(forge.asked) == 1


async def test_one_owners_answer_is_not_given_to_another_credential(forge: FakeForge, make_client: ClientMaker) -> None:
    forge.says(Says(json=COMMIT, headers={"ETag": '"1"', "Cache-Control": "max-age=60"}))
    bound: list[dict[str, Any]] = [{"host": "127.0.0.1", "token": "one-token"}]
    client = make_client(credentials=bound)
    await client.get_commit("acme", "shop", SHA)
    client._credentials = make_client(credentials=[{"host": "127.0.0.1", "token": "two-token"}])._credentials
    await client.get_commit("acme", "shop", SHA)
    assert len(forge.asked) == 2
    assert "if-none-match" not in forge.asked[1].headers


def test_the_cache_is_bounded_and_forgets_the_least_used() -> None:
    cache = AnswerCache(lambda: NOW, total_limit_bytes=30)
    for name in ("a", "b", "c"):
        cache.store((name, "", ""), {"etag": name}, b"x" * 10)
    assert cache.find(("a", "", "")) is not None
    cache.store(("d", "", ""), {"etag": "d"}, b"x" * 10)
    assert (cache.find(("b", "", "")), len(cache), cache.size_bytes) == (None, 3, 30)
    cache.store(("a", "", ""), {"etag": "a", "cache-control": "no-store"}, b"y")
    cache.store(("e", "", ""), {}, b"y")
    assert (len(cache), cache.size_bytes) == (2, 20)
