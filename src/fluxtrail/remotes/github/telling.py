"""What GitHub's writers share: whose repository it is, and which right a refusal asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fluxtrail.model.errors import AuthError, NotFoundError, WireError
from fluxtrail.remotes.github.client import repository_path
from fluxtrail.remotes.writing import hinted

DESCRIPTION_LIMIT = 140
NAME_LIMIT = 255
"""Of contexts and environments."""
ADDRESS_LIMIT = 1_024


def split_repository(repository: str) -> tuple[str, str]:
    """Return owner and name of `acme/shop`.

    Raises:
        WireError: it is no repository of a GitHub.
    """
    owner, _, repo = repository.partition("/")
    if not owner or not repo or "/" in repo:
        raise WireError(f"{repository[:200]!r} is not a GitHub repository such as acme/shop", subject="repository")
    repository_path(owner, repo)
    return owner, repo


@contextmanager
def naming_right(right: str, scope: str) -> Iterator[None]:
    """Say of a refusal which right is missing: GitHub answers 404 where a token may not write.

    Args:
        right: of a GitHub App or a fine-grained token, such as `Commit statuses: write`.
        scope: of a classic token.
    """
    try:
        yield
    except (AuthError, NotFoundError) as exc:
        if exc.status not in (401, 403, 404):
            raise
        raise hinted(exc, f"writing needs the permission '{right}' (a classic token: the scope {scope})") from exc
