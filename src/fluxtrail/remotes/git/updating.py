"""Brings one clone up to date: first clone, fetch, wanted commits, and what to do when the clone is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from fluxtrail.model.errors import FluxtrailError, NotFoundError
from fluxtrail.remotes.git.failures import CorruptCloneError, LockedCloneError, OutOfRoomError
from fluxtrail.remotes.git.mirror import Mirror
from fluxtrail.remotes.git.objects import ObjectReader
from fluxtrail.remotes.git.refs import PIN_PREFIX, Heads, RefList

log = structlog.get_logger(__name__)

DEFAULT_BRANCH_SECONDS = 3600.0
MISSING_RETRY_SECONDS = 60.0
RECLONE_PAUSE_SECONDS = 600.0
REMEMBERED_MISSING = 1_000


class Keeper(Protocol):
    """What a clone needs of the store that keeps it."""

    broken: Path
    """Where damaged clones go."""

    async def admit(self, mirror: Mirror) -> None:
        """Raise ConfigError unless the remote may be contacted now."""

    async def clone(self, mirror: Mirror) -> None:
        """Make room, and clone within it."""

    async def settle(self, mirror: Mirror) -> None:
        """Account for what a fetch brought; evict others where it is too much."""


class Updater:
    """One repository's way to its remote. `update` is called by one caller at a time."""

    def __init__(self, mirror: Mirror, reader: ObjectReader, keeper: Keeper, *, clock: Callable[[], datetime]) -> None:
        self._mirror, self._reader, self._keeper, self._clock = mirror, reader, keeper, clock
        self._missing_since: dict[str, datetime] = {}
        self._recloned_at: datetime | None = None
        self._default_branch_at: datetime | None = None
        self._tips: tuple[dict[str, str], dict[str, str]] | None = None
        self.is_damaged = False
        """Set by a reader that met damage: the next update clones anew."""

    async def update(self, want: frozenset[str]) -> Heads:
        """Fetch, and obtain the wanted commits one way or another.

        Raises:
            ConfigError: the remote may not be contacted.
            AuthError, NotFoundError, RateLimitedError, UpstreamError: the remote did not answer as hoped.
            StoreError: no room on the disk or in the quota.
        """
        await self._keeper.admit(self._mirror)
        if not self._mirror.exists:
            await self._keeper.clone(self._mirror)
        elif self.is_damaged:
            await self._clone_again("a read met damage")
        else:
            await self._fetch()
        try:
            return await self._take_stock(want)
        except CorruptCloneError as exc:
            await self._clone_again(str(exc))
            return await self._take_stock(want)

    async def read_heads(self, *, missing: frozenset[str] = frozenset()) -> Heads:
        """Read the heads from the clone, as of its last fetch."""
        return await self._heads(await self._mirror.refs(), missing)

    async def _heads(self, refs: RefList, missing: frozenset[str]) -> Heads:
        tags = dict(refs.tags)
        for name, oid in refs.nested_tags.items():
            commit = await self._reader.find_info(f"{oid}^{{commit}}")
            if commit is not None:
                tags[name] = commit.oid
        seconds = self._mirror.fetched_at_seconds
        head = (self._mirror.path / "HEAD").read_text("utf-8", "replace").strip()
        default = head.removeprefix("ref: refs/heads/")
        return Heads(
            branches=refs.branches,
            tags=tags,
            default_branch=default if default != head else None,
            fetched_at=None if seconds is None else datetime.fromtimestamp(seconds, UTC),
            missing=missing,
        )

    async def _fetch(self) -> None:
        try:
            await self._mirror.fetch()
        except LockedCloneError as exc:
            if not self._mirror.remove_stale_locks():
                raise
            log.warning("stale git lock removed", repository=self._mirror.url.canonical, lock=exc.lock)
            await self._mirror.fetch()
        except OutOfRoomError:
            self._mirror.remove_stale_locks()  # and the half pack that was in its way
            raise
        except CorruptCloneError as exc:
            await self._clone_again(str(exc))

    async def _take_stock(self, want: frozenset[str]) -> Heads:
        missing = frozenset(await self._obtain(want))
        refs = await self._mirror.refs()
        await self._follow_default_branch(refs)
        if (refs.branches, refs.tags) != self._tips:
            await self._mirror.upkeep()
            await self._keeper.settle(self._mirror)
            self._tips = (refs.branches, refs.tags)
        return await self._heads(refs, missing)

    async def _obtain(self, want: Iterable[str]) -> list[str]:
        """Fetch by name what no ref reaches: pull requests' heads, and what a force-push left behind."""
        absent = [sha for sha in sorted(want) if not await self._has(sha)]
        now = self._clock()
        due = [sha for sha in absent if not self._is_known_missing(sha, now)]
        if due:
            await self._fetch_wanted(due)
        missing = [sha for sha in absent if not await self._has(sha)]
        for sha in missing:
            self._missing_since.setdefault(sha, now)
            if sha in due:
                self._missing_since[sha] = now
        while len(self._missing_since) > REMEMBERED_MISSING:
            del self._missing_since[next(iter(self._missing_since))]
        return missing

    async def _fetch_wanted(self, shas: list[str]) -> None:
        try:
            await self._mirror.fetch_objects(shas, negotiate=True)
        except NotFoundError:
            # One commit that is gone fails the whole request: ask for each alone.
            for sha in shas if len(shas) > 1 else ():
                try:
                    await self._mirror.fetch_objects([sha], negotiate=True)
                except NotFoundError:
                    continue

    def _is_known_missing(self, sha: str, now: datetime) -> bool:
        since = self._missing_since.get(sha)
        return since is not None and (now - since).total_seconds() < MISSING_RETRY_SECONDS

    async def _has(self, sha: str) -> bool:
        info = await self._reader.find_info(sha)
        return info is not None and info.type == "commit"

    async def _follow_default_branch(self, refs: RefList) -> None:
        """Follow the remote's HEAD: a fetch does not, and asking costs a round trip, so once an hour."""
        now = self._clock()
        if self._default_branch_at is None:
            self._default_branch_at = now
        head = (self._mirror.path / "HEAD").read_text("utf-8", "replace").strip().removeprefix("ref: refs/heads/")
        is_recent = (now - self._default_branch_at).total_seconds() < DEFAULT_BRANCH_SECONDS
        if not refs.branches or (head in refs.branches and is_recent):
            return
        self._default_branch_at = now
        branch = await self._mirror.find_remote_default_branch()
        if branch is not None and branch != head and branch in refs.branches:
            await self._mirror.local(["symbolic-ref", "HEAD", f"refs/heads/{branch}"])

    async def _clone_again(self, why: str) -> None:
        """Move the clone aside and make it once more; pins are carried over where the remote still has them."""
        now = self._clock()
        if self._recloned_at is not None and (now - self._recloned_at).total_seconds() < RECLONE_PAUSE_SECONDS:
            raise CorruptCloneError(
                f"the clone was damaged again soon after it was made anew; check the disk: {why}",
                subject=self._mirror.url.fetch_url,
            )
        self._recloned_at = now
        log.error("git clone damaged, cloning again", repository=self._mirror.url.canonical, reason=why)
        pins = self._mirror.read_pins_from_disk()
        await self._reader.close()
        await self._mirror.move_aside(self._keeper.broken)
        await self._keeper.clone(self._mirror)
        self.is_damaged = False
        await self._pin_again(pins)

    async def _pin_again(self, pins: dict[str, str]) -> None:
        lost = set(await self._obtain(pins.values()))
        for name, sha in pins.items():
            if sha in lost:
                log.warning(
                    "pinned commit lost with the clone", repository=self._mirror.url.canonical, pin=name, sha=sha
                )
                continue
            try:
                await self._mirror.local(["update-ref", "--end-of-options", PIN_PREFIX + name, sha])
            except FluxtrailError as exc:
                log.warning("commit not pinned again", repository=self._mirror.url.canonical, pin=name, error=str(exc))
