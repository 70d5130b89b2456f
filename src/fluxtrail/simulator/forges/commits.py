"""Which commits a forge has: those of the world's repositories, or of nobody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from fluxtrail.simulator.repositories import Repository


class Commits(Protocol):
    """What is known of commits."""

    def has(self, repository: str) -> bool:
        """Whether there is such a repository: `acme/shop`, or `acme/project/shop` where a forge has projects."""

    def message_of(self, repository: str, sha: str) -> str | None:
        """Return a commit's message; None for one that nobody has."""


class WorldCommits:
    """Those of the world, and the heads of pull requests, which only their forge has.

    Args:
        is_head: whether a repository's forge knows such a head.
    """

    def __init__(self, repositories: Mapping[str, Repository], *, is_head: Callable[[str, str], bool]) -> None:
        self._repositories = repositories
        self._is_head = is_head

    def has(self, repository: str) -> bool:
        return self._find(repository) is not None

    def message_of(self, repository: str, sha: str) -> str | None:
        found = self._find(repository)
        commit = found.commits.get(sha) if found else None
        if commit is not None:
            return commit.message
        return "" if found and self._is_head(found.name, sha) else None

    def _find(self, name: str) -> Repository | None:
        owner, _, path = name.partition("/")
        return self._repositories.get(f"{owner}/{path.rpartition('/')[2]}")


class AnyCommits:
    """Every sha of every repository, but for those that are said to be unknown: for load, where no git is.

    Args:
        unknown: shas that nobody has.
        absent: repositories that there are none of.
    """

    def __init__(self, *, unknown: tuple[str, ...] = (), absent: tuple[str, ...] = ()) -> None:
        self.unknown = set(unknown)
        self.absent = set(absent)
        self.messages: dict[str, str] = {}
        """By sha; `Change` where nothing is said."""

    def has(self, repository: str) -> bool:
        return repository not in self.absent

    def message_of(self, repository: str, sha: str) -> str | None:
        is_sha = len(sha) == 40 and all(letter in "0123456789abcdef" for letter in sha)
        if not is_sha or sha in self.unknown or repository in self.absent:
            return None
        return self.messages.get(sha, "Change")
