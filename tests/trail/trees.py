"""A repository that is nothing but dictionaries: the files of each commit."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, cast

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.errors import WireError
from fluxtrail.trail.ports import RepositoryReader


class Entry(NamedTuple):
    name: str
    type: str


class FakeTrees:
    """Reads what scope reads. `trees` maps a sha to its files; a symlink or submodule is not told apart."""

    def __init__(self, trees: Mapping[str, Mapping[str, str | bytes]]) -> None:
        self.trees = trees
        self.reads: list[tuple[str, str]] = []

    async def read_file(self, sha: str, path: str, *, limit_bytes: int) -> bytes | None:
        self.reads.append((sha, path))
        content = self.trees[sha].get(path)
        if content is None:
            return None
        data = content.encode() if isinstance(content, str) else content
        if len(data) > limit_bytes:
            raise WireError(f"{len(data)} bytes are more than {limit_bytes}", subject=path)
        return data

    async def prefetch(self, files: Iterable[tuple[str, str]]) -> None:
        assert all(sha in self.trees for sha, _ in files)

    async def list_tree(self, sha: str, path: str) -> Sequence[Entry]:
        prefix = f"{path}/" if path else ""
        inside = [name.removeprefix(prefix) for name in self.trees[sha] if name.startswith(prefix)]
        names = {name.split("/")[0]: "tree" if "/" in name else "blob" for name in inside}
        return [Entry(name, kind) for name, kind in sorted(names.items())]


def reader(trees: Mapping[str, Mapping[str, str | bytes]]) -> RepositoryReader:
    """The same as the reader of a repository; history is not asked for."""
    return cast("RepositoryReader", FakeTrees(trees))


def changed(sha: str, *paths: str, truncated: bool = False) -> CommitFacts:
    when = datetime(2026, 3, 1, tzinfo=UTC)
    return CommitFacts(
        sha=sha,
        parents=("0",),
        author="Ada",
        committed_at=when,
        authored_at=when,
        subject=posixpath.basename(sha),
        paths=paths,
        paths_truncated=truncated,
    )
