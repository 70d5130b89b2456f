from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.remotes.github.forge import SHA, FakeForge, Says, Times, file_answer
from tests.remotes.github.keeping import ClientMaker

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    UpstreamError,
    WireError,
)
from fluxtrail.remotes.github.client import GitHubClient

PULL = {
    "number": 12,
    "title": "Add a cart",
    "html_url": "https://github.com/acme/shop/pull/12",
    "merged_at": "2026-01-12T10:00:00Z",
    "merge_commit_sha": SHA,
    "head": {"sha": "a" * 40, "ref": "cart"},
    "base": {"sha": "b" * 40, "ref": "main"},
    "user": {"login": "ada"},
}
COMMIT: dict[str, Any] = {
    "sha": SHA,
    "parents": [{"sha": "a" * 40}, {"sha": "b" * 40}],
    "commit": {
        "message": f"Merge pull request #7 from acme/fix\n\nThis reverts commit {'c' * 40}.",
        "author": {"name": "Ada", "email": "ada@example.com", "date": "2026-01-12T09:00:00Z"},
        "committer": {"name": "GitHub", "email": "noreply@github.com", "date": "2026-01-12T12:00:00+02:00"},
    },
    "files": [{"filename": "new", "previous_filename": "old"}, {"filename": "b"}],
}


async def test_commit(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(json=COMMIT))
    facts = await client.get_commit("acme", "shop", SHA)
    assert facts.committed_at == datetime(2026, 1, 12, 10, tzinfo=UTC)
    assert facts.authored_at == datetime(2026, 1, 12, 9, tzinfo=UTC)
    assert (facts.sha, facts.parents, facts.author) == (SHA, ("a" * 40, "b" * 40), "Ada")
    assert (facts.pull_request, facts.reverts) == (7, ("c" * 40,))
    assert (facts.paths, facts.paths_truncated) == (("new", "old", "b"), False)
    assert forge.asked[0].path == f"/repos/acme/shop/commits/{SHA}"
    assert forge.asked[0].headers["x-github-api-version"] == "2022-11-28"
    assert forge.asked[0].headers["user-agent"] == "fluxtrail"
    assert "authorization" not in forge.asked[0].headers


async def test_a_commit_without_committer_date_is_refused(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(json={"sha": SHA, "commit": {"committer": {"date": None}, "author": None}}))
    with pytest.raises(WireError, match="no committer date"):
        await client.get_commit("acme", "shop", SHA)


async def test_pull_requests_of_a_commit(forge: FakeForge, client: GitHubClient) -> None:
    ghost = {"number": 13, "merged_at": None, "merge_commit_sha": None, "head": None, "base": None, "user": None}
    forge.says(Says(json=[PULL, ghost]))
    merged, open_one = await client.find_pull_requests("acme", "shop", SHA)
    assert merged.merged_at == datetime(2026, 1, 12, 10, tzinfo=UTC)
    assert (merged.number, merged.title, merged.url) == (12, "Add a cart", "https://github.com/acme/shop/pull/12")
    assert (merged.merge_commit_sha, merged.head_sha, merged.base_ref, merged.author) == (SHA, "a" * 40, "main", "ada")
    assert (open_one.number, open_one.merged_at, open_one.author) == (13, None, None)
    assert forge.asked[0].path == f"/repos/acme/shop/commits/{SHA}/pulls?per_page=100"


async def test_one_pull_request(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(json=PULL))
    assert (await client.pull_request("acme", "shop", 12)).number == 12
    assert forge.asked[0].path == "/repos/acme/shop/pulls/12"


async def test_pull_request_commits_follow_pages_and_stop_at_250(forge: FakeForge, client: GitHubClient) -> None:
    def page(request: web.Request) -> Says:
        number = int(request.query.get("page", "1"))
        following = f'<{forge.base_url}{request.path}?per_page=100&page={number + 1}>; rel="next"'
        return Says(json=[{"sha": f"{number:02}{i:038}"} for i in range(100)], headers={"Link": following})

    forge.says(page)
    shas = await client.pull_request_commits("acme", "shop", 7)
    assert len(shas) == 250
    assert shas[0] == "01" + "0" * 38
    assert len(forge.asked) == 3


async def test_a_next_page_on_another_host_is_not_asked(forge: FakeForge, make_client: ClientMaker) -> None:
    forge.says(Says(json=[{"sha": SHA}], headers={"Link": '<http://localhost:1/x>; rel="next"'}))
    with pytest.raises(UpstreamError, match="another host"):
        await make_client().pull_request_commits("acme", "shop", 7)


@pytest.mark.parametrize(
    ("encoded", "content"), [("aGVsbG8gd29ybGQ=", b"hello world"), ("aGV5IHRoZXJl\n", b"hey there")]
)
async def test_file_content_is_decoded(forge: FakeForge, client: GitHubClient, encoded: str, content: bytes) -> None:
    forge.says(Says(json=file_answer(encoded)))
    assert await client.read_file("acme", "shop", SHA, "exporter-info.json", limit_bytes=100) == content
    assert forge.asked[0].path == f"/repos/acme/shop/contents/exporter-info.json?ref={SHA}"


async def test_file_names_are_quoted(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(json=file_answer("")))
    assert await client.read_file("acme", "shop", SHA, "./a b/{c}?#%.yaml", limit_bytes=9) == b""
    assert forge.asked[0].path == f"/repos/acme/shop/contents/a%20b/%7Bc%7D%3F%23%25.yaml?ref={SHA}"


async def test_a_large_file_is_read_raw_within_the_limit(forge: FakeForge, client: GitHubClient) -> None:
    big = os.urandom(1_500_000)

    def answer(request: web.Request) -> Says:
        if "raw" in request.headers["Accept"]:
            return Says(body=big, content_type="application/vnd.github.raw+json; charset=utf-8")
        return Says(json={"type": "file", "encoding": "none", "size": len(big), "content": ""})

    forge.says(answer)
    assert await client.read_file("acme", "shop", SHA, "big", limit_bytes=2_000_000) == big
    asked = len(forge.asked)
    with pytest.raises(WireError, match="1500000 bytes are more than the limit of 1000"):
        await client.read_file("acme", "shop", SHA, "big", limit_bytes=1000)
    assert len(forge.asked) == asked + 1


async def test_a_raw_file_that_is_larger_than_announced_is_cut_off(forge: FakeForge, client: GitHubClient) -> None:
    def answer(request: web.Request) -> Says:
        if "raw" in request.headers["Accept"]:
            return Says(body=b"x" * 5000, content_type="text/plain")
        return Says(json={"type": "file", "encoding": "none", "size": 10, "content": ""})

    forge.says(answer)
    with pytest.raises(WireError, match="limit of 1000 bytes"):
        await client.read_file("acme", "shop", SHA, "big", limit_bytes=1000)


@pytest.mark.parametrize("found", [[], {"type": "symlink", "target": "x"}, {"type": "submodule", "size": 0}])
async def test_what_is_no_file_is_none(forge: FakeForge, client: GitHubClient, found: Any) -> None:
    forge.says(Says(json=found))
    assert await client.read_file("acme", "shop", SHA, "dir", limit_bytes=9) is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Says(json=file_answer("!!!")), "not base64"),
        (Says(json={"type": "file", "encoding": "rot13", "size": 3, "content": "abc"}), "rot13"),
        (Says(json={"type": "file", "encoding": None, "size": 0, "content": None}), "absent"),
        (Says(json={"kind": "file"}), "another shape"),
        (Says(json=None), "another shape"),
        (Says(body=b"<html>"), "not the JSON"),
        (Says(body=b"{}", content_type="application/json; charset=klingon"), "not the JSON"),
        (Says(body=b"\xff\xfe"), "not the JSON"),
        (Says(body=b"[" * 100_000), "not the JSON"),
        (Says(body=b"hello", content_type="text/html"), "another shape"),
        (
            Says(json={}, headers={"x-ratelimit-limit": "x", "x-ratelimit-remaining": "y", "x-ratelimit-reset": "z"}),
            "not the",
        ),
    ],
)
async def test_odd_answers_are_wire_errors(forge: FakeForge, client: GitHubClient, answer: Says, message: str) -> None:
    forge.says(answer)
    with pytest.raises(WireError, match=message):
        await client.read_file("acme", "shop", SHA, "f", limit_bytes=9)
    assert len(forge.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_server_error_is_tried_five_times_in_all(forge: FakeForge, client: GitHubClient, status: int) -> None:
    forge.says(Says(status=status, body=b"<html>down</html>", content_type="text/html"))
    with pytest.raises(UpstreamError, match=f"answered {status}") as caught:
        await client.get_commit("acme", "shop", SHA)
    assert caught.value.status == status
    assert len(forge.asked) == 5


async def test_a_server_that_recovers_is_not_noticed(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(status=500), Says(status=502), Says(json=COMMIT))
    assert (await client.get_commit("acme", "shop", SHA)).sha == SHA
    assert len(forge.asked) == 3


async def test_a_broken_connection_is_tried_again(make_client: ClientMaker) -> None:
    client = make_client(base_url="http://127.0.0.1:1")
    with pytest.raises(UpstreamError, match="does not answer") as caught:
        await client.get_commit("acme", "shop", SHA)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (401, "Bad credentials", AuthError),
        (403, "Resource not accessible by personal access token", AuthError),
        (404, "Not Found", NotFoundError),
        (410, "Gone", NotFoundError),
        (451, "Unavailable", NotFoundError),
        (422, f"No commit found for SHA: {SHA}", NotFoundError),
        (422, "Validation Failed", ConflictError),
        (409, "Git Repository is empty.", ConflictError),
        (400, "Problems parsing JSON", UpstreamError),
    ],
)
async def test_refusals_are_not_tried_again(
    forge: FakeForge, client: GitHubClient, status: int, message: str, error: type[UpstreamError]
) -> None:
    forge.says(Says(status=status, json={"message": message}))
    with pytest.raises(UpstreamError) as caught:
        await client.find_pull_requests("acme", "shop", SHA)
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.retryable) == (status, False)
    assert message in str(caught.value)
    assert len(forge.asked) == 1


async def test_404_on_contents_is_not_found_and_names_both_reasons(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(status=404, json={"message": "Not Found"}))
    with pytest.raises(NotFoundError, match="does not exist, or is private and hidden from these credentials"):
        await client.read_file("acme", "shop", SHA, "exporter-info.json", limit_bytes=9)


async def test_the_token_is_bound_to_host_and_owner(forge: FakeForge, make_client: ClientMaker) -> None:
    forge.says(Says(json=COMMIT))
    client = make_client(
        credentials=[
            {"host": "127.0.0.1", "owner": "acme", "token": "acme-token"},
            {"host": "github.com", "token": "other-token"},
        ]
    )
    await client.get_commit("acme", "shop", SHA)
    await client.get_commit("evil", "shop", SHA)
    assert [asked.headers.get("authorization") for asked in forge.asked] == ["token acme-token", None]


async def test_an_echoed_token_does_not_reach_the_error(forge: FakeForge, make_client: ClientMaker) -> None:
    forge.says(Says(status=401, json={"message": "bad: my-odd-secret"}))
    client = make_client(credentials=[{"host": "127.0.0.1", "token": "my-odd-secret"}])
    with pytest.raises(AuthError) as caught:
        await client.get_commit("acme", "shop", SHA)
    assert "my-odd-secret" not in str(caught.value)


async def test_a_redirect_on_the_same_host_is_followed(forge: FakeForge, make_client: ClientMaker) -> None:
    forge.says(Says(status=301, headers={"Location": "/repositories/1/commits/x"}), Says(json=COMMIT))
    client = make_client(credentials=[{"host": "127.0.0.1", "token": "the-token"}])
    assert (await client.get_commit("acme", "shop", SHA)).sha == SHA
    assert [asked.path for asked in forge.asked][1] == "/repositories/1/commits/x"


@pytest.mark.parametrize("target", ["http://localhost:{port}/x", "https://127.0.0.1:{port}/x", "http://127.0.0.1:1/x"])
async def test_a_redirect_elsewhere_is_refused(forge: FakeForge, client: GitHubClient, target: str) -> None:
    port = forge.base_url.rpartition(":")[2]
    forge.says(Says(status=302, headers={"Location": target.format(port=port)}))
    with pytest.raises(UpstreamError, match="another host") as caught:
        await client.get_commit("acme", "shop", SHA)
    assert not caught.value.retryable
    assert len(forge.asked) == 1


async def test_a_redirect_circle_ends(forge: FakeForge, client: GitHubClient) -> None:
    forge.says(Says(status=302, headers={"Location": "/again"}))
    with pytest.raises(UpstreamError, match="circle"):
        await client.get_commit("acme", "shop", SHA)
    assert len(forge.asked) == 4


async def test_enterprise_paths_keep_their_prefix(forge: FakeForge, make_client: ClientMaker) -> None:
    forge.says(Says(json=COMMIT))
    await make_client(base_url=f"{forge.base_url}/api/v3/").get_commit("acme", "shop", SHA)
    assert forge.asked[0].path == f"/api/v3/repos/acme/shop/commits/{SHA}"


@pytest.mark.parametrize(
    ("owner", "repo", "sha", "path"),
    [("..", "shop", SHA, "f"), ("acme", "a/b", SHA, "f"), ("acme", "shop", "HEAD", "f"), ("acme", "shop", SHA, "../f")],
)
async def test_odd_names_are_never_asked(
    forge: FakeForge, client: GitHubClient, owner: str, repo: str, sha: str, path: str
) -> None:
    with pytest.raises(WireError):
        await client.read_file(owner, repo, sha, path, limit_bytes=9)
    assert not forge.asked


async def test_a_wrong_base_url_is_refused() -> None:
    async with aiohttp.ClientSession() as session:
        for bad in ("api.github.com", "https://user:pass@host", "ftp://host"):
            with pytest.raises(ConfigError):
                GitHubClient(session, credentials=CredentialSource(), base_url=bad)


async def test_no_error_of_another_library_gets_out(forge: FakeForge, client: GitHubClient, times: Times) -> None:
    for answer in (
        Says(status=500, body=b""),
        Says(status=304),
        Says(status=418, body=b"x"),
        Says(status=200, body=b"["),
    ):
        forge.says(answer)
        with pytest.raises(FluxtrailError):
            await client.get_commit("acme", "shop", SHA)
        times.now += 1
