"""`/api/v1/ci/runs`: CI runs as they are known, and pipelines that state their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import JSONBody, QueryParameter

from fluxtrail.model.ci import SHORT_SHA, CiRole, CiRun, CiState, CiSystem
from fluxtrail.model.commit import is_sha
from fluxtrail.model.redaction import redact
from fluxtrail.model.views import TrailView
from fluxtrail.web.access.audit import name_action
from fluxtrail.web.access.principals import Principal, principal_of
from fluxtrail.web.api import DEFAULT_LIMIT, MAX_LIMIT, AnyRequest, Context, Cursor, Limit, Text, context_of
from fluxtrail.web.ports import CiKeeper
from fluxtrail.web.problems import ProblemError, ambiguous, documented, invalid
from fluxtrail.web.shapes import Page, Problem
from fluxtrail.web.statements import (
    CiStatement,
    RunReference,
    place_of,
    read_repository,
    read_statement,
)

RATE_PER_MINUTE = 600
"""Statements, of all pipelines together."""
LOOKED_THROUGH = 5
"""Pages of runs, the last begun first, among which an earlier one is looked for."""
NAMED = 5


def _keeper(request: AnyRequest) -> CiKeeper:
    keeper = context_of(request).ci
    if keeper is None:
        detail = "this server keeps no CI runs: it only shows what others keep"
        raise ProblemError(Problem(code="ci_off", title="No CI runs here", status=404, detail=detail))
    return keeper


@get("/ci/runs", operation_id="list_ci_runs", summary="CI runs, what began last first", responses=documented(404))
async def list_ci_runs(
    request: AnyRequest,
    *,
    repository: Text = None,
    sha: Annotated[str | None, QueryParameter(pattern="^[0-9a-fA-F]{4,64}$")] = None,
    state_: Annotated[CiState | None, QueryParameter(name="state")] = None,
    role: Annotated[CiRole | None, QueryParameter()] = None,
    system: Annotated[CiSystem | None, QueryParameter()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[CiRun]:
    """`repository` is its canonical name or the end of it, `sha` whole or the beginning of one. `evidence` says how a
    run is known: we `asked` for it, its pipeline `stated` it, or a signed `event` told of it.
    """
    found = await _keeper(request).list_runs(
        repository=repository.lower() if repository else None,
        sha=sha.lower() if sha else None,
        state=state_,
        role=role,
        system=system,
        limit=limit,
        cursor=cursor,
    )
    return Page(items=list(found.items), next=found.next)


@post(
    "/ci/runs",
    operation_id="state_ci_run",
    summary="State a run of a pipeline",
    responses=documented(403, 404, 409, 415, 429),
    status_code=201,
)
async def state_ci_run(request: AnyRequest, data: JSONBody[CiStatement]) -> Response[CiRun]:
    """What a pipeline says of itself: `fluxtrail ci` does so. 201 where it says something new, 200 where all of it was
    known. A `sha` that is not known yet is kept, and counts when its commit is; so is a `carrier_sha`.
    """
    context, keeper = context_of(request), _keeper(request)
    wait = keeper.pace.take()
    if wait is not None:
        raise _too_many(wait)
    principal = principal_of(request)
    said = await _placed(keeper, principal, data) if data.of is not None else data
    run = read_statement(said, now=context.now())
    name_action(request, "state_ci_run", subject=f"{run.repository}@{run.sha} {run.role.value} {run.run_id}")
    followed = keeper.name_of(run.repository)
    _check_scope(principal, run, keeper.name_of)
    said_carrier, carrier_repository = run.carrier_repository, keeper.name_of(run.carrier_repository)
    run = msgspec.structs.replace(run, repository=followed, carrier_repository=carrier_repository)
    if carrier_repository and not principal.may_state(said_carrier):
        await _check_carrier(keeper, principal, run)
    if not is_sha(run.sha):
        run = msgspec.structs.replace(run, sha=await _whole_sha(context, run))
    is_new = await keeper.take_run(run, allow_unfollowed=said.allow_unfollowed)
    return Response(content=run, status_code=201 if is_new else 200)


async def _placed(keeper: CiKeeper, principal: Principal, said: CiStatement) -> CiStatement:
    """Return a statement with the commit that an earlier run was of, which is looked for among what `principal` may
    speak of alone.
    """
    wanted = said.of
    if wanted is None or wanted == RunReference():
        raise invalid("of", "{}", "say which run: by run_id, sha, image, carrier_sha, service or environment")
    commits: dict[tuple[str, str], CiRun] = {}
    cursor: str | None = None
    for _ in range(LOOKED_THROUGH):
        page = await keeper.list_runs(
            repository=None, sha=None, state=None, role=wanted.role, system=None, limit=MAX_LIMIT, cursor=cursor
        )
        for run in page.items:
            is_meant = wanted.fits(run) and _is_in(run, said.repository, keeper.name_of)
            if is_meant and principal.may_state(run.repository):
                commits.setdefault((run.repository, run.sha), run)
        cursor = page.next
        if cursor is None:
            break
    shown = redact(msgspec.json.encode(wanted).decode(), limit_bytes=200)
    if not commits:
        detail = f"of={shown}: no run is known that fits. Has it been stated, and may this token speak of it?"
        raise ProblemError(Problem(code="unknown_run", title="Which run", status=404, detail=detail))
    if len(commits) > 1:
        names = ", ".join(f"{repository}@{sha[:SHORT_SHA]}" for repository, sha in list(commits)[:NAMED])
        detail = f"of={shown} fits runs of {len(commits)} commits ({names}): say more, such as `repository` or `sha`"
        raise ProblemError(Problem(code="ambiguous_run", title="Which run", status=409, detail=detail))
    (repository, sha), run = next(iter(commits.items()))
    return msgspec.structs.replace(
        said,
        of=None,
        repository=repository,
        sha=sha,
        image=said.image or run.image,
        service=said.service or run.service,
        environment=said.environment or run.environment,
    )


def _is_in(run: CiRun, repository: str, name_of: Callable[[str], str]) -> bool:
    return not repository or run.repository == name_of(read_repository(repository, "repository"))


def _check_scope(principal: Principal, run: CiRun, name_of: Callable[[str], str]) -> None:
    """A token of one repository must not speak of another's commits, nor of the runs that another's CI is asked for.

    Args:
        name_of: another name of a repository, by the settings.
    """
    place = place_of(run)
    is_its_own = any(principal.may_state(name) for name in (run.repository, name_of(run.repository)))
    is_inside = run.repository.startswith(f"{place}/") or any(
        principal.may_state(name) for name in (place, name_of(place))
    )
    for field, name, is_allowed in (
        ("repository", run.repository, is_its_own),
        ("project", place, is_inside),
    ):
        if not is_allowed:
            detail = (
                f"{field}={name!r}: the token {principal.name!r} may not speak of it; add it to that token's "
                "repositories in api.tokens, or use a token of the role `operator`"
            )
            raise ProblemError(Problem(code="forbidden", title="Not this token", status=403, detail=detail))


async def _check_carrier(keeper: CiKeeper, principal: Principal, run: CiRun) -> None:
    """A token of one repository must not turn another's commits into carriers: they would lose their lead time."""
    name = run.carrier_repository
    if principal.may_state(name) or await keeper.may_carry(run.repository, name):
        return
    detail = (
        f"carrier_repository={name!r}: the token {principal.name!r} may not state exports of {run.repository} there; "
        f"add it to `exports_to` of {run.repository} in `repositories`, or to that token's repositories in api.tokens"
    )
    raise ProblemError(Problem(code="forbidden", title="Not this token", status=403, detail=detail))


async def _whole_sha(context: Context, run: CiRun) -> str:
    found = await context.answers.find_trail(
        f"{run.repository.partition('/')[2]}@{run.sha}", now=context.now(), settle_after=context.settle_after
    )
    if isinstance(found, TrailView) and found.commit.repository == run.repository:
        return found.commit.sha
    if isinstance(found, list):
        raise ambiguous(run.sha, [one for one in found if one.repository == run.repository] or found)
    detail = (
        f"sha={run.sha!r}: no commit of {run.repository} that is followed begins so. "
        "Give the whole sha: it is kept until the commit is known"
    )
    raise ProblemError(Problem(code="unknown_commit", title="Which commit", status=404, detail=detail))


def _too_many(wait: float) -> ProblemError:
    detail = f"more than {RATE_PER_MINUTE} runs were stated in a minute; try again in {max(round(wait), 1)} s"
    return ProblemError(Problem(code="too_many", title="Too many statements", status=429, detail=detail))


CI_HANDLERS = (list_ci_runs, state_ci_run)
