"""Deployment records as GitHub's artifact metadata API writes them.

Source: docs.github.com, REST API, "Artifact metadata"; github/deployment-tracker, pkg/deploymentrecord (the bodies
of its single record and of its job; `physical_environment` is sent even where it is empty).
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from fluxtrail.model.deployment import Content, Destination
from fluxtrail.model.errors import WireError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.github.artifact_errors import UnsendableError

T = TypeVar("T")

CLUSTER_LIMIT = 1_000
JOB_LIMIT = 5_000
TEXT_LIMIT_BYTES = 300
FINISHED = ("completed", "failed")


class WireDeployment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a bulk. Empty version, risks and tags are left out."""

    name: str
    digest: str
    version: str = ""
    status: str
    deployment_name: str
    runtime_risks: tuple[str, ...] = ()
    tags: dict[str, str] = {}


class WireRecord(WireDeployment, frozen=True, kw_only=True, omit_defaults=True):
    """A record told on its own."""

    logical_environment: str
    physical_environment: str
    cluster: str


class _SingleBody(WireRecord, frozen=True, kw_only=True, omit_defaults=True):
    return_records: bool


class _JobBody(msgspec.Struct, frozen=True, kw_only=True):
    logical_environment: str
    physical_environment: str
    partial_success: bool = True
    deployments: Sequence[WireDeployment]


class _ClusterBody(_JobBody, frozen=True, kw_only=True):
    return_records: bool = True
    """The answer then names what was taken."""


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One entry that GitHub left out. What it does not say is empty; a job only says the image's name."""

    name: str = ""
    """The image's."""
    cause: str = ""
    """`not_found`, `unauthorized`, `error`, or what else it says."""
    deployment_name: str = ""
    digest: str = ""

    def concerns(self, entry: WireDeployment) -> bool:
        """Whether it is about `entry`, by the most exact that is said."""
        if self.deployment_name:
            return entry.deployment_name == self.deployment_name
        if self.digest:
            return entry.digest == self.digest
        return bool(self.name) and entry.name == self.name


class ClusterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the entries of a cluster call, by deployment name; each is in exactly one of the three."""

    accepted: frozenset[str]
    rejected: dict[str, str]
    """With the cause."""
    unanswered: frozenset[str]
    """GitHub said nothing about them."""
    errors: tuple[Rejection, ...]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    job_id: int
    errors: tuple[Rejection, ...] = ()
    """Left out already when it was submitted."""


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    job_id: int
    status: str
    """`pending`, `processing`, `completed`, `failed`; another word means: not yet."""
    started_at: str = ""
    total_count: int | None = None
    """How many records were written; only when completed."""
    errors: tuple[Rejection, ...] = ()

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED


class _Named(msgspec.Struct):
    deployment_name: str | None = None


class _ClusterWire(msgspec.Struct):
    deployment_records: list[_Named | None] | None = None
    errors: list[Any] | None = None


class _JobWire(msgspec.Struct):
    job_id: int
    errors: list[Any] | None = None


class _StatusWire(msgspec.Struct):
    status: str
    job_id: int | None = None
    started_at: str | None = None
    total_count: int | None = None
    errors: list[Any] | None = None


def deployment_of(deployment_name: str, content: Content) -> WireDeployment:
    return WireDeployment(deployment_name=deployment_name, **_fields(content))


def record_of(deployment_name: str, content: Content, destination: Destination) -> WireRecord:
    return WireRecord(
        deployment_name=deployment_name,
        logical_environment=destination.logical_environment,
        physical_environment=destination.physical_environment,
        cluster=destination.cluster,
        **_fields(content),
    )


def _fields(content: Content) -> dict[str, Any]:
    return {
        "name": content.name,
        "digest": content.digest,
        "version": content.version,
        "status": str(content.status),
        "runtime_risks": tuple(content.runtime_risks),
        "tags": dict(content.tags),
    }


# -- bodies ---------------------------------------------------------------------------------------------------


def single_body(record: WireRecord) -> bytes:
    fields = {name: getattr(record, name) for name in WireRecord.__struct_fields__}
    return _encode(_SingleBody(**fields, return_records=False))


def job_body(logical: str, physical: str, entries: Sequence[WireDeployment]) -> bytes:
    bare = [_bare(entry) for entry in entries]
    return _encode(_JobBody(logical_environment=logical, physical_environment=physical, deployments=bare))


def cluster_body(logical: str, physical: str, entries: Sequence[WireDeployment]) -> bytes:
    bare = [_bare(entry) for entry in entries]
    return _encode(_ClusterBody(logical_environment=logical, physical_environment=physical, deployments=bare))


def _encode(body: msgspec.Struct) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as exc:
        raise UnsendableError("a field holds half a surrogate pair, which no JSON can hold", subject="record") from exc


def _bare(entry: WireDeployment) -> WireDeployment:
    """Return an entry without what a single record has more: a bulk states its environments once."""
    if type(entry) is WireDeployment:
        return entry
    return WireDeployment(**{name: getattr(entry, name) for name in WireDeployment.__struct_fields__})


# -- answers --------------------------------------------------------------------------------------------------


def parse_cluster_answer(
    body: bytes, entries: Sequence[WireDeployment], *, secrets: tuple[str, ...] = ()
) -> ClusterAnswer:
    """Return what became of `entries`.

    A server that lists no records took all that it did not reject.

    Raises:
        WireError: it is no such answer.
    """
    wire = _decode(body, _ClusterWire, "failed to parse cluster response")
    errors = _rejections(wire.errors, secrets)
    names = {entry.deployment_name for entry in entries}
    rejected = {name: cause for entry in entries for name, cause in _causes(entry, errors)}
    if wire.deployment_records is None:
        accepted = names - rejected.keys()
    else:
        returned = {item.deployment_name for item in wire.deployment_records if item is not None}
        accepted = names & {name for name in returned if name is not None}
        rejected = {name: cause for name, cause in rejected.items() if name not in accepted}
    return ClusterAnswer(
        accepted=frozenset(accepted),
        rejected=rejected,
        unanswered=frozenset(names - accepted - rejected.keys()),
        errors=errors,
    )


def parse_job(body: bytes, *, secrets: tuple[str, ...] = ()) -> Job:
    """Return the job that was made.

    Raises:
        WireError: it is no such answer; asking again is safe, and meets the job if there is one.
    """
    wire = _decode(body, _JobWire, "failed to parse job response")
    return Job(job_id=wire.job_id, errors=_rejections(wire.errors, secrets))


def parse_job_status(body: bytes, job_id: int, *, secrets: tuple[str, ...] = ()) -> JobStatus:
    """Return how the job stands.

    Raises:
        WireError: it is no such answer.
    """
    wire = _decode(body, _StatusWire, "failed to parse job status")
    return JobStatus(
        job_id=job_id if wire.job_id is None else wire.job_id,
        status=redact(wire.status, secrets=secrets, limit_bytes=TEXT_LIMIT_BYTES),
        started_at=redact(wire.started_at, secrets=secrets, limit_bytes=TEXT_LIMIT_BYTES),
        total_count=wire.total_count,
        errors=_rejections(wire.errors, secrets),
    )


def _causes(entry: WireDeployment, errors: Iterable[Rejection]) -> list[tuple[str, str]]:
    return [(entry.deployment_name, error.cause) for error in errors if error.concerns(entry)][:1]


def _decode(body: bytes, type_: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as exc:
        raise WireError(f"{what}: {redact(str(exc), limit_bytes=TEXT_LIMIT_BYTES)}", retryable=True) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"{what}: it is not JSON", retryable=True) from exc


def _rejections(items: Iterable[Any] | None, secrets: tuple[str, ...]) -> tuple[Rejection, ...]:
    """Read errors in any of their forms: flat, with the entry under `deployment`, or a bare sentence."""
    return tuple(_rejection(item, secrets) for item in items or () if isinstance(item, dict | str))


def _rejection(item: dict[str, Any] | str, secrets: tuple[str, ...]) -> Rejection:
    def said(value: object) -> str:
        return redact(value, secrets=secrets, limit_bytes=TEXT_LIMIT_BYTES) if isinstance(value, str) else ""

    if isinstance(item, str):
        return Rejection(cause=said(item))
    nested = item.get("deployment")
    about = {**item, **nested} if isinstance(nested, dict) else item
    names = ("name", "deployment_name", "digest")
    # Keys to compare with what was sent: as they are, but no longer than they may be.
    exact = {name: about[name][:1024] for name in names if isinstance(about.get(name), str)}
    return Rejection(cause=said(item.get("cause")), **exact)
