"""Several at once, where the first failure ends it for all, and none is broken off."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from fluxtrail.model.errors import FluxtrailError

T = TypeVar("T")


async def at_once(
    items: Iterable[T],
    work: Callable[[T], Awaitable[None]],
    *,
    workers: int,
    is_over: Callable[[], bool],
) -> None:
    """Do `work` on each, `workers` at a time, until `is_over` or one fails.

    What is under way when another fails gets its answer.

    Raises:
        FluxtrailError: the first failure.
    """
    left = deque(items)
    errors: list[FluxtrailError] = []

    async def go_on() -> None:
        while left and not errors and not is_over():
            try:
                await work(left.popleft())
            except FluxtrailError as exc:
                errors.append(exc)

    async with asyncio.TaskGroup() as group:
        for number in range(min(workers, len(left))):
            group.create_task(go_on(), name=f"worker {number}")
    if errors:
        raise errors[0]
