"""The webhook of a Teams workflow."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.remotes.posted import FakeForge, Says, sending, serve

from fluxtrail.model.errors import AuthError, RateLimitedError, UpstreamError
from fluxtrail.remotes.teams.workflow import CARD, TeamsWorkflow

CONTENT = {"type": "AdaptiveCard", "version": "1.4", "body": []}
PATH = "/workflows/0123456789abcdef/triggers/manual/paths/invoke?api-version=1&sig=verysecretsignature"


@pytest.fixture
async def teams() -> AsyncIterator[FakeForge]:
    async with serve(FakeForge()) as found:
        found.says(Says(202, body=b""))
        yield found


@pytest.fixture
async def workflow(teams: FakeForge) -> AsyncIterator[TeamsWorkflow]:
    async with sending(name="route operators") as sender:
        yield TeamsWorkflow(sender, address=lambda: teams.base_url + PATH)


async def test_a_card_is_posted_as_an_attachment(teams: FakeForge, workflow: TeamsWorkflow) -> None:
    assert await workflow.post(CONTENT) == ""
    [asked] = teams.asked
    assert asked.path == PATH
    body = msgspec.json.decode(asked.body)
    assert body == {
        "type": "message",
        "attachments": [{"contentType": CARD, "contentUrl": None, "content": CONTENT}],
    }


async def test_a_limit_says_when_to_come_back(teams: FakeForge, workflow: TeamsWorkflow) -> None:
    teams.says(Says(429, {"error": {"code": "TooManyRequests"}}, headers={"Retry-After": "3"}))
    with pytest.raises(RateLimitedError) as caught:
        await workflow.post(CONTENT)
    assert caught.value.retry_after_seconds == 3


@pytest.mark.parametrize(("status", "is_retryable"), [(429, True), (413, False), (502, True)])
async def test_the_older_connectors_refuse_with_200(
    teams: FakeForge, workflow: TeamsWorkflow, status: int, is_retryable: bool
) -> None:
    said = f"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status}"
    teams.says(Says(200, body=said.encode()))
    with pytest.raises(UpstreamError) as caught:
        await workflow.post(CONTENT)
    assert (caught.value.status, caught.value.retryable) == (status, is_retryable)


async def test_the_address_is_in_no_error(teams: FakeForge, workflow: TeamsWorkflow) -> None:
    teams.says(Says(401, {"error": {"message": f"no {PATH} verysecretsignature 0123456789abcdef"}}))
    with pytest.raises(AuthError) as caught:
        await workflow.post(CONTENT)
    assert "route operators" in str(caught.value)
    assert "verysecret" not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)
