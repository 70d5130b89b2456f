"""Ranges of a real repository, read through the store that the service uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.remotes.worlds import BEGIN, Origin

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.store import GitStore
from fluxtrail.trail.ports import RepositoryReader
from fluxtrail.trail.strategies import ranges
from fluxtrail.trail.strategies.ranges import commits_between, commits_left


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
async def reader(tmp_path: Path, origin: Origin) -> AsyncIterator[RepositoryReader]:
    allow = AllowList(allow_file_protocol=True)
    async with GitStore(tmp_path / "clones", allow=allow, credentials=CredentialSource.from_settings([])) as store:
        yield store.open(origin.url)


def push(origin: Origin, *names: str) -> list[str]:
    return [origin.commit(f"change {name}", files={name: str(number)}) for number, name in enumerate(names)]


async def between(reader: RepositoryReader, previous: str | None, sha: str, *paths: str) -> list[str]:
    return [commit.sha for commit in await commits_between(reader, previous, sha, paths=paths)]


async def test_a_range_is_what_came_after_oldest_first(origin: Origin, reader: RepositoryReader) -> None:
    first, *others = push(origin, "a", "b", "c", "d")
    assert await between(reader, first, others[-1]) == others
    assert await between(reader, others[0], others[-1]) == others[1:]
    assert await between(reader, first, first) == []


async def test_without_a_known_beginning_it_is_the_commit_alone(origin: Origin, reader: RepositoryReader) -> None:
    *_, last = push(origin, "a", "b", "c")
    assert await between(reader, None, last) == [last]
    assert await between(reader, "0" * 40, last) == [last]


async def test_what_a_commit_says_of_itself(origin: Origin, reader: RepositoryReader) -> None:
    first, second = push(origin, "a", "b")
    (found,) = await commits_between(reader, first, second)
    assert (found.sha, found.summary, found.author) == (second, "change b", "Ada")
    assert found.stated_at == BEGIN + timedelta(seconds=2)


async def test_commits_of_a_merged_branch_are_its_merges(origin: Origin, reader: RepositoryReader) -> None:
    (first,) = push(origin, "a")
    origin.git("checkout", "-q", "-b", "topic")
    origin.commit("aside", files={"t": "1"}, push=False)
    origin.git("checkout", "-q", "main")
    merge = origin.merge("topic", "Merge topic")
    assert await between(reader, first, merge) == [merge]


async def test_a_step_back_carries_nothing_and_leaves_what_came_between(
    origin: Origin, reader: RepositoryReader
) -> None:
    first, *others = push(origin, "a", "b", "c")
    await reader.refresh(want=others)
    assert await between(reader, others[-1], first) == []
    assert await commits_left(reader, others[-1], first) == tuple(others)
    assert await commits_left(reader, first, others[-1]) == ()


async def test_nothing_is_left_where_a_commit_is_unknown(origin: Origin, reader: RepositoryReader) -> None:
    first, second = push(origin, "a", "b")
    await reader.refresh(want=[second])
    assert await commits_left(reader, "0" * 40, first) == ()
    assert await commits_left(reader, second, "0" * 40) == ()


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((), [0, 1, 2, 3]),
        (("apps",), [0, 1]),
        (("apps/a",), [0]),
        (("app",), []),
        (("lib", "apps/b"), [1, 2]),
        (("README",), [3]),
        (("README/x",), []),
    ],
)
async def test_paths_choose_commits(
    origin: Origin, reader: RepositoryReader, paths: tuple[str, ...], expected: list[int]
) -> None:
    first, *others = push(origin, "x", "apps/a/file", "apps/b/file", "lib/file", "README")
    assert await between(reader, first, others[-1], *paths) == [others[index] for index in expected]


async def test_a_commit_outside_the_paths_is_no_beginning_either(origin: Origin, reader: RepositoryReader) -> None:
    (only,) = push(origin, "a")
    assert await between(reader, None, only, "elsewhere") == []


async def test_a_long_range_keeps_its_newest(
    origin: Origin, reader: RepositoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "LIMIT", 2)
    first, *others = push(origin, "a", "b", "c", "d")
    assert await between(reader, first, others[-1]) == others[1:]


async def test_an_unknown_end_is_an_error(origin: Origin, reader: RepositoryReader) -> None:
    push(origin, "a")
    with pytest.raises(FluxtrailError):
        await between(reader, None, "0" * 40)
