"""Deployments as GitLab is told of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.remotes.forges import SHA, FakeForge, Says
from tests.remotes.gitlab.keeping import Keeper

from fluxtrail.model.errors import AuthError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.status import DeploymentRequest, StatusState
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.deployments import GitLabDeployments

PROJECT = "acme/shop/cart"
P, R, S, F, E, N = StatusState
PLACE = "https://prod.example.com"


@pytest.fixture
def deployments(client: GitLabClient) -> GitLabDeployments:
    return GitLabDeployments(client)


def request(**more: Any) -> DeploymentRequest:
    return DeploymentRequest(**{"sha": SHA, "ref": "main", "environment": "prod", "key": "1/prod", **more})


async def test_a_deployment_is_running_when_it_is_made(
    forge: FakeForge, keeper: Keeper, deployments: GitLabDeployments
) -> None:
    assert await deployments.create(PROJECT, request()) == "31"
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", "/api/v4/projects/acme%2Fshop%2Fcart/deployments")
    assert msgspec.json.decode(asked.body) == {
        "environment": "prod", "sha": SHA, "ref": "main", "tag": False, "status": "running",
    }  # fmt: skip


async def test_without_a_branch_it_is_the_default_one(keeper: Keeper, deployments: GitLabDeployments) -> None:
    await deployments.create(PROJECT, request(ref=""))
    assert keeper.deployments[0]["ref"] == "trunk"
    keeper.default_branch = None
    with pytest.raises(NotFoundError, match="no default branch"):
        await deployments.create(PROJECT, request(ref=""))
    assert len(keeper.deployments) == 1


async def test_a_deployment_whose_answer_is_lost_is_found(
    forge: FakeForge, keeper: Keeper, deployments: GitLabDeployments
) -> None:
    forge.says(keeper.losing_its_answer)
    with pytest.raises(UpstreamError) as caught:
        await deployments.create(PROJECT, request())
    assert caught.value.retryable
    forge.says(keeper)
    by_a_job = {**keeper.deployments[0], "id": 99, "deployable": {"id": 5, "name": "deploy"}}
    keeper.deployments += [by_a_job] * 150
    assert await deployments.find(PROJECT, request()) == "31"
    assert await deployments.find(PROJECT, request(sha="a" * 40)) is None
    assert await deployments.find(PROJECT, request(environment="eu/staging & more")) is None
    assert len(keeper.deployments) == 151


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ([P, R], "running"),
        ([R, S], "success"),
        ([S, S], "success"),
        ([F, S], "success"),
        ([S, R], "success"),
        ([E], "canceled"),
        ([N], "canceled"),
    ],
)
async def test_how_a_deployment_stands(
    states: list[StatusState], word: str, keeper: Keeper, deployments: GitLabDeployments
) -> None:
    made = await deployments.create(PROJECT, request())
    for state in states:
        await deployments.note(PROJECT, made, state=state, description="x", url="https://t.example/c")
    assert keeper.deployments[0]["status"] == word


async def test_a_refused_end_is_an_error(forge: FakeForge, keeper: Keeper, deployments: GitLabDeployments) -> None:
    made = await deployments.create(PROJECT, request())
    forge.says(Says(status=400, json={"message": {"status": ["cannot transition"]}}), keeper)
    with pytest.raises(UpstreamError, match="cannot transition") as caught:
        await deployments.note(PROJECT, made, state=S)
    assert caught.value.status == 400


async def test_an_environment_gets_its_address_once(
    forge: FakeForge, keeper: Keeper, deployments: GitLabDeployments
) -> None:
    made = await deployments.create(PROJECT, request())
    for state in (R, S, S):
        await deployments.note(PROJECT, made, state=state, environment_url=PLACE)
    await deployments.note(PROJECT, made, state=S, environment_url="javascript:1")
    assert keeper.environments["prod"]["external_url"] == PLACE
    assert [asked.path.rpartition("/")[0] for asked in forge.asked if "environments" in asked.path] == [
        "/api/v4/projects/acme%2Fshop%2Fcart/environments"
    ]


async def test_an_address_that_may_not_be_set_is_left(keeper: Keeper, deployments: GitLabDeployments) -> None:
    keeper.may_change_environments = False
    made = await deployments.create(PROJECT, request())
    await deployments.note(PROJECT, made, state=S, environment_url=PLACE)
    assert keeper.deployments[0]["status"] == "success"
    assert keeper.environments["prod"]["external_url"] is None


async def test_refusals_say_which_right_is_missing(forge: FakeForge, deployments: GitLabDeployments) -> None:
    forge.says(Says(status=403, json={"message": "403 Forbidden"}))
    with pytest.raises(AuthError, match="role Developer, or Maintainer where the branch or the environment"):
        await deployments.create(PROJECT, request())
    forge.says(Says(status=404, json={"message": "404 Not found"}))
    with pytest.raises(NotFoundError, match="scope api"):
        await deployments.note(PROJECT, "31", state=S)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"id": "x"}'])
async def test_a_deployment_without_an_id_may_have_been_made(
    body: bytes, forge: FakeForge, deployments: GitLabDeployments
) -> None:
    forge.says(Says(status=201, body=body))
    with pytest.raises(UpstreamError, match="answer has no id") as caught:
        await deployments.create(PROJECT, request())
    assert caught.value.retryable


@pytest.mark.parametrize("deployment", ["", "x", "1/../2", "1\n", "١"])
async def test_what_is_no_deployment_is_not_asked_about(
    deployment: str, forge: FakeForge, deployments: GitLabDeployments
) -> None:
    with pytest.raises(WireError, match="not the id of a deployment"):
        await deployments.note(PROJECT, deployment, state=S)
    assert forge.asked == []


async def test_a_note_whose_answer_cannot_be_read_was_taken(forge: FakeForge, deployments: GitLabDeployments) -> None:
    forge.says(Says(body=b"<html>"))
    await deployments.note(PROJECT, "31", state=S, environment_url=PLACE)
    assert len(forge.asked) == 1


async def test_every_write_is_audited(keeper: Keeper, client: GitLabClient) -> None:
    told: list[tuple[str, str]] = []
    deployments = GitLabDeployments(client, audit=lambda what, where: told.append((what, where)))
    made = await deployments.create(PROJECT, request())
    await deployments.note(PROJECT, made, state=S, environment_url=PLACE)
    where = "gitlab.test/acme/shop/cart"
    assert told == [
        ("deployment to prod", f"{where}@{SHA}"),
        ("deployment status success", f"{where}#31"),
        ("environment address", f"{where}#1"),
    ]
