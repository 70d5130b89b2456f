"""GitHub's client as the output of deployment records wants it: entries and destinations become its bodies."""

from __future__ import annotations

from collections.abc import Sequence

from fluxtrail.model.deployment import Destination
from fluxtrail.remotes.github.artifact_metadata import ArtifactMetadataClient
from fluxtrail.remotes.github.artifact_wire import ClusterAnswer, Job, JobStatus, deployment_of, record_of
from fluxtrail.reports.deployment_records.ports import Entry


class GitHubRecords:
    """Satisfies the output's `RecordsClient`."""

    def __init__(self, client: ArtifactMetadataClient) -> None:
        self._client = client

    async def post_record(self, destination: Destination, entry: Entry) -> None:
        await self._client.post_record(record_of(entry.deployment_name, entry.content, destination))

    async def post_cluster(self, destination: Destination, entries: Sequence[Entry]) -> ClusterAnswer:
        bodies = [deployment_of(entry.deployment_name, entry.content) for entry in entries]
        return await self._client.post_cluster(
            destination.cluster, destination.logical_environment, destination.physical_environment, bodies
        )

    async def submit_job(self, destination: Destination, entries: Sequence[Entry]) -> Job:
        bodies = [deployment_of(entry.deployment_name, entry.content) for entry in entries]
        return await self._client.submit_job(
            destination.cluster, destination.logical_environment, destination.physical_environment, bodies
        )

    async def wait_for_job(self, destination: Destination, job_id: int) -> JobStatus:
        return await self._client.wait_for_job(destination.cluster, job_id)
