"""Records as rows and back: the only place that knows both sides."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from sqlalchemy import Row

from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.records import (
    BranchRecord,
    CommitRecord,
    DeliveryRecord,
    ExportRecord,
    FetchRecord,
    Record,
    RepositoryRecord,
    SourceRecord,
    SyncRecord,
    TargetRecord,
    Transition,
)
from fluxtrail.model.report import ClaimedReport, ReportView

Values = dict[str, Any]


def values_of(record: Record) -> Values:
    """Return the columns of a record whose fields are columns."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


def object_values(record: SourceRecord | TargetRecord) -> Values:
    """Return the columns of a record of a Kubernetes object: its key is four, and each write gets a new stamp."""
    values = values_of(record)
    key: ObjectKey = values.pop("key")
    return values | {
        "api_group": key.group,
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
        "stamp": new_stamp(),
    }


def new_stamp() -> int:
    """Return a number that no other version of any row ever had, rolled back ones included."""
    return secrets.randbits(62)


def _key_of(fields: Values) -> ObjectKey:
    return ObjectKey(fields.pop("api_group"), fields.pop("kind"), fields.pop("namespace"), fields.pop("name"))


def _plain(row: Row[Any], *left_out: str) -> Values:
    fields = dict(row._mapping)
    for name in left_out:
        fields.pop(name, None)
    return fields


def repository_of(row: Row[Any]) -> RepositoryRecord:
    return RepositoryRecord(**_plain(row))


def branch_of(row: Row[Any]) -> BranchRecord:
    return BranchRecord(**_plain(row))


def commit_of(row: Row[Any]) -> CommitRecord:
    return CommitRecord(**_plain(row, "at", "position", "named"))


def export_of(row: Row[Any]) -> ExportRecord:
    return ExportRecord(**_plain(row))


def source_of(row: Row[Any]) -> SourceRecord:
    fields = _plain(row, "stamp")
    return SourceRecord(key=_key_of(fields), **fields)


def fetch_of(row: Row[Any]) -> FetchRecord:
    return FetchRecord(**_plain(row, "at"))


def target_of(row: Row[Any]) -> TargetRecord:
    fields = _plain(row, "stamp")
    return TargetRecord(key=_key_of(fields), **fields)


def sync_of(row: Row[Any]) -> SyncRecord:
    return SyncRecord(**_plain(row, "started_at"))


def delivery_of(row: Row[Any], *left_out: str) -> DeliveryRecord:
    return DeliveryRecord(**_plain(row, "repository_id", *left_out))


def transition_of(row: Row[Any]) -> Transition:
    return Transition(**_plain(row))


CLAIMED = [name for name in ClaimedReport.__struct_fields__ if name != "owner"]


REPORT_VIEWED = [name for name in ReportView.__struct_fields__ if name != "sha"]


def claimed_report_of(row: Row[Any], *, owner: str) -> ClaimedReport:
    return ClaimedReport(**{name: getattr(row, name) for name in CLAIMED}, owner=owner)


def report_view_of(row: Row[Any]) -> ReportView:
    return ReportView(**{name: getattr(row, name) for name in REPORT_VIEWED})


def merge_commits(held: CommitRecord, told: CommitRecord) -> CommitRecord:
    """Return what is known of a commit after being told more: nothing is forgotten, a final moment stays."""
    known: Values = {}
    for name in ("subject", "author", "committed_at", "pull_request", "reverts"):
        known[name] = getattr(told, name) or getattr(held, name)
    return msgspec.structs.replace(
        held,
        **known,
        merged=held.merged if held.merged_is_final else told.merged or held.merged,
        merged_is_final=held.merged_is_final or told.merged_is_final,
        is_carrier=held.is_carrier or told.is_carrier,
    )
