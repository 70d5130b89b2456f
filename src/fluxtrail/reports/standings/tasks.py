"""Azure DevOps' waiting pipelines: an agentless task is told how the commit of its pull request ended.

A pipeline leaves the ids of its task on the pull request of the manifests (property `callback-task-id`); what is said
to it cannot be taken back. Pull requests that were abandoned leave tasks that nobody ends: those fail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from fluxtrail.model.errors import ConflictError, FluxtrailError, StoreError
from fluxtrail.model.report import SaidRecord
from fluxtrail.model.status import StatusState
from fluxtrail.reports.phases.dispatches import pull_request_of
from fluxtrail.reports.ports import Clock
from fluxtrail.reports.standings.budgets import Budget, Budgets, BudgetSpentError
from fluxtrail.reports.standings.ports import Keep, SaidBook, Spend
from fluxtrail.reports.standings.saying import Saying
from fluxtrail.reports.standings.speakers import BudgetOf

log = structlog.get_logger(__name__)

ABANDONED = "abandoned"
UNKNOWN_PLACE = (
    "the repository of its pull requests is on no Azure DevOps that is known and has a credential; see `forges` and "
    "`credentials`"
)
_WELL = frozenset({StatusState.SUCCESS, StatusState.NEUTRAL})


class Task(Protocol):
    """A pipeline's task that waits."""

    @property
    def task_id(self) -> str: ...


class Abandoned(Protocol):
    """A pull request that was given up."""

    @property
    def number(self) -> int: ...


class Tasks(Protocol):
    """Azure DevOps' tasks. `repository` is the path below its host. Raises UpstreamError kin."""

    async def find_task(self, repository: str, pull_request: int) -> Task | None:
        """Return the task that a pull request names; None where it names none."""

    async def is_over(self, task: Task) -> bool:
        """Whether its plan has ended, so that nobody waits any more."""

    async def complete(self, task: Task, *, succeeded: bool) -> None: ...

    def abandoned(self, repository: str, *, closed_after: datetime) -> AsyncIterator[Abandoned]: ...


class TaskPlace(Protocol):
    """A repository whose pull requests have tasks."""

    @property
    def path(self) -> str: ...

    @property
    def budget(self) -> str: ...

    @property
    def tasks(self) -> Tasks: ...


class TaskSpeaker:
    """Ends the task that waits for a manifests commit."""

    def __init__(self, find_place: Callable[[], TaskPlace | None], budget_of: BudgetOf) -> None:
        """Args:
        find_place: of the repository that has the pull requests.
        """
        self._find_place = find_place
        self._budget_of = budget_of

    def budget_of(self, repository: str) -> Budget | None:
        place = self._find_place()
        return self._budget_of(place.budget) if place is not None else None

    async def say(self, saying: Saying, last: SaidRecord | None, *, spend: Spend, keep: Keep, is_unsure: bool) -> str:
        commit, place = saying.standing.commit, self._find_place()
        pull_request = commit.pull_request or pull_request_of(commit.subject)
        if place is None or pull_request is None:
            return ""  # no pipeline waits for what no pull request brought
        task = await place.tasks.find_task(place.path, pull_request)
        if task is None or await place.tasks.is_over(task):
            return ""
        await spend()
        await place.tasks.complete(task, succeeded=saying.state in _WELL)
        return task.task_id

    async def try_out(self, saying: Saying) -> str:
        """Only look: what is said to a pipeline cannot be taken back."""
        place = self._find_place()
        if place is None:
            raise ConflictError(UNKNOWN_PLACE)
        await place.tasks.find_task(place.path, saying.standing.commit.pull_request or 1)
        return f"pull requests of {place.path} can be read; no task was ended"


class AbandonedTasks:
    """Lets the tasks of abandoned pull requests fail, each once. `run` it for ever."""

    def __init__(
        self,
        sink: str,
        find_place: Callable[[], TaskPlace | None],
        budget_of: BudgetOf,
        said: SaidBook,
        budgets: Budgets,
        clock: Clock,
        *,
        interval: timedelta,
        cutoff: timedelta,
    ) -> None:
        """Args:
        cutoff: those that were abandoned longer ago are nobody's any more.
        """
        self._sink = sink
        self._find_place = find_place
        self._budget_of = budget_of
        self._said = said
        self._budgets = budgets
        self._clock = clock
        self._interval = interval
        self._cutoff = cutoff

    async def run(self) -> None:
        """Raises StoreError where the ledger cannot be used; all else is told, and tried again."""
        while True:
            try:
                await self.look()
            except StoreError:
                raise
            except FluxtrailError as exc:
                log.warning("abandoned_not_read", sink=self._sink, error=str(exc))
            await self._clock.sleep(self._interval.total_seconds())

    async def look(self) -> None:
        place = self._find_place()
        if place is None:
            log.warning("abandoned_not_read", sink=self._sink, error=UNKNOWN_PLACE)
            return
        done = {record.key for record in (await self._said.below(self._sink, [ABANDONED])).get(ABANDONED, ())}
        closed_after = self._clock.now() - self._cutoff
        async for item in place.tasks.abandoned(place.path, closed_after=closed_after):
            key = f"{ABANDONED}/{item.number}"
            if key in done:
                continue
            try:
                await self._end(place, key, item.number)
            except BudgetSpentError:
                return  # the next look goes on
            except StoreError:
                raise
            except FluxtrailError as exc:  # one that cannot be ended keeps no other from it
                log.warning("abandoned_not_ended", sink=self._sink, pull_request=item.number, error=str(exc))

    async def _end(self, place: TaskPlace, key: str, pull_request: int) -> None:
        task = await place.tasks.find_task(place.path, pull_request)
        if task is not None and not await place.tasks.is_over(task):
            await self._budgets.take(self._budget_of(place.budget), is_final=True)
            await place.tasks.complete(task, succeeded=False)
        record = SaidRecord(
            sink=self._sink,
            key=key,
            content=ABANDONED,
            state=StatusState.ERROR.value,
            remote_id=task.task_id if task is not None else "",
            said_at=self._clock.now(),
        )
        await self._said.note([record])
