"""What GitLab is told of a commit, and what its refusals come to."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web
from tests.remotes.forges import SECRET, SHA, FakeForge, Says
from tests.remotes.gitlab.keeping import ClientMaker, Keeper
from tests.remotes.stating import PAGE, E, F, N, P, R, S, status

from fluxtrail.model.errors import ConflictError, NotFoundError, UpstreamError
from fluxtrail.model.status import StatusState
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.statuses import GitLabStatuses

PROJECT = "acme/shop/cart"


@pytest.fixture
def statuses(client: GitLabClient) -> GitLabStatuses:
    return GitLabStatuses(client)


async def test_a_status_is_posted_as_gitlab_wants_it(
    forge: FakeForge, keeper: Keeper, statuses: GitLabStatuses
) -> None:
    await statuses.write(PROJECT, SHA, status())
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", f"/api/v4/projects/acme%2Fshop%2Fcart/statuses/{SHA}")
    assert msgspec.json.decode(asked.body) == {
        "state": "success", "name": "fluxtrail/prod", "description": "deployed", "target_url": PAGE,
    }  # fmt: skip
    assert asked.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([P, R, S], ["success"]),
        ([P, P], ["pending"]),
        ([R, R], ["running"]),
        ([P, R, P], ["running"]),
        ([P, R, R, F], ["failed"]),
        ([F, S], ["failed", "success"]),
        ([S, S], ["success", "success"]),
        ([S, P, P], ["success", "pending"]),
        ([R, E], ["canceled"]),
        ([N], ["success"]),
    ],
)
async def test_statuses_move_on_as_gitlab_lets_them(
    states: list[StatusState], words: list[str], keeper: Keeper, statuses: GitLabStatuses
) -> None:
    for state in states:
        await statuses.write(PROJECT, SHA, status(state))
    assert [kept["status"] for kept in keeper.statuses] == words


async def test_what_ended_meanwhile_is_a_conflict_that_passes(
    forge: FakeForge, keeper: Keeper, statuses: GitLabStatuses
) -> None:
    await statuses.write(PROJECT, SHA, status(R))
    text = "Cannot transition status via :success from :running (Reason(s): it is being ended)"
    refusal = Says(status=400, json={"message": text})
    forge.says(refusal, keeper)
    with pytest.raises(ConflictError, match="GitLab keeps another state of 'fluxtrail/prod'") as caught:
        await statuses.write(PROJECT, SHA, status(S))
    assert (caught.value.status, caught.value.retryable) == (400, True)


async def test_another_400_is_a_refusal(forge: FakeForge, statuses: GitLabStatuses) -> None:
    forge.says(Says(status=400, json={"message": {"name": ["has already been taken"]}}))
    with pytest.raises(UpstreamError, match="has already been taken") as caught:
        await statuses.write(PROJECT, SHA, status())
    assert (caught.value.status, caught.value.retryable, len(forge.asked)) == (400, False, 1)


async def test_the_newest_of_a_name_counts_and_is_asked_for_conditionally(
    forge: FakeForge, keeper: Keeper, statuses: GitLabStatuses
) -> None:
    assert await statuses.find(PROJECT, SHA, "fluxtrail/prod") is None
    for state in (F, S, E, R):
        await statuses.write(PROJECT, SHA, status(state))
    for _ in range(3):
        assert await statuses.find(PROJECT, SHA, "fluxtrail/prod") == statuses.as_kept(status(R))
    assert keeper.not_modified == 2
    assert "name=fluxtrail%2Fprod" in forge.asked[-1].path
    await statuses.write(PROJECT, SHA, status(S))
    assert await statuses.find(PROJECT, SHA, "fluxtrail/prod") == statuses.as_kept(status(S))


@pytest.mark.parametrize("word", ["created", "preparing", "manual", "waiting_for_resource", "new_word", None])
async def test_unknown_words_are_not_there_yet(word: str | None, keeper: Keeper, statuses: GitLabStatuses) -> None:
    keeper.statuses.append({"id": 1, "name": "x", "status": word})
    found = await statuses.find(PROJECT, SHA, "x")
    assert found is not None
    assert found.state is P


async def test_an_unknown_commit_and_a_hidden_project(keeper: Keeper, statuses: GitLabStatuses) -> None:
    with pytest.raises(NotFoundError, match="404 Commit Not Found") as caught:
        await statuses.write(PROJECT, "a" * 40, status())
    assert "role Developer" not in str(caught.value)
    with pytest.raises(NotFoundError, match="404 Project Not Found; writing needs a token with the scope api"):
        await statuses.write("acme/shop/other", SHA, status())


async def test_a_commit_that_is_being_written_may_be_tried_again(forge: FakeForge, statuses: GitLabStatuses) -> None:
    forge.says(Says(status=409, json={"message": "Another update to this commit status is in progress"}))
    with pytest.raises(ConflictError, match="Another update") as caught:
        await statuses.write(PROJECT, SHA, status())
    assert (caught.value.status, caught.value.retryable) == (409, True)


async def test_a_budget_belongs_to_host_and_top_group(make_client: ClientMaker) -> None:
    assert GitLabStatuses(make_client()).budget_key("Acme/shop/cart") == "gitlab.test/acme"
    assert GitLabStatuses(make_client(host="g.test:8443")).budget_key("acme/shop") == "g.test:8443/acme"


async def test_a_group_may_be_named_as_the_root_is(forge: FakeForge, make_client: ClientMaker) -> None:
    tokens = [{"host": "gitlab.test", "owner": "git/git", "token": SECRET}]
    client = make_client(api_url=f"{forge.base_url}/git/api/v4", credentials=tokens)
    forge.says(Says(status=201, json={}))
    await GitLabStatuses(client).write(client.project_of("git/git/shop"), SHA, status())
    assert forge.asked[0].path == f"/git/api/v4/projects/git%2Fshop/statuses/{SHA}"
    assert forge.asked[0].headers["authorization"] == f"Bearer {SECRET}"


async def test_a_moved_project_is_followed_on_its_own_host_only(
    forge: FakeForge, keeper: Keeper, statuses: GitLabStatuses
) -> None:
    def moved(request: web.Request) -> Says:
        return Says(status=307, headers={"Location": request.raw_path.replace("old", "cart")})

    forge.says(moved, keeper)
    await statuses.write("acme/shop/old", SHA, status())
    assert len(keeper.statuses) == 1
    forge.says(Says(status=307, headers={"Location": "http://127.0.0.2:9/api/v4/x"}))
    with pytest.raises(UpstreamError, match="redirects to another host"):
        await statuses.write(PROJECT, SHA, status())
