"""Small worlds for tests: a remote repository, a clock, a git server."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from fluxtrail.remotes.git.store import GitStore

BEGIN = datetime(2026, 1, 12, 10, tzinfo=UTC)


_BARE = """
[core]
	repositoryformatversion = 0
	bare = true
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[gc]
	auto = 0
[maintenance]
	auto = false
"""
_CLONE = """
[core]
	repositoryformatversion = 0
	bare = false
	logallrefupdates = true
[remote "origin"]
	url = {origin}
	fetch = +refs/heads/*:refs/remotes/origin/*
[branch "main"]
	remote = origin
	merge = refs/heads/main
[gc]
	auto = 0
[maintenance]
	auto = false
"""


class Origin:
    """A remote repository with a work tree of its own; every commit is a second later than the one before.

    Hundreds of tests have one or several: what git would take a dozen processes for, making the two and pushing a
    commit, is done by writing the files that it would write.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "origin.git"
        self.work = folder / "work"
        self.seconds = 0
        self._sent: list[str] = []
        """Heads whose objects the remote repository has."""
        _make_repository(self.path, _BARE)
        _make_repository(self.work / ".git", _CLONE.format(origin=self.path))

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *args: str, cwd: Path | None = None, stdin: bytes = b"") -> str:
        when = f"{int((BEGIN + timedelta(seconds=self.seconds)).timestamp())} +0000"
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.work.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_COMMITTER_NAME": "Grace",
            "GIT_COMMITTER_EMAIL": "grace@example.com",
            "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_DATE": when,
        }
        ended = subprocess.run(
            ["git", *args], cwd=cwd or self.work, env=env, input=stdin, capture_output=True, check=False
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode("utf-8", "backslashreplace").strip()

    def commit(
        self, message: str = "change", *, files: Mapping[str, str | bytes] | None = None, push: bool = True
    ) -> str:
        self.seconds += 1
        for name, content in (files or {}).items():
            target = self.work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "-A")
        self.git(
            "commit",
            "-q",
            "--allow-empty",
            "--allow-empty-message",
            "--cleanup=verbatim",
            "-F",
            "-",
            stdin=message.encode(),
        )
        return self._push_head() if push else self.git("rev-parse", "HEAD")

    def merge(self, branch: str, message: str, *, push: bool = True) -> str:
        self.seconds += 1
        self.git("merge", "-q", "--no-ff", "-m", message, branch)
        return self._push_head() if push else self.git("rev-parse", "HEAD")

    def push(self, *args: str) -> None:
        self.git("push", "-q", "--force", *(args or ("origin", "HEAD")))

    def _push_head(self) -> str:
        """Push as `push` does, by one process instead of ten; return the head."""
        listed = self.git("rev-list", "--objects", "HEAD", *(f"^{sha}" for sha in self._sent))
        names = [line.partition(" ")[0] for line in listed.splitlines()]
        places = [Path("objects", name[:2], name[2:]) for name in names]
        branch = (self.work / ".git" / "HEAD").read_text(encoding="utf-8").strip().removeprefix("ref: ")
        if not names or not branch.startswith("refs/heads/") or not all(map(self._has_loose, places)):
            self.push()
            return self.git("rev-parse", "HEAD")
        for place in places:
            if not (self.path / place).exists():
                (self.path / place).parent.mkdir(exist_ok=True)
                (self.path / place).hardlink_to(self.work / ".git" / place)
        _write_ref(self.path / branch, names[0])
        _write_ref(
            self.work / ".git" / "refs" / "remotes" / "origin" / Path(branch).relative_to("refs/heads"), names[0]
        )
        self._sent = [names[0]]
        return names[0]

    def _has_loose(self, place: Path) -> bool:
        return (self.work / ".git" / place).exists()


def _make_repository(folder: Path, config: str) -> None:
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (folder / "config").write_text(config.lstrip(), encoding="utf-8")


def _write_ref(place: Path, sha: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    written = place.with_name(f".{place.name}.new")
    written.write_text(f"{sha}\n", encoding="utf-8")
    written.replace(place)


class FakeClock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


StoreMaker = Callable[..., GitStore]


@dataclass
class GitServer:
    """A smart-HTTP git server: git's own http-backend behind aiohttp."""

    root: Path
    base_url: str = ""
    user: str | None = None
    password: str = ""
    redirect_to: str | None = None
    renamed: dict[str, str] = field(default_factory=dict)
    """Paths that redirect to others of this server, relative as GitHub does not."""
    status: int | None = None
    refuse_after: int | None = None
    """How many requests are served before all others are 403."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path with query, authorization)."""
    gate: asyncio.Event | None = None
    """When set, answers wait for it."""
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        self.requests.append((request.method, request.path_qs, authorization))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.redirect_to is not None:
            return web.Response(status=301, headers={"Location": self.redirect_to + request.path_qs})
        for old, new in self.renamed.items():
            if request.path.startswith(old + "/"):
                return web.Response(status=301, headers={"Location": request.path_qs.replace(old, new, 1)})
        if self.refuse_after is not None and len(self.requests) > self.refuse_after:
            return web.Response(status=403, text="no")
        if self.status is not None:
            return web.Response(status=self.status, text="no")
        expected = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.user is not None and authorization != expected:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        return await self._backend(request)

    async def _backend(self, request: web.Request) -> web.Response:
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": "",
        }
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate(await request.read())
        head, _, body = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)
