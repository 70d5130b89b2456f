"""GitHub's deployments and their statuses, with both defaults that surprise: `auto_merge`, `required_contexts`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.forges.github import BASE, DESCRIPTION_LIMIT, GitHubService, check_texts, page
from fluxtrail.simulator.forges.github_limits import GitHubLimits
from fluxtrail.simulator.forges.github_statuses import GitHubStatuses
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, fields

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
_FILTERS = ("sha", "ref", "task", "environment")


class GitHubDeployments(GitHubService):
    """Args:
    statuses: what `required_contexts` asks.
    """

    def __init__(self, desk: Desk, limits: GitHubLimits, statuses: GitHubStatuses) -> None:
        super().__init__(desk, limits)
        self._commit_statuses = statuses
        self._deployments: dict[str, list[Json]] = {}
        """By repository, oldest first."""
        self._statuses: dict[int, list[Json]] = {}
        self._numbers = itertools.count(1)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        one = BASE + "/deployments/{id}"
        router.add_post(BASE + "/deployments", self.answering("deployment", self._create))
        router.add_get(BASE + "/deployments", self.answering("deployments", self._list))
        router.add_get(one, self.answering("deployments", self._show))
        router.add_post(one + "/statuses", self.answering("deployment_status", self._note))
        router.add_get(one + "/statuses", self.answering("deployment_statuses", self._statuses_of))

    def _create(self, asked: Asked) -> Answer:
        repository, body = self.repository(asked), fields(asked)
        ref = body.get("ref")
        if not isinstance(ref, str) or not ref:
            raise RefusedError(422, 'Invalid request.\n\n"ref" wasn\'t supplied.')
        if self.desk.commits.message_of(repository, ref) is None:
            raise RefusedError(422, f"No ref found for: {ref}")
        check_texts(body, addresses=(), lengths={"description": DESCRIPTION_LIMIT, "environment": 255, "task": 128})
        if body.get("auto_merge", True) is not False:
            # What is behind its default branch would be merged; none of ours ever wants that.
            self.violate(asked, "auto_merge", f"a deployment of {ref[:12]} would have merged")
            raise RefusedError(409, f"Conflict merging main into {ref}")
        self._check_contexts(repository, ref, body.get("required_contexts"))
        deployment = self._deployment(asked, body)
        self._deployments.setdefault(repository, []).append(deployment)
        self._statuses[deployment["id"]] = []
        self._record(asked, repository, deployment, call="deployment", state="created", body=body)
        return Answer(201, deployment)

    def _check_contexts(self, repository: str, ref: str, wanted: Any) -> None:
        newest = {s["context"].lower(): s["state"] for s in self._commit_statuses.newest(repository, ref)}
        names = newest if wanted is None else [str(name).lower() for name in wanted]
        if any(newest.get(name) != "success" for name in names):
            raise RefusedError(409, f"Conflict: Commit status checks failed for {ref}")

    def _deployment(self, asked: Asked, body: Json) -> Json:
        at = wire_time(asked.now)
        environment = body.get("environment") or "production"
        return {
            "id": next(self._numbers),
            "sha": body["ref"],
            "ref": body["ref"],
            "task": body.get("task") or "deploy",
            "payload": body.get("payload") or {},
            "environment": environment,
            "original_environment": environment,
            "description": body.get("description"),
            "transient_environment": bool(body.get("transient_environment", False)),
            "production_environment": bool(body.get("production_environment", environment == "production")),
            "created_at": at,
            "updated_at": at,
        }

    def _list(self, asked: Asked) -> Answer:
        held = self._deployments.get(self.repository(asked), [])
        query = asked.request.query
        wanted = {name: query[name] for name in _FILTERS if query.get(name, "none") != "none"}
        found = [d for d in reversed(held) if all(str(d[name]) == value for name, value in wanted.items())]
        return Answer(200, list(page(asked, found)))

    def _show(self, asked: Asked) -> Answer:
        return Answer(200, self._find(asked))

    def _statuses_of(self, asked: Asked) -> Answer:
        return Answer(200, list(page(asked, self._statuses[self._find(asked)["id"]][::-1])))

    def _note(self, asked: Asked) -> Answer:
        repository, deployment, body = self.repository(asked), self._find(asked), fields(asked)
        state = body.get("state")
        if state not in STATES:
            raise RefusedError(422, f"Validation Failed: state {str(state)[:40]!r} is not included in the list")
        addresses = ("log_url", "environment_url", "target_url")
        check_texts(body, addresses=addresses, lengths={"description": DESCRIPTION_LIMIT})
        status = self._add_status(asked, deployment, body)
        self._record(asked, repository, deployment, call="deployment_status", state=state, body=body)
        if state == "success" and body.get("auto_inactive", True):
            for other in self._superseded(repository, deployment):
                self._add_status(asked, other, {"state": "inactive"})
        return Answer(201, status)

    def _add_status(self, asked: Asked, deployment: Json, body: Json) -> Json:
        deployment["updated_at"] = wire_time(asked.now)
        status = {
            "id": next(self._numbers),
            "state": body["state"],
            "description": body.get("description") or "",
            "log_url": body.get("log_url") or body.get("target_url") or "",
            "environment_url": body.get("environment_url") or "",
            "environment": deployment["environment"],
            "created_at": wire_time(asked.now),
        }
        self._statuses[deployment["id"]].append(status)
        return status

    def _superseded(self, repository: str, deployment: Json) -> Iterator[Json]:
        """Earlier successes in the same environment, unless it is production or theirs are transient."""
        if deployment["production_environment"]:
            return
        for other in self._deployments[repository]:
            is_earlier = other["id"] < deployment["id"] and other["environment"] == deployment["environment"]
            last = self._statuses[other["id"]][-1:]
            if is_earlier and not other["transient_environment"] and last and last[0]["state"] == "success":
                yield other

    def _find(self, asked: Asked) -> Json:
        held = self._deployments.get(self.repository(asked), [])
        found = next((d for d in held if str(d["id"]) == asked.part("id")), None)
        if found is None:
            raise RefusedError(404, "Not Found")
        return found

    def _record(self, asked: Asked, repository: str, deployment: Json, *, call: str, state: str, body: Json) -> None:
        self.recorder.status(
            at=asked.now,
            system=f"{self.system}_deployments",
            call=call,
            repository=repository,
            sha=deployment["sha"],
            context=deployment["environment"],
            environment=deployment["environment"],
            state=state,
            description=str(body.get("description") or ""),
            url=str(body.get("log_url") or ""),
            id=str(deployment["id"]),
        )
