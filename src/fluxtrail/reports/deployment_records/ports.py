"""What telling GitHub of deployments needs of the client and of the ledger, as Protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from fluxtrail.model.deployment import Content, DeploymentStatus, Destination, KeptRecord, RecordId, Told, ToldOutcome
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.report import NewReport
from fluxtrail.model.views import RecordView


class Entry(NamedTuple):
    """One record as it is told."""

    deployment_name: str
    content: Content


class Rejection(Protocol):
    """One entry that a bulk left out. What GitHub does not say is empty; a job says only the image's name."""

    @property
    def name(self) -> str: ...

    @property
    def cause(self) -> str: ...

    @property
    def deployment_name(self) -> str: ...

    @property
    def digest(self) -> str: ...


class ClusterAnswer(Protocol):
    @property
    def accepted(self) -> frozenset[str]:
        """Deployment names that GitHub says it took."""

    @property
    def errors(self) -> Sequence[Rejection]: ...


class Job(Protocol):
    @property
    def job_id(self) -> int: ...

    @property
    def errors(self) -> Sequence[Rejection]: ...


class JobStatus(Protocol):
    @property
    def status(self) -> str:
        """`completed`, or how else it ended."""

    @property
    def errors(self) -> Sequence[Rejection]: ...


class RecordsClient(Protocol):
    """Writes one organisation's records. Safe for concurrent callers; they share pace and limits.

    Every method tries again what may pass by itself, and raises FluxtrailError kin:
        NotFoundError: of a record: its artifact is unknown. Of a bulk: none is known, or there is no such call.
        ConflictError: somebody else is writing it; of a job: another one is under way.
        RateLimitedError: with `retry_after_seconds`. AuthError, ConfigError: nothing of the records is at fault.
        WireError: the answer cannot be read; the records may have been written.
        `retryable` ones: the outcome is unknown, or nothing was done. Any other: what was sent is refused.
    """

    async def post_record(self, destination: Destination, entry: Entry) -> None: ...

    async def post_cluster(self, destination: Destination, entries: Sequence[Entry]) -> ClusterAnswer: ...

    async def submit_job(self, destination: Destination, entries: Sequence[Entry]) -> Job: ...

    async def wait_for_job(self, destination: Destination, job_id: int) -> JobStatus: ...


class Budget(Protocol):
    async def admit(self) -> None:
        """Return when one more request may be made. Raises RateLimitedError, with when to come back."""


Spend = Callable[..., Awaitable[timedelta | None]]
"""`Outbox.spend(budget, *, limit, per, now)`: None when one was spent, else how long until there is one."""


class RecordUnit(Protocol):
    """One transaction: everything is kept or nothing is."""

    async def records_by_id(self, ids: Sequence[RecordId]) -> Sequence[KeptRecord]: ...

    async def deployment_records(
        self, cluster: ClusterUid, *, told: Told | None = None, told_since: datetime | None = None
    ) -> Sequence[KeptRecord]: ...

    async def put_deployment_records(self, records: Sequence[KeptRecord]) -> Sequence[KeptRecord]: ...

    async def forget_deployment_records(self, ids: Sequence[RecordId]) -> None: ...

    async def note_told(self, outcomes: Sequence[ToldOutcome]) -> Sequence[KeptRecord]: ...

    async def note_sending(self, sendings: Mapping[RecordId, Content]) -> None:
        """Keep that these may reach GitHub, though no answer may reach us."""

    async def add_reports(self, reports: Sequence[NewReport]) -> None: ...


class RecordCount(Protocol):
    @property
    def cluster(self) -> ClusterUid: ...

    @property
    def status(self) -> DeploymentStatus: ...

    @property
    def told(self) -> Told: ...


class RecordPage(Protocol):
    @property
    def items(self) -> Sequence[RecordView]: ...

    @property
    def next(self) -> str | None: ...


class RecordLedger(Protocol):
    """Every method raises StoreError."""

    def unit(self) -> AbstractAsyncContextManager[RecordUnit]: ...

    async def records_due(self, now: datetime, *, limit: int) -> Sequence[KeptRecord]: ...

    async def records_of_digests(self, digests: Sequence[str], *, told: Told) -> Sequence[KeptRecord]: ...

    async def records_told_elsewhere(
        self, cluster: ClusterUid, destination: str, *, limit: int, after: str = ""
    ) -> Sequence[KeptRecord]: ...

    async def list_deployment_records(self, *, told: str, limit: int, cursor: str | None) -> RecordPage:
        """Return one page of those that stand so."""

    async def records_held_at(self, destination: str, *, but: ClusterUid, limit: int) -> Sequence[KeptRecord]: ...

    async def deployment_record_counts(self) -> Sequence[RecordCount]: ...


FindDestination = Callable[[ClusterUid], Destination | None]
"""Under what GitHub keeps a cluster's records; None for a cluster that is not followed (yet)."""
