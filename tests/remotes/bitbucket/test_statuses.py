"""What Bitbucket is told of a commit, Cloud and Server, and what its refusals come to."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from tests.remotes.bitbucket.keeping import CLOUD, OLD_SERVER, PROPERTIES, SERVER, ClientMaker, Keeper
from tests.remotes.forges import SECRET, SHA, FakeForge, Says
from tests.remotes.stating import PAGE, E, F, N, P, R, S, status

from fluxtrail.model.errors import AuthError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.bitbucket.client import BitbucketClient, bitbucket_api_url
from fluxtrail.remotes.bitbucket.cloud import BitbucketCloudStatuses, key_of
from fluxtrail.remotes.bitbucket.server import BitbucketServerStatuses

Statuses = BitbucketCloudStatuses | BitbucketServerStatuses


@pytest.fixture
def cloud(client: BitbucketClient) -> BitbucketCloudStatuses:
    return BitbucketCloudStatuses(client)


@pytest.fixture(params=["cloud", "server", "old"])
def placed(request: pytest.FixtureRequest, client: BitbucketClient, server: BitbucketClient, keeper: Keeper) -> Any:
    """Each of the three, and the repository as it is called there."""
    keeper.version = "7.3.2" if request.param == "old" else "8.19.1"
    if request.param == "cloud":
        return BitbucketCloudStatuses(client), "acme/shop"
    return BitbucketServerStatuses(server), "scm/ACME/shop"


async def test_a_status_is_posted_as_cloud_wants_it(
    forge: FakeForge, keeper: Keeper, cloud: BitbucketCloudStatuses
) -> None:
    await cloud.write("acme/shop", SHA, status())
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", CLOUD)
    assert msgspec.json.decode(asked.body) == {
        "key": key_of("fluxtrail/prod"),
        "state": "SUCCESSFUL",
        "name": "fluxtrail/prod",
        "description": "deployed",
        "url": PAGE,
    }
    assert asked.headers["authorization"] == f"Bearer {SECRET}"


async def test_a_status_is_posted_as_a_server_wants_it(
    forge: FakeForge, keeper: Keeper, server: BitbucketClient
) -> None:
    statuses = BitbucketServerStatuses(server)
    for repository in ("scm/ACME/shop", "ACME/shop"):
        await statuses.write(repository, SHA, status(E))
    assert [(asked.method, asked.path) for asked in forge.asked] == [
        ("GET", PROPERTIES), ("POST", SERVER), ("POST", SERVER),
    ]  # fmt: skip
    assert msgspec.json.decode(forge.asked[1].body) == {
        "key": "fluxtrail/prod",
        "state": "FAILED",
        "name": "fluxtrail/prod",
        "description": "deployed",
        "url": PAGE,
    }


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("7.3.2", OLD_SERVER), ("4.14.0", OLD_SERVER), ("7.4.0", SERVER), ("10.0.1", SERVER),
        ("7.17.0-rc1", SERVER), ("x", SERVER), (None, SERVER),
    ],
)  # fmt: skip
async def test_older_servers_have_another_call(
    version: str | None, path: str, forge: FakeForge, keeper: Keeper, server: BitbucketClient
) -> None:
    keeper.version = version
    await BitbucketServerStatuses(server).write("scm/ACME/shop", SHA, status())
    assert forge.asked[-1].path == path


async def test_a_server_that_is_away_is_asked_for_its_version_again(
    forge: FakeForge, keeper: Keeper, server: BitbucketClient
) -> None:
    statuses = BitbucketServerStatuses(server)
    keeper.version = "7.0.0"
    forge.says(*[Says(status=503, body=b"starting")] * 5, keeper)
    with pytest.raises(UpstreamError, match="answered 503"):
        await statuses.write("scm/ACME/shop", SHA, status())
    await statuses.write("scm/ACME/shop", SHA, status())
    assert forge.asked[-1].path == OLD_SERVER


@pytest.mark.parametrize("state", [P, R, S, F, E, N])
@pytest.mark.parametrize("text", ["", "x" * 10_000, "\U0001f680" * 300, "a\r\n\tb", "\ud800", "a&b {c} ü" * 3])
async def test_what_is_kept_is_what_is_said_to_be_kept(
    state: StatusState, text: str, placed: tuple[Statuses, str], keeper: Keeper
) -> None:
    statuses, repository = placed
    address = f"https://t.example/{{repository}}/{'x' * len(text)}"
    said = status(state, description=text, context=f"fluxtrail/{text[:100]}", url=address)
    await statuses.write(repository, SHA, said)
    await statuses.write(repository, SHA, said)
    assert await statuses.find(repository, SHA, said.context) == statuses.as_kept(said)
    assert len(keeper.statuses) == 1
    assert "{" not in next(iter(keeper.statuses.values()))["url"]


async def test_what_there_is_none_of_is_not_found(placed: tuple[Statuses, str]) -> None:
    statuses, repository = placed
    assert await statuses.find(repository, SHA, "fluxtrail/prod") is None


async def test_without_an_address_it_leads_to_the_commit(
    forge: FakeForge, placed: tuple[Statuses, str], keeper: Keeper
) -> None:
    statuses, repository = placed
    for url in ("", "javascript:alert(1)", "https://user:word@t.example/"):
        await statuses.write(repository, SHA, status(url=url))
    (kept,) = keeper.statuses.values()
    assert kept["url"] in (
        f"https://bit.test/acme/shop/commits/{SHA}",
        f"{forge.base_url}/projects/ACME/repos/shop/commits/{SHA}",
    )
    assert await statuses.find(repository, SHA, "fluxtrail/prod") == statuses.as_kept(status(url=""))


@pytest.mark.parametrize(("word", "state"), [("UNKNOWN", P), ("CANCELLED", E), ("new", P), (None, P)])
async def test_other_words_are_read(
    word: str | None, state: StatusState, placed: tuple[Statuses, str], keeper: Keeper
) -> None:
    statuses, repository = placed
    await statuses.write(repository, SHA, status(url=""))
    (kept,) = keeper.statuses.values()
    kept |= {"state": word, "description": None, "url": None}
    found = await statuses.find(repository, SHA, "fluxtrail/prod")
    assert found == CommitStatus(state=state, context="fluxtrail/prod")


def test_keys_are_short_and_differ() -> None:
    contexts = ["a", "A", "a ", "x" * 41, "x" * 42, "ü", "\ud800"]
    assert {len(key_of(context)) for context in contexts} == {40}
    assert len({key_of(context) for context in contexts}) == len(contexts)


async def test_an_app_password_is_shown_with_its_login(
    forge: FakeForge, keeper: Keeper, make_client: ClientMaker
) -> None:
    client = make_client(credentials=[{"host": "bit.test", "username": "bot@a.example", "password": "word"}])
    await BitbucketCloudStatuses(client).write("acme/shop", SHA, status())
    assert forge.asked[0].headers["authorization"] == "Basic " + base64.b64encode(b"bot@a.example:word").decode()


async def test_an_unknown_commit_and_a_weak_token(forge: FakeForge, placed: tuple[Statuses, str]) -> None:
    statuses, repository = placed
    with pytest.raises(NotFoundError, match="build statuses need a token"):
        await statuses.write(repository, "a" * 40, status())
    forge.says(Says(status=404, json={"error": {"message": "Commit not found"}}))
    with pytest.raises(NotFoundError, match="Commit not found") as caught:
        await statuses.write(repository, SHA, status())
    assert "token that may" not in str(caught.value)
    for code in (401, 403):
        forge.says(Says(status=code, json={"error": {"message": "no"}}))
        with pytest.raises(AuthError, match="build statuses need a token that may read"):
            await statuses.write(repository, SHA, status())


async def test_a_write_whose_answer_is_lost_is_not_repeated_and_can_be_read_back(
    forge: FakeForge, placed: tuple[Statuses, str], keeper: Keeper
) -> None:
    statuses, repository = placed
    await statuses.find(repository, SHA, "x")
    count = len(forge.asked)
    forge.says(keeper.losing_its_answer, keeper)
    with pytest.raises(UpstreamError, match="answered 504") as caught:
        await statuses.write(repository, SHA, status())
    assert (caught.value.retryable, len(forge.asked)) == (True, count + 1)
    assert await statuses.find(repository, SHA, "fluxtrail/prod") == statuses.as_kept(status())


async def test_names_of_a_server(make_client: ClientMaker, forge: FakeForge) -> None:
    rooted = make_client(api_url=f"{forge.base_url}/git/rest")
    assert rooted.names_of("git/scm/ACME/shop") == ("ACME", "shop")
    assert rooted.names_of("ACME/shop") == ("ACME", "shop")
    assert rooted.names_of("~ada/sh op") == ("~ada", "sh%20op")
    assert rooted.commit_page("git/scm/A/b", SHA) == f"{forge.base_url}/git/projects/A/repos/b/commits/{SHA}"


def test_where_the_api_is() -> None:
    assert bitbucket_api_url("bitbucket.org") == "https://api.bitbucket.org/2.0"
    assert bitbucket_api_url("git.example.com:8443") == "https://git.example.com:8443/rest"


async def test_odd_answers_are_wire_errors(forge: FakeForge, placed: tuple[Statuses, str]) -> None:
    statuses, repository = placed
    await statuses.find(repository, SHA, "x")
    odd: list[bytes] = [b"<html>", b"[]", b'{"key": 7, "values": 7}', b"\xff"]
    for body in odd:
        forge.says(lambda _request, body=body: Says(body=body))  # type: ignore[misc]
        with pytest.raises(WireError):
            await statuses.find(repository, SHA, "x")
