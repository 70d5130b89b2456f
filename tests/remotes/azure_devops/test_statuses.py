"""What Azure DevOps is told of a commit, and what its refusals come to."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.remotes.azure_devops.keeping import REPOSITORY, ROOT, Keeper
from tests.remotes.forges import SHA, FakeForge, Says, Times
from tests.remotes.stating import PAGE, E, F, N, P, R, S, status

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, WireError
from fluxtrail.model.status import StatusState
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient
from fluxtrail.remotes.azure_devops.statuses import AzureStatuses


@pytest.fixture
def statuses(client: AzureDevOpsClient) -> AzureStatuses:
    return AzureStatuses(client)


async def test_a_status_is_posted_as_azure_devops_wants_it(
    forge: FakeForge, keeper: Keeper, statuses: AzureStatuses
) -> None:
    await statuses.write(REPOSITORY, SHA, status(F))
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", f"{ROOT}/commits/{SHA}/statuses?api-version=6.0")
    assert msgspec.json.decode(asked.body) == {
        "state": "failed",
        "description": "deployed",
        "targetUrl": f"{PAGE}?context=fluxtrail%2Fprod",
        "context": {"name": "prod", "genre": "fluxtrail"},
    }


@pytest.mark.parametrize(
    ("context", "genre", "name"),
    [
        ("deploy/prod/eu", "deploy", "prod/eu"),
        ("prod", "fluxtrail", "prod"),
        ("/prod", "fluxtrail", "/prod"),
        ("prod/", "fluxtrail", "prod/"),
        ("a b/ü & ?#%", "a b", "ü & ?#%"),
    ],
)
async def test_the_genre_is_what_stands_before_the_slash(
    context: str, genre: str, name: str, keeper: Keeper, statuses: AzureStatuses
) -> None:
    await statuses.write(REPOSITORY, SHA, status(P, context=context))
    assert keeper.statuses[0]["context"] == {"genre": genre, "name": name}
    found = await statuses.find(REPOSITORY, SHA, context)
    assert found == statuses.as_kept(status(P, context=context))


async def test_no_environment_takes_anothers_place(keeper: Keeper, statuses: AzureStatuses) -> None:
    names = ["prod", "prod/eu", "a&b", "a b", "a+b", "a%20b", "a#b", "ü"]
    for name in names:
        await statuses.write(REPOSITORY, SHA, status(P, context=f"fluxtrail/{name}", url=f"{PAGE}?tab=1&x=y#top"))
        await statuses.write(REPOSITORY, SHA, status(F, context=f"other/{name}", url=""))
    assert len(keeper.shown) == 2 * len(names)
    addresses = [one["targetUrl"] for one in keeper.statuses]
    assert len(set(addresses)) == len(addresses)
    assert addresses[0] == f"{PAGE}?tab=1&x=y&context=fluxtrail%2Fprod#top"
    assert all(address.isascii() and " " not in address for address in addresses)


async def test_without_an_address_it_leads_to_the_commit(
    forge: FakeForge, keeper: Keeper, statuses: AzureStatuses
) -> None:
    await statuses.write(REPOSITORY, SHA, status(F, url="javascript:alert(1)"))
    page = f"{forge.base_url}/tfs/acme/Web%20Shop/_git/cart%26co%231/commit/{SHA}?context=fluxtrail%2Fprod"
    assert keeper.statuses[0]["targetUrl"] == page
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") == statuses.as_kept(status(F, url=""))


async def test_the_mark_of_a_commit_is_that_of_its_most_urgent_context(keeper: Keeper, statuses: AzureStatuses) -> None:
    for name, state in (("one", P), ("two", P), ("three", F), ("one", S)):
        await statuses.write(REPOSITORY, SHA, status(state, context=f"fluxtrail/{name}"))
    assert [one["state"] for one in keeper.statuses] == ["pending", "pending", "failed", "succeeded", "failed"]
    again = keeper.statuses[-1]
    assert {**again, "id": 3} == keeper.statuses[2]
    await statuses.write(REPOSITORY, SHA, status(S, context="fluxtrail/three"))
    assert [one["state"] for one in keeper.statuses[5:]] == ["succeeded", "pending"]
    await statuses.write(REPOSITORY, SHA, status(S, context="fluxtrail/two"))
    assert [one["state"] for one in keeper.statuses[7:]] == ["succeeded"]
    assert set(keeper.shown.values()) == {"succeeded"}


async def test_what_others_posted_is_not_posted_again(keeper: Keeper, statuses: AzureStatuses) -> None:
    theirs = {"state": "failed", "description": "", "targetUrl": "https://ci.example/1"}
    keeper.statuses += [
        {"id": 1, **theirs, "context": {"name": "build", "genre": "fluxtrail"}},
        {"id": 2, **theirs, "targetUrl": None, "context": {"name": "build", "genre": None}},
        {"id": 3, **theirs, "context": None},
    ]
    await statuses.write(REPOSITORY, SHA, status(S))
    assert len(keeper.statuses) == 4


async def test_statuses_of_a_commit_that_come_at_once_end_in_what_was_said(
    keeper: Keeper, client: AzureDevOpsClient
) -> None:
    names = [f"fluxtrail/{number}" for number in range(4)]
    for name in names:
        await AzureStatuses(client).write(REPOSITORY, SHA, status(P, context=name))
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(AzureStatuses(client).write(REPOSITORY, SHA, status(S, context=name)))
    assert set(keeper.shown.values()) == {"succeeded"}
    assert keeper.statuses[-1]["state"] == "succeeded"


async def test_a_mark_that_cannot_be_renewed_is_no_failure(
    forge: FakeForge, keeper: Keeper, statuses: AzureStatuses
) -> None:
    forge.says(keeper, Says(status=403, json={"message": "TF: no"}))
    with capture_logs() as logs:
        await statuses.write(REPOSITORY, SHA, status(S))
    assert [entry["event"] for entry in logs] == ["mark_not_renewed"]
    assert len(keeper.statuses) == 1


async def test_the_newest_of_a_context_counts(keeper: Keeper, statuses: AzureStatuses) -> None:
    assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") is None
    for state in (P, F, E, N, S):
        await statuses.write(REPOSITORY, SHA, status(state))
        assert await statuses.find(REPOSITORY, SHA, "fluxtrail/prod") == statuses.as_kept(status(state))


@pytest.mark.parametrize("state", [P, R, S, F, E, N])
@pytest.mark.parametrize("text", ["", "x" * 10_000, "\U0001f680" * 900, "a\r\n\tb", "\ud800", "e\u0301" * 900])
async def test_what_is_kept_is_what_is_said_to_be_kept(
    state: StatusState, text: str, keeper: Keeper, statuses: AzureStatuses
) -> None:
    said = status(
        state, description=text, context=f"fluxtrail/{text or 'x'}", url=f"https://t.example/{'x' * len(text)}"
    )
    await statuses.write(REPOSITORY, SHA, said)
    assert await statuses.find(REPOSITORY, SHA, said.context) == statuses.as_kept(said)
    assert len(keeper.statuses[0]["description"].encode("utf-16-le")) <= 2_000


@pytest.mark.parametrize("word", ["notSet", "pending", "new", None])
async def test_unknown_words_are_not_there_yet(word: str | None, keeper: Keeper, statuses: AzureStatuses) -> None:
    keeper.statuses.append({"id": 1, "state": word, "context": {"name": "x", "genre": "fluxtrail"}})
    found = await statuses.find(REPOSITORY, SHA, "x")
    assert found is not None
    assert (found.state, found.description, found.url) == (P, "", "")


async def test_an_unknown_commit_and_a_hidden_repository(keeper: Keeper, statuses: AzureStatuses) -> None:
    with pytest.raises(NotFoundError, match="TF401175") as caught:
        await statuses.write(REPOSITORY, "a" * 40, status())
    assert "scope" not in str(caught.value)
    with pytest.raises(NotFoundError, match=r"TF401019.*token with the scope Code \(status\)"):
        await statuses.write("acme/other/cart", SHA, status())


async def test_a_sign_in_page_is_no_success(forge: FakeForge, statuses: AzureStatuses) -> None:
    forge.says(Says(status=203, body=b"<html>Sign in</html>", content_type="text/html"))
    with pytest.raises(AuthError, match="sign-in page"):
        await statuses.write(REPOSITORY, SHA, status())


async def test_being_slowed_down_is_heeded_before_it_is_refused(
    forge: FakeForge, keeper: Keeper, times: Times, statuses: AzureStatuses
) -> None:
    slowing = {"Retry-After": "3", "X-RateLimit-Resource": "Core", "X-RateLimit-Delay": "1.2"}
    forge.says(lambda request: slow(keeper(request), slowing), keeper)
    await statuses.write(REPOSITORY, SHA, status(F))
    await statuses.write(REPOSITORY, SHA, status(F))
    assert times.slept == [3.0]
    forge.says(lambda request: slow(keeper(request), {"Retry-After": "90"}))
    await statuses.write(REPOSITORY, SHA, status(F))
    count = len(forge.asked)
    with pytest.raises(RateLimitedError) as caught:
        await statuses.write(REPOSITORY, SHA, status(F))
    assert (caught.value.retry_after_seconds, len(forge.asked)) == (90, count)


async def test_a_refusal_for_the_limit_says_when(forge: FakeForge, statuses: AzureStatuses) -> None:
    reset = {"X-RateLimit-Remaining": "0", "Retry-After": "120"}
    forge.says(Says(status=429, headers=reset, json={"message": "TF400733: blocked"}))
    with pytest.raises(RateLimitedError) as caught:
        await statuses.write(REPOSITORY, SHA, status())
    assert (caught.value.retry_after_seconds, len(forge.asked)) == (120, 1)


def slow(says: Says, headers: dict[str, str]) -> Says:
    says.headers |= headers
    return says


async def test_every_write_is_audited(keeper: Keeper, client: AzureDevOpsClient) -> None:
    told: list[tuple[str, str]] = []
    statuses = AzureStatuses(client, audit=lambda what, where: told.append((what, where)))
    await statuses.write(REPOSITORY, SHA, status(P, context="fluxtrail/one"))
    await statuses.write(REPOSITORY, SHA, status(S))
    where = f"ado.test/{REPOSITORY}@{SHA}"
    assert told == [
        ("commit status pending fluxtrail/one", where),
        ("commit status succeeded fluxtrail/prod", where),
        ("commit status pending fluxtrail/one", where),
    ]


async def test_odd_lists_are_wire_errors(forge: FakeForge, statuses: AzureStatuses) -> None:
    odd: list[bytes] = [b"<html>", b"[]", b'{"value": [7]}', b'{"value": null}', b"\xff", b"[" * 60_000]
    for body in odd:
        forge.says(lambda _request, body=body: Says(body=body))  # type: ignore[misc]
        with pytest.raises(WireError):
            await statuses.find(REPOSITORY, SHA, "x")
