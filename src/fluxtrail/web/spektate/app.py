"""`/api/deployments`, `/api/flux`, `/api/version`, `/api/health`: Spektate's backend, for clients that read it.

They answer from the ledger at the moment that they are asked; the guard in front of the API is in front of them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.params import QueryParameter

from fluxtrail import __version__
from fluxtrail.model.redaction import redact
from fluxtrail.web.api import AnyRequest, Context, context_of
from fluxtrail.web.parameters import refuse_unknown
from fluxtrail.web.ports import Answers, CiKeeper
from fluxtrail.web.problems import ProblemError, invalid
from fluxtrail.web.shapes import Problem
from fluxtrail.web.spektate.builds import SHORT, js_time
from fluxtrail.web.spektate.rows import Commit, cluster_sync, rows_of
from fluxtrail.web.spektate.shapes import Deployment, Deployments, FluxStatus, Health, HealthError, Version

DEFAULT_COMMITS, MOST_COMMITS = 100, 1000
SYNCS = 1000
SYNCS_OF_ONE = 100
SYNCS_FOR = timedelta(days=2)
DEPLOYMENTS, EDITS = "Bedrock Deployments", "Manual HLD Edits"
_VARIABLES = (
    "AZURE_ORG", "AZURE_PROJECT", "AZURE_PIPELINE_ACCESS_TOKEN", "MANIFEST", "MANIFEST_ACCESS_TOKEN",
    "SOURCE_REPO_ACCESS_TOKEN", "STORAGE_ACCOUNT_KEY", "STORAGE_ACCOUNT_NAME", "STORAGE_PARTITION_KEY",
    "STORAGE_TABLE_NAME", "GITHUB_MANIFEST_USERNAME",
)  # fmt: skip

Texts = Annotated[list[str] | None, QueryParameter()]
DEPLOYMENTS_PATH = "/deployments"
_REFRESH = "refresh"
_COLUMNS: dict[str, Callable[[Deployment], str]] = {
    "commitId": lambda row: row.commit_id,
    "deploymentId": lambda row: row.deployment_id,
    "imageTag": lambda row: row.image_tag,
    "p1": lambda row: row.src_to_docker_build.id if row.src_to_docker_build else "",
}


@get(DEPLOYMENTS_PATH, include_in_schema=False)
async def list_deployments(
    request: AnyRequest,
    *,
    keyword: Annotated[str | None, QueryParameter(max_length=200)] = None,
    service: Texts = None,
    author: Texts = None,
    env: Texts = None,
    type_: Annotated[list[str] | None, QueryParameter(name="type")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_COMMITS)] = DEFAULT_COMMITS,
) -> Response[bytes]:
    """The rows of the newest commits, what ended last first, and what is applied on each cluster now.

    Filters are the front end's, and in `_COLUMNS` those by which Spektate's library asked the table.
    """
    for given in type_ or ():
        if given not in (DEPLOYMENTS, EDITS):
            raise invalid("type", given, f"use {DEPLOYMENTS!r} or {EDITS!r}")
    context = context_of(request)
    _keeper(request)
    async with context.answers.at_one_instant() as answers:
        commits = await _commits(context, answers, limit)
        heads = await answers.applied_heads()
    rows = [row for commit in commits for row in rows_of(commit, now=context.now())]
    kept = [
        row
        for row in sorted(rows, key=lambda row: (row.end_time, row.deployment_id), reverse=True)
        if _is_among(row.service, service)
        and (not author or (row.author is not None and _is_among(row.author.name, author)))
        and _is_among(row.environment, env)
        and all(_is_among(read(row), request.query_params.getall(name, None)) for name, read in _COLUMNS.items())
        and (not type_ or _type_of(row) in type_)
        and (not keyword or keyword.lower() in msgspec.json.encode(row).decode().lower())
    ]
    return _json(Deployments(deployments=kept, cluster_sync=cluster_sync(heads)))


@get("/flux", include_in_schema=False)
async def list_flux(request: AnyRequest) -> Response[bytes]:
    """What Flux did in the last two days, by the commit that it applied."""
    context, keeper = context_of(request), _keeper(request)
    lines = await keeper.recent_syncs(since=context.now() - SYNCS_FOR, limit=SYNCS)
    found: dict[str, list[FluxStatus]] = {}
    for line in lines:
        held = found.setdefault(line.sha[:SHORT], [])
        if len(held) < SYNCS_OF_ONE:
            at = js_time(line.at) or ""
            said = FluxStatus(
                commit_id=line.sha[:SHORT], status=line.reason, message=line.message, genre=line.kind, time=at
            )
            held.append(said)
    return _json({sha: sorted(held, key=lambda said: said.time) for sha, held in found.items()})


@get("/version", include_in_schema=False, sync_to_thread=False)
def get_version() -> Response[bytes]:
    return _json(Version(version=__version__))


@get("/health", include_in_schema=False, sync_to_thread=False)
def get_health(request: AnyRequest) -> Response[bytes]:
    """What is not well. Of the settings that Spektate had none is behind this server, and no secret is shown."""
    failing = [check for check in context_of(request).report.checks() if not check.is_ok]
    errors = [HealthError(message=redact(f"{check.name}: {check.reason}")) for check in failing]
    return _json(Health(errors=errors, variables=dict.fromkeys(_VARIABLES, "")))


async def _commits(context: Context, answers: Answers, limit: int) -> Sequence[Commit]:
    board = await answers.board(
        now=context.now(), settle_after=context.settle_after, grouping=context.grouping, by="environment",
        repository=None, author=None, service=None, environment=None, cluster=None, verdict=None, text=None,
        since=None, until=None, carriers=False, is_brief=True, limit=limit, cursor=None,
    )  # fmt: skip
    origins = await answers.origins([(row.commit.repository, row.commit.sha) for row in board.items])
    names = [column.name for column in board.columns]
    found = []
    for row in board.items:
        origin = origins.get((row.commit.repository, row.commit.sha))
        if origin is not None:
            cells = [(name, cell) for name, cell in zip(names, row.cells, strict=True) if cell is not None]
            found.append(Commit(row.commit, origin, cells))
    return found


def _is_among(value: str, wanted: Sequence[str] | None) -> bool:
    """The table had its values in lower case, and was asked so."""
    return not wanted or value.lower() in [text.lower() for text in wanted]


def _type_of(row: Deployment) -> str:
    return DEPLOYMENTS if row.service else EDITS


def _keeper(request: AnyRequest) -> CiKeeper:
    keeper = context_of(request).ci
    if keeper is None:
        detail = "this server keeps no CI runs, so it has no deployments to show"
        raise ProblemError(Problem(code="ci_off", title="No CI runs here", status=404, detail=detail))
    return keeper


def _json(answer: object) -> Response[bytes]:
    return Response(content=msgspec.json.encode(answer), media_type="application/json")


async def _check_request(request: Request[Any, Any, Any]) -> None:
    """A query of the front end's page is taken whole; how often it asked again is its own affair."""
    refuse_unknown(request, also=(*_COLUMNS, _REFRESH) if request.url.path.endswith(DEPLOYMENTS_PATH) else ())


def create_spektate() -> Router:
    handlers = [list_deployments, list_flux, get_version, get_health]
    return Router("/api", route_handlers=handlers, before_request=_check_request)
