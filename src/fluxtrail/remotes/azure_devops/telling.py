"""What Azure DevOps' writers share: which right a refusal asks for."""

from __future__ import annotations

from contextlib import AbstractContextManager

from fluxtrail.remotes import writing

STATUS_RIGHT = "statuses need a token with the scope Code (status), of somebody who may contribute to the repository"
TASK_RIGHT = (
    "tasks need a token with the scopes Code (read) and Build (read and execute), of somebody who may queue builds"
)


def naming_right(right: str) -> AbstractContextManager[None]:
    """Say of a refusal which right is missing."""
    return writing.naming_right(right, unknown_commit="commit|TF401175")
