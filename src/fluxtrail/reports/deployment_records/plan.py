"""The report that a changed record makes: a name of the row, rendered when it is sent. Pure."""

from __future__ import annotations

import msgspec

from fluxtrail.model.deployment import SINK, KeptRecord, RecordId, report_key
from fluxtrail.model.errors import WireError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.report import Mode, NewReport


class _Body(msgspec.Struct, frozen=True):
    record: RecordId


_decode = msgspec.json.Decoder(_Body).decode


def report_of(record: KeptRecord) -> NewReport:
    """Return what must be said of a record: whatever its row says when it is sent."""
    return new_report(record.cluster, record.deployment_name, record.id)


def new_report(cluster: ClusterUid, deployment_name: str, record: RecordId) -> NewReport:
    """Return what must be said of a deployment name.

    `latest`: a burst of changes is told once, as it ended.
    """
    return NewReport(
        sink=SINK, key=report_key(cluster, deployment_name), mode=Mode.LATEST, body=msgspec.json.encode(_Body(record))
    )


def read_record_id(body: bytes) -> RecordId:
    """Return which record a report is about.

    Raises:
        WireError: not a body that this version or an older one wrote.
    """
    try:
        return _decode(body).record
    except msgspec.MsgspecError as exc:
        raise WireError(f"the report's body cannot be read: {exc}", subject="report") from exc
