"""Names of events that follow from what they tell: sent again, they are the same."""

from __future__ import annotations

import uuid

from fluxtrail.reports.telemetry.ids import trace_id

_SPACE = uuid.UUID("5f0a5b0e-6a51-5c53-9d5e-0e6a3c8f4b11")
"""Ours; never changed."""


def event_id(instance: str, key: str, what: str) -> str:
    """Return an event's id.

    Args:
        instance: the ledger's, so that two of them never give one id to two things.
        key: of the report, or of what happens only once: stable over restarts.
        what: the event's type, where one report tells several.
    """
    return str(uuid.uuid5(_SPACE, f"{instance}\n{key}\n{what}"))


def chain_id(repository: str, sha: str) -> str:
    """Return what all events of a commit share: its trace id, written as a UUID."""
    return str(uuid.UUID(bytes=trace_id(repository, sha)))
