"""GitLab: commit statuses with their refused transitions, deployments and environments.

Source: GitLab's API documentation, "Commits API", "Deployments API", "Environments API". A status that is pending or
running is the same one when it is told again, and moves only forwards; after an end there is a new one.
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
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service, is_web_address

BASE = "/gitlab/api/v4/projects/{project}"
DESCRIPTION_LIMIT = 255
REQUESTS_PER_MINUTE = 2_000
_EVENTS = {"pending": "enqueue", "running": "run", "success": "success", "failed": "drop", "canceled": "cancel"}
_OPEN = ("pending", "running")
_DEPLOYMENT_STATES = ("created", "running", "success", "failed", "canceled")


class GitLab(Service):
    """Everything of it; projects are named by their path, with `%2F`."""

    system: ClassVar[str] = "gitlab"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._statuses: dict[tuple[str, str], list[Json]] = defaultdict(list)
        self._deployments: dict[str, list[Json]] = defaultdict(list)
        self._environments: dict[str, dict[str, Json]] = defaultdict(dict)
        self._numbers = itertools.count(1)
        self.per_minute = REQUESTS_PER_MINUTE
        self._windows: dict[str, Window] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        commit = BASE + "/repository/commits/{sha}"
        router.add_post(BASE + "/statuses/{sha}", self.answering("status", self._create_status))
        router.add_get(commit + "/statuses", self.answering("statuses", self._list_statuses))
        router.add_get(commit, self.answering("commit", self._commit))
        router.add_post(BASE + "/deployments", self.answering("deployment", self._create_deployment))
        router.add_get(BASE + "/deployments", self.answering("deployments", self._list_deployments))
        router.add_get(BASE + "/deployments/{id}", self.answering("deployments", self._show_deployment))
        router.add_put(BASE + "/deployments/{id}", self.answering("deployment_status", self._update_deployment))
        router.add_post(BASE + "/environments", self.answering("environment", self._create_environment))
        router.add_get(BASE + "/environments", self.answering("environments", self._list_environments))
        router.add_put(BASE + "/environments/{id}", self.answering("environment", self._update_environment))

    def error(self, status: int, message: str) -> Any:
        return {"message": message if message[:3].isdigit() or status == 400 else f"{status} {message}"}

    def admit(self, asked: Asked) -> None:
        window = self._windows.setdefault(asked.token, Window(self.per_minute, seconds=60))
        if not window.spend(asked.now):
            self.violate(asked, "per_minute", f"{window.used(asked.now):g} requests in a minute")
            raise RefusedError(429, "Too Many Requests", {"Retry-After": str(int(window.wait_seconds(asked.now)) + 1)})

    def settle(self, asked: Asked, answer: Answer) -> Mapping[str, str]:
        del answer
        used = int(self._windows[asked.token].used(asked.now)) if asked.token in self._windows else 0
        limits = {"Limit": self.per_minute, "Observed": used, "Remaining": max(self.per_minute - used, 0)}
        return {f"RateLimit-{name}": str(value) for name, value in limits.items()}

    # Statuses.

    def _create_status(self, asked: Asked) -> Answer:
        project, sha = self._project(asked), self._sha(asked)
        state, name = asked.text("state"), asked.text("name") or asked.text("context") or "default"
        if state not in (*_EVENTS, "skipped"):
            raise RefusedError(400, "state does not have a valid value")
        description, url = asked.text("description"), asked.text("target_url")
        if len(description) > DESCRIPTION_LIMIT:
            raise RefusedError(400, f"description is too long (maximum is {DESCRIPTION_LIMIT} characters)")
        if url and not is_web_address(url):
            raise RefusedError(400, "target_url is blocked: Only allowed schemes are http, https")
        status = self._open_status(asked, project, sha, name)
        _move(status, state)
        status |= {"description": description or None, "target_url": url or None}
        facts = {"context": name, "state": state, "description": description, "url": url, "id": str(status["id"])}
        self.recorder.status(at=asked.now, system=self.system, call="status", repository=project, sha=sha, **facts)
        return Answer(201, status)

    def _open_status(self, asked: Asked, project: str, sha: str, name: str) -> Json:
        """Return the status that a new state belongs to: one under way of that name and ref, or a new one."""
        ref, held = asked.text("ref") or "main", self._statuses[project, sha]
        for status in reversed(held):
            if (status["name"], status["ref"]) == (name, ref) and status["status"] in _OPEN:
                return status
        status = {"id": next(self._numbers), "sha": sha, "ref": ref, "status": "created", "name": name}
        status |= {"created_at": wire_time(asked.now), "allow_failure": False, "coverage": None}
        held.append(status)
        return status

    def _list_statuses(self, asked: Asked) -> Answer:
        """The latest of every name, unless all are wanted; oldest first."""
        query = asked.request.query
        held = self._statuses[self._project(asked), self._sha(asked)]
        if query.get("all") not in ("true", "1", "yes"):
            held = list({(status["name"], status["ref"]): status for status in held}.values())
        wanted = {key: query[key] for key in ("name", "ref") if key in query}
        found = [status for status in held if all(status[key] == value for key, value in wanted.items())]
        return _paged(asked, found if query.get("sort") != "desc" else found[::-1])

    def _commit(self, asked: Asked) -> Answer:
        project, sha = self._project(asked), self._sha(asked)
        message = self.desk.commits.message_of(project, sha) or ""
        return Answer(200, {"id": sha, "title": message.partition("\n")[0], "message": message})

    # Deployments.

    def _create_deployment(self, asked: Asked) -> Answer:
        project = self._project(asked)
        missing = [name for name in ("environment", "sha", "ref", "tag", "status") if not asked.text(name)]
        if missing:
            raise RefusedError(400, f"{missing[0]} is missing")
        state, sha, environment = asked.text("status"), asked.text("sha"), asked.text("environment")
        if state not in _DEPLOYMENT_STATES:
            raise RefusedError(400, "status does not have a valid value")
        if self.desk.commits.message_of(project, sha) is None:
            raise RefusedError(400, "The commit does not exist")
        place = self._environment(project, environment)
        at = wire_time(asked.now)
        deployment = {"id": next(self._numbers), "ref": asked.text("ref"), "sha": sha, "status": state}
        deployment |= {"created_at": at, "updated_at": at, "environment": place}
        self._deployments[project].append(deployment)
        self._note(asked, project, deployment, call="deployment")
        return Answer(201, deployment)

    def _update_deployment(self, asked: Asked) -> Answer:
        project, deployment = self._project(asked), self._find_deployment(asked)
        state, before = asked.text("status"), deployment["status"]
        if state not in _DEPLOYMENT_STATES[1:]:
            raise RefusedError(400, "status does not have a valid value")
        if state == before or (state == "running" and before != "created"):
            event = {"running": "run", "success": "succeed", "failed": "drop", "canceled": "cancel"}[state]
            raise RefusedError(400, f'Status cannot transition via "{event}" from {before}')
        deployment |= {"status": state, "updated_at": wire_time(asked.now)}
        self._note(asked, project, deployment, call="deployment_status")
        return Answer(200, deployment)

    def _list_deployments(self, asked: Asked) -> Answer:
        query = asked.request.query
        found = self._deployments[self._project(asked)]
        if environment := query.get("environment"):
            found = [item for item in found if item["environment"]["name"] == environment]
        if state := query.get("status"):
            found = [item for item in found if item["status"] == state]
        return _paged(asked, found[::-1] if query.get("sort") == "desc" else found)

    def _show_deployment(self, asked: Asked) -> Answer:
        return Answer(200, self._find_deployment(asked))

    def _find_deployment(self, asked: Asked) -> Json:
        held = self._deployments[self._project(asked)]
        found = next((item for item in held if str(item["id"]) == asked.part("id")), None)
        if found is None:
            raise RefusedError(404, "Deployment Not Found")
        return found

    def _note(self, asked: Asked, project: str, deployment: Json, *, call: str) -> None:
        environment = deployment["environment"]["name"]
        self.recorder.status(
            at=asked.now,
            system=f"{self.system}_deployments",
            call=call,
            repository=project,
            sha=deployment["sha"],
            context=environment,
            environment=environment,
            state=deployment["status"],
            id=str(deployment["id"]),
        )

    # Environments.

    def _create_environment(self, asked: Asked) -> Answer:
        project, name = self._project(asked), asked.text("name")
        if not name:
            raise RefusedError(400, "name is missing")
        if name in self._environments[project]:
            raise RefusedError(400, "name has already been taken")
        made = self._environment(project, name)
        return self._change_environment(asked, made, status=201)

    def _update_environment(self, asked: Asked) -> Answer:
        held = self._environments[self._project(asked)].values()
        found = next((item for item in held if str(item["id"]) == asked.part("id")), None)
        if found is None:
            raise RefusedError(404, "Environment Not Found")
        return self._change_environment(asked, found, status=200)

    def _change_environment(self, asked: Asked, environment: Json, *, status: int) -> Answer:
        for name in ("external_url", "tier"):
            if value := asked.text(name):
                environment[name] = value
        facts = {"repository": self._project(asked), "context": environment["name"], "url": environment["external_url"]}
        self.recorder.write(at=asked.now, system=self.system, call="environment", **facts)
        return Answer(status, environment)

    def _list_environments(self, asked: Asked) -> Answer:
        held, query = self._environments[self._project(asked)], asked.request.query
        name, part = query.get("name"), query.get("search", "")
        return _paged(asked, [item for key, item in held.items() if (not name or key == name) and part in key])

    def _environment(self, project: str, name: str) -> Json:
        made: Json = {
            "id": next(self._numbers),
            "name": name,
            "state": "available",
            "external_url": "",
            "tier": "other",
        }
        return self._environments[project].setdefault(name, made)

    # What is where.

    def _project(self, asked: Asked) -> str:
        project = asked.part("project")
        if not self.desk.commits.has(project):
            raise RefusedError(404, "Project Not Found")
        return project

    def _sha(self, asked: Asked) -> str:
        sha = asked.part("sha")
        if self.desk.commits.message_of(self._project(asked), sha) is None:
            raise RefusedError(404, "Commit Not Found")
        return sha


def _move(status: Json, state: str) -> None:
    """Move a status on, or refuse as GitLab's state machine does: nothing goes back, or stays where it is."""
    before, event = status["status"], _EVENTS.get(state, "skip")
    if before == state or (before == "running" and state == "pending"):
        reason = f'Status cannot transition via "{event}"'
        raise RefusedError(400, f"Cannot transition status via :{event} from :{before} (Reason(s): {reason})")
    status["status"] = state


def _paged(asked: Asked, items: list[Json]) -> Answer:
    """Return the page that a request wants: 20 a page, at most 100."""
    size = min(int(asked.request.query.get("per_page", "20")), 100)
    number = max(int(asked.request.query.get("page", "1")), 1)
    is_more = number * size < len(items)
    headers = {"X-Total": str(len(items)), "X-Page": str(number), "X-Next-Page": str(number + 1) if is_more else ""}
    return Answer(200, items[(number - 1) * size : number * size], headers)
