"""GitHub Actions: workflow runs, single ones and their jobs, as the REST API lists them.

Source: https://docs.github.com/rest/actions/workflow-runs, …/workflow-jobs. A run says when it last changed, and only
its jobs say when they ended.
"""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from fluxtrail.model.ci import CiState
from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.forges.ci_runs import CiBook, Job, Run, RunAttempt
from fluxtrail.simulator.forges.github import BASE, GitHubService, page
from fluxtrail.simulator.forges.github_limits import GitHubLimits
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json

_WORDS = {
    CiState.QUEUED: ("queued", None),
    CiState.WAITING: ("waiting", None),
    CiState.RUNNING: ("in_progress", None),
    CiState.SUCCEEDED: ("completed", "success"),
    CiState.FAILED: ("completed", "failure"),
    CiState.CANCELLED: ("completed", "cancelled"),
    CiState.SKIPPED: ("completed", "skipped"),
}


class GitHubActionsApi(GitHubService):
    """Reads of the book. Public repositories' runs are for everybody: no token is wanted."""

    def __init__(self, desk: Desk, limits: GitHubLimits, book: CiBook) -> None:
        super().__init__(desk, limits)
        self._book = book

    def add_routes(self, router: web.UrlDispatcher) -> None:
        runs = BASE + "/actions/runs"
        router.add_get(runs, self.answering("workflow_runs", self._list))
        router.add_get(runs + "/{id}", self.answering("workflow_run", self._show))
        router.add_get(runs + "/{id}/attempts/{attempt}", self.answering("workflow_run", self._show_attempt))
        router.add_get(runs + "/{id}/jobs", self.answering("workflow_jobs", self._jobs))
        router.add_get("/{owner}/{repo}/actions/runs/{id}", self._page)

    def authenticate(self, asked: Asked) -> None:
        """Everybody may read."""

    def _list(self, asked: Asked) -> Answer:
        query = asked.request.query
        found = self._book.listed(self.repository(asked))
        for name, of in (("head_sha", "sha"), ("branch", "branch"), ("event", "event"), ("actor", "author")):
            if wanted := query.get(name):
                found = [run for run in found if getattr(run, of) == wanted]
        if wanted := query.get("status"):
            found = [run for run in found if wanted in _WORDS[run.state]]
        runs = [self._run_json(run, run.last) for run in page(asked, found)]
        return Answer(200, {"total_count": len(found), "workflow_runs": runs})

    def _show(self, asked: Asked) -> Answer:
        run = self._find(asked)
        return Answer(200, self._run_json(run, run.last))

    def _show_attempt(self, asked: Asked) -> Answer:
        run = self._find(asked)
        for attempt in run.attempts:
            if str(attempt.number) == asked.part("attempt"):
                return Answer(200, self._run_json(run, attempt))
        raise RefusedError(404, "Not Found")

    def _jobs(self, asked: Asked) -> Answer:
        """Those of the last attempt, or with `filter=all` of each."""
        run = self._find(asked)
        attempts = run.attempts if asked.request.query.get("filter") == "all" else [run.last]
        jobs = [self._job_json(run, attempt, job) for attempt in attempts for job in attempt.jobs]
        return Answer(200, {"total_count": len(jobs), "jobs": list(page(asked, jobs))})

    def _find(self, asked: Asked) -> Run:
        run = self._book.find(self.repository(asked), asked.part("id"))
        if run is None:
            raise RefusedError(404, "Not Found")
        return run

    def _run_json(self, run: Run, attempt: RunAttempt) -> Json:
        status, conclusion = _WORDS[attempt.state]
        workflow, address = run.pipeline.lower().replace(" ", "-"), self._book.page_of(run)
        return {
            "id": run.id,
            "name": run.pipeline,
            "head_branch": run.branch,
            "head_sha": run.sha,
            "path": f".github/workflows/{workflow}.yaml",
            "display_title": run.title,
            "run_number": run.number,
            "run_attempt": attempt.number,
            "event": run.event,
            "status": status,
            "conclusion": conclusion,
            "url": f"{self._book.pages}/repos/{run.repository}/actions/runs/{run.id}",
            "html_url": address,
            "pull_requests": [{"number": run.pull_request}] if run.pull_request else [],
            "created_at": wire_time(run.created_at),
            "updated_at": wire_time(attempt.updated_at or attempt.queued_at),
            "run_started_at": wire_time(attempt.queued_at),
            "actor": {"login": run.author, "type": "User"},
            "triggering_actor": {"login": run.author, "type": "User"},
            "repository": {"full_name": run.repository},
        }

    def _job_json(self, run: Run, attempt: RunAttempt, job: Job) -> Json:
        """One that was skipped has times, too: those of the moment in which that was decided."""
        status, conclusion = _WORDS[job.state]
        decided = attempt.updated_at if job.state.is_final else None
        return {
            "id": job.id,
            "run_id": run.id,
            "run_attempt": attempt.number,
            "head_sha": run.sha,
            "name": job.name,
            "status": status,
            "conclusion": conclusion,
            "created_at": wire_time(attempt.queued_at),
            "started_at": wire_time(job.started_at or decided or attempt.queued_at),
            "completed_at": _time(job.finished_at or decided),
            "html_url": f"{self._book.page_of(run)}/job/{job.id}",
            "workflow_name": run.pipeline,
        }

    async def _page(self, request: web.Request) -> web.Response:
        """What a person sees who follows the link to a run."""
        parts = request.match_info
        run = self._book.find(f"{parts['owner']}/{parts['repo']}", parts["id"])
        if run is None:
            raise web.HTTPNotFound
        lines = [f"{run.pipeline} #{run.number}, attempt {run.last.number}: {run.state.value}", run.title, run.sha, ""]
        lines += [f"{job.state.value:<10} {job.name}" for job in run.last.jobs]
        return web.Response(text="\n".join(lines) + "\n")


def _time(at: datetime | None) -> str | None:
    return wire_time(at) if at else None
