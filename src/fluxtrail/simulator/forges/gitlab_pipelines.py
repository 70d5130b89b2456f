"""GitLab CI: pipelines and their jobs. A list says little of each: neither when one began nor when it ended.

Source: https://docs.gitlab.com/api/pipelines/, https://docs.gitlab.com/api/jobs/#list-pipeline-jobs
"""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from fluxtrail.model.ci import CiState
from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import parse_precise_time, precise_time
from fluxtrail.simulator.forges.ci_runs import CiBook, Job, Run
from fluxtrail.simulator.forges.github import page
from fluxtrail.simulator.forges.gitlab import BASE
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service

_WORDS = {
    CiState.QUEUED: "pending",
    CiState.WAITING: "manual",
    CiState.RUNNING: "running",
    CiState.SUCCEEDED: "success",
    CiState.FAILED: "failed",
    CiState.CANCELLED: "canceled",
    CiState.SKIPPED: "skipped",
}
_SOURCES = {"push": "push", "pull_request": "merge_request_event", "workflow_run": "pipeline", "schedule": "schedule"}


class GitLabPipelinesApi(Service):
    """Reads of the book; public projects' pipelines are for everybody."""

    system = "gitlab"

    def __init__(self, desk: Desk, book: CiBook) -> None:
        super().__init__(desk)
        self._book = book

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(BASE + "/pipelines", self.answering("pipelines", self._list))
        router.add_get(BASE + "/pipelines/{id}", self.answering("pipeline", self._show))
        router.add_get(BASE + "/pipelines/{id}/jobs", self.answering("jobs", self._jobs))

    def authenticate(self, asked: Asked) -> None:
        """Everybody may read."""

    def error(self, status: int, message: str) -> Json:
        return {"message": f"{status} {message}"}

    def _list(self, asked: Asked) -> Answer:
        query = asked.request.query
        found = self._book.listed(self._project(asked))
        if sha := query.get("sha"):
            found = [run for run in found if run.sha == sha]
        if since := query.get("updated_after"):
            found = [run for run in found if run.updated_at > parse_precise_time(since)]
        if query.get("order_by") == "updated_at":
            found = sorted(found, key=lambda run: run.updated_at, reverse=True)
        if query.get("sort") == "asc":
            found = found[::-1]
        return Answer(200, [self._short(run) for run in page(asked, found)])

    def _show(self, asked: Asked) -> Answer:
        run = self._find(asked)
        times = {"started_at": _time(run.last.started_at), "finished_at": _time(run.last.finished_at)}
        return Answer(200, self._short(run) | times | {"user": {"username": run.author}})

    def _jobs(self, asked: Asked) -> Answer:
        """The last job comes first."""
        run = self._find(asked)
        return Answer(200, [self._job(run, job) for job in page(asked, run.last.jobs[::-1])])

    def _short(self, run: Run) -> Json:
        ref = f"refs/merge-requests/{run.pull_request}/head" if run.pull_request else run.branch
        return {
            "id": run.id,
            "iid": run.number,
            "sha": run.sha,
            "ref": ref,
            "name": run.pipeline,
            "source": _SOURCES.get(run.event, run.event),
            "status": _WORDS[run.state],
            "web_url": f"{self._book.pages}/{run.repository}/-/pipelines/{run.id}",
            "created_at": precise_time(run.created_at),
            "updated_at": precise_time(run.updated_at),
        }

    def _job(self, run: Run, job: Job) -> Json:
        return {
            "id": job.id,
            "name": job.name,
            "stage": job.name,
            "status": _WORDS[job.state],
            "allow_failure": False,
            "started_at": _time(job.started_at),
            "finished_at": _time(job.finished_at),
            "web_url": f"{self._book.pages}/{run.repository}/-/jobs/{job.id}",
        }

    def _find(self, asked: Asked) -> Run:
        run = self._book.find(self._project(asked), asked.part("id"))
        if run is None:
            raise RefusedError(404, "Not found")
        return run

    def _project(self, asked: Asked) -> str:
        name = asked.part("project")
        if not self.desk.commits.has(name):
            raise RefusedError(404, "Project Not Found")
        return name


def _time(at: datetime | None) -> str | None:
    return precise_time(at) if at else None
