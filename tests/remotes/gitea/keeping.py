"""A Gitea with one repository, which keeps every status of its one commit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web
from tests.remotes.forges import SECRET, SHA, FakeForge, Says, Times, making

from fluxtrail.remotes.gitea.client import GiteaClient

ROOT = "/api/v1/repos/acme/sh%2Bop"
REPOSITORY = "acme/sh+op"
ClientMaker = Callable[..., GiteaClient]


@dataclass
class Keeper:
    """One repository with one commit; `forge.says(keeper)` puts it behind the server."""

    forge: FakeForge
    statuses: list[dict[str, Any]] = field(default_factory=list)
    page_limit: int = 50

    def __call__(self, request: web.Request) -> Says:
        asked = self.forge.asked[-1]
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path.removeprefix(ROOT).split("/")[1:]:
            case ["statuses", sha] if asked.method == "POST":
                if sha != SHA:
                    return Says(status=500, json={"message": "", "url": "https://git.test/api/swagger"})
                self.statuses.append({"id": len(self.statuses) + 1, **self._kept(msgspec.json.decode(asked.body))})
                return Says(status=201, json=self.statuses[-1])
            case ["commits", sha, "statuses"] if sha == SHA:
                size = min(int(query["limit"]), self.page_limit)
                at = (int(query["page"]) - 1) * size
                return Says(json=self.statuses[::-1][at : at + size])
            case ["git", "commits", sha] if sha == SHA:
                return Says(json={"sha": sha})
        return Says(status=404, json={"message": "The target couldn't be found.", "errors": []})

    def losing_its_answer(self, request: web.Request) -> Says:
        self(request)
        return Says(status=504, body=b"<html>504</html>", content_type="text/html")

    @staticmethod
    def _kept(body: dict[str, Any]) -> dict[str, Any]:
        assert body["state"] in ("pending", "success", "error", "failure", "warning")
        texts = {name: body.get(name, "").strip() for name in ("context", "description", "target_url")}
        return {"status": body["state"], **texts}


def clients(forge: FakeForge, times: Times) -> AbstractAsyncContextManager[ClientMaker]:
    """Make clients that ask `forge`, with a token of acme's unless told otherwise."""
    tokens = [{"host": "git.test", "owner": "acme", "token": SECRET}]
    return making(GiteaClient, times, credentials=tokens, host="git.test", api_url=f"{forge.base_url}/api/v1")
