"""What a Gitea or a Forgejo is told of a commit, and what its refusals come to."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.remotes.forges import SECRET, SHA, FakeForge, Says

from fluxtrail.model.errors import AuthError, FluxtrailError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.gitea.client import GiteaClient
from fluxtrail.remotes.gitea.statuses import GiteaStatuses

ClientMaker = Callable[..., GiteaClient]
PAGE = "https://trail.example.com/commits/0123"
ROOT = "/api/v1/repos/acme/sh%2Bop"
REPOSITORY = "acme/sh+op"
P, R, S, F, E, N = StatusState  # in their order: pending, running, success, failure, error, neutral


@dataclass
class Keeper:
    """One repository with one commit; `forge.says(keeper)` puts it behind the server."""

    forge: FakeForge
    statuses: list[dict[str, Any]] = field(default_factory=list)
    page_limit: int = 50

    def __call__(self, request: web.Request) -> Says:
        asked = self.forge.asked[-1]
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path.removeprefix(ROOT).split("/")[1:]:
            case ["statuses", sha] if asked.method == "POST":
                if sha != SHA:
                    return Says(status=500, json={"message": "", "url": "https://git.test/api/swagger"})
                self.statuses.append({"id": len(self.statuses) + 1, **self._kept(msgspec.json.decode(asked.body))})
                return Says(status=201, json=self.statuses[-1])
            case ["commits", sha, "statuses"] if sha == SHA:
                size = min(int(query["limit"]), self.page_limit)
                at = (int(query["page"]) - 1) * size
                return Says(json=self.statuses[::-1][at : at + size])
            case ["git", "commits", sha] if sha == SHA:
                return Says(json={"sha": sha})
        return Says(status=404, json={"message": "The target couldn't be found.", "errors": []})

    def losing_its_answer(self, request: web.Request) -> Says:
        self(request)
        return Says(status=504, body=b"<html>504</html>", content_type="text/html")

    @staticmethod
    def _kept(body: dict[str, Any]) -> dict[str, Any]:
        assert body["state"] in ("pending", "success", "error", "failure", "warning")
        texts = {name: body.get(name, "").strip() for name in ("context", "description", "target_url")}
        return {"status": body["state"], **texts}


@pytest.fixture
def keeper(forge: FakeForge) -> Keeper:
    keeper = Keeper(forge)
    forge.says(keeper)
    return keeper


@pytest.fixture
def statuses(client: GiteaClient) -> GiteaStatuses:
    return GiteaStatuses(client)


def status(state: StatusState = S, **more: Any) -> CommitStatus:
    return CommitStatus(**{"state": state, "context": "fluxtrail/prod", "description": "deployed", "url": PAGE, **more})


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


@pytest.mark.parametrize("state", [P, R, S, F, E, N])
@pytest.mark.parametrize("text", ["", "x" * 10_000, "\U0001f680" * 300, "a\r\n\tb", "\ud800", "e\u0301" * 300])
async def test_what_is_kept_is_what_is_said_to_be_kept(
    state: StatusState, text: str, keeper: Keeper, statuses: GiteaStatuses
) -> None:
    said = status(state, description=text, context=f"fluxtrail/{text}", url=f"https://t.example/{'x' * len(text)}")
    await statuses.write(REPOSITORY, SHA, said)
    assert await statuses.find(REPOSITORY, SHA, said.context) == statuses.as_kept(said)


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


@pytest.mark.parametrize("code", [401, 403])
async def test_a_weak_token_says_which_right_is_missing(code: int, forge: FakeForge, statuses: GiteaStatuses) -> None:
    forge.says(Says(status=code, json={"message": "token does not have at least one of required scope(s)"}))
    with pytest.raises(AuthError, match="required scope.*; statuses need a token with the scope write:repository"):
        await statuses.write(REPOSITORY, SHA, status())


async def test_a_write_whose_answer_is_lost_is_not_repeated_and_can_be_read_back(
    forge: FakeForge, keeper: Keeper, statuses: GiteaStatuses
) -> None:
    forge.says(keeper.losing_its_answer, keeper)
    with pytest.raises(UpstreamError, match="answered 504") as caught:
        await statuses.write(REPOSITORY, SHA, status())
    assert caught.value.retryable
    assert len(forge.asked) == 1
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") == statuses.as_kept(status())


async def test_a_limit_of_a_proxy_says_when(forge: FakeForge, statuses: GiteaStatuses) -> None:
    forge.says(Says(status=429, headers={"Retry-After": "30"}, body=b"slow down"))
    with pytest.raises(RateLimitedError) as caught:
        await statuses.write(REPOSITORY, SHA, status())
    assert (caught.value.retry_after_seconds, len(forge.asked)) == (30, 1)


@pytest.mark.parametrize("repository", ["acme", "acme/", "acme/..", "a/b/c", "a/b\nc", "x/" + "y" * 2_000])
async def test_what_is_no_repository_is_not_asked_about(repository: str, forge: FakeForge, client: GiteaClient) -> None:
    told: list[str] = []
    statuses = GiteaStatuses(client, audit=lambda what, where: told.append(f"{what} {where}"))
    with pytest.raises(WireError, match="not a repository such as"):
        await statuses.write(repository, SHA, status())
    with pytest.raises(WireError, match="not a full commit id"):
        await statuses.write(REPOSITORY, "main", status())
    assert (forge.asked, told) == ([], [])


async def test_a_root_is_no_part_of_the_names_but_of_the_owner(forge: FakeForge, make_client: ClientMaker) -> None:
    tokens = [{"host": "git.test", "owner": "git/git", "token": SECRET}]
    client = make_client(api_url=f"{forge.base_url}/git/api/v1", credentials=tokens)
    forge.says(Says(status=201, json={}))
    await GiteaStatuses(client).write("git/git/shop", SHA, status())
    assert forge.asked[0].path == f"/git/api/v1/repos/git/shop/statuses/{SHA}"
    assert forge.asked[0].headers["authorization"] == f"token {SECRET}"


async def test_every_write_is_audited(keeper: Keeper, client: GiteaClient) -> None:
    told: list[tuple[str, str]] = []
    await GiteaStatuses(client, audit=lambda what, where: told.append((what, where))).write(REPOSITORY, SHA, status())
    assert told == [("commit status success fluxtrail/prod", f"git.test/{REPOSITORY}@{SHA}")]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 429, 500])
async def test_no_error_and_no_log_repeats_the_token(code: int, forge: FakeForge, statuses: GiteaStatuses) -> None:
    forge.says(lambda request: Says(status=code, json={"message": request.headers["Authorization"]}))
    with capture_logs() as logs, pytest.raises(FluxtrailError) as caught:
        await statuses.write(REPOSITORY, SHA, status())
    assert SECRET not in f"{caught.value} {caught.value!r} {logs}"


async def test_odd_lists_are_wire_errors(forge: FakeForge, statuses: GiteaStatuses) -> None:
    odd: list[bytes] = [b"<html>", b"{}", b"[7]", b'[{"id": "x"}]', b"\xff", b"[" * 60_000]
    for body in odd:
        forge.says(lambda _request, body=body: Says(body=body))  # type: ignore[misc]
        with pytest.raises(WireError):
            await statuses.find(REPOSITORY, SHA, "x")
