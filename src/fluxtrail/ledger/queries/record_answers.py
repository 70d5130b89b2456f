"""The questions about deployment records, each on one snapshot of everything committed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fluxtrail.ledger.queries import records
from fluxtrail.ledger.queries.asking import LIMIT, Asking, find_word
from fluxtrail.ledger.queries.pages import Page
from fluxtrail.ledger.queries.records import RecordCount, RecordFilter
from fluxtrail.model.deployment import DeploymentStatus, KeptRecord, Told
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.views import RecordView


class RecordAnswers(Asking):
    """The reading side of a ledger's deployment records; raises StoreError where the ledger cannot be read."""

    async def list_deployment_records(
        self,
        *,
        cluster: str | None = None,
        namespace: str | None = None,
        status: str | None = None,
        told: str | None = None,
        text: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordView]:
        """Return records, what changed last first.

        Args:
            cluster: its uid or its name.
            text: a part of the deployment name, the image's name or its digest, in any case.

        Raises:
            ConfigError: a cursor of another list; a status or a `told` that does not exist.
        """
        chosen = RecordFilter(
            cluster=cluster,
            namespace=namespace,
            status=find_word(DeploymentStatus, status, "status"),
            told=find_word(Told, told, "told"),
            text=text,
        )
        async with self._read() as session:
            return await records.list_records(session, chosen, limit=limit, cursor=cursor)

    async def records_due(self, now: datetime, *, limit: int) -> list[KeptRecord]:
        """Return unknown ones to ask about again, the longest due first; of each digest of a cluster one at most.

        The others of a digest stay due until they are put off with it: see `records_of_digests`.
        """
        async with self._read() as session:
            return await records.find_due(session, now, limit=limit)

    async def records_of_digests(self, digests: Sequence[str], *, told: Told) -> list[KeptRecord]:
        """Return all records of these digests, on any cluster, that stand so, by cluster and deployment name."""
        async with self._read() as session:
            return await records.find_of_digests(session, digests, told=told)

    async def records_told_elsewhere(
        self, cluster: ClusterUid, destination: str, *, limit: int, after: str = ""
    ) -> list[KeptRecord]:
        """Return what GitHub holds of a cluster under another destination, by deployment name.

        Args:
            destination: `Destination.text` of the cluster now.
            after: the deployment name to go on behind, so that one that stays there holds nothing up.
        """
        async with self._read() as session:
            return await records.find_told_elsewhere(session, cluster, destination, after=after, limit=limit)

    async def records_held_at(self, destination: str, *, but: ClusterUid, limit: int) -> list[KeptRecord]:
        """Return what GitHub holds under a destination of other clusters than `but`."""
        async with self._read() as session:
            return await records.find_held_at(session, destination, but=but, limit=limit)

    async def deployment_record_counts(self) -> list[RecordCount]:
        """Return how many records there are, by (cluster uid, status, told); only those that are not zero."""
        async with self._read() as session:
            return await records.count_records(session)
