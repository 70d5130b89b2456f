"""Deployments as GitHub is told of them, and repository dispatches."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.remotes.github.forge import SHA, FakeForge, Says
from tests.remotes.github.keeping import Keeper

from fluxtrail.model.errors import (
    AuthError,
    ConflictError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
    WireError,
)
from fluxtrail.model.status import DeploymentRequest, StatusState
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.deployments import GitHubDeployments
from fluxtrail.remotes.github.dispatches import GitHubDispatches

REPOSITORY = "acme/shop"


@pytest.fixture
def deployments(client: GitHubClient) -> GitHubDeployments:
    return GitHubDeployments(client)


@pytest.fixture
def dispatches(client: GitHubClient) -> GitHubDispatches:
    return GitHubDispatches(client)


def request(**more: Any) -> DeploymentRequest:
    values: dict[str, Any] = {
        "sha": SHA,
        "ref": "main",
        "environment": "prod",
        "description": "by Flux",
        "key": "1/prod",
    }
    return DeploymentRequest(**{**values, **more})


# -- deployments ----------------------------------------------------------------------------------------------


async def test_a_deployment_merges_nothing_and_waits_for_nothing(
    forge: FakeForge, keeper: Keeper, deployments: GitHubDeployments
) -> None:
    assert await deployments.create(REPOSITORY, request(is_production=True)) == "41"
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", "/repos/acme/shop/deployments")
    assert msgspec.json.decode(asked.body) == {
        "ref": SHA, "task": "deploy", "auto_merge": False, "required_contexts": [], "payload": {"fluxtrail": "1/prod"},
        "environment": "prod", "description": "by Flux", "transient_environment": False, "production_environment": True,
    }  # fmt: skip


async def test_a_deployment_whose_answer_is_lost_is_found_by_its_key(
    forge: FakeForge, keeper: Keeper, deployments: GitHubDeployments
) -> None:
    forge.says(keeper)
    await deployments.create(REPOSITORY, request(key="other"))
    forge.says(keeper.losing_its_answer)
    with pytest.raises(UpstreamError) as caught:
        await deployments.create(REPOSITORY, request())
    assert caught.value.retryable
    forge.says(keeper)
    assert len(keeper.deployments) == 2
    assert await deployments.find(REPOSITORY, request()) == "42"
    assert await deployments.find(REPOSITORY, request(key="none")) is None
    assert await deployments.find(REPOSITORY, request(environment="staging")) is None


async def test_a_payload_that_is_text_is_read_too(keeper: Keeper, deployments: GitHubDeployments) -> None:
    wire = {"sha": SHA, "environment": "eu/prod & more", "task": "deploy"}
    payloads: list[Any] = ["", "{", "[" * 60_000, '"fluxtrail"', None, 7, ["fluxtrail"], '{"fluxtrail": "1/prod"}', {}]
    keeper.deployments += [{"id": at, "payload": payload, **wire} for at, payload in enumerate(payloads)]
    assert await deployments.find(REPOSITORY, request(environment="eu/prod & more")) == "7"


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"id": "x"}', b"[]"])
async def test_a_deployment_without_an_id_may_have_been_made(
    body: bytes, forge: FakeForge, deployments: GitHubDeployments
) -> None:
    forge.says(Says(status=201, body=body))
    with pytest.raises(UpstreamError, match="answer has no id") as caught:
        await deployments.create(REPOSITORY, request())
    assert caught.value.retryable


async def test_a_conflict_is_explained(forge: FakeForge, deployments: GitHubDeployments) -> None:
    forge.says(Says(status=409, json={"message": "Conflict merging main into topic."}))
    with pytest.raises(
        ConflictError, match="Conflict merging main into topic.*checks have failed, or its branch"
    ) as caught:
        await deployments.create(REPOSITORY, request())
    assert (caught.value.status, caught.value.retryable) == (409, False)


async def test_an_unknown_commit_is_not_found(keeper: Keeper, deployments: GitHubDeployments) -> None:
    with pytest.raises(NotFoundError, match="No ref found"):
        await deployments.create(REPOSITORY, request(sha="a" * 40))


async def test_refusals_say_which_right_is_missing(forge: FakeForge, deployments: GitHubDeployments) -> None:
    forge.says(Says(status=404, json={"message": "Not Found"}))
    with pytest.raises(NotFoundError, match="'Deployments: write'"):
        await deployments.create(REPOSITORY, request())
    forge.says(Says(status=403, json={"message": "Resource not accessible by integration"}))
    with pytest.raises(AuthError, match="'Deployments: write'"):
        await deployments.note(REPOSITORY, "41", state=StatusState.SUCCESS)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (StatusState.PENDING, "queued"),
        (StatusState.RUNNING, "in_progress"),
        (StatusState.SUCCESS, "success"),
        (StatusState.FAILURE, "failure"),
        (StatusState.ERROR, "error"),
        (StatusState.NEUTRAL, "inactive"),
    ],
)
async def test_how_a_deployment_stands(
    state: StatusState, word: str, keeper: Keeper, deployments: GitHubDeployments
) -> None:
    await deployments.note(
        REPOSITORY, "41", state=state, description="x" * 500, url="https://t.example/c", environment_url="javascript:1"
    )
    (noted,) = keeper.notes[41]
    assert (noted["state"], len(noted["description"])) == (word, 140)
    assert (noted["log_url"], noted["auto_inactive"]) == ("https://t.example/c", True)
    assert "environment_url" not in noted


@pytest.mark.parametrize("deployment", ["", "x", "1/../2", "-1", "1\n", "١"])
async def test_what_is_no_deployment_is_not_asked_about(
    deployment: str, forge: FakeForge, deployments: GitHubDeployments
) -> None:
    with pytest.raises(WireError, match="not the id of a deployment"):
        await deployments.note(REPOSITORY, deployment, state=StatusState.SUCCESS)
    assert forge.asked == []


async def test_an_environment_has_a_name(forge: FakeForge, deployments: GitHubDeployments) -> None:
    with pytest.raises(WireError, match="it is empty"):
        await deployments.create(REPOSITORY, request(environment=" \n"))
    with pytest.raises(WireError, match="not a full commit id"):
        await deployments.create(REPOSITORY, request(sha="main"))
    assert forge.asked == []


async def test_every_write_is_audited(keeper: Keeper, client: GitHubClient) -> None:
    told: list[tuple[str, str]] = []
    deployments = GitHubDeployments(client, audit=lambda what, where: told.append((what, where)))
    await deployments.note(REPOSITORY, await deployments.create(REPOSITORY, request()), state=StatusState.SUCCESS)
    await GitHubDispatches(client, audit=lambda what, where: told.append((what, where))).send(REPOSITORY, "go", {})
    assert told == [
        ("deployment to prod", f"{client.host}/acme/shop@{SHA}"),
        ("deployment status success", f"{client.host}/acme/shop#41"),
        ("dispatch go", f"{client.host}/acme/shop"),
    ]


# -- dispatches -----------------------------------------------------------------------------------------------


async def test_a_dispatch_is_an_event_with_a_payload(
    forge: FakeForge, keeper: Keeper, dispatches: GitHubDispatches
) -> None:
    await dispatches.send(REPOSITORY, "sync-success", {"sha": SHA, "runid": "7", "commitmessage": "é\n\U0001f680"})
    assert forge.asked[0].path == "/repos/acme/shop/dispatches"
    payload = {"sha": SHA, "runid": "7", "commitmessage": "é\n\U0001f680"}
    assert keeper.dispatches == [{"event_type": "sync-success", "client_payload": payload}]


@pytest.mark.parametrize(
    ("event_type", "payload", "says"),
    [
        ("", {}, "no event type"),
        ("x" * 101, {}, "no event type"),
        ("a\nb", {}, "no event type"),
        ("go", {str(n): n for n in range(11)}, "10 properties at most, and these are 11"),
        ("go", {"x": "y" * 65_536}, "65535 bytes at most"),
        ("go", {"x": object()}, "cannot be sent as JSON"),
        ("go", {"x": "\ud800"}, "cannot be sent as JSON"),
    ],
)
async def test_limits_are_checked_before_anything_is_sent(
    event_type: str, payload: dict[str, Any], says: str, forge: FakeForge, dispatches: GitHubDispatches
) -> None:
    with pytest.raises(WireError, match=says):
        await dispatches.send(REPOSITORY, event_type, payload)
    assert forge.asked == []


async def test_the_largest_dispatch_is_sent(keeper: Keeper, dispatches: GitHubDispatches) -> None:
    payload = {str(n): "y" * 6_000 for n in range(10)}
    await dispatches.send(REPOSITORY, "x" * 100, payload)
    assert len(keeper.dispatches) == 1


async def test_a_dispatch_is_never_repeated(forge: FakeForge, keeper: Keeper, dispatches: GitHubDispatches) -> None:
    forge.says(keeper.losing_its_answer)
    with pytest.raises(UpstreamError) as caught:
        await dispatches.send(REPOSITORY, "go", {})
    assert caught.value.retryable
    assert len(keeper.dispatches) == 1


async def test_a_refused_dispatch_says_why(forge: FakeForge, dispatches: GitHubDispatches) -> None:
    forge.says(Says(status=404, json={"message": "Not Found"}))
    with pytest.raises(NotFoundError, match="'Contents: write'"):
        await dispatches.send(REPOSITORY, "go", {})
    forge.says(Says(status=429, headers={"Retry-After": "900"}))
    with pytest.raises(RateLimitedError) as caught:
        await dispatches.send(REPOSITORY, "go", {})
    assert caught.value.retry_after_seconds == 900
