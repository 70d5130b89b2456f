"""What the trail asks of one repository: heads, ancestry, history, files, pins.

Every sha is the full lower-case hex name. All answers come from the clone; only `refresh`, and the first look
at a file's bytes, go to the remote. After an eviction, reads raise NotFoundError until the next `refresh`.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from fluxtrail.model.commit import CommitFacts, is_sha, is_sha_prefix
from fluxtrail.model.errors import NotFoundError, UpstreamError, WireError
from fluxtrail.model.repository import RepositoryUrl
from fluxtrail.remotes.git.failures import CorruptCloneError
from fluxtrail.remotes.git.flight import SharedFlight
from fluxtrail.remotes.git.history import LOG_FORMAT, LOG_OPTIONS, PATHS_OPTIONS, LogParser
from fluxtrail.remotes.git.mirror import Mirror
from fluxtrail.remotes.git.objects import FILE_MODES, ObjectReader, TreeEntry, split_path
from fluxtrail.remotes.git.refs import PIN_PREFIX, Heads, safe_pin_name
from fluxtrail.remotes.git.updating import Keeper, Updater

MERGED_LIMIT = 1_000
PREFIX_CANDIDATES = 50
ANCESTRY_CACHE = 8_192
HISTORY_TIMEOUT_SECONDS = 120.0

Shas = str | Sequence[str]


class GitRepository:
    """One repository, read from its clone. Get it from `GitStore.open`.

    Safe for any number of concurrent callers. Methods raise NotFoundError for a sha that is not in the clone
    (`refresh(want=[sha])` may bring it), WireError for text that is no sha, StoreError for trouble on the disk.
    """

    def __init__(self, mirror: Mirror, reader: ObjectReader, keeper: Keeper, *, clock: Callable[[], datetime]) -> None:
        self.url: RepositoryUrl = mirror.url
        self.mirror, self.reader = mirror, reader
        self._keeper = keeper
        self._updater = Updater(mirror, reader, keeper, clock=clock)
        self._refreshing: SharedFlight[Heads] = SharedFlight(self._update)
        self._blobs: SharedFlight[None] = SharedFlight(self._fetch_blobs)
        self._ancestry: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._known_heads: Heads | None = None
        self._clock = clock
        self.used_at = clock()
        self.active = 0
        """How many calls are under way: the store does not evict below them."""

    # -- the remote ------------------------------------------------------------------------------------------

    async def refresh(self, *, want: Sequence[str] = ()) -> Heads:
        """Fetch all branches and tags (forced, pruned), and make sure that each wanted commit is here.

        Concurrent callers share one fetch that began after they called. Commits that no ref reaches are asked
        for by name; those the remote lacks, or refuses, are in `missing` and asked for again after a minute.

        Raises:
            ConfigError: the remote may not be contacted. AuthError, NotFoundError, RateLimitedError,
            UpstreamError: see `failures.py`. StoreError: no room.
        """
        shas = [_checked(sha) for sha in want]
        heads = await self._refreshing.run(shas)
        own = heads.missing & frozenset(shas)
        return heads if own == heads.missing else _with_missing(heads, own)

    async def heads(self) -> Heads:
        """Return the heads as of the last fetch, without the network. None is older than this process's own."""
        if self._known_heads is not None:
            return _with_missing(self._known_heads, frozenset())
        with self._using():
            self._known_heads = await self._updater.read_heads()
        return self._known_heads

    # -- commits ---------------------------------------------------------------------------------------------

    async def has(self, sha: str) -> bool:
        """Whether the commit is in the clone; reachable or not."""
        with self._using():
            if not self.mirror.exists:
                return False
            info = await self.reader.find_info(_checked(sha))
            return info is not None and info.type == "commit"

    async def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `descendant` contains `ancestor`; a commit contains itself."""
        key = (_checked(ancestor), _checked(descendant))
        if key in self._ancestry:
            self._ancestry.move_to_end(key)
            return self._ancestry[key]
        with self._using():
            await self._need(key)
            if ancestor == descendant:
                return True
            finished = await self.mirror.local(
                ["merge-base", "--is-ancestor", "--end-of-options", *key], accepted_codes=(0, 1)
            )
        self._ancestry[key] = finished.code == 0
        if len(self._ancestry) > ANCESTRY_CACHE:
            self._ancestry.popitem(last=False)
        return finished.code == 0

    async def merge_base(self, one: str, other: str) -> str | None:
        """Return the best common ancestor, or None for unrelated histories."""
        with self._using():
            await self._need((one, other))
            finished = await self.mirror.local(["merge-base", "--end-of-options", one, other], accepted_codes=(0, 1))
        return finished.stdout.decode().split()[0] if finished.stdout else None

    async def log(
        self,
        include: Shas,
        *,
        exclude: Sequence[str] = (),
        first_parent: bool = True,
        limit: int | None = None,
        with_paths: bool = True,
    ) -> list[CommitFacts]:
        """Return the commits that `include` reaches and `exclude` does not, oldest first, by one git process.

        `exclude` takes away all that it contains, whichever parent leads there; `first_parent` is about the way
        down from `include`. With `limit`, the newest that many.
        """
        parser = LogParser()
        options = [*LOG_OPTIONS, LOG_FORMAT, *(PATHS_OPTIONS if with_paths else ("--no-patch",))]
        await self._walk(options, include, exclude, first_parent, limit, on_stdout=parser.feed)
        return parser.finish()

    async def list_commits(
        self, include: Shas, *, exclude: Sequence[str] = (), first_parent: bool = True, limit: int | None = None
    ) -> list[str]:
        """Return only the shas of `log`: no commit or tree is read where the commit-graph knows it."""
        output = await self._walk(["rev-list"], include, exclude, first_parent, limit)
        return output.decode().split()

    async def merged_commits(self, sha: str) -> list[str]:
        """Return what a merge's other parents brought, oldest first, at most 1,000; nothing for other commits."""
        with self._using():
            await self._need((sha,))
            if await self.reader.find_info(f"{sha}^2") is None:
                return []
            output = await self.mirror.local(
                ["rev-list", "--topo-order", "--reverse", f"-n{MERGED_LIMIT + 1}", "--stdin"],
                stdin=f"{sha}\n^{sha}^1\n".encode(),
                timeout_seconds=HISTORY_TIMEOUT_SECONDS,
            )
        return [found for found in output.stdout.decode().split() if found != sha][-MERGED_LIMIT:]

    async def commits_touching(self, path: str, include: Shas, exclude: Sequence[str] = ()) -> list[str]:
        """Return the first-parent commits that change `path` against their first parent, oldest first."""
        inner = "/".join(split_path(path))
        if not inner:
            return await self.list_commits(include, exclude=exclude)
        output = await self._walk(["rev-list"], include, exclude, first_parent=True, limit=None, path=inner)
        return output.decode().split()

    async def resolve_prefix(self, prefix: str) -> list[str]:
        """Return the commits in the clone whose sha begins with `prefix` (4 digits or more), at most 50.

        Raises:
            WireError: it is no such prefix.
        """
        if not is_sha_prefix(prefix):
            raise WireError(f"{prefix[:80]!r} is not 4 to 64 hexadecimal digits", subject="sha")
        with self._using():
            finished = await self.mirror.local(["rev-parse", f"--disambiguate={prefix.lower()}"])
            candidates = finished.stdout.decode().split()[:1_000]
            infos = [await self.reader.find_info(oid) for oid in candidates]
        return sorted(info.oid for info in infos if info is not None and info.type == "commit")[:PREFIX_CANDIDATES]

    # -- files -----------------------------------------------------------------------------------------------

    async def read_file(self, sha: str, path: str, *, limit_bytes: int) -> bytes | None:
        """Return a regular file's bytes at a commit, or None where there is none (a link or a folder is none).

        Raises:
            WireError: it is larger than `limit_bytes`; the message names both sizes.
        """
        with self._using():
            await self._need((sha,))
            entry = await self.reader.find_entry(sha, path)
            if entry is None or entry.mode not in FILE_MODES:
                return None
            if await self.reader.find_info(entry.oid) is None:
                await self._bring_blobs([entry.oid])
            try:
                return await self.reader.read(entry.oid, limit_bytes=limit_bytes)
            except WireError as exc:
                raise WireError(f"{path} at {sha}: {exc.message}", subject=self.url.fetch_url) from exc

    async def prefetch(self, files: Iterable[tuple[str, str]]) -> None:
        """Bring the bytes of many (sha, path) in one round trip, before many `read_file`."""
        with self._using():
            absent = set()
            for sha, path in files:
                await self._need((sha,))
                entry = await self.reader.find_entry(sha, path)
                if entry is not None and entry.mode in FILE_MODES and await self.reader.find_info(entry.oid) is None:
                    absent.add(entry.oid)
            if absent:
                await self._bring_blobs(absent)

    async def list_tree(self, sha: str, path: str = "") -> list[TreeEntry]:
        """Return what a folder of a commit holds, in git's order; nothing if there is no such folder."""
        with self._using():
            await self._need((sha,))
            entry = await self.reader.find_entry(sha, path)
            if entry is None or entry.type != "tree":
                return []
            return list((await self.reader.list_tree(entry.oid)).values())

    async def tree_id(self, sha: str, path: str = "") -> str | None:
        """Return the object id of what is at `path` (a folder's or a file's): equal ids, equal content."""
        with self._using():
            await self._need((sha,))
            entry = await self.reader.find_entry(sha, path)
            return entry.oid if entry else None

    # -- pins ------------------------------------------------------------------------------------------------

    async def pin(self, name: str, sha: str) -> None:
        """Keep `sha` reachable under `name`, whatever the remote does to its branches. Moves an earlier pin."""
        with self._using():
            await self._need((sha,))
            await self.mirror.local(["update-ref", "--end-of-options", PIN_PREFIX + safe_pin_name(name), sha])

    async def unpin(self, name: str) -> None:
        """Drop a pin; one that is not there is fine."""
        with self._using():
            await self.mirror.local(["update-ref", "-d", "--end-of-options", PIN_PREFIX + safe_pin_name(name)])

    # -- inside ----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End the reading process. The repository may be used again."""
        await self.reader.close()

    async def forget(self) -> None:
        """The clone was evicted: nothing remembered of it holds any more."""
        self._known_heads = None
        await self.reader.close()

    async def _walk(
        self,
        command: list[str],
        include: Shas,
        exclude: Sequence[str],
        first_parent: bool,
        limit: int | None,
        *,
        path: str | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> bytes:
        tips = [include] if isinstance(include, str) else list(include)
        if not tips:
            return b""
        options = ["--topo-order", "--reverse", *(["--first-parent"] if first_parent else [])]
        options += [f"-n{limit}"] if limit is not None else []
        # On stdin, so that any number of tips is fine.
        revisions = "".join(f"{_checked(sha)}\n" for sha in tips) + "".join(f"^{_checked(sha)}\n" for sha in exclude)
        with self._using():
            await self._need((*tips, *exclude))
            finished = await self.mirror.local(
                [*command, *options, "--stdin", *(["--", path] if path else [])],
                stdin=revisions.encode(),
                timeout_seconds=HISTORY_TIMEOUT_SECONDS,
                on_stdout=on_stdout,
            )
        return finished.stdout

    async def _need(self, shas: Iterable[str]) -> None:
        if not self.mirror.exists:
            raise NotFoundError(
                "not cloned yet, or evicted: refresh it first", retryable=True, subject=self.url.fetch_url
            )
        for sha in shas:
            info = await self.reader.find_info(_checked(sha))
            if info is None or info.type != "commit":
                if self._is_tip(sha):
                    raise CorruptCloneError(f"commit {sha} of a branch is missing", subject=self.url.fetch_url)
                raise NotFoundError(f"commit {sha} is not in the clone", subject=self.url.fetch_url)

    def _is_tip(self, sha: str) -> bool:
        """Whether a branch is known to point there: then its absence is damage, not news."""
        return self._known_heads is not None and sha in self._known_heads.branches.values()

    async def _update(self, want: frozenset[str]) -> Heads:
        with self._using():
            heads = await self._updater.update(want)
            self._known_heads = heads
            return heads

    async def _bring_blobs(self, oids: Iterable[str]) -> None:
        """Fetch files' bytes; readers that come at the same time share the round trip."""
        wanted = list(oids)
        try:
            await self._blobs.run(wanted)
        except (NotFoundError, UpstreamError):
            # Another caller's file may be what the remote refused.
            await self.mirror.fetch_objects(wanted, negotiate=False)

    async def _fetch_blobs(self, oids: frozenset[str]) -> None:
        await self._keeper.admit(self.mirror)
        await self.mirror.fetch_objects(sorted(oids), negotiate=False)

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        self.active += 1
        try:
            yield
        except CorruptCloneError:
            self._updater.is_damaged = True
            raise
        finally:
            self.active -= 1
            self.used_at = self._clock()


def _checked(sha: str) -> str:
    if not is_sha(sha):
        raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
    return sha


def _with_missing(heads: Heads, missing: frozenset[str]) -> Heads:
    return Heads(
        branches=heads.branches,
        tags=heads.tags,
        default_branch=heads.default_branch,
        fetched_at=heads.fetched_at,
        missing=missing,
    )
