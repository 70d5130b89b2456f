"""Ranges: the commits between what a carrier was made from before and what it is made from now."""

from __future__ import annotations

from collections.abc import Sequence

from fluxtrail.model.commit import CommitFacts
from fluxtrail.trail.ports import RepositoryReader
from fluxtrail.trail.strategies.stated import ExportedCommit

LIMIT = 1_000


async def commits_between(
    reader: RepositoryReader, previous: str | None, sha: str, *, paths: Sequence[str] = ()
) -> tuple[ExportedCommit, ...]:
    """Return the first-parent commits after `previous` up to `sha`, oldest first; only `sha` where none is known.

    Args:
        paths: directories and files; commits that touch none of them are left out. Empty: all are taken.

    Raises:
        UpstreamError: the repository could not be read.
    """
    wanted = [item for item in (sha, previous) if item is not None and not await reader.has(item)]
    if wanted:
        await reader.refresh(want=wanted)
    if previous is None or not await reader.has(previous):
        found = await reader.log(sha, limit=1)
    else:
        found = await reader.log(sha, exclude=[previous], limit=LIMIT)
    return tuple(_exported(facts) for facts in found if _touches(facts, paths))


async def commits_left(reader: RepositoryReader, previous: str, sha: str) -> tuple[str, ...]:
    """Return the shas that `previous` contains and `sha` does not, oldest first: those that a step back leaves."""
    if not (await reader.has(previous) and await reader.has(sha)):
        return ()
    found = await reader.log(previous, exclude=[sha], limit=LIMIT, with_paths=False)
    return tuple(facts.sha for facts in found)


def _touches(facts: CommitFacts, paths: Sequence[str]) -> bool:
    if not paths or facts.paths_truncated:
        return True
    return any(path == taken or path.startswith(f"{taken}/") for path in facts.paths for taken in paths)


def _exported(facts: CommitFacts) -> ExportedCommit:
    return ExportedCommit(sha=facts.sha, summary=facts.subject, author=facts.author, stated_at=facts.committed_at)
