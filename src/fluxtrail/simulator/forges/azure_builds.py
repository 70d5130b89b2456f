"""Azure Pipelines: builds, listed by project whatever repository they are of, and the timeline of one.

Source: https://learn.microsoft.com/rest/api/azure/devops/build/builds/list, …/build/timeline/get
"""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from fluxtrail.model.ci import CiState
from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import parse_precise_time, precise_time
from fluxtrail.simulator.forges.azure_devops import AzureLimits, AzureService
from fluxtrail.simulator.forges.ci_runs import CiBook, Job, Run
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json

BASE = "/azure/{org}/{project}/_apis/build/builds"
PAGE = 1000
_WORDS = {
    CiState.QUEUED: ("notStarted", None),
    CiState.WAITING: ("postponed", None),
    CiState.RUNNING: ("inProgress", None),
    CiState.SUCCEEDED: ("completed", "succeeded"),
    CiState.FAILED: ("completed", "failed"),
    CiState.CANCELLED: ("completed", "canceled"),
    CiState.SKIPPED: ("completed", "skipped"),
}
_REASONS = {"push": "individualCI", "pull_request": "pullRequest", "workflow_run": "buildCompletion"}


class AzureBuildsApi(AzureService):
    """Reads of the book: an organisation's projects hold all that its owner has. Public ones are for everybody."""

    def __init__(self, desk: Desk, limits: AzureLimits, book: CiBook) -> None:
        super().__init__(desk, limits)
        self._book = book

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(BASE, self.answering("builds", self._list))
        router.add_get(BASE + "/{id}", self.answering("build", self._show))
        router.add_get(BASE + "/{id}/timeline", self.answering("timeline", self._timeline))

    def authenticate(self, asked: Asked) -> None:
        """Everybody may read."""

    def _list(self, asked: Asked) -> Answer:
        """A page, and in a header where the next one begins."""
        query = asked.request.query
        found = self._book.of_owner(asked.part("org"))
        if since := query.get("minTime"):
            found = [run for run in found if run.created_at >= parse_precise_time(since)]
        start, top = int(query.get("continuationToken", "0")), min(int(query.get("$top", str(PAGE))), PAGE)
        shown = [self._build(asked, run) for run in found[start : start + top]]
        more = {"x-ms-continuationtoken": str(start + top)} if start + top < len(found) else {}
        return Answer(200, {"count": len(shown), "value": shown}, more)

    def _show(self, asked: Asked) -> Answer:
        return Answer(200, self._build(asked, self._find(asked)))

    def _timeline(self, asked: Asked) -> Answer:
        run = self._find(asked)
        records = [_record(index, job) for index, job in enumerate(run.last.jobs, 1)]
        return Answer(200, {"id": str(run.id), "changeId": len(records), "records": records})

    def _find(self, asked: Asked) -> Run:
        for run in self._book.of_owner(asked.part("org")):
            if str(run.id) == asked.part("id"):
                return run
        raise RefusedError(404, f"The requested build {asked.part('id')} could not be found.")

    def _build(self, asked: Asked, run: Run) -> Json:
        status, result = _WORDS[run.state]
        name = run.repository.rpartition("/")[2]
        ref = f"refs/pull/{run.pull_request}/merge" if run.pull_request else f"refs/heads/{run.branch}"
        page = f"{self._book.pages}/azure/{asked.part('org')}/{asked.part('project')}/_build/results"
        return {
            "id": run.id,
            "buildNumber": f"{run.created_at:%Y%m%d}.{run.number}",
            "status": status,
            "result": result,
            "reason": _REASONS.get(run.event, "manual"),
            "queueTime": precise_time(run.created_at),
            "startTime": _time(run.last.started_at),
            "finishTime": _time(run.last.finished_at),
            "lastChangedDate": precise_time(run.updated_at),
            "sourceBranch": ref,
            "sourceVersion": run.sha,
            "definition": {"id": 1, "name": run.pipeline},
            "repository": {"id": name, "name": name, "type": "TfsGit"},
            "requestedFor": {"displayName": run.author},
            "_links": {"web": {"href": page}},
        }


def _record(order: int, job: Job) -> Json:
    status, result = _WORDS[job.state]
    state = {"notStarted": "pending", "postponed": "pending"}.get(status, status)
    times = {"startTime": _time(job.started_at), "finishTime": _time(job.finished_at)}
    return {"type": "Stage", "name": job.name, "order": order, "state": state, "result": result} | times


def _time(at: datetime | None) -> str | None:
    return precise_time(at) if at else None
