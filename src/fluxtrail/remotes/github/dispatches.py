"""Repository dispatches on GitHub: an event of our own that starts workflows of the default branch.

Every one starts them anew: a dispatch whose answer got lost cannot be found again, there is nothing to read back.
Source: docs.github.com, REST API, "Create a repository dispatch event"; Actions, "repository_dispatch" (the limits).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxtrail.model.errors import WireError
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.telling import naming_right, split_repository
from fluxtrail.remotes.writing import Audit, encode_body, no_audit, one_line

EVENT_TYPE_LIMIT = 100
PROPERTIES_LIMIT = 10
PAYLOAD_LIMIT_BYTES = 65_535


class GitHubDispatches:
    """Sends repository dispatches. Safe for concurrent callers.

    Args:
        audit: told of every dispatch before it is sent.
    """

    def __init__(self, client: GitHubClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def send(self, repository: str, event_type: str, payload: Mapping[str, Any]) -> None:
        """Send one, once.

        Raises:
            WireError: it is beyond GitHub's limits; nothing was sent. UpstreamError: `retryable`: it may have been
            taken. RateLimitedError, AuthError, NotFoundError, ConflictError.
        """
        owner, repo = split_repository(repository)
        _check(event_type, payload)
        self._audit(f"dispatch {event_type}", f"{self._client.host}/{repository}")
        body = {"event_type": event_type, "client_payload": dict(payload)}
        with naming_right("Contents: write", "repo"):
            await self._client.write(owner, repo, "/dispatches", body)

    def budget_key(self, repository: str) -> str:
        """Return under which name the calls for a repository are counted: `github.com/acme`."""
        return self._client.budget_key(repository.partition("/")[0])


def _check(event_type: str, payload: Mapping[str, Any]) -> None:
    if not event_type or len(event_type) > EVENT_TYPE_LIMIT or one_line(event_type) != event_type:
        text = f"{event_type[:EVENT_TYPE_LIMIT]!r} is no event type: one line of 1 to {EVENT_TYPE_LIMIT} characters"
        raise WireError(text, subject="event_type")
    if len(payload) > PROPERTIES_LIMIT:
        text = f"GitHub takes {PROPERTIES_LIMIT} properties at most, and these are {len(payload)}; nest some of them"
        raise WireError(text, subject="client_payload")
    size_bytes = len(encode_body(dict(payload)))
    if size_bytes > PAYLOAD_LIMIT_BYTES:
        text = f"GitHub takes {PAYLOAD_LIMIT_BYTES} bytes at most, and this has {size_bytes}"
        raise WireError(text, subject="client_payload")
