"""GitHub's artifact metadata: tells an organisation which image digest runs where.

    post_record      one record
    post_cluster     up to 1,000 of one cluster, answered at once
    submit_job       up to 5,000 of one cluster, written in the background; then job_status or wait_for_job

It knows HTTP only: what is worth saying, and what follows from an answer, is its caller's.

Source: docs.github.com, REST API, "Artifact metadata"; github/deployment-tracker, pkg/deploymentrecord/client.go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp

from fluxtrail.credentials.binding import CredentialSource, repository_host
from fluxtrail.credentials.github_app import AppIdentity
from fluxtrail.model.errors import FluxtrailError, NotFoundError, RateLimitedError, WireError
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.github.artifact_address import (
    DEFAULT_BASE_URL,
    cluster_segment,
    parse_base_url,
    parse_organization,
)
from fluxtrail.remotes.github.artifact_answers import BODY_LIMIT_BYTES, Answer, said_by
from fluxtrail.remotes.github.artifact_bearers import choose_bearer
from fluxtrail.remotes.github.artifact_calls import RETRIES, TIMEOUT_SECONDS, Calls, ClientCounters
from fluxtrail.remotes.github.artifact_errors import (
    JobConflictError,
    JobTimeoutError,
    NoRepositoriesError,
    RequestRefusedError,
    RetriesExhaustedError,
    UnknownArtifactError,
    UnsendableError,
    prefixed,
)
from fluxtrail.remotes.github.artifact_pacing import BURST, REQUESTS_PER_SECOND, Clock, Pacer, TokenBucket
from fluxtrail.remotes.github.artifact_wire import (
    CLUSTER_LIMIT,
    JOB_LIMIT,
    ClusterAnswer,
    Job,
    JobStatus,
    WireDeployment,
    WireRecord,
    cluster_body,
    job_body,
    parse_cluster_answer,
    parse_job,
    parse_job_status,
    single_body,
)

LONGEST_WAIT_SECONDS = 5.0
JOB_WAIT_SECONDS = 300.0
FIRST_POLL_SECONDS = 2.0
LONGEST_POLL_SECONDS = 30.0


class ArtifactMetadataClient:
    """Writes one organisation's deployment records. Safe for concurrent callers; they share pace and limits.

    Every method raises RequestRefusedError (4xx; 401 and 403 as CredentialsRefusedError), RetriesExhaustedError,
    LimitedOutError, RateLimitedError (postponed), UnsendableError, and what getting a token raises: ConfigError,
    AuthError, UpstreamError. Tree: `artifact_errors.py`.

    Args:
        session: made by the caller, closed by the caller; it must keep no cookies.
        base_url: `api.github.com`, or Enterprise Server's `https://host/api/v3`; an App's tokens are made there too.
        app, token, token_file, credentials: the first of them that is there counts.
        longest_wait_seconds: a rate limit that ends within it is waited for, a longer one raises RateLimitedError.
        observe: told the seconds of every round trip.
        jitter: 0 to 1, exclusive.
        allowances: told what the answers say is left.

    Raises:
        ConfigError: the address or the organisation cannot be one.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        organization: str,
        *,
        clock: Clock,
        base_url: str = DEFAULT_BASE_URL,
        app: AppIdentity | None = None,
        token: str = "",
        token_file: Path | None = None,
        credentials: CredentialSource | None = None,
        retries: int = RETRIES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        requests_per_second: float = REQUESTS_PER_SECOND,
        burst: int = BURST,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
        observe: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
        allowances: AllowanceBook | None = None,
    ) -> None:
        self.base_url = parse_base_url(base_url)
        self.organization = parse_organization(organization)
        self.counters = ClientCounters()
        self._clock = clock
        bearer = choose_bearer(
            session,
            base_url=self.base_url,
            organization=self.organization,
            app=app,
            token=token,
            token_file=token_file,
            credentials=credentials,
            clock=lambda: clock.now().timestamp(),
        )
        bucket = TokenBucket(clock, per_second=requests_per_second, burst=burst)
        self._calls = Calls(
            session,
            base_url=self.base_url,
            bearer=bearer,
            pacer=Pacer(clock, bucket, longest_wait_seconds=longest_wait_seconds),
            clock=clock,
            counters=self.counters,
            retries=retries,
            timeout_seconds=timeout_seconds,
            observe=observe,
            jitter=jitter,
            allowances=allowances,
            whose=f"{repository_host(self.base_url)}/{self.organization.lower()}",
        )

    async def post_record(self, record: WireRecord | None) -> None:
        """Write one record; the same again is an update.

        Raises:
            UnknownArtifactError: GitHub has no attestation of its digest. RecordConflictError: still a conflict after
            the last attempt.
        """
        if record is None:
            raise UnsendableError("record cannot be nil: there is nothing to post", subject="record")
        answer = await self._post(self._path(), single_body(record), is_conflict_passing=True)
        if answer.status == 404:
            self.counters.post_record_unknown_artifact += 1
            said = said_by(answer, secrets=self._calls.secrets)
            raise UnknownArtifactError(
                f"no artifact found: no attestation found for {record.digest}; GitHub answered 404: {said}",
                digest=record.digest,
                said=said,
                subject=record.deployment_name,
            )
        self.counters.post_record_ok += 1

    async def post_cluster(
        self, cluster: str, logical: str, physical: str, records: Sequence[WireDeployment]
    ) -> ClusterAnswer:
        """Write up to 1,000 records of a cluster; what GitHub cannot write is left out and said.

        Raises:
            NoRepositoriesError: 404: not one artifact is known, or this GitHub has no such call.
            JobConflictError: 409. WireError: the answer is no such answer; the records may have been written.
        """
        _check(records, CLUSTER_LIMIT)
        body = cluster_body(logical, physical, records)
        try:
            answer = await self._bulk(self._path(cluster), body, cluster)
        except (RequestRefusedError, RetriesExhaustedError) as exc:
            raise prefixed(exc, "setting cluster records failed") from exc
        return parse_cluster_answer(_whole(answer), records, secrets=self._calls.secrets)

    async def submit_job(self, cluster: str, logical: str, physical: str, records: Sequence[WireDeployment]) -> Job:
        """Have up to 5,000 records of a cluster written in the background.

        Raises:
            JobConflictError: a job of this cluster is under way. NoRepositoriesError: 404, as for `post_cluster`.
            WireError: the answer is no such answer; there may be a job.
        """
        _check(records, JOB_LIMIT)
        try:
            answer = await self._bulk(f"{self._path(cluster)}/jobs", job_body(logical, physical, records), cluster)
        except (RequestRefusedError, RetriesExhaustedError) as exc:
            raise prefixed(exc, "cluster job creation failed") from exc
        return parse_job(_whole(answer), secrets=self._calls.secrets)

    async def job_status(self, cluster: str, job_id: int) -> JobStatus:
        """Return how a job stands.

        Raises:
            NotFoundError: there is no such job. WireError: the answer is no such answer.
        """
        path = f"{self._path(cluster)}/jobs/{int(job_id)}"
        try:
            answer = await self._calls.ask("GET", path)
        except FluxtrailError as exc:
            raise prefixed(exc, "failed to get job status") from exc
        if answer.status == 404:
            raise NotFoundError(f"job {job_id} not found", status=404, subject=cluster)
        if answer.status == 409:
            raise JobConflictError(f"failed to get job status: {self._said(answer)}", status=409, subject=cluster)
        return parse_job_status(_whole(answer), job_id, secrets=self._calls.secrets)

    async def wait_for_job(self, cluster: str, job_id: int, *, limit_seconds: float = JOB_WAIT_SECONDS) -> JobStatus:
        """Return a job's status once it has ended, well or not: asked now and after 2, 4, 8, 16, 30, 30, … s.

        Raises:
            JobTimeoutError: it has not ended within `limit_seconds`.
        """
        ends = self._clock.monotonic() + limit_seconds
        pause = FIRST_POLL_SECONDS
        while True:
            try:
                status = await self.job_status(cluster, job_id)
            except FluxtrailError as exc:
                raise prefixed(exc, f"polling job {job_id}") from exc
            if status.is_finished:
                return status
            left = ends - self._clock.monotonic()
            if left <= 0:
                text = f"polling job {job_id}: it is still {status.status} after {limit_seconds:.0f} s"
                raise JobTimeoutError(text, subject=cluster)
            await self._clock.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_POLL_SECONDS)

    # -- inside ----------------------------------------------------------------------------------------------

    def _path(self, cluster: str | None = None) -> str:
        path = f"/orgs/{self.organization}/artifacts/metadata/deployment-record"
        return path if cluster is None else f"{path}/cluster/{cluster_segment(cluster)}"

    async def _bulk(self, path: str, body: bytes, cluster: str) -> Answer:
        answer = await self._post(path, body)
        if answer.status == 409:
            text = f"a job is already pending or processing for this cluster: {self._said(answer)}"
            raise JobConflictError(text, status=409, subject=cluster)
        if answer.status == 404:
            self.counters.post_record_unknown_artifact += 1
            text = f"no repositories found for any of the records, or there is no such call: {self._said(answer)}"
            raise NoRepositoriesError(text, status=404, subject=cluster)
        self.counters.post_record_ok += 1
        return answer

    async def _post(self, path: str, body: bytes, *, is_conflict_passing: bool = False) -> Answer:
        """Send, and count what is given up. A postponed call is not given up."""
        try:
            return await self._calls.ask("POST", path, body, is_conflict_passing=is_conflict_passing)
        except RequestRefusedError:
            self.counters.post_record_client_error += 1
            raise
        except FluxtrailError as exc:
            if not isinstance(exc, RateLimitedError) or isinstance(exc, RetriesExhaustedError):
                self.counters.post_record_hard_fail += 1
            raise

    def _said(self, answer: Answer) -> str:
        return said_by(answer, secrets=self._calls.secrets)


def _check(records: Sequence[WireDeployment], limit: int) -> None:
    if not records:
        raise UnsendableError("records cannot be empty", subject="records")
    if len(records) > limit:
        raise UnsendableError(f"{len(records)} records are more than GitHub takes at once, {limit}", subject="records")
    seen: set[str] = set()
    for record in records:
        if record.deployment_name in seen:
            raise UnsendableError(
                f"{record.deployment_name[:256]!r} is there twice; GitHub refuses the whole call then",
                subject="deployment_name",
            )
        seen.add(record.deployment_name)


def _whole(answer: Answer) -> bytes:
    if answer.is_cut:
        raise WireError(f"the answer is larger than the limit of {BODY_LIMIT_BYTES} bytes", subject="github")
    return answer.body
