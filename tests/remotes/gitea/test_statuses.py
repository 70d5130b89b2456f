"""What a Gitea or a Forgejo is told of a commit, and what its refusals come to."""

from __future__ import annotations

import base64

import msgspec
import pytest
from tests.remotes.forges import SECRET, SHA, FakeForge, Says
from tests.remotes.gitea.keeping import REPOSITORY, ROOT, ClientMaker, Keeper
from tests.remotes.stating import PAGE, E, F, N, P, S, status

from fluxtrail.model.errors import NotFoundError, UpstreamError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.gitea.client import GiteaClient
from fluxtrail.remotes.gitea.statuses import GiteaStatuses


@pytest.fixture
def statuses(client: GiteaClient) -> GiteaStatuses:
    return GiteaStatuses(client)


async def test_a_status_is_posted_as_gitea_wants_it(forge: FakeForge, keeper: Keeper, statuses: GiteaStatuses) -> None:
    await statuses.write(REPOSITORY, SHA, status())
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", f"{ROOT}/statuses/{SHA}")
    assert msgspec.json.decode(asked.body) == {
        "state": "success", "context": "fluxtrail/prod", "description": "deployed", "target_url": PAGE,
    }  # fmt: skip
    assert asked.headers["authorization"] == f"token {SECRET}"


async def test_a_password_is_shown_with_its_login(forge: FakeForge, keeper: Keeper, make_client: ClientMaker) -> None:
    client = make_client(credentials=[{"host": "git.test", "username": "bot", "password": "word"}])
    await GiteaStatuses(client).write(REPOSITORY, SHA, status())
    assert forge.asked[0].headers["authorization"] == "Basic " + base64.b64encode(b"bot:word").decode()


async def test_the_newest_of_a_context_counts_on_whichever_page_it_is(
    forge: FakeForge, keeper: Keeper, statuses: GiteaStatuses
) -> None:
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") is None
    for state in (P, F, S):
        await statuses.write(REPOSITORY, SHA, status(state))
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") == statuses.as_kept(status(S))
    for number in range(120):
        await statuses.write(REPOSITORY, SHA, status(E, context=f"ci/{number}"))
    for keeper.page_limit in (50, 20):
        assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") == statuses.as_kept(status(S))
    count = len(forge.asked)
    keeper.page_limit = 10
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") is None
    assert len(forge.asked) == count + 10


async def test_those_of_one_second_come_in_any_order(forge: FakeForge, statuses: GiteaStatuses) -> None:
    wires = [{"id": number, "context": "x", "status": state} for number, state in ((7, "success"), (9, "warning"))]
    forge.says(Says(json=wires))
    found = await statuses.find(REPOSITORY, SHA, "x")
    assert found is not None
    assert found.state is F


@pytest.mark.parametrize(("word", "state"), [("skipped", N), ("new", P), (None, P), ("warning", F)])
async def test_other_words_are_read(
    word: str | None, state: StatusState, keeper: Keeper, statuses: GiteaStatuses
) -> None:
    keeper.statuses.append({"id": 1, "context": "x", "status": word})
    assert await statuses.find(REPOSITORY, SHA, "x") == CommitStatus(state=state, context="x")


async def test_no_list_at_all_is_an_empty_one(forge: FakeForge, statuses: GiteaStatuses) -> None:
    forge.says(Says(body=b"null\n"))
    assert await statuses.find(REPOSITORY, SHA, "x") is None


async def test_an_unknown_commit_is_known_for_one(forge: FakeForge, keeper: Keeper, statuses: GiteaStatuses) -> None:
    with pytest.raises(NotFoundError, match="no such commit") as caught:
        await statuses.write(REPOSITORY, "a" * 40, status())
    assert "scope" not in str(caught.value)
    assert [asked.method for asked in forge.asked] == ["POST", "GET"]
    with pytest.raises(NotFoundError, match="couldn't be found.; statuses need a token with the scope write:repo"):
        await statuses.write("acme/other", SHA, status())


async def test_trouble_of_the_server_is_no_unknown_commit(
    forge: FakeForge, keeper: Keeper, statuses: GiteaStatuses
) -> None:
    trouble = Says(status=500, json={"message": "database is locked"})
    for second in (keeper, trouble):
        forge.says(trouble, second)
        with pytest.raises(UpstreamError, match="database is locked") as caught:
            await statuses.write(REPOSITORY, SHA, status())
        assert caught.value.retryable


async def test_a_root_is_no_part_of_the_names_but_of_the_owner(forge: FakeForge, make_client: ClientMaker) -> None:
    tokens = [{"host": "git.test", "owner": "git/git", "token": SECRET}]
    client = make_client(api_url=f"{forge.base_url}/git/api/v1", credentials=tokens)
    forge.says(Says(status=201, json={}))
    await GiteaStatuses(client).write("git/git/shop", SHA, status())
    assert forge.asked[0].path == f"/git/api/v1/repos/git/shop/statuses/{SHA}"
    assert forge.asked[0].headers["authorization"] == f"token {SECRET}"
