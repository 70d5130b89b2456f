"""A GitHub that keeps what is written to it, and refuses what GitHub refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web
from tests.remotes.forges import making
from tests.remotes.github.forge import SHA, Asked, FakeForge, Says, Times

from fluxtrail.remotes.github.client import GitHubClient

STATES = ("error", "failure", "pending", "success")
DEPLOYMENT_STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
ClientMaker = Callable[..., GitHubClient]


@dataclass
class Keeper:
    """One repository, acme/shop, with one commit; `forge.says(keeper)` puts it behind the server."""

    forge: FakeForge
    statuses_limit: int = 1_000
    statuses: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    dispatches: list[dict[str, Any]] = field(default_factory=list)
    not_modified: int = 0

    def __call__(self, request: web.Request) -> Says:
        asked = self.forge.asked[-1]
        if not asked.path.startswith("/repos/acme/shop/"):
            return Says(status=404, json={"message": "Not Found"})
        if asked.method == "GET":
            return self._conditional(self._list(asked), asked)
        return self._take(asked)

    def losing_its_answer(self, request: web.Request) -> Says:
        """Take it, and answer as a gateway does that waited too long."""
        self(request)
        return Says(status=502, body=b"<html>Unicorn!</html>", content_type="text/html")

    def dropping_the_line(self, request: web.Request) -> Says:
        """Take it, and be gone."""
        self(request)
        assert request.transport is not None
        request.transport.close()
        return Says()

    def _conditional(self, items: list[Any], asked: Asked) -> Says:
        etag = f'"{hashlib.sha256(msgspec.json.encode(items)).hexdigest()}"'
        headers = {"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60"}
        if asked.headers.get("if-none-match") == etag:
            self.not_modified += 1
            return Says(status=304, headers=headers)
        return Says(json=items, headers=headers)

    def _list(self, asked: Asked) -> list[Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(asked.path).query).items()}
        if "/statuses" in asked.path:
            items = self.statuses
        else:
            wanted = {name: query[name] for name in ("sha", "environment", "task")}
            items = [item for item in self.deployments if all(item[name] == text for name, text in wanted.items())]
        per_page, page = int(query["per_page"]), int(query["page"])
        assert per_page <= 100
        return items[::-1][(page - 1) * per_page : page * per_page]

    def _take(self, asked: Asked) -> Says:
        body = msgspec.json.decode(asked.body)
        names = asked.path.removeprefix("/repos/acme/shop/").split("/")
        match names:
            case ["statuses", sha]:
                return self._take_status(sha, body)
            case ["deployments"]:
                return self._take_deployment(body)
            case ["deployments", number, "statuses"]:
                assert body["state"] in DEPLOYMENT_STATES
                self.notes.setdefault(int(number), []).append(body)
                return Says(status=201, json={"id": 1})
            case ["dispatches"]:
                self.dispatches.append(body)
                return Says(status=204, body=b"")
        return Says(status=404, json={"message": "Not Found"})

    def _take_status(self, sha: str, body: dict[str, Any]) -> Says:
        assert body["state"] in STATES
        if sha != SHA:
            return Says(status=422, json={"message": f"No commit found for SHA: {sha}"})
        same = [item for item in self.statuses if item["context"].lower() == body["context"].lower()]
        if len(same) >= self.statuses_limit:
            return refused("This SHA and context has reached the maximum number of statuses.", field=None)
        if len(body["description"]) > 140:
            return refused("description is too long (maximum is 140 characters)")
        if any(ord(character) > 0xFFFF for character in body["description"]):
            return refused("description doesn't accept 4-byte Unicode")
        self.statuses.append({"id": len(self.statuses) + 1, "target_url": None, **body})
        return Says(status=201, json=self.statuses[-1])

    def _take_deployment(self, body: dict[str, Any]) -> Says:
        if body["auto_merge"] or body["required_contexts"] != []:
            return Says(status=409, json={"message": "Conflict: Commit status checks failed for main."})
        if body["ref"] != SHA:
            return Says(status=422, json={"message": f"No ref found for: {body['ref']}"})
        self.deployments.append({"id": 41 + len(self.deployments), "sha": SHA, **body})
        return Says(status=201, json=self.deployments[-1])


def refused(message: str, *, field: str | None = "description") -> Says:
    error = {"resource": "Status", "code": "custom", "field": field, "message": message}
    return Says(status=422, json={"message": "Validation Failed", "errors": [error]})


def clients(forge: FakeForge, times: Times) -> AbstractAsyncContextManager[ClientMaker]:
    """Make clients that ask `forge`, without a token unless told otherwise."""
    return making(GitHubClient, times, credentials=[], base_url=forge.base_url)
