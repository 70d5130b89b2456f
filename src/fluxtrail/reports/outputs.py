"""What the dispatcher needs of an output: reports become items, items are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from fluxtrail.model.report import ClaimedReport
from fluxtrail.reports.ports import Answer


@dataclass(frozen=True, slots=True)
class Ready:
    """A report with what it says, encoded."""

    report: ClaimedReport
    items: Sequence[bytes]


@dataclass(slots=True)
class Rendering:
    """What became of the reports of one claim."""

    ready: list[Ready] = field(default_factory=list)
    waiting: list[tuple[ClaimedReport, datetime]] = field(default_factory=list)
    """It is too early to say this: not before."""
    silent: list[ClaimedReport] = field(default_factory=list)
    """What they told of is gone, or has come to nothing."""
    broken: list[tuple[ClaimedReport, str]] = field(default_factory=list)
    """They cannot be read: dead letters."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An answer of an output that cannot refuse parts."""

    rejected: int = 0
    message: str = ""


class Settlement(Protocol):
    """What became of the reports of one claim, as an output finds out. Each is settled once."""

    @property
    def is_late(self) -> bool:
        """No attempt may begin any more: the lease would end before it. What is left is claimed again."""

    def is_stubborn(self, report: ClaimedReport) -> bool:
        """Count one more refusal; True once there were so many that the report is at fault, whatever else is taken."""

    async def acknowledge(self, reports: Sequence[ClaimedReport]) -> None:
        """The receiver has answered to these, and nothing is left to say."""

    async def drop(self, reports: Sequence[ClaimedReport]) -> None:
        """There was nothing to say; the receiver was not asked."""

    async def postpone(self, reports: Sequence[ClaimedReport], *, until: datetime, answer: str) -> None: ...

    async def bury(self, reports: Sequence[ClaimedReport], answer: str) -> None: ...


@runtime_checkable
class SettlingOutput(Protocol):
    """One sink whose receiver answers for each report by itself."""

    @property
    def sink(self) -> str: ...

    async def deliver(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> None:
        """Send these and settle each of them.

        Raises:
            FluxtrailError: the receiver is at fault, and left alone for a while; what is not settled yet is given back.
            StoreError: the ledger is.
        """


class Output(Protocol):
    """One sink: renders its reports and sends them.

    `send` is one attempt. It raises FluxtrailError kin: `retryable` ones, AuthError and NotFoundError are about the
    receiver; `status` 413 asks for less at a time; any other refusal is about what was sent.
    """

    @property
    def sink(self) -> str: ...

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering: ...

    async def send(self, items: Sequence[bytes]) -> Answer: ...
