"""Azure DevOps: pull requests, what pipelines note of them, and the agentless tasks that wait for an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.forges.azure_devops import BASE, AzureLimits, AzureService
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, fields

PROPERTY = "callback-task-id"
PAGE = 100
_PLANS = "/azure/{org}/{project_id}/_apis/distributedtask/hubs/build/plans/{plan}"


@dataclass(slots=True)
class Plan:
    """A pipeline's run whose task waits."""

    id: str
    task_id: str
    job_id: str
    state: str = "inProgress"
    result: str = ""


@dataclass(slots=True)
class AzurePullRequest:
    number: int
    status: str = "active"
    """`active`, `completed` or `abandoned`."""
    closed_at: datetime | None = None
    property: str = ""
    """JSON text under `PROPERTY`."""


class AzureTasks(AzureService):
    """Tests fill it by `open_pull_request` and `wait_for`."""

    def __init__(self, desk: Desk, limits: AzureLimits) -> None:
        super().__init__(desk, limits)
        self.plans: dict[str, Plan] = {}
        self._pulls: dict[str, dict[int, AzurePullRequest]] = {}

    def open_pull_request(self, repository: str, number: int) -> AzurePullRequest:
        """Args:
        repository: `org/project/repo`.
        """
        pull = AzurePullRequest(number)
        self._pulls.setdefault(repository, {})[number] = pull
        return pull

    def abandon(self, pull: AzurePullRequest, *, hours_ago: float = 0.0) -> None:
        pull.status = "abandoned"
        pull.closed_at = self.desk.clock.now() - timedelta(hours=hours_ago)

    def wait_for(self, pull: AzurePullRequest, plan: Plan, *, server: str, project_id: str = "p1") -> None:
        """Let a task of a plan wait for the end of a pull request's delivery.

        Args:
            server: `http://…/azure/org/`, where plans are asked for; it ends with a slash.
        """
        self.plans[plan.id] = plan
        noted = {"taskid": plan.task_id, "jobid": plan.job_id, "planurl": server, "planid": plan.id}
        pull.property = json.dumps(noted | {"projectid": project_id, "pr_num": str(pull.number)})

    def add_routes(self, router: web.UrlDispatcher) -> None:
        pulls = BASE + "/pullRequests"
        router.add_get(pulls, self.answering("pull_requests", self._list))
        router.add_get(pulls + "/{number}", self.answering("pull_request", self._show))
        router.add_get(pulls + "/{number}/properties", self.answering("properties", self._properties))
        router.add_get(_PLANS, self.answering("plan", self._plan))
        router.add_post(_PLANS + "/events", self.answering("task_event", self._event))

    def _list(self, asked: Asked) -> Answer:
        query = asked.request.query
        pulls = list(self._pulls.get(self.repository(asked), {}).values())
        wanted = query.get("searchCriteria.status", "active")
        found = [pull for pull in reversed(pulls) if wanted in ("all", pull.status)]
        skip, top = int(query.get("$skip", "0")), min(int(query.get("$top", str(PAGE))), 1000)
        shown = [_pull_json(pull) for pull in found[skip : skip + top]]
        return Answer(200, {"count": len(shown), "value": shown})

    def _show(self, asked: Asked) -> Answer:
        return Answer(200, _pull_json(self._find(asked)))

    def _properties(self, asked: Asked) -> Answer:
        text = self._find(asked).property
        value = {PROPERTY: {"$type": "System.String", "$value": text}} if text else {}
        return Answer(200, {"count": len(value), "value": value})

    def _find(self, asked: Asked) -> AzurePullRequest:
        number = asked.part("number")
        pull = self._pulls.get(self.repository(asked), {}).get(int(number) if number.isdigit() else -1)
        if pull is None:
            raise RefusedError(404, "TF401180: The requested pull request was not found.")
        return pull

    def _plan(self, asked: Asked) -> Answer:
        plan = self._find_plan(asked)
        return Answer(200, {"planId": plan.id, "state": plan.state, "result": plan.result or None})

    def _event(self, asked: Asked) -> Answer:
        plan, body = self._find_plan(asked), _lower(fields(asked))
        if body.get("name") != "TaskCompleted" or body.get("result") not in ("succeeded", "failed"):
            raise RefusedError(400, "Not an event that a task waits for")
        if (body.get("taskid"), body.get("jobid")) != (plan.task_id, plan.job_id):
            raise RefusedError(404, f"No task {body.get('taskid')} waits in the plan {plan.id}.")
        if plan.state == "completed":
            raise RefusedError(400, f"Orchestration plan {plan.id} is completed and cannot be changed.")
        plan.state, plan.result = "completed", str(body["result"])
        facts = {"context": plan.task_id, "state": plan.result, "id": plan.id}
        self.recorder.write(at=asked.now, system=self.system, call="task_event", **facts)
        return Answer(204)

    def _find_plan(self, asked: Asked) -> Plan:
        plan = self.plans.get(asked.part("plan"))
        if plan is None:
            raise RefusedError(404, f"Orchestration plan {asked.part('plan')} was not found.")
        return plan


def _lower(body: Json) -> Json:
    return {key.lower(): value for key, value in body.items()}


def _pull_json(pull: AzurePullRequest) -> Json:
    found: dict[str, Any] = {"pullRequestId": pull.number, "status": pull.status}
    if pull.closed_at is not None:
        found["closedDate"] = wire_time(pull.closed_at)
    return found
