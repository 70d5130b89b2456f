"""What following workloads needs of the outside: the ledger's records, and the report that a changed one makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fluxtrail.model.deployment import DeploymentStatus, KeptRecord
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.report import NewReport

ReportOf = Callable[[KeptRecord], NewReport]
"""What must be said of a record that changed."""


class RecordUnit(Protocol):
    """One transaction: everything is kept or nothing is."""

    async def deployment_records(
        self, cluster: ClusterUid, *, status: DeploymentStatus | None = None
    ) -> Sequence[KeptRecord]:
        """Return a cluster's records; all of them for None."""

    async def put_deployment_records(self, records: Sequence[KeptRecord]) -> Sequence[KeptRecord]:
        """Return them with their ids, in the same order."""

    async def add_reports(self, reports: Sequence[NewReport]) -> None: ...


class RecordLedger(Protocol):
    def unit(self) -> AbstractAsyncContextManager[RecordUnit]: ...
