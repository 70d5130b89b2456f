"""The folder of clones: which repository is where, how much room they take, and who has to go.

<root>/lock                    one process owns the folder
<root>/home, askpass           what git processes see of a home
<root>/repositories/<name>.git the clones
<root>/incoming/               clones under way
<root>/broken/                 damaged ones, the last of each
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.model.errors import StoreError
from fluxtrail.model.repository import RepositoryUrl
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.command import GitCommand, size_bytes
from fluxtrail.remotes.git.environment import GitEnvironment
from fluxtrail.remotes.git.failures import OutOfRoomError
from fluxtrail.remotes.git.mirror import Mirror, make_folder
from fluxtrail.remotes.git.objects import ObjectReader
from fluxtrail.remotes.git.progress import CloneProgress
from fluxtrail.remotes.git.repository import GitRepository

log = structlog.get_logger(__name__)

DEFAULT_QUOTA_BYTES = 10 * 1024**3
SPARE_SECONDS = 3600.0
OPEN_READERS = 16


def _now() -> datetime:
    return datetime.now(UTC)


class GitStore:
    """Opens repositories as clones under `root`, within `quota_bytes` for all of them.

    Args:
        allow: asked before every contact with a remote; it also says whether `file://` is fine.
        progress: told of each step of a first clone, in the event loop; must not block.
        spare_seconds: a clone used within that time is not evicted; nor is one with pins, ever.

    Raises:
        StoreError: the folder cannot be written, or another process owns it.
    """

    def __init__(
        self,
        root: Path,
        *,
        allow: AllowList,
        credentials: CredentialSource,
        quota_bytes: int = DEFAULT_QUOTA_BYTES,
        progress: Callable[[CloneProgress], None] | None = None,
        clock: Callable[[], datetime] = _now,
        git_program: str = "git",
        spare_seconds: float = SPARE_SECONDS,
    ) -> None:
        self._root = root.absolute()
        self._allow, self._credentials = allow, credentials
        self._quota_bytes, self._spare_seconds = quota_bytes, spare_seconds
        self._progress, self._clock = progress, clock
        self._environment = GitEnvironment(self._root)
        self._lock_file = _own(self._root / "lock")
        self._command = GitCommand(program=git_program, secrets=lambda: credentials.secrets)
        self._repositories: dict[str, GitRepository] = {}
        self._sizes: dict[Path, int] = {}
        self._room = asyncio.Lock()
        self.broken = self._root / "broken"
        shutil.rmtree(self._root / "incoming", ignore_errors=True)

    async def __aenter__(self) -> GitStore:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the reading processes and let another process have the folder."""
        for repository in self._repositories.values():
            await repository.close()
        with contextlib.suppress(OSError):
            os.close(self._lock_file)
        self._lock_file = -1

    def open(self, url: RepositoryUrl | str) -> GitRepository:
        """Return the repository that `url` names, the same object for all its spellings. No I/O on the network.

        Raises:
            WireError: `url` is no repository URL. ConfigError: it may not be contacted.
        """
        parsed = self._allow.check(url)
        key = _key(parsed)
        known = self._repositories.get(key)
        if known is not None:
            return known
        path = self._root / "repositories" / f"{_folder_name(key)}.git"
        mirror = Mirror(
            path,
            parsed,
            command=self._command,
            environment=self._environment,
            credentials=self._credentials,
            limit_bytes=self._quota_bytes,
            may_log_in=self._allow.may_log_in,
        )
        if mirror.exists:
            mirror.remove_stale_locks()
        reader = ObjectReader(self._command, self._environment, path, subject=parsed.fetch_url)
        self._repositories[key] = GitRepository(mirror, reader, self, clock=self._clock)
        return self._repositories[key]

    # -- what clones need of their keeper -------------------------------------------------------------------

    async def admit(self, mirror: Mirror) -> None:
        """Ask the allow-list again: it may have changed, and so may what the name resolves to."""
        self._allow.check(mirror.url)
        await self._allow.check_addresses(mirror.url)
        await self._close_idle_readers()

    async def clone(self, mirror: Mirror) -> None:
        """Clone within what the quota leaves, one clone at a time: room is counted, not hoped for."""
        async with self._room:
            await self._measure_all()
            await self._evict(spare=mirror.path, needed_bytes=self._quota_bytes // 10)
            try:
                await self._clone_within(mirror)
            except OutOfRoomError:
                # How large it is was not known before. Once more, with all the room that can be made.
                if not await self._evict(spare=mirror.path, needed_bytes=self._quota_bytes):
                    raise
                await self._clone_within(mirror)

    async def _clone_within(self, mirror: Mirror) -> None:
        left = self._quota_bytes - sum(self._sizes.values())
        if left <= 0:
            raise OutOfRoomError(
                f"no room for another clone: `git.quota_bytes` is {self._quota_bytes}; raise it",
                subject=mirror.url.fetch_url,
            )
        await mirror.clone(self._root / "incoming", limit_bytes=left, on_progress=self._progress)
        self._sizes[mirror.path] = await asyncio.to_thread(size_bytes, mirror.path)
        if self._sizes[mirror.path] > left:
            await self._remove(mirror.path)
            raise OutOfRoomError(
                f"the clone outgrows the {left} bytes left of `git.quota_bytes`; raise it",
                subject=mirror.url.fetch_url,
            )

    async def settle(self, mirror: Mirror) -> None:
        """Count what a fetch brought, and evict others where the sum is too much."""
        with contextlib.suppress(OSError):
            os.utime(mirror.path)
        self._sizes[mirror.path] = await asyncio.to_thread(size_bytes, mirror.path)
        if sum(self._sizes.values()) > self._quota_bytes:
            async with self._room:
                await self._evict(spare=mirror.path, needed_bytes=0)

    # -- room -----------------------------------------------------------------------------------------------

    async def _measure_all(self) -> None:
        folder = self._root / "repositories"
        paths = list(folder.glob("*.git")) if folder.is_dir() else []
        known = self._sizes
        self._sizes = {p: known[p] if p in known else await asyncio.to_thread(size_bytes, p) for p in paths}

    async def _evict(self, *, spare: Path, needed_bytes: int) -> int:
        """Remove clones, the longest unused first, until `needed_bytes` are free or none may go; return how many."""
        await self._measure_all()
        removed = 0
        for path in sorted(self._sizes, key=_used_seconds):
            if self._quota_bytes - sum(self._sizes.values()) >= needed_bytes:
                break
            if path == spare or not self._may_go(path):
                continue
            log.info("git clone evicted", clone=path.name, size_bytes=self._sizes[path])
            await self._remove(path)
            removed += 1
        return removed

    def _may_go(self, path: Path) -> bool:
        if Mirror.has_pins(path):
            return False
        for repository in self._repositories.values():
            if repository.mirror.path == path:
                idle = (self._clock() - repository.used_at).total_seconds()
                return repository.active == 0 and idle >= self._spare_seconds
        return True

    async def _remove(self, path: Path) -> None:
        for repository in self._repositories.values():
            if repository.mirror.path == path:
                await repository.forget()
        self._sizes.pop(path, None)
        # Renamed first: a half-removed clone must not be met by its name.
        grave = self._root / "incoming" / f"{path.name}.removed"
        try:
            _bury(path, grave)
        except OSError as exc:
            raise StoreError(f"a clone cannot be removed: {exc.strerror}", subject=str(path)) from exc
        await asyncio.to_thread(shutil.rmtree, grave, ignore_errors=True)

    async def _close_idle_readers(self) -> None:
        readers = [r for r in self._repositories.values() if r.reader.is_open and r.active == 0]
        for repository in sorted(readers, key=lambda r: r.used_at)[: max(0, len(readers) - OPEN_READERS)]:
            await repository.close()


def _bury(path: Path, grave: Path) -> None:
    make_folder(grave.parent)
    path.rename(grave)


def _own(path: Path) -> int:
    """Take the lock that says this process owns the folder; it goes with the process."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"the folder for clones cannot be written: {exc.strerror}", subject=str(path.parent)) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise StoreError("another Fluxtrail process uses this folder for clones", subject=str(path.parent)) from exc
    return descriptor


def _key(url: RepositoryUrl) -> str:
    """One clone a repository; another HTTP port may be another server, another SSH port is another door."""
    return f"{url.canonical} {url.port}" if url.port and url.scheme != "ssh" else url.canonical


def _folder_name(key: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", key).strip("._-")[:80]
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _used_seconds(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
