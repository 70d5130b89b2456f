"""What GitLab is asked and how its answers are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from tests.remotes.forges import SECRET, SHA, FakeForge, Says, Times
from tests.remotes.gitlab.keeping import ClientMaker

from fluxtrail.model.errors import WireError
from fluxtrail.remotes.gitlab.client import GitLabClient, gitlab_api_url

PROJECT = "acme/shop/cart"
HEAD, MERGE, SQUASH = "a" * 40, "b" * 40, "c" * 40
REQUEST: dict[str, Any] = {
    "id": 9001,
    "iid": 12,
    "title": "Add a cart",
    "web_url": "https://gitlab.test/acme/shop/cart/-/merge_requests/12",
    "state": "merged",
    "merged_at": "2026-01-12T11:00:00.123+01:00",
    "merge_commit_sha": MERGE,
    "squash_commit_sha": None,
    "sha": HEAD,
    "target_branch": "main",
    "author": {"username": "ada"},
}


async def test_merge_requests_of_a_commit(forge: FakeForge, client: GitLabClient) -> None:
    forge.says(Says(json=[REQUEST]))
    (found,) = await client.find_merge_requests(PROJECT, SHA)
    assert found.merged_at == datetime(2026, 1, 12, 10, 0, 0, 123_000, tzinfo=UTC)
    assert (found.number, found.title, found.author, found.base_ref) == (12, "Add a cart", "ada", "main")
    assert (found.merge_commit_sha, found.head_sha) == (MERGE, HEAD)
    (asked,) = forge.asked
    project = "acme%2Fshop%2Fcart"
    assert asked.path == f"/api/v4/projects/{project}/repository/commits/{SHA}/merge_requests?per_page=100&page=1"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert asked.headers["user-agent"] == "fluxtrail"


@pytest.mark.parametrize(
    ("change", "merge_commit_sha"),
    [
        ({}, MERGE),
        ({"squash_commit_sha": SQUASH}, MERGE),
        ({"merge_commit_sha": None, "squash_commit_sha": SQUASH}, SQUASH),
        ({"merge_commit_sha": None}, HEAD),
        ({"merge_commit_sha": None, "sha": None}, None),
        ({"state": "opened", "merged_at": None, "merge_commit_sha": None}, None),
        ({"state": "locked", "merged_at": None}, None),
    ],
    ids=["merge", "squash and merge", "squash, fast-forward", "fast-forward", "unknown", "open", "merging"],
)
async def test_which_commit_the_branch_got(
    change: dict[str, Any], merge_commit_sha: str | None, forge: FakeForge, client: GitLabClient
) -> None:
    forge.says(Says(json=[{**REQUEST, **change}]))
    (found,) = await client.find_merge_requests(PROJECT, SHA)
    assert found.merge_commit_sha == merge_commit_sha
    assert (found.merged_at is None) == (change.get("merged_at", 1) is None)


async def test_nulls_are_read(forge: FakeForge, client: GitLabClient) -> None:
    nulls = dict.fromkeys(name for name in REQUEST if name not in ("iid", "id"))
    forge.says(Says(json=[{**nulls, "iid": 1}]))
    (found,) = await client.find_merge_requests(PROJECT, SHA)
    assert (found.title, found.merged_at, found.author) == ("", None, None)


async def test_titles_are_cleared_of_secrets(forge: FakeForge, client: GitLabClient) -> None:
    forge.says(Says(json=[{**REQUEST, "title": "use glpat-abcdefghijklmnopqrst", "web_url": "https://u:p@h/x?t=1"}]))
    (found,) = await client.find_merge_requests(PROJECT, SHA)
    assert (found.title, found.url) == ("use [redacted]", "https://h/x")


async def test_commits_follow_pages_come_oldest_first_and_stop(forge: FakeForge, client: GitLabClient) -> None:
    def page(request: web.Request) -> Says:
        number = int(request.query["page"])
        commits = [{"id": f"{number:02}{i:038}"} for i in range(100)]
        # A proxy in front: the link names an address that must not be asked.
        return Says(json=commits, headers={"X-Next-Page": str(number + 1), "Link": '<http://inner/x>; rel="next"'})

    forge.says(page)
    shas = await client.merge_request_commits(PROJECT, 7)
    assert len(shas) == 250
    assert shas[-1] == "01" + "0" * 38
    assert [asked.path for asked in forge.asked] == [
        f"/api/v4/projects/acme%2Fshop%2Fcart/merge_requests/7/commits?per_page=100&page={n}" for n in (1, 2, 3)
    ]


async def test_the_last_page_ends_it(forge: FakeForge, client: GitLabClient) -> None:
    forge.says(Says(json=[{"id": "2" * 40}, {"id": "1" * 40}], headers={"X-Next-Page": ""}))
    assert await client.merge_request_commits(PROJECT, 7) == ["1" * 40, "2" * 40]
    assert len(forge.asked) == 1


async def test_pages_of_nothing_end(forge: FakeForge, client: GitLabClient) -> None:
    forge.says(Says(json=[], headers={"X-Next-Page": "2"}))
    assert await client.merge_request_commits(PROJECT, 7) == []
    assert len(forge.asked) == 20


@pytest.mark.parametrize("project", ["shop", "acme/../shop", "acme//shop", "/shop", "acme/", "a/" * 600 + "b"])
async def test_what_is_no_project_is_not_asked(project: str, forge: FakeForge, client: GitLabClient) -> None:
    with pytest.raises(WireError, match="not a GitLab project"):
        await client.find_merge_requests(project, SHA)
    with pytest.raises(WireError, match="not a full commit id"):
        await client.find_merge_requests(PROJECT, "main")
    assert forge.asked == []


async def test_project_names_are_one_escaped_segment(forge: FakeForge, client: GitLabClient) -> None:
    forge.says(Says(json=[]))
    assert await client.find_merge_requests("acme/a b?#%", SHA) == []
    assert forge.asked[0].path.startswith("/api/v4/projects/acme%2Fa%20b%3F%23%25/repository/")


async def test_a_relative_root_is_no_part_of_the_project(forge: FakeForge, make_client: ClientMaker) -> None:
    credentials = [{"host": "gitlab.test", "owner": "git/acme", "token": SECRET}]
    client = make_client(api_url=f"{forge.base_url}/git/api/v4", credentials=credentials)
    forge.says(Says(json=[]))
    project = client.project_of("git/acme/shop")
    assert project == "acme/shop"
    await client.find_merge_requests(project, SHA)
    assert forge.asked[0].path.startswith("/git/api/v4/projects/acme%2Fshop/")
    assert forge.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    assert make_client().project_of("git/acme/shop") == "git/acme/shop"


async def test_a_renamed_project_is_followed(forge: FakeForge, client: GitLabClient) -> None:
    place = {"Location": f"{forge.base_url}/api/v4/projects/7/x"}
    forge.says(Says(status=301, headers=place), Says(json=[]))
    assert await client.find_merge_requests(PROJECT, SHA) == []
    assert forge.asked[1].path == "/api/v4/projects/7/x"


async def test_the_limit_used_up_is_waited_for_before_the_next_question(
    forge: FakeForge, client: GitLabClient, times: Times
) -> None:
    headers = {"RateLimit-Remaining": "0", "RateLimit-Reset": str(int(times.now) + 2), "Date": ""}
    forge.says(Says(json=[], headers=headers), Says(json=[]))
    await client.find_merge_requests(PROJECT, SHA)
    assert times.slept == []
    await client.find_merge_requests(PROJECT, SHA)
    assert times.slept == [3.0]


def test_api_address() -> None:
    assert gitlab_api_url("gitlab.example.com:8443") == "https://gitlab.example.com:8443/api/v4"
