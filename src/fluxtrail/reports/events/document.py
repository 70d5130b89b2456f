"""What a webhook says: one JSON document a verdict or a commit, its fields public (docs/statuses.md). Pure.

Every field is always there: null, an empty text or an empty object where there is nothing to say.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import Moment
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.stage import Stage
from fluxtrail.model.telling import DeliveryTelling, TrackedCommit
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.events.ids import chain_id
from fluxtrail.reports.plan import Content

SEEN = "commit.seen"
TEST = "test"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what a document is made of."""


class CommitPart(Part, frozen=True, kw_only=True):
    sha: str
    repository: str
    """Canonical: `github.com/acme/shop`."""
    branch: str | None
    subject: str
    pull_request: int | None
    is_carrier: bool
    """It carries others to the clusters: an export, a push of a machine."""
    committed_at: datetime | None
    url: str
    """Where people read it; empty where nobody knows."""


class TargetPart(Part, frozen=True, kw_only=True):
    kind: str
    namespace: str
    name: str


class ClusterPart(Part, frozen=True, kw_only=True):
    name: str
    uid: str


class StagePart(Part, frozen=True, kw_only=True):
    at: datetime
    precision: str
    """`exact`, `observed` or `estimated`."""
    evidence: str
    not_before: datetime | None


class LinksPart(Part, frozen=True, kw_only=True):
    trail: str
    commit: str
    build: str


class EventDocument(Part, frozen=True, kw_only=True):
    id: str
    """The same whenever the same is sent again."""
    type: str
    """`commit.seen`, `delivery.<verdict>` or `test`."""
    at: datetime
    trace_id: str = ""
    """Of OpenTelemetry, the commit's; its CDEvents have it as `chainId`."""
    commit: CommitPart | None = None
    carrier: CommitPart | None = None
    """The export that brought a source commit there."""
    cluster: ClusterPart | None = None
    target: TargetPart | None = None
    environment: str = ""
    verdict: str = ""
    reason: str = ""
    message: str = ""
    """What Flux says of a failure; redacted."""
    revision: str = ""
    stages: dict[str, StagePart] = {}
    links: LinksPart = LinksPart(trail="", commit="", build="")


Link = Callable[[str], str]
"""A commit's sha → where people read more of it; empty where they cannot."""


def seen_document(id_: str, content: Content, commit: TrackedCommit, *, link: Link) -> EventDocument:
    part = commit_part(commit)
    return EventDocument(
        id=id_,
        type=SEEN,
        at=content.at,
        trace_id=_trace(commit),
        commit=part,
        stages=_stages({Stage.MERGED: commit.merged} if commit.merged else {}),
        links=LinksPart(trail=link(commit.sha), commit=part.url, build=""),
    )


def verdict_document(
    id_: str, content: Content, told: DeliveryTelling, *, environment: str, link: Link
) -> EventDocument:
    verdict, commit, target, sync = content.verdict or told.verdict, told.commit, told.target, told.sync
    part = commit_part(commit)
    moments = told.moments() | ({Stage.RUNNING: told.running} if told.running else {})
    return EventDocument(
        id=id_,
        type=f"delivery.{verdict.value}",
        at=content.at,
        trace_id=_trace(commit),
        commit=part,
        carrier=commit_part(told.carrier) if told.carrier else None,
        cluster=ClusterPart(name=target.cluster, uid=target.cluster_uid),
        target=TargetPart(kind=target.kind, namespace=target.namespace, name=target.name),
        environment=environment,
        verdict=verdict.value,
        reason=content.reason or (sync.reason if sync else ""),
        message=sync.message if sync and verdict is Verdict.FAILED else "",
        revision=sync.revision if sync else "",
        stages=_stages(moments),
        links=LinksPart(trail=link(commit.sha), commit=part.url, build=told.build_link or ""),
    )


def commit_part(commit: TrackedCommit) -> CommitPart:
    return CommitPart(
        sha=commit.sha,
        repository=commit.repository,
        branch=commit.branch,
        subject=commit.subject,
        pull_request=commit.pull_request,
        is_carrier=commit.is_carrier,
        committed_at=commit.committed_at,
        url=_commit_url(commit),
    )


def _trace(commit: TrackedCommit) -> str:
    return chain_id(commit.repository, commit.sha).replace("-", "")


def _stages(moments: dict[Stage, Moment]) -> dict[str, StagePart]:
    return {
        stage.value: StagePart(
            at=moment.at,
            precision=moment.precision.value,
            evidence=moment.evidence.value,
            not_before=moment.not_before,
        )
        for stage, moment in moments.items()
    }


def _commit_url(commit: TrackedCommit) -> str:
    try:
        return parse_repository(commit.repository_url).commit_url(commit.sha) or "" if commit.repository_url else ""
    except WireError:
        return ""
