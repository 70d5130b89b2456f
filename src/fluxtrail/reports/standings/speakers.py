"""How one saying becomes calls to a forge: statuses, deployments, events for pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from fluxtrail.model.errors import ConflictError
from fluxtrail.model.report import SaidRecord
from fluxtrail.model.status import CommitStatus, DeploymentRequest, StatusState
from fluxtrail.reports.standings.budgets import Budget
from fluxtrail.reports.standings.ports import Deployments, Dispatches, Keep, Place, Spend, StatusWriter
from fluxtrail.reports.standings.saying import Saying


class DispatchPlace(Place, Protocol):
    """Where events for pipelines are sent."""

    @property
    def dispatches(self) -> Dispatches | None: ...


class Speaker(Protocol):
    """Says things to one kind of receiver."""

    def budget_of(self, repository: str) -> Budget | None:
        """Return whose allowance is used for a commit of this repository; None where it cannot be told there."""

    async def say(self, saying: Saying, last: SaidRecord | None, *, spend: Spend, keep: Keep, is_unsure: bool) -> str:
        """Say it; returns the receiver's own name of what was made or changed, if it has one.

        Args:
            is_unsure: an earlier attempt may have been taken: look before writing, where that can be seen.

        Raises:
            FluxtrailError: as the writers; BudgetSpentError of `spend`.
        """

    async def try_out(self, saying: Saying) -> str:
        """Say a test, as far as that does no harm; returns in words what was done.

        Raises:
            FluxtrailError: it was refused. ConflictError: it cannot be tried without doing harm.
        """


BudgetOf = Callable[[str], Budget]
"""(whose allowance) -> the budget."""


class _OfPlace:
    """Base of who writes where the commit's repository is."""

    def __init__(self, find_place: Callable[[str], Place | None], budget_of: BudgetOf) -> None:
        self._find_place = find_place
        self._budget = budget_of

    def budget_of(self, repository: str) -> Budget | None:
        place = self._find_place(repository)
        return self._budget(place.budget) if place is not None else None

    def _path(self, saying: Saying) -> str:
        place = self._find_place(saying.standing.commit.repository)
        assert place is not None, "asked for its budget before"
        return place.path


class StatusSpeaker(_OfPlace):
    """Commit statuses: the newest of a context counts."""

    def __init__(
        self,
        writer_of: Callable[[str], StatusWriter],
        find_place: Callable[[str], Place | None],
        budget_of: BudgetOf,
    ) -> None:
        """Args:
        writer_of: by the commit's repository.
        """
        super().__init__(find_place, budget_of)
        self._writer_of = writer_of

    async def say(self, saying: Saying, last: SaidRecord | None, *, spend: Spend, keep: Keep, is_unsure: bool) -> str:
        writer, path = self._writer_of(saying.standing.commit.repository), self._path(saying)
        status = status_of(saying)
        if is_unsure:
            there = await writer.find(path, saying.standing.commit.sha, status.context)
            if there is not None and _is_same(there, writer.as_kept(status)):
                return ""
        await spend()
        await writer.write(path, saying.standing.commit.sha, status)
        return ""

    async def try_out(self, saying: Saying) -> str:
        commit, status = saying.standing.commit, status_of(saying)
        await self._writer_of(commit.repository).write(self._path(saying), commit.sha, status)
        return f"wrote the status {status.context!r} on {commit.repository}@{commit.sha[:8]}"


def status_of(saying: Saying) -> CommitStatus:
    return CommitStatus(
        state=saying.state,
        context=saying.texts["context"],
        description=saying.texts["description"],
        url=saying.texts["url"],
        environment=saying.standing.environment,
    )


def _is_same(there: CommitStatus, kept: CommitStatus) -> bool:
    return (there.state, there.description, there.url) == (kept.state, kept.description, kept.url)


class DeploymentSpeaker(_OfPlace):
    """Deployments with their states: made once a commit and environment, then told of in place."""

    def __init__(
        self,
        writer_of: Callable[[str], Deployments],
        find_place: Callable[[str], Place | None],
        budget_of: BudgetOf,
        *,
        key_of: Callable[[Saying], str],
        is_production: Callable[[str], bool] = lambda _: False,
        is_transient: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Args:
        key_of: names a deployment for ever and everywhere, so that one whose answer got lost is found again.
        """
        super().__init__(find_place, budget_of)
        self._writer_of = writer_of
        self._key_of = key_of
        self._is_production = is_production
        self._is_transient = is_transient

    async def say(self, saying: Saying, last: SaidRecord | None, *, spend: Spend, keep: Keep, is_unsure: bool) -> str:
        standing, path = saying.standing, self._path(saying)
        writer = self._writer_of(standing.commit.repository)
        deployment = last.remote_id if last is not None else ""
        if not deployment:
            request = self._request(saying)
            deployment = (await writer.find(path, request) or "") if is_unsure else ""
            if not deployment:
                if saying.state is StatusState.NEUTRAL:
                    return ""  # nothing was deployed
                await spend()
                deployment = await writer.create(path, request)
            await keep(deployment)
        await spend()
        await writer.note(
            path,
            deployment,
            state=saying.state,
            description=saying.texts["description"],
            url=saying.texts["url"],
            environment_url=saying.texts.get("environment_url", ""),
        )
        return deployment

    async def try_out(self, saying: Saying) -> str:
        """Only look: what is made can hardly be taken away again."""
        commit = saying.standing.commit
        await self._writer_of(commit.repository).find(self._path(saying), self._request(saying))
        return f"deployments of {commit.repository} can be read; none was made, for environments are hard to delete"

    def _request(self, saying: Saying) -> DeploymentRequest:
        standing = saying.standing
        return DeploymentRequest(
            sha=standing.commit.sha,
            ref=standing.branch,
            environment=standing.environment,
            description=saying.texts["description"],
            is_production=self._is_production(standing.environment),
            is_transient=self._is_transient(standing.environment),
            key=self._key_of(saying),
        )


class DispatchSpeaker(_OfPlace):
    """An event for a pipeline, once a commit and environment.

    It cannot be read back, so it is sent again if in doubt: the payload carries a stable id.
    """

    def __init__(
        self,
        find_place: Callable[[str], DispatchPlace | None],
        budget_of: BudgetOf,
        *,
        repository: str,
        event_type: str,
        payload_of: Callable[[Saying], Mapping[str, Any] | None],
    ) -> None:
        """Args:
        repository: the one that gets the events, by its canonical name.
        payload_of: None where a commit is none that a pipeline waits for.
        """
        super().__init__(lambda _: find_place(repository), budget_of)
        self._find = partial(find_place, repository)
        self._event_type = event_type
        self._payload_of = payload_of

    async def say(self, saying: Saying, last: SaidRecord | None, *, spend: Spend, keep: Keep, is_unsure: bool) -> str:
        payload, place = self._payload_of(saying), self._find()
        if payload is not None and place is not None and place.dispatches is not None:
            await spend()
            await place.dispatches.send(place.path, self._event_type, payload)
        return ""

    async def try_out(self, saying: Saying) -> str:
        raise ConflictError("an event would start pipelines; watch one with `fluxtrail get reports` instead")
