"""Reports: what must be said to an outside system, kept in the ledger in the transaction that made it true.

A report's body names facts (ids), not their text: it is rendered when it is sent, from what the ledger holds then.
"""

from datetime import datetime
from enum import StrEnum
from typing import NewType

import msgspec

ReportId = NewType("ReportId", int)


class Mode(StrEnum):
    EVERY = "every"
    """Each report is sent: spans, logs, calls. A key is said once, however often it is planned."""
    LATEST = "latest"
    """Only the newest of a key counts: statuses, records. One attempt at a time per key."""


class NewReport(msgspec.Struct, frozen=True, kw_only=True):
    """Something to say, as it is planned."""

    sink: str
    """Who says it, e.g. `otlp.traces`; a name that settings and answers use."""
    key: str
    """Stable over restarts and processes; unique within its sink."""
    mode: Mode
    body: bytes
    """JSON: the ids that the sink renders it from."""
    not_before: datetime | None = None


class ClaimedReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report that one process has leased, to send it."""

    id: ReportId
    sink: str
    key: str
    mode: Mode
    body: bytes
    created_at: datetime
    attempts: int
    """Attempts before this one."""
    version: int
    """Of a `latest` report: grows when it is planned again; an acknowledgement of an older one sends it again."""
    owner: str
    """Who holds the lease; an answer of anybody else changes nothing."""
