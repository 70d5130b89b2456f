"""What Azure DevOps' writers share: which right a refusal asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fluxtrail.model.errors import AuthError, NotFoundError
from fluxtrail.remotes.writing import hinted

STATUS_RIGHT = "statuses need a token with the scope Code (status), of somebody who may contribute to the repository"
TASK_RIGHT = (
    "tasks need a token with the scopes Code (read) and Build (read and execute), of somebody who may queue builds"
)


@contextmanager
def naming_right(right: str) -> Iterator[None]:
    """Say of a refusal which right is missing."""
    try:
        yield
    except (AuthError, NotFoundError) as exc:
        if isinstance(exc, NotFoundError) and ("commit" in exc.message.lower() or "TF401175" in exc.message):
            raise
        raise hinted(exc, right) from exc
