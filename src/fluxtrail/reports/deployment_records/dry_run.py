"""Says on standard output what GitHub would be told: one JSON line a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from fluxtrail.model.deployment import SINK, KeptRecord, RecordId, limit_problem
from fluxtrail.model.errors import WireError
from fluxtrail.model.report import ClaimedReport
from fluxtrail.reports.deployment_records.plan import read_record_id
from fluxtrail.reports.deployment_records.ports import FindDestination, RecordLedger
from fluxtrail.reports.deployment_records.tellings import is_to_be_told
from fluxtrail.reports.outputs import Ready, Rendering, Taken
from fluxtrail.reports.ports import Clock

UNFOLLOWED_SECONDS = (2.0, 300.0)
"""How long a record waits whose cluster is not followed (yet): at first, and in the end."""


class DryRunOutput:
    """The sink `github.records` without GitHub. Records stay as they are: a later run tells them."""

    sink = SINK

    def __init__(
        self, ledger: RecordLedger, clock: Clock, *, find_destination: FindDestination, write: Callable[[str], Any]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._find_destination = find_destination
        self._write = write

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        done = Rendering()
        ids: dict[RecordId, ClaimedReport] = {}
        for report in reports:
            try:
                ids[read_record_id(report.body)] = report
            except WireError as exc:
                done.broken.append((report, str(exc)))
        async with self._ledger.unit() as unit:
            found = {record.id: record for record in await unit.records_by_id(list(ids))}
        for id_, report in ids.items():
            record = found.get(id_)
            if record is not None and self._find_destination(record.cluster) is None:
                # As just after a start: what it would be told under is not known yet.
                done.waiting.append((report, self._clock.now() + _pause_of(report)))
            elif line := self._line(record):
                done.ready.append(Ready(report, [line]))
            else:
                done.silent.append(report)
        return done

    def _line(self, record: KeptRecord | None) -> bytes:
        """Return what would be told; empty for nothing."""
        destination = None if record is None else self._find_destination(record.cluster)
        if record is None or destination is None or not is_to_be_told(record, destination, self._clock.now()):
            return b""
        content = record.content
        fields = {
            "deployment_name": record.deployment_name,
            "status": content.status.value,
            "name": content.name,
            "digest": content.digest,
            "version": content.version,
            "runtime_risks": content.runtime_risks,
            "tags": dict(content.tags),
            "organization": destination.organization,
            "logical_environment": destination.logical_environment,
            "physical_environment": destination.physical_environment,
            "cluster": destination.cluster,
        }
        problem = limit_problem(record.deployment_name, content)
        return msgspec.json.encode(fields | {"problem": problem} if problem else fields) + b"\n"

    async def send(self, items: Sequence[bytes]) -> Taken:
        self._write(b"".join(items).decode())
        return Taken()


def _pause_of(report: ClaimedReport) -> timedelta:
    soon, late = UNFOLLOWED_SECONDS
    return timedelta(seconds=min(soon * 2.0 ** min(report.attempts, 16), late))
