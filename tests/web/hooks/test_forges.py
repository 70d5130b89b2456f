"""What GitLab and Azure DevOps post, as they show their secrets."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.web.hooks.conftest import FORGE_SECRET, PROD_SECRET, SHA, Post

from fluxtrail.model.notices import Hook, KeptNotice, PushNotice, RunNotice

Kept = Callable[[], Awaitable[list[KeptNotice]]]

CLONE = "https://gitlab.test/acme/shop.git"
PIPELINE = {
    "object_kind": "pipeline", "project": {"git_http_url": CLONE},
    "object_attributes": {"sha": SHA, "status": "failed"},
}  # fmt: skip
REMOTE = "https://dev.azure.com/acme/store/_git/shop"
PUSHED = {
    "id": "1", "eventType": "git.push",
    "resource": {"refUpdates": [{"name": "refs/heads/main", "newObjectId": SHA}], "repository": {"remoteUrl": REMOTE}},
}  # fmt: skip


def body(given: Any) -> bytes:
    return json.dumps(given).encode()


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"any:{secret}".encode()).decode()}


async def test_gitlab_shows_its_token_and_says_the_same_twice(post: Post, kept: Kept) -> None:
    for _ in range(2):
        answer = await post(
            "/hooks/gitlab", body(PIPELINE), {"X-Gitlab-Token": FORGE_SECRET, "Idempotency-Key": "3f1c"}
        )
        assert answer.status == 202
    (notice,) = await kept()
    assert (notice.hook, notice.sender) == (Hook.GITLAB, "forge")
    assert notice.said == RunNotice(repository=CLONE, action="failed", sha=SHA)


async def test_azure_devops_shows_its_secret_as_a_password(post: Post, kept: Kept) -> None:
    assert (await post("/hooks/azuredevops", body(PUSHED), basic(FORGE_SECRET))).status == 202
    (notice,) = await kept()
    assert notice.said == PushNotice(repository=REMOTE, ref="refs/heads/main", after=SHA)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/hooks/gitlab", {}),
        ("/hooks/gitlab", {"X-Gitlab-Token": "wrong " * 5}),
        ("/hooks/gitlab", {"X-Gitlab-Token": ""}),
        ("/hooks/gitlab", {"X-Gitlab-Token": PROD_SECRET}),
        ("/hooks/github", {"X-Gitlab-Token": FORGE_SECRET}),
        ("/hooks/azuredevops", {}),
        ("/hooks/azuredevops", basic("wrong " * 5)),
        ("/hooks/azuredevops", basic(PROD_SECRET)),
    ],
)
async def test_nobody_else_is_believed(post: Post, kept: Kept, path: str, headers: dict[str, str]) -> None:
    given = PUSHED if "azure" in path else PIPELINE
    assert (await post(path, body(given), headers)).status == 401
    assert await kept() == []


async def test_a_body_that_cannot_be_read_is_refused_by_its_field(post: Post) -> None:
    answer = await post("/hooks/azuredevops", body({"eventType": "git.push"}), basic(FORGE_SECRET))
    assert answer.status == 400
    assert "resource.refUpdates" in answer.problem["detail"]
