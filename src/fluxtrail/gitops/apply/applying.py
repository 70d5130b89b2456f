"""Does what was planned, in its order. What fails stops no other object, and is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum

import msgspec
import structlog

from fluxtrail.clusters.answers import FieldConflictError
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.apply.conflicts import explain
from fluxtrail.gitops.apply.ordering import CRD
from fluxtrail.gitops.apply.planning import Action, Step, is_everybodys
from fluxtrail.model.errors import FluxtrailError, NotFoundError

ESTABLISHED_SECONDS = 60.0
_LOOK_SECONDS = 0.2
log = structlog.get_logger(__name__)


class Result(StrEnum):
    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    FAILED = "failed"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one step. `problem` says why it failed, and what helps."""

    step: Step
    result: Result
    problem: str = ""


async def carry_out(writer: Writer, steps: Sequence[Step], *, force: bool) -> AsyncIterator[Outcome]:
    """Yield what became of each step, one after the other.

    What a dry run refused is not tried; what did not differ is applied all the same, so that it is ours.

    Raises:
        UpstreamError: no answer, or 401: what would meet all that is left too.
    """
    for step in steps:
        if step.is_blocked:
            yield Outcome(step=step, result=Result.FAILED, problem=step.problem)
            continue
        try:
            yield Outcome(step=step, result=await _do(writer, step, force=force))
        except FieldConflictError as error:
            yield Outcome(step=step, result=Result.FAILED, problem=explain(error.conflicts))
        except FluxtrailError as error:
            if is_everybodys(error):
                raise
            yield Outcome(step=step, result=Result.FAILED, problem=error.message)


async def _do(writer: Writer, step: Step, *, force: bool) -> Result:
    if step.action is Action.DELETE:
        try:
            await writer.delete(step.key, uid=step.uid)
        except NotFoundError:
            return Result.UNCHANGED
        log.info("object_pruned", object=str(step.key), field_manager=writer.field_manager)
        return Result.DELETED
    stored = await writer.apply(step.obj, force=force)
    if step.key.kind == CRD:
        await _until_established(writer, step)
    is_new = step.action is Action.CREATE or (step.action is Action.UNKNOWN and _is_first(stored))
    result = Result.CREATED if is_new else Result.CONFIGURED if step.is_change else Result.UNCHANGED
    log.info("object_applied", object=str(step.key), result=result, field_manager=writer.field_manager, force=force)
    return result


def _is_first(stored: dict[str, object]) -> bool:
    metadata = stored.get("metadata")
    return isinstance(metadata, dict) and metadata.get("generation", 1) == 1


async def _until_established(writer: Writer, step: Step) -> None:
    """Wait until the kind that a CRD declares is served: what is applied next may be one of it."""
    try:
        async with asyncio.timeout(ESTABLISHED_SECONDS):
            while not _is_established(await writer.read(step.key)):  # noqa: ASYNC110 the server has no event for us
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        log.warning("crd_not_established", object=str(step.key), after_seconds=ESTABLISHED_SECONDS)


def _is_established(crd: dict[str, object] | None) -> bool:
    status = (crd or {}).get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(
        isinstance(each, dict) and (each.get("type"), each.get("status")) == ("Established", "True")
        for each in conditions or ()
    )
