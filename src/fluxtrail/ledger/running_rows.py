"""Records of what runs as rows and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from fluxtrail.ledger.rows import Values
from fluxtrail.ledger.schema import image_runs, images, rollouts, workloads
from fluxtrail.model.image_records import ImageRecord, ImageRun
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.running_records import HandoverRecord, RolloutRecord, WorkloadRecord

_WORKLOAD = [name for name in WorkloadRecord.__struct_fields__ if name != "key"]
_KEY = ("api_group", "kind", "namespace", "name")
WORKLOAD_COLUMNS = [workloads.c[name] for name in (*_KEY, *_WORKLOAD)]
"""What `workload_of` wants, in its order; it may have others behind them."""
ROLLOUT_COLUMNS = [rollouts.c[name] for name in RolloutRecord.__struct_fields__]
IMAGE_COLUMNS = [images.c[name] for name in ImageRecord.__struct_fields__]
RUN_COLUMNS = [image_runs.c[name] for name in ImageRun.__struct_fields__]


def workload_values(record: WorkloadRecord) -> Values:
    values = {name: getattr(record, name) for name in _WORKLOAD}
    key = record.key
    return values | {"api_group": key.group, "kind": key.kind, "namespace": key.namespace, "name": key.name}


def workload_of(row: Row[Any]) -> WorkloadRecord:
    behind = len(_KEY)
    fields = dict(zip(_WORKLOAD, row[behind : behind + len(_WORKLOAD)], strict=True))
    return WorkloadRecord(key=ObjectKey(*row[:behind]), **fields)


def rollout_of(row: Row[Any]) -> RolloutRecord:
    return RolloutRecord(**{name: getattr(row, name) for name in RolloutRecord.__struct_fields__})


def handover_of(row: Row[Any]) -> HandoverRecord:
    return HandoverRecord(**{name: getattr(row, name) for name in HandoverRecord.__struct_fields__})


def image_of(row: Row[Any]) -> ImageRecord:
    return ImageRecord(**{name: getattr(row, name) for name in ImageRecord.__struct_fields__})


def run_of(row: Row[Any]) -> ImageRun:
    return ImageRun(**{name: getattr(row, name) for name in ImageRun.__struct_fields__})
