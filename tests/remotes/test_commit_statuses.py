"""What every forge does with a commit's status: kept as we say that it is, written once, refused in plain words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.remotes.forges import SECRET, SHA, FakeForge, Says, Times
from tests.remotes.stating import PLACES, Place, status

from fluxtrail.model.errors import AuthError, FluxtrailError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.status import CommitStatus, StatusState


@dataclass(frozen=True)
class There:
    """One forge's writer, and what it writes to."""

    place: Place
    writer: Any
    keeper: Any
    audited: list[tuple[str, str]]

    @property
    def repository(self) -> str:
        return self.place.where[1]

    async def write(self, said: CommitStatus) -> None:
        await self.writer.write(self.repository, SHA, said)

    async def find(self, context: str) -> CommitStatus | None:
        found: CommitStatus | None = await self.writer.find(self.repository, SHA, context)
        return found


@pytest.fixture(params=PLACES)
async def there(request: pytest.FixtureRequest, forge: FakeForge, times: Times) -> AsyncIterator[There]:
    """A writer that has been asked before: what it wants to know of the server, it knows."""
    place = PLACES[request.param]
    keeper = place.keeping.Keeper(forge)
    forge.says(keeper)
    audited: list[tuple[str, str]] = []
    async with place.clients(forge, times) as make:
        root = {"api_url": forge.base_url + place.root} if place.root else {}
        writer = place.writer(make(**place.options, **root), audit=lambda what, where: audited.append((what, where)))
        found = There(place, writer, keeper, audited)
        assert await found.find("x") is None
        forge.asked.clear()
        yield found


@pytest.mark.parametrize("state", StatusState)
@pytest.mark.parametrize(
    "text",
    ["", "x" * 10_000, "\U0001f680" * 900, "a\r\n\tb", "a&b ü", "\ud800", "e\u0301" * 900],
    ids=["empty", "10 kB", "emoji", "lines", "signs", "surrogate", "combining"],
)
async def test_what_is_kept_is_what_is_said_to_be_kept(state: StatusState, text: str, there: There) -> None:
    address = f"https://t.example/{'x' * len(text)}"
    said = status(state, description=text, context=f"fluxtrail/{text[:100] or 'x'}", url=address)
    await there.write(said)
    assert await there.find(said.context) == there.writer.as_kept(said)


async def test_long_contexts_stay_apart(there: There) -> None:
    first, second = (status(context="fluxtrail/" + "e" * 10_000 + end, description=end) for end in ("1", "2\n"))
    await there.write(first)
    await there.write(second)
    assert await there.find(first.context) == there.writer.as_kept(first)
    assert await there.find(second.context) == there.writer.as_kept(second)


async def test_a_write_whose_answer_is_lost_is_not_repeated_and_can_be_read_back(
    forge: FakeForge, there: There
) -> None:
    forge.says(there.keeper.losing_its_answer, there.keeper)
    with pytest.raises(UpstreamError, match="answered 50[24]") as caught:
        await there.write(status())
    assert (caught.value.retryable, len(forge.asked)) == (True, 1)
    assert await there.find("fluxtrail/prod") == there.writer.as_kept(status())


async def test_a_limit_raises_and_says_when(forge: FakeForge, there: There) -> None:
    forge.says(Says(status=429, headers={"Retry-After": "30"}, body=b"Retry later"))
    with pytest.raises(RateLimitedError) as caught:
        await there.write(status())
    assert (caught.value.retry_after_seconds, len(forge.asked)) == (30, 1)


@pytest.mark.parametrize("code", [401, 403])
async def test_a_weak_token_says_which_right_is_missing(code: int, forge: FakeForge, there: There) -> None:
    forge.says(Says(status=code, json={"message": "it is too weak"}))
    with pytest.raises(AuthError, match=f"it is too weak; .*{there.place.right}") as caught:
        await there.write(status())
    assert caught.value.status == code


async def test_what_is_no_repository_or_no_commit_is_not_asked_about(forge: FakeForge, there: There) -> None:
    for repository in there.place.not_there:
        with pytest.raises(WireError, match=there.place.refusal):
            await there.writer.write(repository, SHA, status())
        with pytest.raises(WireError, match=there.place.refusal):
            await there.writer.find(repository, SHA, "x")
    for sha in ("main", "0123", SHA.upper(), f"{SHA}/../x", f"{SHA}\n", "", f"{SHA}?x=1"):
        with pytest.raises(WireError, match="not a full commit id"):
            await there.writer.write(there.repository, sha, status())
        with pytest.raises(WireError, match="not a full commit id"):
            await there.writer.find(there.repository, sha, "x")
    with pytest.raises(WireError, match="it is empty"):
        await there.write(status(context="\n"))
    assert (forge.asked, there.audited) == ([], [])


async def test_every_write_is_audited(there: There) -> None:
    host, repository = there.place.where
    await there.write(status())
    name = repository.removeprefix("tfs/")  # the root of an Azure DevOps Server is no part of it
    assert there.audited == [(there.place.audited, f"{host}/{name}@{SHA}")]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 429, 500])
@pytest.mark.parametrize("is_nested", [False, True])
async def test_no_error_and_no_log_repeats_the_token(
    code: int, is_nested: bool, forge: FakeForge, there: There
) -> None:
    shown = []

    def echo(request: Any) -> Says:
        text = request.headers["Authorization"]
        shown.append(text)
        nested = {"message": {"token": [text]}, "error": {"message": text}, "errors": [text, {"message": text}]}
        return Says(status=code, json=nested if is_nested else {"message": text})

    forge.says(echo)
    with capture_logs() as logs, pytest.raises(FluxtrailError) as caught:
        await there.write(status())
    assert shown
    assert SECRET not in f"{caught.value} {caught.value!r} {logs}"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"key": 7, "values": 7, "value": 7}',
        b"7",
        b"[7]",
        b'[{"id": "x", "state": 7}]',
        b"\xff",
        b"[" * 60_000,
    ],
)
async def test_odd_answers_are_wire_errors(body: bytes, forge: FakeForge, there: There) -> None:
    forge.says(Says(body=body))
    with pytest.raises(WireError):
        await there.find("x")
