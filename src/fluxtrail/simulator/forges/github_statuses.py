"""GitHub's commit statuses: made, listed, combined. Contexts are one whatever their case; 1,000 of each are taken."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.forges.github import BASE, DESCRIPTION_LIMIT, GitHubService, check_texts, page
from fluxtrail.simulator.forges.github_limits import GitHubLimits
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, fields

STATES = ("error", "failure", "pending", "success")
PER_CONTEXT_LIMIT = 1_000
_FULL = "Validation Failed: This SHA and context has reached the maximum number of statuses."
_CONTEXT_LIMIT = 255
_WIDEST = 0xFFFF
"""What has three bytes of UTF-8."""


class GitHubStatuses(GitHubService):
    def __init__(self, desk: Desk, limits: GitHubLimits) -> None:
        super().__init__(desk, limits)
        self._statuses: dict[tuple[str, str], list[Json]] = defaultdict(list)
        """(repository, sha) -> oldest first."""
        self._numbers = itertools.count(1)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post(BASE + "/statuses/{sha}", self.answering("status", self._create))
        router.add_get(BASE + "/statuses/{sha}", self.answering("statuses", self._list))
        router.add_get(BASE + "/commits/{sha}/statuses", self.answering("statuses", self._list))
        router.add_get(BASE + "/commits/{sha}/status", self.answering("combined_status", self._combined))

    def newest(self, repository: str, sha: str) -> list[Json]:
        """Return the newest status of every context, by context."""
        by_context = {status["context"].lower(): status for status in self._statuses[repository, sha]}
        return [by_context[key] for key in sorted(by_context)]

    def combined_state(self, repository: str, sha: str) -> str:
        states = {status["state"] for status in self.newest(repository, sha)}
        if states & {"error", "failure"}:
            return "failure"
        return "success" if states == {"success"} else "pending"

    def _create(self, asked: Asked) -> Answer:
        repository, sha, body = self.repository(asked), asked.part("sha"), fields(asked)
        self.commit_message(repository, sha)
        context = body.get("context") or "default"
        state = body.get("state")
        if state not in STATES:
            raise RefusedError(422, f"Validation Failed: state {str(state)[:40]!r} is not included in the list")
        check_texts(
            body, addresses=("target_url",), lengths={"description": DESCRIPTION_LIMIT, "context": _CONTEXT_LIMIT}
        )
        if any(ord(letter) > _WIDEST for letter in body.get("description") or ""):
            raise RefusedError(422, "Validation Failed: description doesn't accept 4-byte Unicode")
        held = self._statuses[repository, sha]
        if sum(status["context"].lower() == context.lower() for status in held) >= PER_CONTEXT_LIMIT:
            self.violate(asked, "per_context", f"{PER_CONTEXT_LIMIT} statuses of {context[:80]} on {sha[:12]}")
            raise RefusedError(422, _FULL)
        status = self._status(asked, body, context=context)
        held.append(status)
        self.recorder.status(
            at=asked.now,
            system=self.system,
            call="status",
            repository=repository,
            sha=sha,
            context=context,
            state=state,
            description=body.get("description") or "",
            url=body.get("target_url") or "",
            id=str(status["id"]),
        )
        return Answer(201, status)

    def _status(self, asked: Asked, body: Json, *, context: str) -> Json:
        at = wire_time(asked.now)
        return {
            "id": next(self._numbers),
            "state": body["state"],
            "description": body.get("description"),
            "target_url": body.get("target_url"),
            "context": context,
            "created_at": at,
            "updated_at": at,
            "creator": {"login": "fluxtrail[bot]", "type": "Bot"},
        }

    def _list(self, asked: Asked) -> Answer:
        repository, sha = self.repository(asked), asked.part("sha")
        self.commit_message(repository, sha)
        return Answer(200, list(page(asked, self._statuses[repository, sha][::-1])))

    def _combined(self, asked: Asked) -> Answer:
        repository, sha = self.repository(asked), asked.part("sha")
        self.commit_message(repository, sha)
        newest = self.newest(repository, sha)
        found: dict[str, Any] = {
            "state": self.combined_state(repository, sha),
            "statuses": list(page(asked, newest)),
            "sha": sha,
            "total_count": len(newest),
            "repository": {"full_name": repository},
        }
        return Answer(200, found)
