"""How a branch moved: straight on, or rewritten from a fork. Read from git before anything is written."""

from __future__ import annotations

import msgspec

from fluxtrail.model.commit import CommitFacts
from fluxtrail.trail.ports import RepositoryReader

FIRST_HISTORY = 500
"""Commits of a branch that are read when it is first followed: enough to place what targets have applied."""
RANGE_LIMIT = 10_000


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """How a branch moved since the last look, read from git before anything is written."""

    head: str
    fork: str | None
    """The commit of the known chain that the new ones stand on; None for a branch read for the first time."""
    is_rewritten: bool
    commits: tuple[CommitFacts, ...]


async def read_advance(reader: RepositoryReader, known: str | None, head: str) -> Advance:
    """Read how a branch came from `known` to `head`: straight on, or rewritten from a fork."""
    if known is None:
        commits = await reader.log(head, limit=FIRST_HISTORY, with_paths=False)
        return Advance(head=head, fork=None, is_rewritten=False, commits=tuple(commits))
    if await reader.has(known):
        commits = await reader.log(head, exclude=[known], limit=RANGE_LIMIT)
        if commits and commits[0].parents[:1] == (known,):
            return Advance(head=head, fork=known, is_rewritten=False, commits=tuple(commits))
        fork = await reader.merge_base(known, head)
        if fork is not None:
            commits = await reader.log(head, exclude=[fork], limit=RANGE_LIMIT)
            if not commits or commits[0].parents[:1] == (fork,):
                return Advance(head=head, fork=fork, is_rewritten=True, commits=tuple(commits))
    commits = await reader.log(head, limit=FIRST_HISTORY)
    return Advance(head=head, fork=None, is_rewritten=True, commits=tuple(commits))
