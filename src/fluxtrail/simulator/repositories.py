"""Real bare git repositories that the world's people and machines push to, and what the world remembers of each push.

Writing goes through one `git fast-import` a push: a push is one process, whatever it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fluxtrail.model.errors import UpstreamError

GIT_TIMEOUT_SECONDS = 30.0
_CONFIG = (
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("core.fsync", "none"),
    ("gc.auto", "0"),
)
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit as the world knows it, from having made it."""

    sha: str
    parents: tuple[str, ...]
    message: str
    author: Person
    committed_at: datetime
    files: Mapping[str, str]
    paths: tuple[str, ...]
    """What it changed against its first parent."""
    ancestors: int
    """A bit for each commit of the repository that this one contains, itself too."""
    bit: int

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]

    def contains(self, other: Commit) -> bool:
        return bool(self.ancestors & other.bit)


@dataclass(frozen=True, slots=True)
class Push:
    """A branch that moved."""

    repository: Repository
    before: Commit | None
    """Where it stood; None: there was none."""
    after: Commit

    @property
    def is_forced(self) -> bool:
        """Whether something was taken off the branch."""
        return self.before is not None and not self.after.contains(self.before)

    @property
    def commits(self) -> list[Commit]:
        """Return what came to the branch, oldest first."""
        new = self.after.ancestors & ~(self.before.ancestors if self.before else 0)
        return [commit for commit in self.repository.commits.values() if commit.bit & new]


@dataclass(slots=True)
class _Draft:
    """A commit on its way into the repository."""

    ref: str
    parents: tuple[str, ...]
    message: str
    author: Person
    at: datetime
    changes: Mapping[str, str | None]


class Repository:
    """A bare repository with one branch that matters.

    Args:
        directory: where the bare repository lives.
        name: `acme/shop`.
        branch: the branch that is delivered.
    """

    def __init__(self, directory: Path, *, name: str, branch: str = "main") -> None:
        self.directory = directory
        self.name = name
        self.branch = branch
        self.commits: dict[str, Commit] = {}
        self.head: str | None = None
        self.on_push: Callable[[Push], None] = lambda _: None
        """Called whenever the branch has moved, in that order, before anything else happens to it. Must not wait."""
        self._lock = asyncio.Lock()
        """One push at a time, as a forge takes them."""

    @property
    def url(self) -> str:
        return self.directory.resolve().as_uri()

    @property
    def head_commit(self) -> Commit:
        assert self.head is not None, "the repository has no commit yet"
        return self.commits[self.head]

    async def create(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        await run_git("init", "--quiet", "--bare", f"--initial-branch={self.branch}", ".", cwd=self.directory)
        # One write of the file instead of one process a setting.
        with (self.directory / "config").open("a", encoding="utf-8") as config:
            for key, value in _CONFIG:
                section, _, name = key.partition(".")
                config.write(f"[{section}]\n\t{name} = {value}\n")

    async def commit(self, changes: Mapping[str, str | None], message: str, *, author: Person, at: datetime) -> Commit:
        """Push one commit to the branch. A change to None deletes the file."""
        async with self._lock:
            parents = (self.head,) if self.head else ()
            draft = _Draft(f"refs/heads/{self.branch}", parents, message, author, at, changes)
            made = await self._import(draft)
            self._move(made)
            return made

    async def merge(
        self,
        changes: Sequence[tuple[Mapping[str, str | None], str]],
        message: str,
        *,
        number: int,
        author: Person,
        at: datetime,
    ) -> tuple[Commit, list[Commit]]:
        """Merge a pull request with a merge commit; return it and the pull request's own commits."""
        async with self._lock:
            base = self.head_commit
            tip, own = base, []
            for change, text in changes:
                draft = _Draft(f"refs/pull/{number}/head", (tip.sha,), text, author, at, change)
                tip = await self._import(draft)
                own.append(tip)
            together = {path: tip.files.get(path) for commit in own for path in commit.paths}
            draft = _Draft(f"refs/heads/{self.branch}", (base.sha, tip.sha), message, author, at, together)
            made = await self._import(draft)
            self._move(made)
            return made, own

    async def force_push(self, sha: str) -> None:
        """Move the branch to a commit that exists, wherever it stands."""
        async with self._lock:
            await run_git("update-ref", f"refs/heads/{self.branch}", sha, cwd=self.directory)
            self._move(self.commits[sha])

    def _move(self, commit: Commit) -> None:
        before = self.head_commit if self.head else None
        self.head = commit.sha
        self.on_push(Push(self, before, commit))

    def is_on_branch(self, commit: Commit) -> bool:
        return self.head_commit.contains(commit)

    async def _import(self, draft: _Draft) -> Commit:
        answer = await run_git(
            "fast-import", "--quiet", "--force", "--cat-blob-fd=1", cwd=self.directory, data=_stream(draft)
        )
        sha = answer.decode("ascii").strip()
        parents = [self.commits[parent] for parent in draft.parents]
        before = parents[0].files if parents else {}
        files = {path: text for path, text in {**before, **draft.changes}.items() if text is not None}
        bit = 1 << len(self.commits)
        ancestors = bit
        for parent in parents:
            ancestors |= parent.ancestors
        made = Commit(
            sha=sha,
            parents=draft.parents,
            message=draft.message,
            author=draft.author,
            committed_at=draft.at.replace(microsecond=0),
            files=files,
            paths=tuple(sorted(p for p in before.keys() | files.keys() if before.get(p) != files.get(p))),
            ancestors=ancestors,
            bit=bit,
        )
        self.commits[sha] = made
        return made


def _stream(draft: _Draft) -> bytes:
    """Return the commit in fast-import's language. Source: git-fast-import(1)."""
    stamp = f"{draft.author.name} <{draft.author.email}> {int(draft.at.timestamp())} +0000"
    parts = [f"commit {draft.ref}\nmark :1\nauthor {stamp}\ncommitter {stamp}\n".encode(), _data(draft.message)]
    for keyword, parent in zip(("from", *["merge"] * len(draft.parents)), draft.parents, strict=False):
        parts.append(f"{keyword} {parent}\n".encode())
    for path, text in sorted(draft.changes.items()):
        if text is None:
            parts.append(f"D {path}\n".encode())
        else:
            parts.extend((f"M 100644 inline {path}\n".encode(), _data(text)))
    parts.append(b"\nget-mark :1\n")
    return b"".join(parts)


def _data(text: str) -> bytes:
    raw = text.encode()
    return b"data %d\n%s\n" % (len(raw), raw)


async def run_git(*arguments: str, cwd: Path, data: bytes | None = None) -> bytes:
    """Run git and return what it printed.

    Raises:
        UpstreamError: it failed; the message is what it said.
    """
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        cwd=cwd,
        env=_ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE if data is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(GIT_TIMEOUT_SECONDS):
            out, err = await process.communicate(data)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode != 0:
        said = err.decode(errors="replace").strip()[-500:]
        raise UpstreamError(f"git {arguments[0]} failed: {said}", subject=cwd.name)
    return out
