"""What telling standings needs of forges, chats and the ledger, as Protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from fluxtrail.model.records import CommitId
from fluxtrail.model.report import SaidRecord
from fluxtrail.model.standing import CommitTrail, Outline
from fluxtrail.model.status import CommitStatus, DeploymentRequest, StatusState


class Trails(Protocol):
    """The ledger's trails. Raises StoreError."""

    async def trails(
        self, ids: Sequence[CommitId], *, now: datetime, settle_after: timedelta, is_whole: bool
    ) -> Mapping[CommitId, CommitTrail]: ...

    async def outlines(self, ids: Sequence[CommitId]) -> Mapping[CommitId, Outline]:
        """Return what of the trails costs little."""


class SaidBook(Protocol):
    """The ledger's memory of what was said. Raises StoreError."""

    async def below(self, sink: str, parents: Sequence[str]) -> Mapping[str, Sequence[SaidRecord]]: ...

    async def note(self, records: Sequence[SaidRecord]) -> None: ...


class StatusWriter(Protocol):
    """A forge's commit statuses. `repository` is the path below its host.

    Raises:
        FluxtrailError: UpstreamError kin; a `retryable` one may have been taken all the same.
    """

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None: ...

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        """Return the newest status of that context."""

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        """Return how `find` answers once `status` was taken: in the forge's words, cut to its limits."""


class Deployments(Protocol):
    """A forge's deployments. Raises as StatusWriter."""

    async def create(self, repository: str, request: DeploymentRequest) -> str: ...

    async def find(self, repository: str, request: DeploymentRequest) -> str | None:
        """Return the deployment that was made of this request, by its key."""

    async def note(
        self,
        repository: str,
        deployment: str,
        *,
        state: StatusState,
        description: str,
        url: str,
        environment_url: str,
    ) -> None: ...


class Dispatches(Protocol):
    """A forge's events for pipelines. Raises as StatusWriter."""

    async def send(self, repository: str, event_type: str, payload: Mapping[str, Any]) -> None: ...


class Place(Protocol):
    """Where a repository's forge is, and what may be written there."""

    @property
    def path(self) -> str:
        """The repository below its host: `acme/shop`."""

    @property
    def budget(self) -> str:
        """Whose allowance is used: `github.com/acme`. No secret."""


FindPlace = Callable[[str], Place | None]
"""(canonical repository) -> where it is; None where no such forge is known, or may be asked."""

Spend = Callable[[], Awaitable[None]]
"""Called before each write. Raises BudgetSpentError, and StoreError."""

Keep = Callable[[str], Awaitable[None]]
"""Called with the receiver's own name of what was just made, so that it is known even if nothing more succeeds."""
