"""A registry that behaves as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from tests.remotes.oci.registry import EXPORTER_INFO, OCI_MANIFEST, TARBALL, digest_of, image_manifest

NOW = 1_768_212_000.0
REPOSITORY = "grafana/kube-manifests"
EXPORT = msgspec.json.encode(
    {
        "commit": "cptpicard",
        "commits_since_last_export": [
            {
                "hash": "ltdata",
                "summary": "update deployment",
                "author": "Data",
                "email": "data@example.com",
                "time": "2026-01-12T10:00:00Z",
            }
        ],
        "export_build_link": "https://ci.example.com/builds/1701",
    }
)


class Times:
    """A clock that moves only when somebody sleeps or a test says so."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]

    @property
    def basic(self) -> str:
        return b64decode(self.headers.get("authorization", "").removeprefix("Basic ")).decode()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeRegistry:
    """Serves `manifests` and `blobs` by place; `scripted` answers come first, each once, for paths that begin so."""

    base_url: str = ""
    asked: list[Asked] = field(default_factory=list)
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    scripted: list[tuple[str, Handler]] = field(default_factory=list)
    always: dict[str, Handler] = field(default_factory=dict)
    accepts: Callable[[str], bool] | None = None
    """Whether an Authorization is good enough; None wants none."""
    challenge: str = ""
    media_type: str = OCI_MANIFEST

    @property
    def host(self) -> str:
        return self.base_url.partition("://")[2]

    def url(self, repository: str = REPOSITORY) -> str:
        return f"oci://{self.host}/{repository}"

    def add(self, body: bytes, *, tag: str = "latest") -> str:
        digest = digest_of(body)
        self.manifests |= {digest: body, tag: body}
        return digest

    def add_artifact(self, payload: bytes = EXPORT, *, media_type: str = EXPORTER_INFO, **more: Any) -> str:
        layers = [(TARBALL, b"not read"), (media_type, payload)]
        self.blobs |= {digest_of(data): data for _, data in layers}
        return self.add(image_manifest(layers, **more))

    def once(self, path: str, handler: Handler) -> None:
        self.scripted.append((path, handler))

    def paths(self, prefix: str = "/v2/") -> list[str]:
        return [asked.path for asked in self.asked if asked.path.startswith(prefix)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(text) for name, text in (await request.post()).items()} if request.method == "POST" else {}
        headers = {name.lower(): text for name, text in request.headers.items()}
        self.asked.append(Asked(request.method, request.path_qs, headers, form))
        for index, (prefix, handler) in enumerate(self.scripted):
            if request.path.startswith(prefix):
                del self.scripted[index]
                return await handler(request)
        for prefix, handler in self.always.items():
            if request.path.startswith(prefix):
                return await handler(request)
        if self.accepts is not None and not self.accepts(headers.get("authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": self.challenge})
        return self._serve(request)

    def _serve(self, request: web.Request) -> web.Response:
        kind, _, place = request.path.rpartition("/")
        found = {"manifests": self.manifests, "blobs": self.blobs}.get(kind.rpartition("/")[2], {}).get(place)
        if found is None:
            error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": None}]}
            return web.json_response(error, status=404)
        content_type = self.media_type if kind.endswith("manifests") else "application/octet-stream"
        return web.Response(body=found, headers={"Content-Type": content_type})


def says(status: int = 200, *, body: bytes = b"", **headers: str) -> Handler:
    named = {name.replace("_", "-"): text for name, text in headers.items()}

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=named)

    return handle


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 65536)
            await asyncio.sleep(0)
    except (ConnectionError, asyncio.CancelledError):
        return response


async def cut_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


def token_answer(token: str, **more: Any) -> Handler:
    return says(body=msgspec.json.encode({"token": token, **more}), Content_Type="application/json")
