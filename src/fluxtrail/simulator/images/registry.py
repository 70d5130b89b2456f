"""A registry on loopback: the reading half of the OCI distribution API, and a part of it that wants a login.

Source: https://github.com/opencontainers/distribution-spec (spec.md, Pull and Content Discovery).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import web

from fluxtrail.simulator.images.building import Content, Image

PRIVATE = "private/"
"""Repositories below it are for those who log in."""


class ImageRegistry:
    """Holds images by repository, tag and digest. `push` is for the world's own pipelines."""

    def __init__(self) -> None:
        self.requests = 0
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._contents: dict[tuple[str, str], Content] = {}
        """By (repository, digest or tag)."""
        self._tags: dict[str, list[str]] = {}
        self._images: dict[str, Image] = {}
        """By the index's digest."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v2/", self._root)
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{reference}", self._manifest)
        app.router.add_get("/v2/{name:.+}/tags/list", self._list_tags)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def push(self, repository: str, tag: str, image: Image) -> str:
        """Take an image under a tag; return the digest of its index."""
        for content in (image.index, *image.manifests.values(), *image.blobs):
            self._contents[repository, content.digest] = content
        self._contents[repository, tag] = image.index
        tags = self._tags.setdefault(repository, [])
        if tag not in tags:
            tags.append(tag)
        self._images[image.index.digest] = image
        return image.index.digest

    def tags(self, repository: str) -> list[str]:
        return list(self._tags.get(repository, ()))

    def find_image(self, reference: str) -> Image | None:
        """Return the image that a reference with a tag, a digest or both stands for; None where we do not have it."""
        host, _, rest = reference.partition("/")
        if host != self.host:
            return None
        named, at, digest = rest.partition("@")
        if at:
            return self._images.get(digest)
        name, _, tag = named.rpartition(":")
        content = self._contents.get((name, tag))
        return self._images.get(content.digest) if content else None

    def push_chart(self, repository: str, tag: str, manifest: Content, blobs: Sequence[Content]) -> None:
        """Take what is no image: a chart, by its manifest and what that names."""
        for content in (manifest, *blobs):
            self._contents[repository, content.digest] = content
        self._contents[repository, tag] = manifest

    def find_digest(self, reference: str) -> str | None:
        """Return the digest that `host/name:tag` stands for here."""
        host, _, rest = reference.partition("/")
        name, _, tag = rest.rpartition(":")
        content = self._contents.get((name, tag)) if host == self.host else None
        return content.digest if content else None

    async def _root(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({})

    async def _manifest(self, request: web.Request) -> web.Response:
        self.requests += 1
        name, reference = request.match_info["name"], request.match_info["reference"]
        if (refusal := self._refusal(request, name)) is not None:
            return refusal
        content = self._contents.get((name, reference))
        if content is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        headers = {"Docker-Content-Digest": content.digest}
        return web.Response(body=content.body, content_type=content.media_type, headers=headers)

    async def _list_tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if (refusal := self._refusal(request, name)) is not None:
            return refusal
        return web.json_response({"name": name, "tags": self._tags.get(name, [])})

    def _refusal(self, request: web.Request, name: str) -> web.Response | None:
        if not name.startswith(PRIVATE) or request.headers.get("Authorization"):
            return None
        answer = _error(401, "UNAUTHORIZED", "authentication required")
        answer.headers["WWW-Authenticate"] = 'Basic realm="registry"'
        return answer


def _error(status: int, code: str, message: str) -> web.Response:
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    return web.Response(text=body, status=status, content_type="application/json")
