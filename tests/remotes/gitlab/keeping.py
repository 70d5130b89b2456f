"""A GitLab that keeps what is written to it, and moves jobs and deployments only where GitLab moves them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web
from tests.remotes.forges import SECRET, SHA, FakeForge, Says, Times, making

from fluxtrail.remotes.gitlab.client import GitLabClient

ROOT = "/api/v4/projects/acme%2Fshop%2Fcart"
OPEN = ("pending", "running")
EVENTS = {"pending": "enqueue", "running": "run", "success": "success", "failed": "drop", "canceled": "cancel"}
FROM = {
    "pending": ("created",),
    "running": ("created", "pending"),
    "success": ("created", *OPEN),
    "failed": ("created", *OPEN),
    "canceled": ("created", *OPEN),
}
DEPLOYMENT_STATES = ("running", "success", "failed", "canceled")
ClientMaker = Callable[..., GitLabClient]


@dataclass
class Keeper:
    """One project, acme/shop/cart, with one commit; `forge.says(keeper)` puts it behind the server."""

    forge: FakeForge
    statuses: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    may_change_environments: bool = True
    default_branch: str | None = "trunk"
    not_modified: int = 0

    def __call__(self, request: web.Request) -> Says:
        asked = self.forge.asked[-1]
        parts = urlsplit(asked.path)
        if not parts.path.startswith(ROOT):
            return Says(status=404, json={"message": "404 Project Not Found"})
        names = [name for name in parts.path.removeprefix(ROOT).split("/") if name]
        if asked.method == "GET":
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            return self._conditional(self._read(names, query), asked.headers.get("if-none-match"))
        return self._take(asked.method, names, msgspec.json.decode(asked.body))

    def losing_its_answer(self, request: web.Request) -> Says:
        """Take it, and answer as a gateway does that waited too long."""
        self(request)
        return Says(status=504, body=b"<html>504</html>", content_type="text/html")

    def _conditional(self, found: Any, known: str | None) -> Says:
        if found is None:
            return Says(status=404, json={"message": "404 Not found"})
        etag = f'W/"{hashlib.sha256(msgspec.json.encode(found)).hexdigest()[:32]}"'
        if known == etag:
            self.not_modified += 1
            return Says(status=304, headers={"ETag": etag})
        return Says(json=found, headers={"ETag": etag, "Cache-Control": "max-age=0, private, must-revalidate"})

    def _read(self, names: list[str], query: dict[str, str]) -> Any:
        match names:
            case []:
                return {"id": 7, "default_branch": self.default_branch}
            case ["repository", "commits", sha, "statuses"]:
                return [item for item in self.statuses if item["name"] == query["name"]] if sha == SHA else None
            case ["deployments"]:
                found = [item for item in self.deployments if item["environment"]["name"] == query["environment"]][::-1]
                size, page = int(query["per_page"]), int(query["page"])
                return found[(page - 1) * size : page * size]
            case ["deployments", number]:
                return next((item for item in self.deployments if str(item["id"]) == number), None)
        return None

    def _take(self, method: str, names: list[str], body: dict[str, Any]) -> Says:
        match (method, names):
            case ("POST", ["statuses", sha]):
                return self._take_status(sha, body)
            case ("POST", ["deployments"]):
                return self._make_deployment(body)
            case ("PUT", ["deployments", number]):
                return self._move_deployment(int(number), body["status"])
            case ("PUT", ["environments", number]):
                if not self.may_change_environments:
                    return Says(status=403, json={"message": "403 Forbidden"})
                found = next(item for item in self.environments.values() if str(item["id"]) == number)
                found |= body
                return Says(json=found)
        return Says(status=404, json={"error": "404 Not Found"})

    def _take_status(self, sha: str, body: dict[str, Any]) -> Says:
        if sha != SHA:
            return Says(status=404, json={"message": "404 Commit Not Found"})
        for name in ("description", "target_url", "name"):
            if len(body.get(name, "")) > 255:
                return Says(status=400, json={"message": {name: ["is too long (maximum is 255 characters)"]}})
        wanted = body["state"]
        same = [item for item in self.statuses if item["name"] == body["name"] and item["status"] in OPEN]
        kept = same[0] if same else {"id": len(self.statuses) + 1, "status": "created", "target_url": None}
        if kept["status"] not in FROM[wanted]:
            event = EVENTS[wanted]
            reason = f'(Reason(s): Status cannot transition via "{event}")'
            text = f"Cannot transition status via :{event} from :{kept['status']} {reason}"
            return Says(status=400, json={"message": text})
        kept |= {"status": wanted} | {
            name: body[name] for name in ("name", "description", "target_url") if name in body
        }
        if not same:
            self.statuses.append(kept)
        return Says(status=201, json=kept)

    def _make_deployment(self, body: dict[str, Any]) -> Says:
        assert body["status"] in DEPLOYMENT_STATES
        assert body["tag"] is False
        name = body["environment"]
        place = self.environments.setdefault(
            name, {"id": len(self.environments) + 1, "name": name, "external_url": None}
        )
        made = {"id": len(self.deployments) + 31, "sha": body["sha"], "ref": body["ref"], "status": body["status"]}
        self.deployments.append({**made, "environment": place, "deployable": None})
        return Says(status=201, json=self.deployments[-1])

    def _move_deployment(self, number: int, wanted: str) -> Says:
        assert wanted in DEPLOYMENT_STATES
        found = next((item for item in self.deployments if item["id"] == number), None)
        if found is None:
            return Says(status=404, json={"message": "404 Not found"})
        is_possible = found["status"] != wanted and (wanted != "running" or found["status"] == "created")
        if not is_possible:
            return Says(status=400, json={"message": {"status": [f"cannot transition via {wanted}"]}})
        found["status"] = wanted
        return Says(json=found)


def clients(forge: FakeForge, times: Times) -> AbstractAsyncContextManager[ClientMaker]:
    """Make clients that ask `forge`, with a token of acme's unless told otherwise."""
    tokens = [{"host": "gitlab.test", "owner": "acme", "token": SECRET}]
    return making(GitLabClient, times, credentials=tokens, host="gitlab.test", api_url=f"{forge.base_url}/api/v4")
