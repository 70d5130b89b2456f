"""Reads commits, trees and files of one clone through one long-lived `git cat-file --batch-command`.

Starting a git costs some 3 ms; asking this one costs about 0.1. Paths are walked here, tree by tree, so that
"there is no such file" and "the file's bytes were not fetched yet" are never confused: cat-file says
`missing` for both. The process never goes to the network: a missing blob is fetched by `mirror.py`, with
credentials and a deadline.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fluxtrail.model.errors import WireError
from fluxtrail.remotes.git.command import GitCommand, end_process, kill_group
from fluxtrail.remotes.git.environment import GitEnvironment
from fluxtrail.remotes.git.failures import CorruptCloneError

READ_TIMEOUT_SECONDS = 30.0
TREE_LIMIT_BYTES = 32 * 1024 * 1024
CACHED_TREES = 256
CACHED_ENTRIES = 4_000  # a larger tree is parsed again each time

TREE_MODE = "040000"
FILE_MODES = ("100644", "100755", "100664")


class TreeEntry(NamedTuple):
    mode: str
    """Six digits: `040000` tree, `100644`/`100755` file, `120000` symbolic link, `160000` submodule."""
    type: str
    """`tree`, `blob` or `commit` (a submodule)."""
    oid: str
    name: str


class ObjectInfo(NamedTuple):
    oid: str
    type: str
    size_bytes: int


class ObjectReader:
    """One process, one question at a time; a broken or cancelled conversation ends it, the next one starts anew."""

    def __init__(self, command: GitCommand, environment: GitEnvironment, git_dir: Path, *, subject: str) -> None:
        self._command, self._environment = command, environment
        self._git_dir, self._subject = git_dir, subject
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._trees: OrderedDict[str, dict[str, TreeEntry]] = OrderedDict()

    @property
    def is_open(self) -> bool:
        return self._process is not None

    async def find_info(self, expression: str) -> ObjectInfo | None:
        """Return id, type and size of a full sha, or of `<sha>^{commit}` and the like; None if it is not here."""
        return (await self._ask("info", expression, limit_bytes=0))[0]

    async def read(self, oid: str, *, limit_bytes: int) -> bytes | None:
        """Return an object's bytes, or None if it is not here.

        Raises:
            WireError: it is larger than `limit_bytes`; none of it was read.
        """
        info = await self.find_info(oid)
        if info is None:
            return None
        if info.size_bytes > limit_bytes:
            raise WireError(f"{info.size_bytes} bytes are more than the limit of {limit_bytes}", subject=self._subject)
        return (await self._ask("contents", oid, limit_bytes=limit_bytes))[1]

    async def find_entry(self, sha: str, path: str) -> TreeEntry | None:
        """Return what is at `path` in commit `sha`; the root is a nameless tree. None: nothing is there.

        Raises:
            CorruptCloneError: the commit is here, and a tree of it is not.
        """
        root = await self.find_info(f"{sha}^{{tree}}")
        if root is None:
            return None
        entry = TreeEntry(TREE_MODE, "tree", root.oid, "")
        for name in split_path(path):
            if entry.type != "tree":
                return None
            inner = (await self.list_tree(entry.oid)).get(name)
            if inner is None:
                return None
            entry = inner
        return entry

    async def list_tree(self, oid: str) -> dict[str, TreeEntry]:
        """Return a tree's entries by name, in git's order."""
        known = self._trees.get(oid)
        if known is not None:
            self._trees.move_to_end(oid)
            return known
        data = await self.read(oid, limit_bytes=TREE_LIMIT_BYTES)
        if data is None:
            raise CorruptCloneError(f"tree {oid} is missing", subject=self._subject)
        entries = {entry.name: entry for entry in parse_tree(data, digest_bytes=len(oid) // 2)}
        if len(entries) <= CACHED_ENTRIES:
            self._trees[oid] = entries
            if len(self._trees) > CACHED_TREES:
                self._trees.popitem(last=False)
        return entries

    async def close(self) -> None:
        """End the process; the next question starts another."""
        async with self._lock:
            await self._end()

    async def _ask(self, verb: str, expression: str, *, limit_bytes: int) -> tuple[ObjectInfo | None, bytes | None]:
        if "\n" in expression or not expression:
            raise WireError("not an object name", subject=self._subject)
        async with self._lock:
            # A process that died between two questions (killed, replaced files) earns one fresh start.
            for attempt in (1, 2):
                try:
                    async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                        return await self._converse(verb, expression, limit_bytes)
                except (
                    asyncio.IncompleteReadError,
                    asyncio.LimitOverrunError,
                    BrokenPipeError,
                    ConnectionResetError,
                    TimeoutError,
                    ValueError,
                    RuntimeError,  # uvloop's word for a pipe that is closed
                ) as exc:
                    await self._end()
                    if attempt == 2:
                        raise CorruptCloneError(
                            f"git cat-file broke off reading {expression}", subject=self._subject
                        ) from exc
                except BaseException:
                    # Half an answer may be in the pipe: it must not be taken for the next one.
                    if self._process is not None:
                        kill_group(self._process)
                        self._process = None
                    raise
        raise AssertionError("unreachable")

    async def _converse(self, verb: str, expression: str, limit_bytes: int) -> tuple[ObjectInfo | None, bytes | None]:
        if self._process is not None and self._process.returncode is not None:
            await self._end()
        process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{verb} {expression}\n".encode())
        await process.stdin.drain()
        header = await process.stdout.readuntil(b"\n")
        words = header.decode("utf-8", "replace").split()
        if len(words) != 3:
            if words and words[-1] in ("missing", "ambiguous"):
                return None, None
            raise ValueError(header)
        info = ObjectInfo(words[0], words[1], int(words[2]))
        if verb != "contents":
            return info, None
        data = await process.stdout.readexactly(info.size_bytes + 1)
        return info, data[:-1]

    async def _start(self) -> Process:
        arguments = self._command.arguments(self._git_dir, ["cat-file", "--batch-command"])
        self._process = await self._command.start(arguments, self._environment.local(), discard_stderr=True)
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await end_process(process)


def split_path(path: str) -> Sequence[str]:
    """Return the names of a path in a tree; `.`, `./a/`, and the empty path are fine, climbing out is not.

    Raises:
        WireError: the path is absolute, climbs, or holds a NUL.
    """
    names = [name for name in path.split("/") if name not in ("", ".")]
    if path.startswith("/") or ".." in names or "\0" in path:
        raise WireError(f"{path[:200]!r} is not a path inside a repository", subject="path")
    return names


def parse_tree(data: bytes, *, digest_bytes: int) -> list[TreeEntry]:
    """Read a tree object: `<mode> <name> NUL <digest>`, repeated (gitformat: tree entries).

    Raises:
        CorruptCloneError: the bytes end within an entry.
    """
    entries, at = [], 0
    while at < len(data):
        space, nul = data.find(b" ", at), data.find(b"\0", at)
        end = nul + 1 + digest_bytes
        if not at < space < nul or end > len(data):
            raise CorruptCloneError("a tree object ends too soon")
        mode = data[at:space].decode("ascii", "replace").zfill(6)
        kind = {TREE_MODE: "tree", "160000": "commit"}.get(mode, "blob")
        name = data[space + 1 : nul].decode("utf-8", "backslashreplace")
        entries.append(TreeEntry(mode, kind, data[nul + 1 : end].hex(), name))
        at = end
    return entries
