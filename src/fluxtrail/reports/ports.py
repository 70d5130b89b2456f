"""What telling the outside needs of the ledger and of the senders, as Protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from fluxtrail.model.records import CommitId
from fluxtrail.model.report import ClaimedReport, SinkCounts
from fluxtrail.model.telling import CommitTelling, DeliveryTelling, TellingKey


class Clock(Protocol):
    """The only way to time. `now` is aware UTC."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Outbox(Protocol):
    """Reports on their way out, leased to one process at a time. Every method raises StoreError."""

    def claim(
        self, sinks: Sequence[str], *, owner: str, limit: int, lease: timedelta
    ) -> Awaitable[Sequence[ClaimedReport]]: ...

    def acknowledge(self, reports: Sequence[ClaimedReport]) -> Awaitable[None]: ...

    def postpone(self, reports: Sequence[ClaimedReport], *, until: datetime, answer: str) -> Awaitable[None]: ...

    def bury(self, reports: Sequence[ClaimedReport], *, answer: str) -> Awaitable[None]: ...

    def counts(self) -> Awaitable[Mapping[str, SinkCounts]]: ...


class Facts(Protocol):
    """What reports are rendered from, as the ledger has it now. What is gone from it is left out."""

    async def delivery_tellings(self, keys: Sequence[TellingKey]) -> Mapping[TellingKey, DeliveryTelling]: ...

    async def commit_tellings(
        self, ids: Sequence[CommitId], *, now: datetime, settle_after: timedelta
    ) -> Mapping[CommitId, CommitTelling]: ...


class Answer(Protocol):
    """What a receiver said to something it took."""

    @property
    def rejected(self) -> int:
        """How many items of it it did not take, for good (`partial_success`)."""

    @property
    def message(self) -> str: ...


class OtlpSender(Protocol):
    """Sends one signal's request as serialised protobuf.

    Raises:
        UpstreamError: with `retryable` and `retry_after_seconds`; AuthError and NotFoundError where nothing of the
            request is at fault.
    """

    async def send_traces(self, request: bytes) -> Answer: ...

    async def send_logs(self, request: bytes) -> Answer: ...

    async def send_metrics(self, request: bytes) -> Answer: ...


class Leadership(Protocol):
    def acquire(self, name: str, owner: str, lease: timedelta) -> Awaitable[bool]:
        """Take the lead, or keep it; False while another has it."""

    def release(self, name: str, owner: str) -> Awaitable[None]:
        """Let another have it now."""
