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


class Origin:
    """A remote repository with a work tree of its own; every commit is a second later than the one before."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "origin.git"
        self.work = folder / "work"
        self.seconds = 0
        self.git("init", "-q", "--bare", "-b", "main", str(self.path), cwd=folder)
        for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
            self.git("config", name, "true", cwd=self.path)
        self.git("clone", "-q", str(self.path), str(self.work), cwd=folder)
        self.git("checkout", "-q", "-B", "main")

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
        if push:
            self.push()
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str, message: str, *, push: bool = True) -> str:
        self.seconds += 1
        self.git("merge", "-q", "--no-ff", "-m", message, branch)
        if push:
            self.push()
        return self.git("rev-parse", "HEAD")

    def push(self, *args: str) -> None:
        self.git("push", "-q", "--force", *(args or ("origin", "HEAD")))


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
