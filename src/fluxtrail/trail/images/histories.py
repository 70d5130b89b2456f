"""Which commits lie between two images of one repository, where its history may be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import structlog

from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, NotFoundError, WireError
from fluxtrail.trail.ports import RepositoryReader
from fluxtrail.trail.strategies.ranges import LIMIT, commits_between
from fluxtrail.trail.strategies.stated import ExportedCommit

log = structlog.get_logger(__name__)

REMEMBERED = 256


class Bump(msgspec.Struct, frozen=True):
    """From one commit of a repository to another; what stood before may not be known."""

    source: str
    before: str | None
    after: str
    kept: tuple[str, ...] = ()
    """Commits that other containers of the same target run: what they contain is not dropped."""


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """What a bump brings and takes away, oldest first."""

    commits: tuple[ExportedCommit, ...]
    dropped: tuple[str, ...] = ()


class Histories:
    """Reads bumps; an answer is held, for the same image comes to many targets.

    Args:
        find_reader: opens a repository by its canonical name, where it is known and may be read.
    """

    def __init__(self, find_reader: Callable[[str], RepositoryReader | None]) -> None:
        self._find_reader = find_reader
        self._held: dict[Bump, Brought] = {}

    async def read(self, bump: Bump, *, is_late: bool) -> Brought:
        """Return what a bump brings: the first-parent commits between, at most 1,000; else only what is stated.

        Args:
            is_late: it has been tried for long enough: what cannot be read now is not waited for.

        Raises:
            UpstreamError: the repository cannot be read now, and may be later.
        """
        held = self._held.get(bump)
        if held is not None:
            return held
        found = await self._read(bump, is_late)
        self._held[bump] = found
        while len(self._held) > REMEMBERED:
            del self._held[next(iter(self._held))]
        return found

    async def _read(self, bump: Bump, is_late: bool) -> Brought:
        stated = Brought(commits=(ExportedCommit(sha=bump.after),))
        reader = self._find_reader(bump.source)
        if reader is None:
            return stated
        try:
            commits = await commits_between(reader, bump.before, bump.after)
            dropped = await self._dropped(reader, bump)
        except FluxtrailError as exc:
            stands = isinstance(exc, AuthError | NotFoundError | ConfigError | WireError) or not exc.retryable
            if not stands and not is_late:
                raise
            log.warning("source repository unreadable", repository=bump.source, sha=bump.after, error=str(exc))
            return stated
        return Brought(commits=commits, dropped=dropped)

    async def _dropped(self, reader: RepositoryReader, bump: Bump) -> tuple[str, ...]:
        """Return what the image before had, and neither this one nor what runs beside it has."""
        if bump.before is None or not await _has_all(reader, [bump.before, bump.after]):
            return ()
        kept = [sha for sha in bump.kept if await reader.has(sha)]
        facts = await reader.log(bump.before, exclude=[bump.after, *kept], limit=LIMIT, with_paths=False)
        return tuple(item.sha for item in facts)


async def _has_all(reader: RepositoryReader, shas: Sequence[str]) -> bool:
    return all([await reader.has(sha) for sha in shas])
