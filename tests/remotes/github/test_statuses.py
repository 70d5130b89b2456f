"""What GitHub is told of a commit, and what its refusals come to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from tests.remotes.github.forge import SHA, FakeForge, Says, Times
from tests.remotes.github.keeping import ClientMaker, Keeper, refused
from tests.remotes.stating import PAGE, status

from fluxtrail.model.errors import (
    ConflictError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
)
from fluxtrail.model.status import StatusState
from fluxtrail.remotes.github import transport
from fluxtrail.remotes.github.statuses import PAGES_LIMIT, GitHubStatuses

REPOSITORY = "acme/shop"
SECRET = "0123456789secret0123456789"
TOKEN: list[dict[str, Any]] = [{"host": "github.test", "owner": "acme", "token": SECRET}]


@pytest.fixture
def statuses(make_client: ClientMaker) -> GitHubStatuses:
    return GitHubStatuses(make_client(credentials=TOKEN, host="github.test"))


# -- what is sent ---------------------------------------------------------------------------------------------


async def test_a_status_is_posted_as_github_wants_it(
    forge: FakeForge, keeper: Keeper, statuses: GitHubStatuses
) -> None:
    await statuses.write(REPOSITORY, SHA, status())
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", f"/repos/acme/shop/statuses/{SHA}")
    assert msgspec.json.decode(asked.body) == {
        "state": "success", "context": "fluxtrail/prod", "description": "deployed", "target_url": PAGE,
    }  # fmt: skip
    assert asked.headers["x-github-api-version"] == "2022-11-28"
    assert asked.headers["authorization"] == f"token {SECRET}"
    assert asked.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (StatusState.PENDING, "pending"),
        (StatusState.RUNNING, "pending"),
        (StatusState.SUCCESS, "success"),
        (StatusState.NEUTRAL, "success"),
        (StatusState.FAILURE, "failure"),
        (StatusState.ERROR, "error"),
    ],
)
async def test_every_state_has_a_word_and_is_found_as_it_is_kept(
    state: StatusState, word: str, keeper: Keeper, statuses: GitHubStatuses
) -> None:
    said = status(state, context="Fluxtrail/Prod", description="line one\nline two \U0001f680 done")
    await statuses.write(REPOSITORY, SHA, said)
    assert keeper.statuses[0]["state"] == word
    found = await statuses.find(REPOSITORY, SHA, "fluxtrail/prod")
    assert found == statuses.as_kept(said)
    assert found is not None
    assert found.description == "line one line two done"


@pytest.mark.parametrize(
    "description",
    ["x" * 10_000, "é" * 141, "e\u0301" * 200, "\U0001f680" * 300, "a\nb\r\n\t\0c" * 50, "\ud800", "\u202ekcab", ""],
    ids=["10 kB", "accents", "combining", "emoji", "controls", "surrogate", "turned", "empty"],
)
async def test_any_description_is_taken(description: str, keeper: Keeper, statuses: GitHubStatuses) -> None:
    await statuses.write(REPOSITORY, SHA, status(description=description))
    kept = keeper.statuses[0]["description"]
    assert len(kept) <= 140
    assert kept.isprintable()
    assert statuses.as_kept(status(description=description)).description == kept


async def test_long_contexts_stay_apart(keeper: Keeper, statuses: GitHubStatuses) -> None:
    long = "fluxtrail/" + "e" * 10_000
    await statuses.write(REPOSITORY, SHA, status(context=long + "1", description="one"))
    await statuses.write(REPOSITORY, SHA, status(context=long + "2\n", description="two"))
    assert all(len(kept["context"]) <= 255 for kept in keeper.statuses)
    found = await statuses.find(REPOSITORY, SHA, long + "1")
    assert found is not None
    assert found.description == "one"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://me:pw@h/x", "ftp://h/x", "/x", "https://h/" + "x" * 5000]
)
async def test_what_is_no_link_is_left_out(url: str, keeper: Keeper, statuses: GitHubStatuses) -> None:
    await statuses.write(REPOSITORY, SHA, status(url=url))
    assert keeper.statuses[0]["target_url"] is None


async def test_every_write_is_audited_and_no_secret_is(keeper: Keeper, make_client: ClientMaker) -> None:
    told: list[tuple[str, str]] = []
    client = make_client(credentials=TOKEN, host="github.test")
    statuses = GitHubStatuses(client, audit=lambda what, where: told.append((what, where)))
    await statuses.write(REPOSITORY, SHA, status(context="a\nforged line"))
    assert told == [("commit status success a forged line", f"github.test/acme/shop@{SHA}")]


# -- what is read back ----------------------------------------------------------------------------------------


async def test_the_newest_of_a_context_counts_and_is_asked_for_conditionally(
    keeper: Keeper, statuses: GitHubStatuses
) -> None:
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") is None
    for state in (StatusState.PENDING, StatusState.FAILURE):
        await statuses.write(REPOSITORY, SHA, status(state))
    await statuses.write(REPOSITORY, SHA, status(context="ci"))
    for _ in range(3):
        found = await statuses.find(REPOSITORY, SHA, "FLUXTRAIL/PROD")
        assert found is not None
        assert found.state is StatusState.FAILURE
    assert keeper.not_modified == 2
    await statuses.write(REPOSITORY, SHA, status())
    found = await statuses.find(REPOSITORY, SHA, "fluxtrail/prod")
    assert found is not None
    assert found.state is StatusState.SUCCESS, "a fresh cached answer is not good enough"


async def test_pages_are_read_until_it_is_found_and_no_further(
    forge: FakeForge, keeper: Keeper, statuses: GitHubStatuses
) -> None:
    other = {"state": "success", "context": "ci", "description": "", "target_url": None}
    await statuses.write(REPOSITORY, SHA, status())
    keeper.statuses += [other] * 150
    forge.asked.clear()
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") is not None
    assert len(forge.asked) == 2
    keeper.statuses += [other] * 100 * PAGES_LIMIT
    forge.asked.clear()
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") is None
    assert len(forge.asked) == PAGES_LIMIT


# -- refusals -------------------------------------------------------------------------------------------------


async def test_an_unknown_commit_is_not_found(keeper: Keeper, statuses: GitHubStatuses) -> None:
    with pytest.raises(NotFoundError, match="No commit found") as caught:
        await statuses.write(REPOSITORY, "a" * 40, status())
    assert caught.value.status == 422
    assert "permission" not in str(caught.value)


async def test_a_hidden_repository_says_which_right_is_missing(keeper: Keeper, statuses: GitHubStatuses) -> None:
    with pytest.raises(NotFoundError, match=r"'Commit statuses: write' .*repo:status") as caught:
        await statuses.write("acme/other", SHA, status())
    assert (caught.value.status, caught.value.retryable) == (404, False)


async def test_more_statuses_than_github_keeps(keeper: Keeper, statuses: GitHubStatuses) -> None:
    keeper.statuses_limit = 2
    for _ in range(2):
        await statuses.write(REPOSITORY, SHA, status())
    with pytest.raises(UpstreamError, match="as many statuses named 'Fluxtrail/prod' as GitHub keeps") as caught:
        await statuses.write(REPOSITORY, SHA, status(context="Fluxtrail/prod"))
    assert (type(caught.value), caught.value.status, caught.value.retryable) == (UpstreamError, 422, False)
    await statuses.write(REPOSITORY, SHA, status(context="other"))


async def test_what_github_finds_wrong_is_told(forge: FakeForge, statuses: GitHubStatuses) -> None:
    forge.says(refused("context is too long"))
    with pytest.raises(ConflictError, match="Validation Failed: context is too long"):
        await statuses.write(REPOSITORY, SHA, status())


# -- once -----------------------------------------------------------------------------------------------------


async def test_a_write_whose_answer_is_lost_is_not_repeated_and_can_be_read_back(
    forge: FakeForge, keeper: Keeper, statuses: GitHubStatuses
) -> None:
    for losing in (keeper.losing_its_answer, keeper.dropping_the_line):
        keeper.statuses.clear()
        forge.says(losing)
        with pytest.raises(UpstreamError) as caught:
            await statuses.write(REPOSITORY, SHA, status())
        assert caught.value.retryable
        assert len(keeper.statuses) == 1
        forge.says(keeper)
        assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") == statuses.as_kept(status())


async def test_an_answer_that_does_not_come_is_given_up_once(
    make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "REQUEST_TIMEOUT_SECONDS", 0.05)
    forever, posted = asyncio.Event(), []

    async def never(request: web.Request) -> web.Response:
        posted.append(request.path)
        await forever.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = make_client(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    with pytest.raises(UpstreamError, match="does not answer") as caught:
        await GitHubStatuses(client).write(REPOSITORY, SHA, status())
    assert caught.value.retryable
    assert len(posted) == 1
    forever.set()
    await runner.cleanup()


async def test_an_accepted_write_needs_no_readable_answer(forge: FakeForge, statuses: GitHubStatuses) -> None:
    forge.says(Says(status=201, body=b"<html>"))
    await statuses.write(REPOSITORY, SHA, status())


async def test_an_answer_that_is_too_large_leaves_the_outcome_open(forge: FakeForge, statuses: GitHubStatuses) -> None:
    forge.says(Says(status=201, body=b" " * (transport.BODY_LIMIT_BYTES + 1)))
    with pytest.raises(UpstreamError, match="may have been taken") as caught:
        await statuses.write(REPOSITORY, SHA, status())
    assert caught.value.retryable


async def test_a_refused_token_is_renewed_once(
    forge: FakeForge, keeper: Keeper, make_client: ClientMaker, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old-token-0123456789")

    def refuse(_request: web.Request) -> Says:
        file.write_text("new-token-0123456789-longer")
        return Says(status=401, json={"message": "Bad credentials"})

    forge.says(refuse, keeper)
    client = make_client(credentials=[{"host": "github.test", "token_file": str(file)}], host="github.test")
    await GitHubStatuses(client).write(REPOSITORY, SHA, status())
    assert len(keeper.statuses) == 1
    assert forge.asked[1].headers["authorization"] == "token new-token-0123456789-longer"


async def test_a_renamed_repository_is_followed_on_its_own_host_only(
    forge: FakeForge, keeper: Keeper, statuses: GitHubStatuses
) -> None:
    forge.says(Says(status=307, headers={"Location": f"/repos/acme/shop/statuses/{SHA}"}), keeper)
    await statuses.write("acme/old", SHA, status())
    assert len(keeper.statuses) == 1
    forge.says(Says(status=307, headers={"Location": "http://127.0.0.2:9/repositories/1"}))
    with pytest.raises(UpstreamError, match="points to another host") as caught:
        await statuses.write(REPOSITORY, SHA, status())
    assert not caught.value.retryable


# -- limits ---------------------------------------------------------------------------------------------------

SECONDARY = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation."


@pytest.mark.parametrize(
    ("code", "headers", "message", "wait"),
    [
        (403, {"Retry-After": "60"}, SECONDARY, 60),
        (429, {"Retry-After": "61"}, "", 61),
        (403, {}, SECONDARY, 60),
        (429, {}, "", 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1768215600"}, "API rate limit exceeded", 3601),
    ],
)
async def test_a_limit_raises_and_says_when_and_holds_the_next_back(
    code: int, headers: dict[str, str], message: str, wait: float, forge: FakeForge, statuses: GitHubStatuses
) -> None:
    dated = {"Date": "Mon, 12 Jan 2026 10:00:00 GMT", **headers}
    forge.says(Says(status=code, headers=dated, json={"message": message}))
    with pytest.raises(RateLimitedError) as caught:
        await statuses.write(REPOSITORY, SHA, status())
    assert caught.value.retry_after_seconds == wait
    with pytest.raises(RateLimitedError):
        await statuses.write(REPOSITORY, SHA, status())
    assert len(forge.asked) == 1


async def test_a_short_limit_is_waited_for(
    forge: FakeForge, keeper: Keeper, statuses: GitHubStatuses, times: Times
) -> None:
    forge.says(Says(status=403, headers={"Retry-After": "2"}, json={"message": SECONDARY}), keeper)
    await statuses.write(REPOSITORY, SHA, status())
    assert times.slept == [2.0]
    assert len(keeper.statuses) == 1


async def test_a_budget_belongs_to_host_and_owner_and_is_made_of_no_secret(make_client: ClientMaker) -> None:
    statuses = GitHubStatuses(make_client(credentials=TOKEN, base_url="https://api.github.com"))
    assert statuses.budget_key("Acme/shop") == "github.com/acme"
    enterprise = GitHubStatuses(make_client(base_url="https://ghe.example.com:8443/api/v3"))
    assert enterprise.budget_key("acme/shop") == "ghe.example.com:8443/acme"


async def test_enterprise_is_asked_below_its_root(forge: FakeForge, make_client: ClientMaker) -> None:
    forge.says(Says(status=201, json={}))
    client = make_client(base_url=f"{forge.base_url}/api/v3", host="ghe.test")
    await GitHubStatuses(client).write(REPOSITORY, SHA, status())
    assert forge.asked[0].path == f"/api/v3/repos/acme/shop/statuses/{SHA}"
