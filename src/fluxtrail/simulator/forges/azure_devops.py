"""Azure DevOps: what its calls share, statuses of commits, and single commits.

A status whose context or whose target URL is that of an earlier one takes its place, and the mark of a commit is
that of the last one posted (`gitops-connector` works around both). Limits are those of "Rate and usage limits":
200 TSTU in five minutes, then answers come late, then not at all.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.forges.limits import Window
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service, fields, is_web_address

BASE = "/azure/{org}/{project}/_apis/git/repositories/{repo}"
STATES = ("notSet", "pending", "succeeded", "failed", "error", "notApplicable", "partiallySucceeded")
TSTU_LIMIT = 200.0
TSTU_SECONDS = 300.0
COST_TSTU = 0.2
"""Of one request: a thousand of them fit into five minutes."""
_LATE_SECONDS = 30.0
"""The longest delay, where a half more than the limit was used; beyond it requests are refused."""


class AzureLimits:
    """Windows of tokens, shared by all calls."""

    def __init__(self) -> None:
        self.cost = COST_TSTU
        self._windows: dict[str, Window] = {}

    def of(self, token: str) -> Window:
        return self._windows.setdefault(token, Window(TSTU_LIMIT, seconds=TSTU_SECONDS))


class AzureService(Service):
    """Its refusals and its limits.

    Args:
        limits: shared by all of its calls.
    """

    system: ClassVar[str] = "azure_devops"

    def __init__(self, desk: Desk, limits: AzureLimits) -> None:
        super().__init__(desk)
        self.limits = limits

    def error(self, status: int, message: str) -> Any:
        return {"$id": "1", "innerException": None, "message": message, "typeKey": f"Http{status}", "errorCode": 0}

    def admit(self, asked: Asked) -> None:
        """Let it in at once, late, or not at all."""
        window = self.limits.of(asked.token)
        window.spend(asked.now, self.limits.cost)
        excess = window.used(asked.now) / window.limit - 1.0
        if excess > 0.5:
            self.violate(asked, "refused", f"{window.used(asked.now):.0f} TSTU in five minutes")
            raise RefusedError(429, "Request was blocked due to exceeding usage of resource 'Concurrency'.")
        if excess > 0:
            self.violate(asked, "delayed", f"{window.used(asked.now):.0f} TSTU in five minutes")
            asked.wait_seconds = min(excess * 2 * _LATE_SECONDS, _LATE_SECONDS)
        if not asked.is_read and "api-version" not in asked.request.query:
            method = asked.request.method
            raise RefusedError(400, f'No api-version was supplied for the "{method}" request.')

    def settle(self, asked: Asked, answer: Answer) -> Mapping[str, str]:
        """Say how it stands, as soon as it stands badly."""
        window = self.limits.of(asked.token)
        used = window.used(asked.now)
        if used <= window.limit and answer.status != 429:
            return {}
        wait = int(window.wait_seconds(asked.now)) + 1
        return {
            "Retry-After": str(wait),
            "X-RateLimit-Resource": "Core",
            "X-RateLimit-Delay": f"{asked.wait_seconds:.1f}",
            "X-RateLimit-Limit": f"{window.limit:.0f}",
            "X-RateLimit-Remaining": f"{max(window.limit - used, 0):.0f}",
            "X-RateLimit-Reset": str(int(asked.now.timestamp()) + wait),
        }

    def repository(self, asked: Asked) -> str:
        """Return `org/project/repo`.

        Raises:
            RefusedError: 404: there is none.
        """
        name = f"{asked.part('org')}/{asked.part('project')}/{asked.part('repo')}"
        if not self.desk.commits.has(name):
            raise RefusedError(404, f"TF401019: The Git repository with name or identifier {name} does not exist.")
        return name


class AzureStatuses(AzureService):
    def __init__(self, desk: Desk, limits: AzureLimits) -> None:
        super().__init__(desk, limits)
        self._statuses: dict[tuple[str, str], list[Json]] = defaultdict(list)
        self._numbers = itertools.count(1)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        commit = BASE + "/commits/{sha}"
        router.add_post(commit + "/statuses", self.answering("status", self._create))
        router.add_get(commit + "/statuses", self.answering("statuses", self._list))
        router.add_get(commit, self.answering("commit", self._commit))

    def shown(self, repository: str, sha: str) -> list[Json]:
        """Return the statuses that a commit's page shows: later ones take the place of those like them."""
        shown: list[Json] = []
        for status in self._statuses[repository, sha]:
            shown = [other for other in shown if not _takes_place(status, other)] + [status]
        return shown

    def mark(self, repository: str, sha: str) -> str:
        """Return the mark of a commit: the state that was posted last."""
        held = self._statuses[repository, sha]
        return str(held[-1]["state"]) if held else "notSet"

    def _create(self, asked: Asked) -> Answer:
        repository, sha, body = self.repository(asked), self._sha(asked), fields(asked)
        context = body.get("context")
        if not isinstance(context, dict) or not context.get("name"):
            raise RefusedError(400, "The status context name must be specified.")
        state, url = body.get("state"), body.get("targetUrl") or ""
        if state not in STATES:
            raise RefusedError(400, f"Value {str(state)[:40]!r} is not one of GitStatusState.")
        if url and not is_web_address(url):
            raise RefusedError(400, "The target URL must be an absolute http or https address.")
        name, genre = str(context["name"]), str(context.get("genre") or "")
        description = str(body.get("description") or "")
        status = {"id": next(self._numbers), "state": state, "description": description, "targetUrl": url}
        status |= {"context": {"name": name, "genre": genre}, "creationDate": wire_time(asked.now)}
        self._statuses[repository, sha].append(status)
        facts = {"context": f"{genre}/{name}" if genre else name, "state": state, "description": description}
        facts |= {"repository": repository, "sha": sha, "url": url, "id": str(status["id"])}
        self.recorder.status(at=asked.now, system=self.system, call="status", **facts)
        return Answer(201, status)

    def _list(self, asked: Asked) -> Answer:
        repository, sha, query = self.repository(asked), self._sha(asked), asked.request.query
        found = self._statuses[repository, sha]
        if query.get("latestOnly", "").lower() == "true":
            found = list({(s["context"]["genre"], s["context"]["name"]): s for s in found}.values())
        top, skip = (int(query.get(name, default)) for name, default in (("top", "1000"), ("skip", "0")))
        found = found[skip : skip + top]
        return Answer(200, {"count": len(found), "value": found})

    def _commit(self, asked: Asked) -> Answer:
        repository, sha = self.repository(asked), self._sha(asked)
        return Answer(200, {"commitId": sha, "comment": self.desk.commits.message_of(repository, sha) or ""})

    def _sha(self, asked: Asked) -> str:
        sha = asked.part("sha")
        if self.desk.commits.message_of(self.repository(asked), sha) is None:
            raise RefusedError(404, f"TF401175:The version descriptor <Commit: {sha} > could not be resolved")
        return sha


def _takes_place(status: Json, other: Json) -> bool:
    same_url = bool(status["targetUrl"]) and status["targetUrl"] == other["targetUrl"]
    return same_url or bool(status["context"] == other["context"])
