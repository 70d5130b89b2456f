"""Work that is not left half done when somebody wants to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

log = structlog.get_logger(__name__)


async def to_its_end(work: Awaitable[bool] | Awaitable[None], *, patience_seconds: float | None = None) -> bool:
    """Await `work` to its end; a cancellation that comes meanwhile is raised after it.

    What was sent must be noted as sent, and what is being sent gets its answer.

    Args:
        patience_seconds: for so long; then the cancellation reaches it too.
    """
    task = asyncio.ensure_future(work)
    try:
        return bool(await asyncio.shield(task))
    except asyncio.CancelledError:
        while not task.done():
            try:
                done, _ = await asyncio.wait([task], timeout=patience_seconds)
                if not done:
                    task.cancel()
                    patience_seconds = None
            except asyncio.CancelledError:
                task.cancel()  # asked twice: somebody has run out of patience
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("stopped_with_failure", error=str(error))
        raise
