"""Deployment records as rows and back, and how what two tasks say of one row comes together.

The trail owns a row's content, the report's sender what GitHub was told of it. Either may write between any two
writes of the other; so each writes its own columns only, and an answer counts for the content that it is about.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from sqlalchemy import Row

from fluxtrail.ledger.schema import deployment_records
from fluxtrail.model.deployment import Content, DeploymentStatus, KeptRecord, Place, RecordId, Told, ToldOutcome
from fluxtrail.model.redaction import redact

_PLACE = Place.__struct_fields__
_CONTENT = Content.__struct_fields__
_PLAIN = [name for name in KeptRecord.__struct_fields__ if name not in ("place", "content")]
COLUMNS = [deployment_records.c[name] for name in (*_PLACE, *_CONTENT, *_PLAIN)]
"""What `record_of` wants, in its order."""
ANSWERED = (
    "told",
    "told_content",
    "told_to",
    "told_at",
    "tries",
    "unknown_since",
    "retry_at",
    "answer",
)
"""The columns that answers change: the trail's own are not among them."""
UNSURE = ""
"""`told_to` of what was sent and not answered."""
_CONTENT_AT = len(_PLACE)
_PLAIN_AT = _CONTENT_AT + len(_CONTENT)
_UNHEARD: dict[str, Any] = {
    "told": Told.PENDING,
    "tries": 0,
    "unknown_since": None,
    "retry_at": None,
    "answer": "",
}


def values_of_record(record: KeptRecord) -> dict[str, Any]:
    """Return the columns of a record."""
    values = {name: getattr(record, name) for name in _PLAIN}
    values |= {name: getattr(record.place, name) for name in _PLACE}
    return values | {name: getattr(record.content, name) for name in _CONTENT}


def record_of(row: Row[Any]) -> KeptRecord:
    """Return the record in a row of `COLUMNS`; what was told and is still so is one object with the content."""
    content = Content(**dict(zip(_CONTENT, row[_CONTENT_AT:_PLAIN_AT], strict=True)))
    plain = dict(zip(_PLAIN, row[_PLAIN_AT : _PLAIN_AT + len(_PLAIN)], strict=True))
    if plain["told_content"] == content:
        plain["told_content"] = content
    return KeptRecord(place=Place(*row[:_CONTENT_AT]), content=content, **plain)


def new_record(id_: int, given: KeptRecord) -> KeptRecord:
    """Return a record as it is kept the first time: whatever it says, it is to be told."""
    return replace(given, id=RecordId(id_), **_UNHEARD)


def merge_record(held: KeptRecord, given: KeptRecord) -> KeptRecord:
    """Return a row after the trail has written it: what GitHub holds is still what it was told last."""
    unheard = {} if given.content == held.content else _UNHEARD
    return replace(
        held, place=given.place, content=given.content, since=given.since, changed_at=given.changed_at, **unheard
    )


def apply_sending(held: KeptRecord, content: Content) -> KeptRecord:
    """Return a row from which something is about to be sent: it may arrive though nobody lives to hear so.

    Only where GitHub holds nothing as deployed: else whatever arrives takes the place of what it holds.
    """
    taken = held.told_content
    if content.status is DeploymentStatus.DECOMMISSIONED or (
        taken is not None and taken.status is not DeploymentStatus.DECOMMISSIONED
    ):
        return held
    return replace(held, told_content=content, told_to=UNSURE, told_at=None)


def apply_outcome(held: KeptRecord, outcome: ToldOutcome) -> KeptRecord:
    """Return a row after an answer.

    One about another content than the present tells at most what GitHub holds: whether the present one is to be told,
    or asked about again, is not what it answers.
    """
    took: dict[str, Any] = {}
    if outcome.told is Told.TOLD:
        took = {"told_content": outcome.content, "told_to": outcome.told_to, "told_at": outcome.at}
    elif outcome.told is Told.UNKNOWN and held.told_to == UNSURE and held.told_content == outcome.content:
        took = {"told_content": None}  # it did not arrive, then
    if outcome.content != held.content:
        return replace(held, **took)
    if outcome.told is Told.TOLD:
        return replace(held, **(_UNHEARD | took | {"told": Told.TOLD}))
    return replace(
        held,
        **took,
        told=outcome.told,
        tries=outcome.tries,
        unknown_since=outcome.unknown_since,
        retry_at=outcome.retry_at,
        answer=redact(outcome.answer),
    )
