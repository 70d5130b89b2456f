"""Azure DevOps' agentless tasks: a pipeline's job that waits until somebody says how it ended.

The pipeline leaves its task's ids on the pull request of the manifests, as JSON text in the property
`callback-task-id`: taskid, jobid, planurl, planid, projectid. Whoever may write to pull requests may write anything
there: so `planurl` is never asked. It has to be the organisation's own address, and the ids are asked about on the
host that we know.
Source: learn.microsoft.com, "Invoke Azure Function or REST API task" (callback), "Pull Request Properties - List",
"Events - Post Event"; gitops-connector's README.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from fluxtrail.model.errors import NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.remotes.azure_devops.client import API_VERSION, NAME, PER_PAGE, AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.azure_devops.facts import COMPLETED, AbandonedPullRequest
from fluxtrail.remotes.azure_devops.telling import TASK_RIGHT, naming_right
from fluxtrail.remotes.rest import PAGES_LIMIT
from fluxtrail.remotes.times import as_utc
from fluxtrail.remotes.writing import Audit, no_audit

log = structlog.get_logger(__name__)

PROPERTY = "callback-task-id"
EVENTS_VERSION = "2.0-preview.1"
"""Of the events of plans: the one that gitops-connector uses, taken by Services and by Servers."""
TEXT_LIMIT = 16_384
ID_LIMIT = 200


class AzureTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits."""

    repository: AzureRepository
    """Whose pull request named it: its organisation and its credential are the task's."""
    project_id: str
    plan_id: str
    job_id: str
    task_id: str


class _WireProperties(msgspec.Struct, frozen=True, kw_only=True):
    value: dict[str, Any] | None = None


class _WireOwner(msgspec.Struct, frozen=True, kw_only=True):
    id: int


class _WirePlan(msgspec.Struct, frozen=True, kw_only=True):
    state: str | None = None
    owner: _WireOwner | None = None
    """The build."""


class _WireRecord(msgspec.Struct, frozen=True, kw_only=True):
    id: str | None = None
    state: str | None = None


class _WireTimeline(msgspec.Struct, frozen=True, kw_only=True):
    records: list[_WireRecord] | None = None


class _WireAbandoned(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pull_request_id: int
    status: str | None = None
    closed_date: Any = None


class _WirePage(msgspec.Struct, frozen=True, kw_only=True):
    value: list[_WireAbandoned]


class AzureTasks:
    """Finds waiting tasks and ends them. Safe for concurrent callers.

    `repository` is a canonical path, see `AzureDevOpsClient.find_repository`. Every method raises RateLimitedError,
    AuthError, NotFoundError, UpstreamError and WireError.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: AzureDevOpsClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def find_task(self, repository: str, pull_request: int) -> AzureTask | None:
        """Return the task that a pull request names.

        None where it names none, or names what is no task of its own organisation: that is told in the log.
        """
        place = self._client.repository_of(repository)
        path = f"/pullRequests/{int(pull_request)}/properties"
        try:
            with naming_right(TASK_RIGHT):
                answer = await self._client.read(place, path, **{"api-version": f"{API_VERSION}-preview"})
        except NotFoundError as exc:
            if "TF401180" not in exc.message:  # the repository, not the pull request
                raise
            return None
        noted = answer.read(_WireProperties, name=NAME).value or {}
        if PROPERTY not in noted:
            return None
        try:
            return self._read(place, noted[PROPERTY])
        except WireError as exc:
            where = f"{self._client.place(place)}!{pull_request}"
            log.warning("task_not_readable", pull_request=where, error=exc.message)
            return None

    async def is_over(self, task: object) -> bool:
        """Whether nobody waits for a task any more: its plan has ended, or was deleted, or its job has ended."""
        one = _own(task)
        try:
            with naming_right(TASK_RIGHT):
                answer = await self._client.read_project(one.repository, one.project_id, _plan(one))
        except NotFoundError as exc:
            if "orchestration plan" not in exc.message.lower():
                raise
            return True
        plan = answer.read(_WirePlan, name=NAME)
        return plan.state == COMPLETED or (plan.owner is not None and await self._is_job_over(one, plan.owner.id))

    async def complete(self, task: object, *, succeeded: bool) -> None:
        """End a task, once; one that has ended meanwhile is as good.

        Raises:
            UpstreamError: `retryable`: it may have been taken; `is_over` tells.
        """
        one, result = _own(task), "succeeded" if succeeded else "failed"
        body = {"name": "TaskCompleted", "taskId": one.task_id, "jobId": one.job_id, "result": result}
        where = f"{self._client.place(one.repository)}#{one.plan_id}"
        self._audit(f"task {result} {one.task_id}", where)
        version = {"api-version": EVENTS_VERSION}
        try:
            with naming_right(TASK_RIGHT):
                await self._client.write_project(
                    "POST", one.repository, one.project_id, f"{_plan(one)}/events", body, **version
                )
        except RateLimitedError:
            raise
        except UpstreamError as exc:
            # Plans that end meanwhile answer with a 400, a 404 or a 500.
            if exc.status is None or exc.status in (401, 403) or not await self.is_over(one):
                raise
            log.info("task_over_already", task=one.task_id, place=where)

    async def abandoned(self, repository: str, *, closed_after: datetime) -> AsyncIterator[AbandonedPullRequest]:
        """Yield the pull requests that were abandoned since a moment, newest first; those without a date too.

        Args:
            closed_after: aware. Newer Azure DevOps filter by it themselves, older ones give all: at most two thousand
                are looked through.
        """
        place = self._client.repository_of(repository)
        query: dict[str, str | int] = {
            "api-version": API_VERSION,
            "searchCriteria.status": "abandoned",
            "searchCriteria.queryTimeRangeType": "closed",
            "searchCriteria.minTime": closed_after.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "$top": PER_PAGE,
        }
        for number in range(PAGES_LIMIT):
            with naming_right(TASK_RIGHT):
                answer = await self._client.read(place, "/pullRequests", **query, **{"$skip": number * PER_PAGE})
            found = answer.read(_WirePage, name=NAME).value
            for wire in found:
                closed_at = _moment(wire.closed_date)
                if wire.status in (None, "abandoned") and (closed_at is None or closed_at >= closed_after):
                    yield AbandonedPullRequest(number=wire.pull_request_id, closed_at=closed_at)
            if len(found) < PER_PAGE:
                return
        log.warning("abandoned_cut", repository=self._client.place(place), limit=PAGES_LIMIT * PER_PAGE)

    # -- inside ----------------------------------------------------------------------------------------------

    def _read(self, place: AzureRepository, noted: Any) -> AzureTask:
        """Raises WireError: it is no task, or of another organisation."""
        text = noted.get("$value") if isinstance(noted, dict) else None
        if not isinstance(text, str) or len(text) > TEXT_LIMIT:
            raise WireError("it is no text of at most 16 KiB", subject=PROPERTY)
        try:
            stated = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            raise WireError("it is no JSON object with taskid, jobid, planurl, planid, projectid") from exc
        ids = {key.lower(): value for key, value in stated.items()}
        names = ("projectid", "planid", "jobid", "taskid")
        wrong = [name for name in names if not _is_id(ids.get(name))]
        if wrong:
            raise WireError(f"its {wrong[0]} is missing, or no id", subject=PROPERTY)
        address = ids.get("planurl")
        if not isinstance(address, str) or not self._client.is_of(place, address):
            raise WireError(
                "its planurl is not the address of this organisation; write $(System.CollectionUri)", subject=PROPERTY
            )
        project_id, plan_id, job_id, task_id = (str(ids[name]) for name in names)
        return AzureTask(repository=place, project_id=project_id, plan_id=plan_id, job_id=job_id, task_id=task_id)

    async def _is_job_over(self, task: AzureTask, build: int) -> bool:
        """Whether the job has ended in a build that goes on with others; what cannot be seen has not."""
        path, query = f"/build/builds/{build}/timeline", {"api-version": API_VERSION}
        try:
            answer = await self._client.read_project(task.repository, task.project_id, path, **query)
            records = answer.read(_WireTimeline, name=NAME).records or []
        except RateLimitedError:
            raise
        except UpstreamError as exc:
            log.info("timeline_not_read", plan=task.plan_id, error=exc.message)
            return False
        except WireError:
            return False
        return any(record.id == task.job_id and record.state == COMPLETED for record in records)


def _own(task: object) -> AzureTask:
    if not isinstance(task, AzureTask):
        raise TypeError(f"{type(task).__name__} is no task that was found here")
    return task


def _moment(value: Any) -> datetime | None:
    """Return when one was closed; None where that cannot be read, and for .NET's first day, which means none."""
    try:
        found = as_utc(msgspec.convert(value, type=datetime | None))
    except msgspec.ValidationError:
        return None
    return found if found is not None and found.year > 1 else None


def _plan(task: AzureTask) -> str:
    return f"/distributedtask/hubs/build/plans/{quote(task.plan_id, safe='')}"


def _is_id(value: Any) -> bool:
    is_text = isinstance(value, str) and 0 < len(value) <= ID_LIMIT and value.isprintable()
    return is_text and value.strip(". ") != ""
