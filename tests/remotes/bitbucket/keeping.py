"""A Bitbucket that keeps build statuses by key: Cloud's and a Server's ways to say the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from aiohttp import web
from tests.remotes.forges import SECRET, SHA, FakeForge, Says, Times, making

from fluxtrail.remotes.bitbucket.client import BitbucketClient

LENGTHS = {"name": 255, "description": 255, "url": 450}
CLOUD = f"/2.0/repositories/acme/shop/commit/{SHA}/statuses/build"
SERVER = f"/rest/api/latest/projects/ACME/repos/shop/commits/{SHA}/builds"
OLD_SERVER = f"/rest/build-status/1.0/commits/{SHA}"
PROPERTIES = "/rest/api/1.0/application-properties"
ClientMaker = Callable[..., BitbucketClient]


@dataclass
class Keeper:
    """`forge.says(keeper)` puts it behind the server."""

    forge: FakeForge
    version: str | None = "8.19.1"
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __call__(self, request: web.Request) -> Says:
        asked = self.forge.asked[-1]
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = msgspec.json.decode(asked.body) if asked.body else None
        if parts.path == PROPERTIES:
            return Says(json={"version": self.version}) if self.version else Says(status=404, json={"errors": []})
        if parts.path in (CLOUD, SERVER, OLD_SERVER) and body is not None:
            return self._take(body, is_cloud=parts.path == CLOUD)
        if parts.path.startswith(CLOUD + "/"):
            return self._show(unquote(parts.path.removeprefix(CLOUD + "/")))
        if parts.path == SERVER:
            return self._show(query["key"])
        if parts.path == OLD_SERVER:
            return Says(json={"values": list(self.statuses.values()), "isLastPage": True})
        return Says(status=404, json={"type": "error", "error": {"message": "Resource not found"}})

    def losing_its_answer(self, request: web.Request) -> Says:
        self(request)
        return Says(status=504, body=b"<html>504</html>", content_type="text/html")

    def _take(self, body: dict[str, Any], *, is_cloud: bool) -> Says:
        assert body["state"] in ("INPROGRESS", "SUCCESSFUL", "FAILED", *(["STOPPED"] if is_cloud else []))
        assert body["url"].startswith("http")
        lengths = {**LENGTHS, "key": 40 if is_cloud else 255}
        for name, longest in lengths.items():
            if len(body[name].encode("utf-16-le")) // 2 > longest:
                return Says(status=400, json={"type": "error", "error": {"message": f"{name}: too long"}})
        self.statuses[body["key"]] = body
        return Says(status=201, json=body) if is_cloud else Says(status=204, body=b"")

    def _show(self, key: str) -> Says:
        found = self.statuses.get(key)
        return (
            Says(json=found) if found else Says(status=404, json={"type": "error", "error": {"message": "Not found"}})
        )


def clients(forge: FakeForge, times: Times) -> AbstractAsyncContextManager[ClientMaker]:
    """Make clients that ask `forge`, with a token of acme's unless told otherwise."""
    tokens = [{"host": "bit.test", "token": SECRET}]
    return making(BitbucketClient, times, credentials=tokens, host="bit.test", api_url=f"{forge.base_url}/2.0")
