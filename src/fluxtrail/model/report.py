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


class ReportState(StrEnum):
    WAITING = "waiting"
    """To be sent, or just being sent."""
    DEAD = "dead"
    """Given up; can be replayed."""
    SENT = "sent"
    """Remembered for a while, so that its key is not said again."""
    DROPPED = "dropped"
    """Somebody said that it need not be sent; remembered like one that was."""


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


class SinkCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What has not reached one outside system."""

    waiting: int = 0
    """Those that are just being sent too."""
    dead: int = 0
    oldest_at: datetime | None = None
    """When the oldest waiting one was planned."""


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """A report as it is listed: what became of it."""

    id: ReportId
    sink: str
    key: str
    mode: Mode
    state: ReportState
    attempts: int
    created_at: datetime
    due_at: datetime
    """Not tried before."""
    owner: str | None = None
    """Who is just sending it, or died doing so."""
    answer: str | None = None
    """The last answer that was not a success; none of what was sent in the end."""
    ended_at: datetime | None = None
    sha: str | None = None
    """The commit that it is about; absent where it is about none, or is something that a sender told us."""


class SaidRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What an outside system was last told under one key: the same again is not said."""

    sink: str
    key: str
    content: str
    """A digest of what was said."""
    state: str
    """The word for it, such as a `StatusState`."""
    remote_id: str = ""
    """The receiver's own name of it (a deployment, a message), where something is changed in place."""
    times: int = 1
    """How often something was said under this key; some forges take no more than so many."""
    said_at: datetime
