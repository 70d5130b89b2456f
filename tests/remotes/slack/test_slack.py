"""Slack's API and its incoming webhooks: what is sent, and what its words of refusal come to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.remotes.posted import NOW, FakeForge, Says, sending, serve

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.remotes.slack.bot import SlackBot
from fluxtrail.remotes.slack.incoming import SlackIncoming

TOKEN = "xoxb-1234567890-abcdefghij"
MESSAGE = {"text": "hello", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}]}
POSTED = Says(200, {"ok": True, "channel": "C024BE91L", "ts": "1503435956.000247"})


@pytest.fixture
async def slack() -> AsyncIterator[FakeForge]:
    async with serve(FakeForge()) as found:
        found.says(POSTED)
        yield found


@pytest.fixture
async def bot(slack: FakeForge) -> AsyncIterator[SlackBot]:
    async with sending(name="route deploys") as sender:
        yield SlackBot(
            sender, channel="#deploys", token=lambda: TOKEN, api_url=f"{slack.base_url}/api", clock=lambda: NOW
        )


def bodies(slack: FakeForge) -> list[dict[str, Any]]:
    return [msgspec.json.decode(asked.body) for asked in slack.asked]


async def test_a_message_is_posted_and_then_changed_by_its_name(slack: FakeForge, bot: SlackBot) -> None:
    name = await bot.post(MESSAGE)
    assert name == "C024BE91L/1503435956.000247"
    assert await bot.update(name, MESSAGE)
    assert [asked.path for asked in slack.asked] == ["/api/chat.postMessage", "/api/chat.update"]
    assert {asked.headers["authorization"] for asked in slack.asked} == {f"Bearer {TOKEN}"}
    posted, changed = bodies(slack)
    assert (posted["channel"], posted["text"], posted["blocks"]) == ("#deploys", "hello", MESSAGE["blocks"])
    assert (changed["channel"], changed["ts"]) == ("C024BE91L", "1503435956.000247")


@pytest.mark.parametrize("word", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_message_that_cannot_be_changed_any_more(slack: FakeForge, bot: SlackBot, word: str) -> None:
    slack.says(Says(200, {"ok": False, "error": word}))
    assert not await bot.update("C024BE91L/1.2", MESSAGE)


async def test_a_name_that_is_none_is_not_asked_for(slack: FakeForge, bot: SlackBot) -> None:
    assert not await bot.update("nothing", MESSAGE)
    assert slack.asked == []


@pytest.mark.parametrize(
    ("word", "kind", "is_retryable", "remedy"),
    [
        ("not_in_channel", AuthError, False, "/invite"),
        ("invalid_auth", AuthError, False, "token_file"),
        ("token_revoked", AuthError, False, "token_file"),
        ("missing_scope", AuthError, False, "chat:write"),
        ("channel_not_found", NotFoundError, False, "channel"),
        ("is_archived", NotFoundError, False, "archived"),
        ("invalid_blocks", UpstreamError, False, "invalid_blocks"),
        ("internal_error", UpstreamError, True, "internal_error"),
        ("ratelimited", RateLimitedError, True, "left alone"),
    ],
)
async def test_a_refusal_with_200_is_an_error(
    slack: FakeForge, bot: SlackBot, word: str, kind: type[UpstreamError], is_retryable: bool, remedy: str
) -> None:
    slack.says(Says(200, {"ok": False, "error": word}))
    with pytest.raises(UpstreamError, match=remedy) as caught:
        await bot.post(MESSAGE)
    assert (type(caught.value), caught.value.retryable) == (kind, is_retryable)
    assert caught.value.subject == "route deploys"


async def test_a_limit_says_when_to_come_back(slack: FakeForge, bot: SlackBot) -> None:
    slack.says(Says(429, {"ok": False, "error": "ratelimited"}, headers={"Retry-After": "30"}))
    with pytest.raises(RateLimitedError) as caught:
        await bot.post(MESSAGE)
    assert caught.value.retry_after_seconds == 30


@pytest.mark.parametrize("answer", [Says(200, body=b"<html>"), Says(200, {"ok": "yes"}), Says(200, body=b"[" * 5000)])
async def test_what_is_not_slack_may_have_taken_it(slack: FakeForge, bot: SlackBot, answer: Says) -> None:
    slack.says(answer)
    with pytest.raises(UpstreamError, match="may have been taken") as caught:
        await bot.post(MESSAGE)
    assert caught.value.retryable


async def test_the_token_is_in_no_error(slack: FakeForge, bot: SlackBot) -> None:
    slack.says(Says(500, {"token": TOKEN, "note": f"you sent {TOKEN}"}))
    with pytest.raises(UpstreamError) as caught:
        await bot.post(MESSAGE)
    assert TOKEN not in str(caught.value)


@pytest.fixture
async def incoming(slack: FakeForge) -> AsyncIterator[SlackIncoming]:
    address = f"{slack.base_url}/services/T0001/B0002/secretsecretsecret"
    async with sending(name="route failures") as sender:
        yield SlackIncoming(sender, address=lambda: address)


async def test_an_incoming_webhook_answers_ok(slack: FakeForge, incoming: SlackIncoming) -> None:
    slack.says(Says(200, body=b"ok", content_type="text/html"))
    assert await incoming.post(MESSAGE) == ""
    assert slack.asked[0].path == "/services/T0001/B0002/secretsecretsecret"
    assert bodies(slack) == [{**MESSAGE, "unfurl_links": False, "unfurl_media": False}]
    assert not await incoming.update("anything", MESSAGE)


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "invalid_payload", UpstreamError),
        (403, "action_prohibited", AuthError),
        (404, "no_service", NotFoundError),
        (404, "channel_not_found", NotFoundError),
        (410, "channel_is_archived", NotFoundError),
        (429, "rate_limited", RateLimitedError),
    ],
)
async def test_an_incoming_webhook_refuses_in_plain_words(
    slack: FakeForge, incoming: SlackIncoming, status: int, word: str, kind: type[UpstreamError]
) -> None:
    slack.says(Says(status, body=f"{word} secretsecretsecret".encode() if status == 400 else word.encode()))
    with pytest.raises(UpstreamError, match=word) as caught:
        await incoming.post(MESSAGE)
    assert type(caught.value) is kind
    assert "secretsecret" not in str(caught.value)
