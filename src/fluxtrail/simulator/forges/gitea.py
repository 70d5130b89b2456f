"""Gitea and Forgejo: commit statuses. They have no limits of their own; proxies before them do, as faults."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any, ClassVar

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service, fields

BASE = "/gitea/api/v1/repos/{owner}/{repo}"
STATES = ("pending", "success", "error", "failure", "warning", "skipped")
_WORST_FIRST = ("error", "failure", "warning", "pending", "success", "skipped")


class Gitea(Service):
    system: ClassVar[str] = "gitea"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._statuses: dict[tuple[str, str], list[Json]] = defaultdict(list)
        self._numbers = itertools.count(1)

    def error(self, status: int, message: str) -> Any:
        return {"message": message, "url": "http://127.0.0.1/api/swagger", "errors": [] if status == 404 else None}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post(BASE + "/statuses/{sha}", self.answering("status", self._create))
        router.add_get(BASE + "/statuses/{sha}", self.answering("statuses", self._list))
        router.add_get(BASE + "/commits/{sha}/statuses", self.answering("statuses", self._list))
        router.add_get(BASE + "/commits/{sha}/status", self.answering("combined_status", self._combined))

    def _create(self, asked: Asked) -> Answer:
        repository, sha = self._place(asked)
        body = fields(asked)
        state = body.get("state")
        if state not in STATES:
            raise RefusedError(422, f"invalid state {str(state)[:40]!r}")
        context, url = body.get("context") or "default", body.get("target_url") or ""
        description = body.get("description") or ""
        status = {"id": next(self._numbers), "status": state, "context": context, "target_url": url}
        status |= {"description": description, "created_at": wire_time(asked.now), "updated_at": wire_time(asked.now)}
        self._statuses[repository, sha].append(status)
        facts = {"repository": repository, "sha": sha, "context": context, "state": state, "url": url}
        facts |= {"description": description, "id": str(status["id"])}
        self.recorder.status(at=asked.now, system=self.system, call="status", **facts)
        return Answer(201, status)

    def _list(self, asked: Asked) -> Answer:
        """Newest first, unless the oldest are wanted first."""
        held, query = self._statuses[self._place(asked)], asked.request.query
        found = held if query.get("sort") == "oldest" else held[::-1]
        size, number = min(int(query.get("limit", "30")), 50), max(int(query.get("page", "1")), 1)
        return Answer(200, found[(number - 1) * size : number * size], {"X-Total-Count": str(len(held))})

    def _combined(self, asked: Asked) -> Answer:
        repository, sha = self._place(asked)
        newest = list({status["context"]: status for status in self._statuses[repository, sha]}.values())
        states = [status["status"] for status in newest]
        worst = min(states, key=_WORST_FIRST.index, default="pending")
        found = {"state": worst, "sha": sha, "total_count": len(newest), "statuses": newest}
        return Answer(200, found)

    def _place(self, asked: Asked) -> tuple[str, str]:
        repository, sha = f"{asked.part('owner')}/{asked.part('repo')}", asked.part("sha")
        if not self.desk.commits.has(repository):
            raise RefusedError(404, "The target couldn't be found.")
        if self.desk.commits.message_of(repository, sha) is None:
            raise RefusedError(404, f"object does not exist [id: {sha}, rel_path: ]")
        return repository, sha
