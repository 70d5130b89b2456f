"""What GitLab is told of a commit, and what its refusals come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.remotes.forges import SECRET, SHA, FakeForge, Says
from tests.remotes.gitlab.keeping import Keeper

from fluxtrail.model.errors import (
    AuthError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
    WireError,
)
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.statuses import GitLabStatuses

ClientMaker = Callable[..., GitLabClient]
PROJECT = "acme/shop/cart"
PAGE = "https://trail.example.com/commits/0123"
P, R, S, F, E, N = StatusState  # in their order: pending, running, success, failure, error, neutral


@pytest.fixture
def keeper(forge: FakeForge) -> Keeper:
    keeper = Keeper(forge)
    forge.says(keeper)
    return keeper


@pytest.fixture
def statuses(client: GitLabClient) -> GitLabStatuses:
    return GitLabStatuses(client)


def status(state: StatusState = S, **more: Any) -> CommitStatus:
    return CommitStatus(**{"state": state, "context": "fluxtrail/prod", "description": "deployed", "url": PAGE, **more})


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


@pytest.mark.parametrize("state", [P, R, S, F, E, N])
@pytest.mark.parametrize("text", ["", "x" * 10_000, "\U0001f680" * 300, "a\r\n\tb", "\ud800", "e\u0301" * 300])
async def test_what_is_kept_is_what_is_said_to_be_kept(
    state: StatusState, text: str, keeper: Keeper, statuses: GitLabStatuses
) -> None:
    said = status(state, description=text, context=f"fluxtrail/{text}", url=f"https://t.example/{'x' * len(text)}")
    await statuses.write(PROJECT, SHA, said)
    assert await statuses.find(PROJECT, SHA, said.context) == statuses.as_kept(said)


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


@pytest.mark.parametrize("code", [401, 403])
async def test_a_weak_token_says_which_right_is_missing(code: int, forge: FakeForge, statuses: GitLabStatuses) -> None:
    forge.says(Says(status=code, json={"error": "insufficient_scope"}))
    with pytest.raises(AuthError, match="insufficient_scope; writing needs a token with the scope api"):
        await statuses.write(PROJECT, SHA, status())


async def test_a_commit_that_is_being_written_may_be_tried_again(forge: FakeForge, statuses: GitLabStatuses) -> None:
    forge.says(Says(status=409, json={"message": "Another update to this commit status is in progress"}))
    with pytest.raises(ConflictError, match="Another update") as caught:
        await statuses.write(PROJECT, SHA, status())
    assert (caught.value.status, caught.value.retryable) == (409, True)


async def test_a_write_whose_answer_is_lost_is_not_repeated_and_can_be_read_back(
    forge: FakeForge, keeper: Keeper, statuses: GitLabStatuses
) -> None:
    forge.says(keeper.losing_its_answer)
    with pytest.raises(UpstreamError, match="answered 504") as caught:
        await statuses.write(PROJECT, SHA, status())
    assert caught.value.retryable
    assert len(keeper.statuses) == 1
    forge.says(keeper)
    assert await statuses.find(PROJECT, SHA, "fluxtrail/prod") == statuses.as_kept(status())


async def test_a_limit_raises_and_says_when(forge: FakeForge, statuses: GitLabStatuses) -> None:
    forge.says(Says(status=429, headers={"Retry-After": "30"}, body=b"Retry later"))
    with pytest.raises(RateLimitedError) as caught:
        await statuses.write(PROJECT, SHA, status())
    assert caught.value.retry_after_seconds == 30
    assert len(forge.asked) == 1


@pytest.mark.parametrize("project", ["acme", "acme/", "acme/../cart", "a//b", "a/b\nc", "x/" + "y" * 2_000])
async def test_what_is_no_project_is_not_asked_about(project: str, forge: FakeForge, client: GitLabClient) -> None:
    told: list[str] = []
    statuses = GitLabStatuses(client, audit=lambda what, where: told.append(f"{what} {where}"))
    with pytest.raises(WireError, match="not a GitLab project"):
        await statuses.write(project, SHA, status())
    with pytest.raises(WireError, match="not a full commit id"):
        await statuses.write(PROJECT, "main", status())
    assert forge.asked == []
    assert told == []


async def test_every_write_is_audited(keeper: Keeper, client: GitLabClient) -> None:
    told: list[tuple[str, str]] = []
    await GitLabStatuses(client, audit=lambda what, where: told.append((what, where))).write(PROJECT, SHA, status())
    assert told == [("commit status success fluxtrail/prod", f"gitlab.test/acme/shop/cart@{SHA}")]


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


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 429, 500])
async def test_no_error_and_no_log_repeats_the_token(code: int, forge: FakeForge, statuses: GitLabStatuses) -> None:
    forge.says(lambda request: Says(status=code, json={"message": {"token": [request.headers["Authorization"]]}}))
    with capture_logs() as logs, pytest.raises(FluxtrailError) as caught:
        await statuses.write(PROJECT, SHA, status())
    assert SECRET not in f"{caught.value} {caught.value!r} {logs}"


async def test_odd_lists_are_wire_errors(forge: FakeForge, statuses: GitLabStatuses) -> None:
    odd: list[bytes] = [b"<html>", b"{}", b"[7]", b'[{"id": "x"}]', b"\xff", b"[" * 60_000]
    for body in odd:
        forge.says(lambda _request, body=body: Says(body=body))  # type: ignore[misc]
        with pytest.raises(WireError):
            await statuses.find(PROJECT, SHA, "x")


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
