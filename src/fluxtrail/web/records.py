"""`/api/v1/records`: deployment records as the ledger has them, and the one request that tells them again."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.params import JSONBody, QueryParameter

from fluxtrail.model.deployment import DeploymentStatus, Told
from fluxtrail.model.views import RecordView
from fluxtrail.web.access.audit import name_action
from fluxtrail.web.api import DEFAULT_LIMIT, AnyRequest, Cursor, Limit, Text, context_of
from fluxtrail.web.ports import RecordKeeper
from fluxtrail.web.problems import ProblemError, documented, not_found
from fluxtrail.web.shapes import Page, Problem, RecordCount, SyncPlan, SyncRequest


def _keeper(request: AnyRequest) -> RecordKeeper:
    keeper = context_of(request).records
    if keeper is None:
        detail = (
            "deployment records are off on this server. Start it with `fluxtrail run --deployment-records`, or set "
            "deployment_records.enabled"
        )
        raise ProblemError(Problem(code="records_off", title="Deployment records are off", status=404, detail=detail))
    return keeper


@get(
    "/records",
    operation_id="list_records",
    summary="Deployment records, what changed last first",
    responses=documented(404),
)
async def list_records(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    status: Annotated[DeploymentStatus | None, QueryParameter()] = None,
    told: Annotated[Told | None, QueryParameter()] = None,
    text: Annotated[
        str | None,
        QueryParameter(
            min_length=1, max_length=512, description="A part of the deployment name, the image or the digest."
        ),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[RecordView]:
    """`cluster` is a name or uid. A record is what should be told of one deployment name, and what was told."""
    found = await _keeper(request).list_records(
        cluster=cluster, namespace=namespace, status=status, told=told, text=text, limit=limit, cursor=cursor
    )
    return Page(items=list(found.items), next=found.next)


@get("/records/counts", operation_id="count_records", summary="How many records there are", responses=documented(404))
async def count_records(request: AnyRequest) -> Page[RecordCount]:
    """By cluster, status and where they stand with GitHub; what there is none of is left out."""
    return Page(items=list(await _keeper(request).count_records()))


@post(
    "/records/sync",
    operation_id="sync_records",
    summary="Tell all records again",
    responses=documented(403, 404, 409, 415),
    status_code=200,
)
async def sync_records(request: AnyRequest, data: JSONBody[SyncRequest]) -> SyncPlan:
    """Everything that should be recorded is told anew, in bulk where that is on. It returns at once; what is still
    `pending` is counted by /api/v1/records/counts. A dry run only says what would be told.
    """
    name_action(request, "plan_sync" if data.dry_run else "sync_records", subject=data.cluster or "all clusters")
    plan = await _keeper(request).sync(cluster=data.cluster, dry_run=data.dry_run)
    if plan is None:
        raise not_found(
            f"no cluster is named {(data.cluster or '')[:120]!r}", "Clusters are listed by /api/v1/clusters"
        )
    return plan


RECORD_HANDLERS = (list_records, count_records, sync_records)
