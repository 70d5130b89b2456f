"""What following CI needs of the outside, as Protocols: whom to ask about runs and pull requests, and the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from fluxtrail.model.ci import CiKey, CiRun, CiSystem, Delivered, PullRequest, Standing
from fluxtrail.model.records import CommitId, CommitRecord, RepositoryId
from fluxtrail.trail.ports import Unit


class CiReader(Protocol):
    """One CI system. `repository` is the path below its host. Raises UpstreamError and its kin; never hangs."""

    @property
    def system(self) -> CiSystem:
        """That its runs are of."""

    async def recent_runs(self, repository: str, *, since: datetime, limit: int = 100) -> Sequence[CiRun]:
        """The newest runs, newest first. A page that has not changed is cheap to ask for again."""

    async def runs_of(self, repository: str, sha: str) -> Sequence[CiRun]: ...

    async def run(self, repository: str, run_id: str) -> CiRun | None:
        """One run with its stages; None where it is gone."""

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """A pull request with what its reviewers said; None where there is none."""


class CiPlace(NamedTuple):
    """Where a repository's runs are asked for."""

    reader: CiReader
    path: str
    """The repository, as the reader wants it."""


class CiPlaces(Protocol):
    def find(self, canonical: str) -> Sequence[CiPlace]:
        """Return whom to ask about a repository: each of another system, its own forge first."""


class CiUnit(Unit, Protocol):
    """What builds need of a transaction."""

    async def known_runs(self, keys: Sequence[CiKey]) -> list[CiRun]:
        """Those of these runs that are kept, as they are kept."""

    async def put_ci_runs(self, runs: Sequence[CiRun], known: Sequence[CiRun] | None = None) -> list[CiRun]:
        """Keep what is newer or better known than what is there; returns those that changed something.

        Args:
            known: those of them that are kept, where they are read in this unit already.
        """

    async def open_ci_runs(self, repository: str, *, since: datetime, limit: int) -> list[CiRun]: ...

    async def recent_commits(self, repository_id: RepositoryId, *, since: datetime, limit: int) -> list[CommitRecord]:
        """A repository's commits since then that are no carriers, the newest first."""

    async def delivered_of(self, commits: Sequence[CommitId]) -> dict[CommitId, Delivered]: ...

    async def places_of(self, commits: Sequence[CommitId]) -> list[dict[str, int]]:
        """Where these commits stand now, by sha: one answer for each branch."""

    async def put_builds(self, builds: Mapping[CommitId, Standing]) -> None: ...

    async def put_pull_requests(self, facts: Sequence[PullRequest]) -> None: ...

    async def pull_requests_of(
        self, repository: str, numbers: Sequence[int]
    ) -> dict[int, tuple[PullRequest, datetime]]: ...


class CiLedger(Protocol):
    def unit(self) -> AbstractAsyncContextManager[CiUnit]: ...
