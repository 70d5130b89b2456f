"""The simulated Slack and Teams take messages, change them in place, and limit them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fluxtrail.simulator.forges.teams import CARD

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

POST = "/slack/api/chat.postMessage"
UPDATE = "/slack/api/chat.update"
WEBHOOK = "/slack/services/T1/B1/secret"
TEAMS = "/teams/workflows/w1/triggers/manual/paths/invoke"


def card(text: str = "x") -> dict[str, Any]:
    return {"type": "message", "attachments": [{"contentType": CARD, "content": {"body": [{"text": text}]}}]}


async def test_message_is_changed_in_place(forge: Caller) -> None:
    forge.forges.slack.channels = {"#deploys": "C1"}
    code, posted = await forge.post(POST, {"channel": "#deploys", "text": "pending"})
    assert (code, posted["ok"], posted["channel"]) == (200, True, "C1")
    body = {"channel": "C1", "ts": posted["ts"], "text": "deployed"}
    assert (await forge.post(UPDATE, body))[1]["ok"] is True
    assert [m["text"] for m in forge.forges.slack.messages.values()] == ["deployed"]
    assert [w.call for w in forge.forges.recorder.since(0)] == ["post_message", "update_message"]
    assert (await forge.post(UPDATE, body | {"ts": "1.2"}))[1] == {"ok": False, "error": "message_not_found"}


async def test_slack_refuses_with_200(forge: Caller) -> None:
    forge.forges.slack.channels = {"#deploys": "C1"}
    forge.forges.slack.archived = {"C1"}
    cases = {
        "channel_not_found": {"channel": "#none", "text": "x"},
        "is_archived": {"channel": "#deploys", "text": "x"},
    }
    for error, body in cases.items():
        assert await forge.post(POST, body) == (200, {"ok": False, "error": error})
    forge.forges.slack.archived = set()
    assert (await forge.post(POST, {"channel": "C1"}))[1]["error"] == "no_text"
    assert (await forge.post(POST, {"channel": "C1", "text": "x" * 40_001}))[1]["error"] == "msg_too_long"
    forge.headers = {}
    assert (await forge.post(POST, {"channel": "C1", "text": "x"}))[1]["error"] == "not_authed"
    assert forge.forges.recorder.total_writes == 0


async def test_channel_takes_a_message_a_second(forge: Caller) -> None:
    for _ in range(10):
        assert (await forge.post(POST, {"channel": "C1", "text": "x"}))[0] == 200
    code, answer, headers = await forge.call("POST", POST, {"channel": "C1", "text": "x"})
    assert (code, answer) == (429, {"ok": False, "error": "ratelimited"})
    assert int(headers["Retry-After"]) <= 11
    assert (await forge.post(POST, {"channel": "C2", "text": "x"}))[0] == 200
    assert forge.violations() == {"per_second": 1}
    forge.clock.advance(11)
    assert (await forge.post(POST, {"channel": "C1", "text": "x"}))[0] == 200


async def test_incoming_webhook_speaks_plain_words(forge: Caller) -> None:
    assert await forge.post(WEBHOOK, {"text": "x"}) == (200, "ok")
    assert await forge.post(WEBHOOK, {}) == (400, "no_text")
    forge.forges.slack.archived = {"T1/B1"}
    assert await forge.post(WEBHOOK, {"text": "x"}) == (410, "channel_is_archived")


async def test_error_on_demand_is_slacks_own(forge: Caller) -> None:
    forge.fail(action="error", error="account_inactive", systems=["slack"], count=1)
    assert await forge.post(POST, {"channel": "C1", "text": "x"}) == (
        200,
        {"ok": False, "error": "account_inactive"},
    )
    assert (await forge.post(POST, {"channel": "C1", "text": "x"}))[1]["ok"] is True


async def test_teams_takes_cards_within_its_limits(forge: Caller) -> None:
    assert (await forge.post(TEAMS, card()))[0] == 202
    assert forge.forges.teams.cards == [{"body": [{"text": "x"}]}]
    assert (await forge.post(TEAMS, {"text": "x"}))[0] == 400
    assert (await forge.post(TEAMS, card("x" * 28 * 1024)))[0] == 413
    assert (await forge.post(TEAMS, card()))[0] == 202
    code, _, headers = await forge.call("POST", TEAMS, card())
    assert (code, headers["Retry-After"]) == (429, "1")
    assert forge.violations() == {"per_second": 1}
