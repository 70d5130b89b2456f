from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.checkout import Checkout
from fluxtrail.simulator.repositories import Person, Repository, run_git

ADA = Person("Ada", "ada@acme.example")
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

Git = Callable[..., str]


@pytest.fixture
async def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "acme.git", name="acme/shop")
    await made.create()
    await made.commit({"a.txt": "one\n", "folder/b.txt": "b\n"}, "First\n", author=ADA, at=NOON)
    return made


async def git(repository: Repository, *arguments: str) -> str:
    return (await run_git(*arguments, cwd=repository.directory)).decode().strip()


async def test_a_push_is_a_real_commit_with_the_given_date(repository: Repository) -> None:
    made = await repository.commit({"a.txt": "two\n", "folder/b.txt": None}, "Second\n\nbody", author=ADA, at=NOON)
    assert await git(repository, "rev-parse", "refs/heads/main") == made.sha
    assert await git(repository, "log", "-1", "--format=%ct %an %s") == f"{int(NOON.timestamp())} Ada Second"
    assert await git(repository, "show", "main:a.txt") == "two"
    assert made.paths == ("a.txt", "folder/b.txt")
    assert "folder/b.txt" not in made.files
    await git(repository, "fsck", "--strict")


async def test_a_merge_keeps_the_pull_requests_commits_as_second_parent(repository: Repository) -> None:
    before = repository.head_commit
    merge, own = await repository.merge(
        [({"a.txt": "x\n"}, "Part one"), ({"c.txt": "c\n"}, "Part two")], "Merge it", number=7, author=ADA, at=NOON
    )
    assert merge.parents == (before.sha, own[-1].sha)
    assert await git(repository, "rev-list", "--first-parent", "main") == f"{merge.sha}\n{before.sha}"
    assert merge.paths == ("a.txt", "c.txt")
    assert merge.contains(own[0])
    assert not before.contains(own[0])


async def test_after_a_force_push_dropped_commits_are_no_longer_on_the_branch(repository: Repository) -> None:
    first = repository.head_commit
    dropped = await repository.commit({"a.txt": "two\n"}, "Second", author=ADA, at=NOON)
    await repository.force_push(first.sha)
    assert await git(repository, "rev-parse", "main") == first.sha
    assert not repository.is_on_branch(dropped)
    again = await repository.commit({"a.txt": "three\n"}, "Third", author=ADA, at=NOON)
    assert again.parents == (first.sha,)


async def test_partial_clones_work(repository: Repository, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    await run_git("clone", "--quiet", "--bare", "--filter=blob:none", repository.url, str(clone), cwd=tmp_path)
    listed = await run_git("rev-list", "--objects", "--missing=print", "main", cwd=clone)
    assert b"?" in listed


async def test_a_checkout_reads_what_the_repository_has(repository: Repository) -> None:
    checkout = Checkout(repository.directory)
    assert await checkout.head("main") == repository.head
    assert await checkout.head("other") is None
    artifact = await checkout.artifact(repository.head_commit.sha)
    assert artifact.files == {"a.txt": "one\n", "folder/b.txt": "b\n"}


async def test_the_same_tree_has_the_same_digest(repository: Repository) -> None:
    checkout = Checkout(repository.directory)
    first = repository.head_commit
    other = await repository.commit({"a.txt": "two\n"}, "There", author=ADA, at=NOON)
    back = await repository.commit({"a.txt": "one\n"}, "And back", author=ADA, at=NOON)
    digests = [(await checkout.artifact(commit.sha)).digest for commit in (first, other, back)]
    assert digests[0] == digests[2] != digests[1]


async def test_what_git_refuses_is_told(repository: Repository) -> None:
    with pytest.raises(UpstreamError, match="git update-ref failed"):
        await repository.force_push("0" * 39 + "1")
