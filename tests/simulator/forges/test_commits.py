"""A forge has the world's commits, and the heads of pull requests that were squashed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fluxtrail.simulator.forge import PEOPLE
from fluxtrail.simulator.forges.commits import AnyCommits, WorldCommits
from fluxtrail.simulator.repositories import Repository

SHA = "a" * 40


async def test_forge_has_the_worlds_commits(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop.git", name="acme/shop")
    await repository.create()
    made = await repository.commit({"a": "1"}, "First\n", author=PEOPLE[0], at=datetime(2026, 1, 1, tzinfo=UTC))
    commits = WorldCommits({"acme/shop": repository}, is_head=lambda name, sha: (name, sha) == ("acme/shop", SHA))
    assert commits.message_of("acme/shop", made.sha) == "First\n"
    assert commits.message_of("acme/project/shop", made.sha) == "First\n"
    assert commits.message_of("acme/shop", SHA) == ""
    assert commits.message_of("acme/shop", "b" * 40) is None
    assert commits.message_of("acme/other", made.sha) is None
    assert [commits.has(name) for name in ("acme/shop", "acme/other", "shop")] == [True, False, False]


def test_any_commit_is_there_unless_it_is_said_to_be_unknown() -> None:
    commits = AnyCommits(unknown=(SHA,), absent=("acme/nothing",))
    commits.messages["b" * 40] = "Said"
    assert commits.message_of("x/y", "b" * 40) == "Said"
    assert commits.message_of("x/y", "c" * 40) == "Change"
    assert commits.message_of("x/y", SHA) is None
    assert commits.message_of("x/y", "main") is None
    assert commits.message_of("acme/nothing", "c" * 40) is None
