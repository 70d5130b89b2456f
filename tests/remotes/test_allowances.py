from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate

import pytest
from tests.remotes.forges import SECRET, SHA, FakeForge, Says, Times, making

from fluxtrail.model.errors import RateLimitedError
from fluxtrail.remotes.allowances import REMEMBERED, REMEMBERED_SECONDS, Allowance, AllowanceBook
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.gitlab.client import GitLabClient

NOW = 1_800_000_000.0
GITHUB = {
    "x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4321", "x-ratelimit-reset": str(int(NOW) + 600),
    "x-ratelimit-resource": "core", "x-ratelimit-used": "679",
}  # fmt: skip
GITLAB = {
    "ratelimit-limit": "2000", "ratelimit-remaining": "1999", "ratelimit-reset": str(int(NOW) + 60),
    "ratelimit-name": "throttle_authenticated_api", "ratelimit-observed": "1",
}  # fmt: skip
AZURE = {
    "x-ratelimit-limit": "200", "x-ratelimit-remaining": "12.5", "x-ratelimit-reset": str(int(NOW) + 300),
    "x-ratelimit-resource": "Core services/per user", "x-ratelimit-delay": "2.5",
}  # fmt: skip


class Watch:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def book(watch: Watch) -> AllowanceBook:
    return AllowanceBook(watch)


def only(book: AllowanceBook) -> Allowance:
    (found,) = book.current()
    return found


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (GITHUB, ("core", 5000, 4321, NOW + 600)),
        (GITLAB, ("throttle_authenticated_api", 2000, 1999, NOW + 60)),
        (AZURE, ("Core_services/per_user", 200, 12.5, NOW + 300)),
        # IETF's draft: seconds from now, and what a limit is made of.
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "7", "ratelimit-reset": "30"},
         ("", 100, 7, NOW + 30)),
        ({**GITHUB, "x-ratelimit-reset": "soon"}, ("core", 5000, 4321, None)),
        # Our clock is five minutes late: the reset is as far away as theirs says.
        ({**GITHUB, "date": formatdate(NOW + 300, usegmt=True)}, ("core", 5000, 4321, NOW + 300)),
        ({**GITHUB, "x-ratelimit-remaining": "9999"}, ("core", 5000, 5000, NOW + 600)),
    ],
    ids=["github", "gitlab", "azure", "draft", "no reset", "two clocks", "more than all"],
)  # fmt: skip
def test_headers_are_read(
    book: AllowanceBook, headers: dict[str, str], said: tuple[str, float, float, float | None]
) -> None:
    book.learn("github.com/acme", headers)
    found = only(book)
    assert (found.resource, found.limit, found.remaining, found.reset_at) == said


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-limit": "5000"},
        {"x-ratelimit-limit": "many", "x-ratelimit-remaining": "1"},
        {"x-ratelimit-limit": "-1", "x-ratelimit-remaining": "1"},
        {"x-ratelimit-limit": "nan", "x-ratelimit-remaining": "inf"},
    ],
    ids=str,
)
def test_an_answer_that_says_nothing_changes_nothing(book: AllowanceBook, headers: dict[str, str]) -> None:
    book.learn("github.com/acme", headers)
    assert book.current() == []


def test_all_of_it_is_there_again_after_the_reset(book: AllowanceBook, watch: Watch) -> None:
    book.learn("github.com/acme", GITHUB)
    watch.now += 599
    assert only(book).remaining == 4321
    watch.now += 1
    assert only(book).remaining == 5000


def test_what_was_not_heard_of_for_a_day_is_forgotten(book: AllowanceBook, watch: Watch) -> None:
    book.learn("github.com/acme", GITHUB)
    watch.now += REMEMBERED_SECONDS
    assert book.current() == []


def test_the_longest_unheard_of_make_room(book: AllowanceBook) -> None:
    for number in range(REMEMBERED):
        book.learn(f"github.com/{number}", GITHUB)
        book.note_limited(f"github.com/{number}")
    book.learn("github.com/0", GITHUB)
    book.learn("github.com/new", GITHUB)
    book.note_limited("github.com/new")
    names = {one.whose for one in book.current()}
    assert len(names) == len(book.limited) == REMEMBERED
    assert {"github.com/0", "github.com/new"} <= names
    assert "github.com/1" not in names


TOKEN = [{"host": "forge.test", "owner": "acme", "token": SECRET}]
Question = Callable[[FakeForge, Times, AllowanceBook], Awaitable[None]]


async def ask_gitlab(forge: FakeForge, times: Times, book: AllowanceBook) -> None:
    where = {"host": "forge.test", "api_url": forge.base_url, "allowances": book}
    async with making(GitLabClient, times, credentials=TOKEN, **where) as make:
        await make().find_merge_requests("acme/shop", SHA)


async def ask_azure(forge: FakeForge, times: Times, book: AllowanceBook) -> None:
    where = {"host": "forge.test", "api_url": forge.base_url, "allowances": book}
    repository = AzureRepository(organisation="acme", project="web", name="shop", owner="acme/web")
    async with making(AzureDevOpsClient, times, credentials=TOKEN, **where) as make:
        await make().find_pull_requests(repository, SHA)


async def ask_github(forge: FakeForge, times: Times, book: AllowanceBook) -> None:
    where = {"host": "forge.test", "base_url": forge.base_url, "allowances": book}
    async with making(GitHubClient, times, credentials=TOKEN, **where) as make:
        await make().find_pull_requests("acme", "shop", SHA)


async def ask_github_bare(forge: FakeForge, times: Times, book: AllowanceBook) -> None:
    where = {"host": "forge.test", "base_url": forge.base_url, "allowances": book}
    async with making(GitHubClient, times, credentials=[], **where) as make:
        await make().find_pull_requests("other", "shop", SHA)


CLIENTS = pytest.mark.parametrize(
    ("question", "whose"),
    [
        (ask_gitlab, "forge.test/acme"),
        (ask_azure, "forge.test/acme"),
        (ask_github, "forge.test/acme"),
        (ask_github_bare, "forge.test"),
    ],
    ids=["gitlab", "azure", "github", "without a credential"],
)


@CLIENTS
async def test_a_client_tells_what_is_left_and_of_whose(
    question: Question, whose: str, forge: FakeForge, times: Times, book: AllowanceBook
) -> None:
    forge.says(Says(json={"results": [{}]} if question is ask_azure else [], headers=GITHUB))
    await question(forge, times, book)
    assert (only(book).whose, only(book).remaining) == (whose, 4321)
    assert book.limited == {}
    assert SECRET not in repr(book.current())


@CLIENTS
async def test_a_client_counts_who_asks_to_wait(
    question: Question, whose: str, forge: FakeForge, times: Times, book: AllowanceBook
) -> None:
    forge.says(Says(status=429, json={}, headers={"Retry-After": "900"}))
    with pytest.raises(RateLimitedError):
        await question(forge, times, book)
    assert book.limited == {whose: 1}
