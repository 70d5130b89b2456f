"""What GitLab's writers share: which right a refusal asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fluxtrail.model.errors import ConflictError
from fluxtrail.remotes import writing

TEXT_LIMIT = 255
"""Of names, descriptions and addresses alike."""
_RIGHT = (
    "writing needs a token with the scope api and the role Developer, or Maintainer where the branch or the "
    "environment is protected"
)


@contextmanager
def naming_right() -> Iterator[None]:
    """Say of a refusal which right is missing, and that what is being written by another may be tried again."""
    try:
        with writing.naming_right(_RIGHT):
            yield
    except ConflictError as exc:
        if exc.status != 409:
            raise
        raise ConflictError(exc.message, status=409, retryable=True, subject=exc.subject) from exc
