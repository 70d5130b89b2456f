"""One bare partial clone on disk: made, fetched into, kept in shape.

`--filter=blob:none` brings commits and trees, never `--depth`: ancestry needs the whole history. A server that
knows no filters sends everything; the quota bounds it. Reading is `objects.py` and `repository.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urljoin

import structlog

from fluxtrail.credentials.binding import Credential, CredentialSource, Kind
from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import AuthError, FluxtrailError, NotFoundError, StoreError, UpstreamError, WireError
from fluxtrail.model.repository import RepositoryUrl, parse_repository
from fluxtrail.remotes.git.command import LOCAL_TIMEOUT_SECONDS, DiskLimit, Finished, GitCommand
from fluxtrail.remotes.git.environment import GitEnvironment, transport_configuration
from fluxtrail.remotes.git.failures import MovedError
from fluxtrail.remotes.git.progress import CloneProgress, parse_progress
from fluxtrail.remotes.git.refs import FORMAT, PIN_PREFIX, RefList, parse_refs

log = structlog.get_logger(__name__)

FETCH_TIMEOUT_SECONDS = 300.0
CLONE_TIMEOUT_SECONDS = 3600.0
UPKEEP_TIMEOUT_SECONDS = 900.0
STALE_LOCK_SECONDS = 60.0
PACKS_BEFORE_REPACK = 50

PROMISOR = ("remote.origin.promisor=true", "remote.origin.partialclonefilter=blob:none")
_FETCH = ("fetch", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules", "--filter=blob:none")
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_LOCK_FOLDERS = (".", "refs", "objects/info", "objects/pack")
_LOCATION = re.compile(r"Recv header: location: (\S+)", re.IGNORECASE)
_MARK = "fluxtrail-fetched"


class Mirror:
    """The clone at `path` of `url`. Not safe for two fetches of refs at once: `repository.py` serialises them."""

    def __init__(
        self,
        path: Path,
        url: RepositoryUrl,
        *,
        command: GitCommand,
        environment: GitEnvironment,
        credentials: CredentialSource,
        limit_bytes: int,
        may_log_in: Callable[[RepositoryUrl], bool] = lambda url: True,
    ) -> None:
        """Args:
        may_log_in: whether credentials may be shown to an address.
        """
        self.path = path
        self._may_log_in = may_log_in
        self._disk_limit = DiskLimit(path, limit_bytes)
        self.url = url
        self._command, self._environment, self._credentials = command, environment, credentials
        self._address = url
        self._is_url_written = False

    @property
    def exists(self) -> bool:
        return (self.path / "HEAD").is_file()

    @property
    def fetched_at_seconds(self) -> float | None:
        """When the remote was last asked with success (POSIX seconds), kept over restarts."""
        try:
            return (self.path / _MARK).stat().st_mtime
        except OSError:
            return None

    async def clone(
        self, incoming: Path, *, limit_bytes: int, on_progress: Callable[[CloneProgress], None] | None = None
    ) -> None:
        """Make the clone in `incoming` and move it into place whole: a killed clone is never taken for a good one."""
        target = incoming / f"{uuid.uuid4().hex}.git"
        limit, on_stderr = DiskLimit(incoming, limit_bytes), self._teller(on_progress)
        try:
            make_folder(incoming)
            try:
                await self._clone_into(target, limit, on_stderr)
            except MovedError as exc:
                await self._follow(exc)
                await self._clone_into(target, limit, on_stderr)
            # A promisor in its config would make any read of a file that is not here go to the network, without
            # credentials and deadline, and fail: only the commands below that may, are told of it.
            for name in ("promisor", "partialclonefilter"):
                await self._run(target, ["config", "--unset", f"remote.origin.{name}"], accepted_codes=(0, 5))
            make_folder(self.path.parent)
            target.rename(self.path)
            self._mark_fetched()
            self._is_url_written = True
        except OSError as exc:
            raise StoreError(
                f"the clone cannot be written: {exc.strerror}", retryable=True, subject=str(self.path)
            ) from exc
        finally:
            shutil.rmtree(target, ignore_errors=True)

    async def _clone_into(self, target: Path, limit: DiskLimit, on_stderr: Callable[[str], None] | None) -> None:
        options = ["--bare", "--filter=blob:none", "--no-recurse-submodules", "--template=", "--progress"]
        await self._network(
            ["clone", *options, "--end-of-options", self._address.fetch_url, str(target)],
            git_dir=None,
            timeout_seconds=CLONE_TIMEOUT_SECONDS,
            disk_limit=limit,
            on_stderr=on_stderr,
        )

    async def fetch(self) -> None:
        """Bring all branches and tags, forced and pruned."""
        arguments = [*_FETCH, "--prune", "--force", "--no-tags", "--quiet", "--end-of-options", "origin", *_REFSPECS]
        await self._write_url()
        try:
            await self._network(arguments, disk_limit=self._disk_limit)
        except MovedError as exc:
            await self._follow(exc)
            await self._write_url()
            await self._network(arguments, disk_limit=self._disk_limit)
        self._mark_fetched()

    async def _write_url(self) -> None:
        # Asked once a process: the same clone may be known by its HTTPS and its SSH address.
        if not self._is_url_written:
            await self.local(["config", "remote.origin.url", self._address.fetch_url])
            self._is_url_written = True

    async def _follow(self, moved: MovedError) -> None:
        """Take the address that the server redirects to, if it is on the same host and port.

        Git itself is never let follow: it would contact whatever host the answer names. Renamed repositories
        of a forge stay on it.
        """
        trace = {"GIT_TRACE_CURL": "2", "GIT_TRACE_CURL_NO_DATA": "1", "GIT_TRACE_REDACT": "1"}
        found: list[str] = []

        def look(line: str) -> None:
            match = _LOCATION.search(line)
            if match:
                found.append(match.group(1))

        arguments = ["ls-remote", "--end-of-options", self._address.fetch_url, "HEAD"]
        with contextlib.suppress(UpstreamError):
            await self._network(arguments, git_dir=None, extra_env=trace, on_stderr=look)
        if not found:
            raise moved
        try:
            target = parse_repository(urljoin(self._address.fetch_url, found[-1]).partition("/info/refs")[0])
        except WireError:
            raise moved from None
        was = self._address
        if (target.scheme, target.host, target.port) != (was.scheme, was.host, was.port) or target == was:
            raise moved
        log.warning("repository has moved, write its new address", repository=was.canonical, moved_to=target.canonical)
        self._address, self._is_url_written = target, False

    async def fetch_objects(self, oids: Sequence[str], *, negotiate: bool) -> None:
        """Bring objects by their ids: commits no ref reaches any more, or the bytes of files.

        Args:
            negotiate: whether to tell what we have; right for commits, of no use for files.

        Raises:
            NotFoundError: the remote lacks one of them, or gives only what its refs reach.
        """
        algorithm = () if negotiate else ("fetch.negotiationAlgorithm=noop",)
        await self._network(
            [*_FETCH, "--no-tags", "--quiet", "--stdin", "--end-of-options", "origin"],
            stdin="".join(f"{oid}\n" for oid in oids).encode(),
            configuration=algorithm,
            disk_limit=self._disk_limit,
        )

    async def find_remote_default_branch(self) -> str | None:
        """Ask the remote which branch its HEAD names."""
        finished = await self._network(["ls-remote", "--symref", "--end-of-options", "origin", "HEAD"])
        for line in finished.stdout.decode("utf-8", "replace").splitlines():
            if line.startswith("ref: refs/heads/") and line.endswith("\tHEAD"):
                return line.removeprefix("ref: refs/heads/").removesuffix("\tHEAD")
        return None

    async def refs(self) -> RefList:
        finished = await self.local(["for-each-ref", f"--format={FORMAT}", "refs/heads", "refs/tags", PIN_PREFIX])
        return parse_refs(finished.stdout)

    async def upkeep(self) -> None:
        """Write the commit-graph with changed paths, and gather small packs. A failure costs speed, not answers."""
        try:
            await self.local(
                ["commit-graph", "write", "--reachable", "--changed-paths", "--split", "--no-progress"],
                timeout_seconds=UPKEEP_TIMEOUT_SECONDS,
            )
            if len(list((self.path / "objects/pack").glob("*.pack"))) > PACKS_BEFORE_REPACK:
                await self.local(["repack", "-a", "-d", "-q"], timeout_seconds=UPKEEP_TIMEOUT_SECONDS, promisor=True)
        except FluxtrailError as exc:
            log.warning("git clone upkeep failed", repository=self.url.canonical, error=str(exc))

    async def local(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        accepted_codes: tuple[int, ...] = (0,),
        timeout_seconds: float = LOCAL_TIMEOUT_SECONDS,
        on_stdout: Callable[[bytes], None] | None = None,
        promisor: bool = False,
    ) -> Finished:
        """Run a command that stays on the machine; what is not here is not fetched on the way."""
        if not self.exists:
            raise NotFoundError(
                "not cloned yet, or evicted: refresh it first", retryable=True, subject=self.url.fetch_url
            )
        return await self._run(
            self.path,
            args,
            stdin=stdin,
            accepted_codes=accepted_codes,
            timeout_seconds=timeout_seconds,
            on_stdout=on_stdout,
            configuration=PROMISOR if promisor else (),
        )

    async def _run(
        self,
        git_dir: Path,
        args: Sequence[str],
        *,
        configuration: tuple[str, ...] = (),
        stdin: bytes = b"",
        accepted_codes: tuple[int, ...] = (0,),
        timeout_seconds: float = LOCAL_TIMEOUT_SECONDS,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Finished:
        return await self._command.run(
            git_dir,
            args,
            env=self._environment.local(),
            subject=self.url.fetch_url,
            configuration=configuration,
            stdin=stdin,
            accepted_codes=accepted_codes,
            timeout_seconds=timeout_seconds,
            on_stdout=on_stdout,
        )

    def remove_stale_locks(self, *, older_than_seconds: float = STALE_LOCK_SECONDS) -> int:
        """Remove lock files that a killed git left behind; return how many. One process owns this folder."""
        removed, before = 0, time.time() - older_than_seconds
        for folder in _LOCK_FOLDERS:
            place = self.path / folder
            for lock in place.rglob("*.lock") if folder != "." else place.glob("*.lock"):
                with contextlib.suppress(OSError):
                    if lock.stat().st_mtime <= before:
                        lock.unlink()
                        removed += 1
        for leftover in (self.path / "objects/pack").glob("tmp_*"):
            with contextlib.suppress(OSError):
                if leftover.stat().st_mtime <= before:
                    leftover.unlink()
        return removed

    @staticmethod
    def has_pins(path: Path) -> bool:
        """Whether the clone at `path` keeps pinned commits."""
        return bool(_read_pins(path))

    def read_pins_from_disk(self) -> dict[str, str]:
        """Return name → sha of the pins, without git's help: for a clone that git cannot read any more."""
        return _read_pins(self.path)

    async def move_aside(self, folder: Path) -> None:
        """Keep a damaged clone for whoever wants to look, one a repository at most."""
        aside = folder / self.path.name
        try:
            make_folder(folder)
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)
            if self.path.exists():
                self.path.rename(aside)
        except OSError as exc:
            raise StoreError(f"a damaged clone cannot be moved aside: {exc.strerror}", subject=str(self.path)) from exc

    async def _network(
        self,
        args: Sequence[str],
        *,
        git_dir: Path | None = Path(),
        stdin: bytes = b"",
        configuration: tuple[str, ...] = (),
        timeout_seconds: float = FETCH_TIMEOUT_SECONDS,
        disk_limit: DiskLimit | None = None,
        on_stderr: Callable[[str], None] | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> Finished:
        kinds: tuple[Kind, ...] = ("ssh",) if self.url.scheme == "ssh" else ("token", "basic")
        host, owner, port = self.url.host, self.url.owner, self.url.port

        async def run(credential: Credential | None) -> Finished:
            with self._environment.network(self.url, credential) as environment:
                return await self._command.run(
                    self.path if git_dir == Path() else git_dir,
                    args,
                    env={**environment.variables, **(extra_env or {})},
                    subject=self.url.fetch_url,
                    configuration=(*transport_configuration(self.url), *(PROMISOR if git_dir else ()), *configuration),
                    stdin=stdin,
                    timeout_seconds=timeout_seconds,
                    disk_limit=disk_limit,
                    on_stderr=on_stderr,
                    descriptors=environment.descriptors,
                )

        if not self._may_log_in(self.url):
            return await run(None)
        path = self.url.path
        credential = await self._credentials.obtain(host, owner, port=port, kinds=kinds, path=path)
        try:
            return await run(credential)
        except AuthError:
            # A token may be revoked before its end, or be replaced in its file while git was asking.
            other = credential and await self._credentials.renew(
                credential, host, owner, port=port, kinds=kinds, path=path
            )
            if not other:
                raise
            return await run(other)

    def _teller(self, on_progress: Callable[[CloneProgress], None] | None) -> Callable[[str], None] | None:
        if on_progress is None:
            return None

        def tell(line: str) -> None:
            step = parse_progress(line, repository=self.url.canonical)
            if step is not None:
                on_progress(step)

        return tell

    def _mark_fetched(self) -> None:
        with contextlib.suppress(OSError):
            (self.path / _MARK).touch()


def make_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


def _read_pins(path: Path) -> dict[str, str]:
    pins: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (path / "packed-refs").read_text("utf-8", "replace").splitlines():
            sha, _, name = line.partition(" ")
            if name.startswith(PIN_PREFIX):
                pins[name.removeprefix(PIN_PREFIX)] = sha
    for file in (path / PIN_PREFIX).glob("*"):
        with contextlib.suppress(OSError):
            pins[file.name] = file.read_text("utf-8", "replace").strip()
    return {name: sha for name, sha in pins.items() if is_sha(sha)}
