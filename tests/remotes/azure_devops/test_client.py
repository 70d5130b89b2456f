"""What Azure DevOps is asked and how its answers are read."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from tests.remotes.azure_devops.keeping import ClientMaker
from tests.remotes.forges import SECRET, SHA, FakeForge, Says

from fluxtrail.model.errors import AuthError, UpstreamError, WireError
from fluxtrail.model.repository import parse_repository
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient, AzureRepository, parse_names

SHOP = AzureRepository(organisation="acme", project="Web Shop", name="cart", owner="tfs/acme/Web Shop/_git")
PULL: dict[str, Any] = {
    "pullRequestId": 12,
    "status": "completed",
    "title": "Add a cart",
    "closedDate": "2026-01-12T10:00:00.1234567Z",
    "lastMergeCommit": {"commitId": SHA.upper()},
    "lastMergeSourceCommit": {"commitId": "a" * 40},
    "targetRefName": "refs/heads/main",
    "createdBy": {"displayName": "Ada"},
}


def answer(*results: list[dict[str, Any]]) -> Says:
    return Says(json={"queries": [], "results": [{SHA: pulls} if pulls else {} for pulls in results]})


async def test_pull_requests_of_a_commit(forge: FakeForge, client: AzureDevOpsClient) -> None:
    forge.says(answer([PULL], [{**PULL, "title": "again"}, {**PULL, "pullRequestId": 13}]))
    first, second = await client.find_pull_requests(SHOP, SHA)
    assert first.merged_at == datetime(2026, 1, 12, 10, 0, 0, 123_457, tzinfo=UTC)
    assert (first.number, first.title, first.author, first.base_ref) == (12, "Add a cart", "Ada", "main")
    assert (first.merge_commit_sha, first.head_sha, second.number) == (SHA, "a" * 40, 13)
    (asked,) = forge.asked
    assert asked.method == "POST"
    assert asked.path == "/tfs/acme/Web%20Shop/_apis/git/repositories/cart/pullrequestquery?api-version=6.0"
    assert json.loads(asked.body) == {
        "queries": [{"type": "lastMergeCommit", "items": [SHA]}, {"type": "commit", "items": [SHA]}]
    }
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(f":{SECRET}".encode()).decode()


@pytest.mark.parametrize("status", ["active", "abandoned", "notSet", None])
async def test_only_what_is_completed_is_merged(
    status: str | None, forge: FakeForge, client: AzureDevOpsClient
) -> None:
    forge.says(answer([{**PULL, "status": status}]))
    (found,) = await client.find_pull_requests(SHOP, SHA)
    assert found.merged_at is None


async def test_nulls_are_read(forge: FakeForge, client: AzureDevOpsClient) -> None:
    forge.says(answer([{**dict.fromkeys(PULL), "pullRequestId": 1}], []))
    (found,) = await client.find_pull_requests(SHOP, SHA)
    assert (found.title, found.merge_commit_sha, found.base_ref, found.author) == ("", None, None, None)


async def test_answers_about_other_commits_are_left_out(forge: FakeForge, client: AzureDevOpsClient) -> None:
    forge.says(Says(json={"results": [{"f" * 40: [PULL]}]}))
    assert await client.find_pull_requests(SHOP, SHA) == []


async def test_commits_follow_pages_and_come_oldest_first(forge: FakeForge, client: AzureDevOpsClient) -> None:
    def page(request: web.Request) -> Says:
        number = int(request.query.get("continuationToken", "0"))
        commits = [{"commitId": f"{number:02}{i:038}"} for i in range(100)]
        return Says(json={"count": 100, "value": commits}, headers={"x-ms-continuationtoken": str(number + 1)})

    forge.says(page)
    shas = await client.pull_request_commits(SHOP, 7)
    assert len(shas) == 250
    assert shas[-1] == "0" * 40
    paths = [asked.path for asked in forge.asked]
    assert paths[0].startswith("/tfs/acme/Web%20Shop/_apis/git/repositories/cart/pullRequests/7/commits?")
    assert "continuationToken=2" in paths[2]


async def test_the_last_page_ends_it(forge: FakeForge, client: AzureDevOpsClient) -> None:
    forge.says(Says(json={"count": 2, "value": [{"commitId": "2" * 40}, {"commitId": "1" * 40}]}))
    assert await client.pull_request_commits(SHOP, 7) == ["1" * 40, "2" * 40]


@pytest.mark.parametrize(
    "says",
    [
        Says(status=203, body=b"<html>Sign in</html>", content_type="text/html; charset=utf-8"),
        Says(status=302, headers={"Location": "https://spsprodeus21.vssps.visualstudio.com/_signin?realm=x"}),
    ],
    ids=["203", "302"],
)
async def test_a_sign_in_page_means_that_the_token_is_wrong(
    says: Says, forge: FakeForge, client: AzureDevOpsClient
) -> None:
    forge.says(says)
    with pytest.raises(AuthError, match=r"sign-in page, check `credentials` for ado\.test") as caught:
        await client.find_pull_requests(SHOP, SHA)
    assert not caught.value.retryable
    assert len(forge.asked) == 1


async def test_another_redirect_is_no_sign_in(forge: FakeForge, client: AzureDevOpsClient) -> None:
    forge.says(Says(status=302, headers={"Location": "https://elsewhere.test/x"}))
    with pytest.raises(UpstreamError, match="redirects to another host"):
        await client.find_pull_requests(SHOP, SHA)


@pytest.mark.parametrize(
    ("credential", "shown"),
    [
        ({"token": "eyJhbGci.eyJhdWQi.c2ln"}, "Bearer eyJhbGci.eyJhdWQi.c2ln"),
        ({"username": "ada", "password": "word"}, "Basic " + base64.b64encode(b"ada:word").decode()),
    ],
    ids=["entra", "password"],
)
async def test_other_credentials(
    credential: dict[str, str], shown: str, forge: FakeForge, make_client: ClientMaker
) -> None:
    forge.says(answer([]))
    await make_client(credentials=[{"host": "ado.test", **credential}]).find_pull_requests(SHOP, SHA)
    assert forge.asked[0].headers["authorization"] == shown


async def test_what_is_no_commit_is_not_asked(forge: FakeForge, client: AzureDevOpsClient) -> None:
    with pytest.raises(WireError, match="not a full commit id"):
        await client.find_pull_requests(SHOP, "main")
    assert forge.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://dev.azure.com/Acme/Web/_git/Cart",
        "https://acme@dev.azure.com/acme/web/_git/cart",
        "https://acme.visualstudio.com/web/_git/cart",
        "https://acme.visualstudio.com/DefaultCollection/web/_git/cart",
        "git@ssh.dev.azure.com:v3/acme/web/cart",
        "acme@vs-ssh.visualstudio.com:v3/acme/web/cart",
    ],
)
def test_every_form_of_a_url_names_one_repository(url: str) -> None:
    host, _, path = parse_repository(url).canonical.partition("/")
    assert host == "dev.azure.com"
    found = parse_names(path.split("/"))
    assert found == AzureRepository(organisation="acme", project="web", name="cart", owner="acme/web")


@pytest.mark.parametrize(
    ("path", "root", "names"),
    [
        ("acme/shop/_git/cart", (), ("acme", "shop", "cart")),
        ("tfs/Acme/Shop/_git/Cart", ("tfs",), ("Acme", "Shop", "Cart")),
        ("TFS/acme/_git/shop", ("tfs",), ("acme", "shop", "shop")),
        ("acme/_git/shop", (), ("acme", "shop", "shop")),
        ("tfs/acme/shop/_git/cart", (), None),
        ("acme/shop", (), None),
        ("acme/shop/_git/a/b", (), None),
        ("acme/../cart", (), None),
    ],
)
def test_names_of_a_server(path: str, root: tuple[str, ...], names: tuple[str, str, str] | None) -> None:
    found = parse_names(path.split("/"), root=root)
    assert (found and (found.organisation, found.project, found.name)) == names
    assert found is None or path.startswith(found.owner)
