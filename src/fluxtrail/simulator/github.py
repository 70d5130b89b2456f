"""GitHub's REST API, as much of it as is asked: commits, pull requests, file contents; ETags, limits, faults."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from fluxtrail.simulator.artifact_metadata import ArtifactMetadata
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.pull_requests import PullRequest, pull_json, pull_text, review_json, write_pull_request
from fluxtrail.simulator.repositories import Commit, Repository

_LIMIT_PER_HOUR = 5000
_MAX_BODY_BYTES = 16 * 1024 * 1024
_MESSAGES = {
    401: "Bad credentials",
    403: "Resource not accessible by integration",
    404: "Not Found",
    429: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    500: "Server Error",
}

Json = dict[str, Any]
T = TypeVar("T")
Handler = Callable[[web.Request, Repository], Json | list[Json] | None]


@dataclass(slots=True)
class _Fault:
    status: int
    count: int
    retry_after_seconds: int | None


@dataclass(slots=True)
class GitHub:
    """The forge of one owner's repositories.

    `pulls` is what it knows besides git: pull requests by repository name. Squashed commits exist here only.
    """

    clock: SimulatedClock
    repositories: Mapping[str, Repository]
    pulls: dict[str, list[PullRequest]] = field(default_factory=dict)
    artifact_metadata: ArtifactMetadata | None = None
    """What it knows of deployments; None: it has no such API."""
    forges: Forges | None = None
    """Statuses and all that can be told to forges, GitHub and others; None: nothing can."""
    on_pull_request: Callable[[str, PullRequest], None] | None = None
    """Called with the repository and each pull request that is merged."""
    requests: list[str] = field(default_factory=list)
    """Paths asked for, newest last; the last thousand."""
    _faults: list[_Fault] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _port: int = 0
    _remaining: int = _LIMIT_PER_HOUR

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        base = "/repos/{owner}/{repo}"
        routes: tuple[tuple[str, Handler], ...] = (
            ("/commits/{sha}/pulls", self._pulls_of_commit),
            ("/commits/{sha}", self._commit),
            ("/pulls/{number}/commits", self._commits_of_pull),
            ("/pulls/{number}/reviews", self._reviews),
            ("/pulls/{number}", self._pull),
            ("/contents/{path:.+}", self._contents),
        )
        for path, handler in routes:
            app.router.add_get(base + path, self._answering(handler))
        app.router.add_get("/{owner}/{repo}/pull/{number}", self._pull_page)
        if self.artifact_metadata is not None:
            self.artifact_metadata.add_routes(app.router)
        if self.forges is not None:
            self.forges.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def fail(self, status: int, *, count: int = 1, retry_after_seconds: int | None = None) -> None:
        """Answer the next `count` requests with `status`."""
        self._faults.append(_Fault(status, count, retry_after_seconds))

    def is_head(self, repository: str, sha: str) -> bool:
        """Whether a commit is one of a pull request: squashed ones are nowhere else."""
        return any(sha in pull.head_shas for pull in self.pulls.get(repository, ()))

    def add_pull_request(
        self, repository: Repository, merged: Commit, *, number: int, head_shas: tuple[str, ...]
    ) -> PullRequest:
        """Note a pull request as merged now."""
        pull = write_pull_request(
            repository.name, merged, number=number, head_shas=head_shas, base_ref=repository.branch, at=self.clock.now()
        )
        self.pulls.setdefault(repository.name, []).append(pull)
        if self.on_pull_request is not None:
            self.on_pull_request(repository.name, pull)
        return pull

    def _answering(self, handler: Handler) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            self.requests = [*self.requests[-999:], request.path]
            fault = self._take_fault()
            if fault is not None:
                return self._refuse(fault.status, retry_after_seconds=fault.retry_after_seconds)
            name = f"{request.match_info['owner']}/{request.match_info['repo']}"
            repository = self.repositories.get(name)
            body = handler(request, repository) if repository else None
            return self._refuse(404) if body is None else self._respond(request, body)

        return answer

    def _take_fault(self) -> _Fault | None:
        if not self._faults:
            return None
        fault = self._faults[0]
        fault.count -= 1
        if fault.count <= 0:
            self._faults.pop(0)
        return fault

    def _headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(_LIMIT_PER_HOUR),
            "X-RateLimit-Remaining": str(self._remaining),
            "X-RateLimit-Reset": str(int(time.time()) + 3600),
            "X-RateLimit-Used": str(_LIMIT_PER_HOUR - self._remaining),
            "X-RateLimit-Resource": "core",
            "X-GitHub-Media-Type": "github.v3; format=json",
        }

    def _refuse(self, status: int, *, retry_after_seconds: int | None = None) -> web.Response:
        headers = self._headers()
        if retry_after_seconds is not None:
            headers["Retry-After"] = str(retry_after_seconds)
        body = {"message": _MESSAGES.get(status, "error"), "documentation_url": "https://docs.github.com/rest"}
        return web.json_response(body, status=status, headers=headers)

    def _respond(self, request: web.Request, body: Json | list[Json]) -> web.Response:
        """A conditional request that finds nothing new costs nothing of the limit."""
        raw = json.dumps(body).encode()
        etag = f'W/"{hashlib.sha256(raw).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=self._headers() | {"ETag": etag})
        self._remaining = max(self._remaining - 1, 0)
        headers = self._headers() | {"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60"}
        return web.Response(body=raw, headers=headers, content_type="application/json", charset="utf-8")

    def _commit(self, request: web.Request, repository: Repository) -> Json | None:
        wanted = request.match_info["sha"]
        found = next((c for sha, c in repository.commits.items() if sha.startswith(wanted)), None)
        return _commit_json(found) if found else None

    def _pulls_of_commit(self, request: web.Request, repository: Repository) -> list[Json] | None:
        sha = request.match_info["sha"]
        pulls = [p for p in self.pulls.get(repository.name, ()) if sha == p.merge_sha or sha in p.head_shas]
        is_known = sha in repository.commits or bool(pulls)
        return [pull_json(pull, repository.name, pages=self.url) for pull in pulls] if is_known else None

    def _pull(self, request: web.Request, repository: Repository) -> Json | None:
        pull = self._find_pull(request, repository)
        return pull_json(pull, repository.name, pages=self.url) if pull else None

    def _reviews(self, request: web.Request, repository: Repository) -> list[Json] | None:
        pull = self._find_pull(request, repository)
        return None if pull is None else [review_json(pull, review) for review in _page(request, pull.reviews)]

    def _commits_of_pull(self, request: web.Request, repository: Repository) -> list[Json] | None:
        pull = self._find_pull(request, repository)
        if pull is None:
            return None
        shas = _page(request, pull.head_shas)
        return [_commit_json(repository.commits[sha]) if sha in repository.commits else {"sha": sha} for sha in shas]

    async def _pull_page(self, request: web.Request) -> web.Response:
        """What a person sees who follows the link to a pull request."""
        repository = self.repositories.get(f"{request.match_info['owner']}/{request.match_info['repo']}")
        pull = self._find_pull(request, repository) if repository else None
        if pull is None:
            raise web.HTTPNotFound
        return web.Response(text=pull_text(pull))

    def _find_pull(self, request: web.Request, repository: Repository) -> PullRequest | None:
        number = request.match_info["number"]
        return next((p for p in self.pulls.get(repository.name, ()) if str(p.number) == number), None)

    def _contents(self, request: web.Request, repository: Repository) -> Json | None:
        ref = request.query.get("ref", repository.branch)
        commit = repository.head_commit if ref == repository.branch else repository.commits.get(ref)
        path = request.match_info["path"]
        if commit is None or path not in commit.files:
            return None
        raw = commit.files[path].encode()
        blob = hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()
        content = base64.encodebytes(raw).decode()
        return {
            "type": "file",
            "encoding": "base64",
            "size": len(raw),
            "name": path.rpartition("/")[2],
            "path": path,
            "content": content,
            "sha": blob,
        }


def _page(request: web.Request, items: Sequence[T]) -> Sequence[T]:
    """Return the page that a request wants: 30 a page, at most 100."""
    per_page = min(int(request.query.get("per_page", "30")), 100)
    start = (max(int(request.query.get("page", "1")), 1) - 1) * per_page
    return items[start : start + per_page]


def _commit_json(commit: Commit) -> Json:
    person = {"name": commit.author.name, "email": commit.author.email, "date": wire_time(commit.committed_at)}
    return {
        "sha": commit.sha,
        "commit": {"author": person, "committer": person, "message": commit.message},
        "parents": [{"sha": parent} for parent in commit.parents],
    }
