"""What changes something at a forge is sent once; what is read back costs little."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from tests.remotes.forges import SECRET, FakeForge, Says, Times, making

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.remotes import rest
from fluxtrail.remotes.rest import RestClient, Service

Maker = Callable[..., RestClient]


@pytest.fixture
async def make(forge: FakeForge, times: Times) -> AsyncIterator[Maker]:
    service = Service(name="Forge", authorize=lambda shown: {"Authorization": f"Bearer {shown.secret}"})
    tokens = [{"host": "forge.test", "owner": "acme", "token": SECRET}]
    where = {"host": "forge.test", "api_url": forge.base_url}
    async with making(RestClient, times, credentials=tokens, service=service, **where) as maker:
        yield maker


# -- writing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_success_is_one(method: str, status: int, forge: FakeForge, make: Maker) -> None:
    forge.says(Says(status=status, body=b"" if status == 204 else b'{"id": 1}'))
    answer = await make().write(method, "/x", {"é": 1}, owner="acme", v="6.0")
    assert answer.status == status
    (asked,) = forge.asked
    assert (asked.method, asked.path, asked.body) == (method, "/x?v=6.0", '{"é":1}'.encode())
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"


async def test_without_a_body_none_is_sent(forge: FakeForge, make: Maker) -> None:
    forge.says(Says(status=204, body=b""))
    await make().write("DELETE", "/x", owner="acme")
    assert forge.asked[0].body == b""
    assert forge.asked[0].headers.get("content-type") != "application/json"


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_failure_is_not_repeated_and_may_have_been_taken(status: int, forge: FakeForge, make: Maker) -> None:
    forge.says(Says(status=status, body=b"<html>"))
    with pytest.raises(UpstreamError) as caught:
        await make().write("POST", "/x", {}, owner="acme")
    assert (caught.value.status, caught.value.retryable, len(forge.asked)) == (status, True, 1)


async def test_a_line_that_breaks_is_not_repeated(forge: FakeForge, make: Maker) -> None:
    def gone(request: web.Request) -> Says:
        assert request.transport is not None
        request.transport.close()
        return Says()

    forge.says(gone)
    with pytest.raises(UpstreamError, match="does not answer") as caught:
        await make().write("POST", "/x", {}, owner="acme")
    assert (caught.value.retryable, len(forge.asked)) == (True, 1)


async def test_an_answer_that_is_too_large_leaves_the_outcome_open(
    forge: FakeForge, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "BODY_LIMIT_BYTES", 100)
    forge.says(Says(status=201, body=b" " * 200))
    with pytest.raises(UpstreamError, match="may have been taken") as caught:
        await make().write("POST", "/x", {}, owner="acme")
    assert caught.value.retryable


async def test_a_short_limit_is_waited_for(forge: FakeForge, make: Maker, times: Times) -> None:
    forge.says(Says(status=429, headers={"Retry-After": "3"}), Says(status=201, json={}))
    await make().write("POST", "/x", {}, owner="acme")
    assert (times.slept, len(forge.asked)) == ([3.0], 2)


async def test_a_busy_forge_may_have_taken_it(forge: FakeForge, make: Maker, times: Times) -> None:
    forge.says(Says(status=503, headers={"Retry-After": "3"}))
    with pytest.raises(RateLimitedError) as caught:
        await make().write("POST", "/x", {}, owner="acme")
    assert (caught.value.retry_after_seconds, caught.value.status) == (3, 503)
    assert (times.slept, len(forge.asked)) == ([], 1)


async def test_a_long_limit_raises_and_holds_the_next_write_back(forge: FakeForge, make: Maker) -> None:
    client = make()
    forge.says(Says(status=429, headers={"Retry-After": "3600"}))
    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            await client.write("POST", "/x", {}, owner="acme")
        assert caught.value.retry_after_seconds == 3600
    assert len(forge.asked) == 1


async def test_a_limit_told_with_a_success_is_none_yet(forge: FakeForge, make: Maker, times: Times) -> None:
    client = make()
    forge.says(Says(status=201, json={}, headers={"RateLimit-Remaining": "0", "RateLimit-Reset": "2"}), Says(json={}))
    await client.write("POST", "/x", {}, owner="acme")
    assert times.slept == []
    await client.write("POST", "/x", {}, owner="acme")
    assert times.slept == [2.0]


async def test_a_refused_token_is_renewed_once(forge: FakeForge, make: Maker, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old-token-0123456789")

    def refuse(_request: web.Request) -> Says:
        file.write_text("new-token-0123456789-longer")
        return Says(status=401, json={"message": "no"})

    client = make(credentials=[{"host": "forge.test", "token_file": str(file)}])
    forge.says(refuse, Says(status=201, json={}))
    await client.write("POST", "/x", {}, owner="acme")
    assert [asked.headers["authorization"][:10] for asked in forge.asked] == ["Bearer old", "Bearer new"]
    forge.says(Says(status=401, json={"message": "no"}))
    with pytest.raises(AuthError):
        await client.write("POST", "/x", {}, owner="acme")
    assert len(forge.asked) == 3


@pytest.mark.parametrize("status", [203, 206, 303, 304])
async def test_another_answer_is_no_success(status: int, forge: FakeForge, make: Maker) -> None:
    forge.says(Says(status=status, json={}))
    with pytest.raises(UpstreamError) as caught:
        await make().write("POST", "/x", {}, owner="acme")
    assert not caught.value.retryable


async def test_what_cannot_be_sent_is_not(forge: FakeForge, make: Maker) -> None:
    with pytest.raises(WireError, match="cannot be sent as JSON"):
        await make().write("POST", "/x", {"x": "\ud800"}, owner="acme")
    assert forge.asked == []


async def test_budgets_are_named_after_host_and_owner(make: Maker) -> None:
    assert make().budget_key("Acme") == "forge.test/acme"
    assert make(host="other.test:8443").budget_key("acme/web") == "other.test:8443/acme/web"
    assert make().budget_key("") == "forge.test"


# -- reading back ---------------------------------------------------------------------------------------------


def tagged(request: web.Request) -> Says:
    if request.headers.get("If-None-Match") == '"1"':
        return Says(status=304, headers={"ETag": '"1"'})
    return Says(json=[1], headers={"ETag": '"1"', "X-Next-Page": "2"})


async def test_what_has_not_changed_is_not_sent_again(forge: FakeForge, make: Maker) -> None:
    client = make()
    forge.says(tagged)
    for _ in range(3):
        answer = await client.read_back("/x", owner="acme", page=1)
        assert (answer.status, answer.body, answer.headers["x-next-page"]) == (200, b"[1]", "2")
    assert [asked.headers.get("if-none-match") for asked in forge.asked] == [None, '"1"', '"1"']
    await client.get("/x", owner="acme", page=1)
    await client.read_back("/x", owner="acme", page=2)
    assert ["if-none-match" in asked.headers for asked in forge.asked[3:]] == [False, False]


async def test_what_one_token_may_read_another_asks_for_itself(forge: FakeForge, make: Maker) -> None:
    client = make()
    forge.says(tagged)
    await client.read_back("/x", owner="acme")
    await client.read_back("/x", owner="other")
    assert ["if-none-match" in asked.headers for asked in forge.asked] == [False, False]


async def test_what_changed_is_remembered_anew(forge: FakeForge, make: Maker) -> None:
    client = make()
    forge.says(*(Says(json=[n], headers={"ETag": f'"{n}"'}) for n in range(3)))
    assert [(await client.read_back("/x", owner="acme")).body for _ in range(3)] == [b"[0]", b"[1]", b"[2]"]
    assert [asked.headers.get("if-none-match") for asked in forge.asked] == [None, '"0"', '"1"']


async def test_what_is_remembered_is_bounded(forge: FakeForge, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "REMEMBERED_LIMIT_BYTES", 1_000)
    client = make()
    forge.says(Says(body=b'"' + b"x" * 400 + b'"', headers={"ETag": '"1"'}))
    for path in ("/1", "/2", "/3", "/1", "/3"):
        await client.read_back(path, owner="acme")
    assert ["if-none-match" in asked.headers for asked in forge.asked] == [False, False, False, False, True]


async def test_a_refusal_is_not_remembered(forge: FakeForge, make: Maker) -> None:
    client = make()
    forge.says(Says(status=404, headers={"ETag": '"1"'}, json={}), tagged)
    with pytest.raises(NotFoundError):
        await client.read_back("/x", owner="acme")
    await client.read_back("/x", owner="acme")
    assert "if-none-match" not in forge.asked[1].headers


async def test_reading_back_is_tried_five_times(forge: FakeForge, make: Maker) -> None:
    forge.says(Says(status=502))
    with pytest.raises(UpstreamError):
        await make().read_back("/x", owner="acme")
    assert len(forge.asked) == 5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "no such commit"}}, "no such commit"),
        ({"errors": [{"message": "one"}, {"context": None, "message": "two"}]}, "one; two"),
        ({"error": "denied"}, "denied"),
        ({"errors": []}, "no message"),
    ],
)
async def test_words_of_every_forge_are_found(forge: FakeForge, make: Maker, body: object, said: str) -> None:
    forge.says(Says(status=400, json=body))
    with pytest.raises(UpstreamError, match=f"answered 400: {said}$"):
        await make().get("/x", owner="acme")
