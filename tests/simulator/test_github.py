from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from tests.simulator.worlds import Play, commits

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.github import GitHub
from fluxtrail.simulator.repositories import Commit, Person, Repository
from fluxtrail.simulator.script import Action, Step, Style

ADA = Person("Ada", "ada@acme.example")


class Server:
    """The API on one repository with one squashed pull request."""

    def __init__(self, github: GitHub, merged: Commit, session: aiohttp.ClientSession) -> None:
        self.github = github
        self.merged = merged
        self.session = session

    async def get(self, path: str, **headers: str) -> tuple[int, object, Mapping[str, str]]:
        url = f"{self.github.url}/repos/acme/shop{path}"
        async with self.session.get(url, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None, answer.headers


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    repository = Repository(tmp_path / "shop.git", name="acme/shop")
    clock = SimulatedClock()
    await repository.create()
    merged = await repository.commit({"info.json": "{}\n"}, "Do it (#7)\n", author=ADA, at=clock.now())
    github = GitHub(clock=clock, repositories={"acme/shop": repository})
    github.add_pull_request(repository, merged, number=7, head_shas=("a" * 40, "b" * 40))
    await github.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Server(github, merged, session)
    finally:
        await github.stop()


async def test_a_pull_request_says_who_wrote_reviewed_and_merged_it(server: Server) -> None:
    status, pull, _ = await server.get("/pulls/7")
    assert status == 200
    assert isinstance(pull, dict)
    assert (pull["user"]["login"], pull["state"], pull["merged"]) == ("ada", "closed", True)
    status, reviews, _ = await server.get("/pulls/7/reviews?per_page=100")
    assert status == 200
    assert isinstance(reviews, list)
    approved = [review["user"]["login"] for review in reviews if review["state"] == "APPROVED"]
    assert pull["merged_by"]["login"] == (approved[-1] if approved else "ada")
    assert "ada" not in approved
    assert pull["created_at"] < pull["merged_at"]
    async with server.session.get(pull["html_url"]) as page:
        assert f"merged by {pull['merged_by']['login']}" in await page.text()
    assert (await server.get("/pulls/8/reviews"))[0] == 404


async def test_a_commit_leads_to_its_pull_request(server: Server) -> None:
    for sha in (server.merged.sha, "b" * 40):
        status, body, _ = await server.get(f"/commits/{sha}/pulls")
        assert status == 200
        assert isinstance(body, list)
        assert (body[0]["number"], body[0]["merge_commit_sha"]) == (7, server.merged.sha)
        assert body[0]["merged_at"].endswith("Z")
        assert body[0]["base"]["ref"] == "main"


async def test_a_pull_requests_commits_come_in_pages(server: Server) -> None:
    _, first, _ = await server.get("/pulls/7/commits?per_page=1")
    _, second, _ = await server.get("/pulls/7/commits?per_page=1&page=2")
    assert (first, second) == ([{"sha": "a" * 40}], [{"sha": "b" * 40}])


async def test_contents_are_base64_at_a_ref(server: Server) -> None:
    status, body, _ = await server.get(f"/contents/info.json?ref={server.merged.sha}")
    assert status == 200
    assert isinstance(body, dict)
    assert base64.b64decode(body["content"]) == b"{}\n"


@pytest.mark.parametrize("path", ["/commits/" + "c" * 40, "/pulls/8", "/contents/none.txt", "/commits/cccc/pulls"])
async def test_what_is_not_there_is_404(server: Server, path: str) -> None:
    status, body, _ = await server.get(path)
    assert status == 404
    assert isinstance(body, dict)
    assert body["message"] == "Not Found"


async def test_an_unchanged_answer_is_304_and_costs_nothing(server: Server) -> None:
    _, _, headers = await server.get("/pulls/7")
    status, body, again = await server.get("/pulls/7", **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, None)
    assert again["X-RateLimit-Remaining"] == headers["X-RateLimit-Remaining"]


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500])
async def test_faults_come_once_for_each_asked_for(server: Server, code: int) -> None:
    server.github.fail(code, count=2, retry_after_seconds=3)
    answers = [await server.get("/pulls/7") for _ in range(3)]
    assert [status for status, _, _ in answers] == [code, code, 200]
    assert answers[0][2]["Retry-After"] == "3"


async def test_merges_of_the_script_are_known_to_the_forge(play: Play) -> None:
    steps = [Step(Action.FEATURE, app="cart", folder="staging", style=style) for style in (Style.MERGE, Style.SQUASH)]
    async with play(*steps) as world:
        pulls = world.github.pulls["acme/shop"]
        merged, squashed = commits(world, "Merge pull request")[0], commits(world, "Roll cart")[0]
        assert [pull.merge_sha for pull in pulls] == [merged["sha"], squashed["sha"]]
        known = world.source_repository.commits
        assert all(sha in known for sha in pulls[0].head_shas)
        assert not any(sha in known for sha in pulls[1].head_shas)
