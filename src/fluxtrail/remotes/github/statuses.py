"""Commit statuses on GitHub: one line on a commit for each context, the newest counts.

Source: docs.github.com, REST API, "Commit statuses"; a description is refused beyond 140 characters, and where one of
them takes four bytes of UTF-8 ("description doesn't accept 4-byte Unicode").
"""

import msgspec

from fluxtrail.model.errors import ConflictError, UpstreamError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.facts import convert
from fluxtrail.remotes.github.telling import (
    ADDRESS_LIMIT,
    DESCRIPTION_LIMIT,
    NAME_LIMIT,
    naming_right,
    split_repository,
)
from fluxtrail.remotes.writing import Audit, checked_sha, cut_context, cut_line, no_audit, web_address

PER_PAGE = 100
PAGES_LIMIT = 10
_WORDS = {
    StatusState.PENDING: "pending",
    StatusState.RUNNING: "pending",
    StatusState.SUCCESS: "success",
    StatusState.NEUTRAL: "success",
    StatusState.FAILURE: "failure",
    StatusState.ERROR: "error",
}
_STATES = {
    "pending": StatusState.PENDING,
    "success": StatusState.SUCCESS,
    "failure": StatusState.FAILURE,
    "error": StatusState.ERROR,
}


class _WireStatus(msgspec.Struct, frozen=True, kw_only=True):
    state: str | None = None
    context: str | None = None
    description: str | None = None
    target_url: str | None = None


class GitHubStatuses:
    """Writes and reads back the statuses of commits. Safe for concurrent callers.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: GitHubClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None:
        """Write a status, once.

        Raises:
            NotFoundError: the commit (status 422) or the repository (404) is not known, or not to this token.
            UpstreamError: `retryable`: it may have been taken. With the status 422: the commit has all the statuses of
            this context that GitHub keeps (1,000). RateLimitedError, AuthError, ConflictError, WireError.
        """
        owner, repo = split_repository(repository)
        path, told = f"/statuses/{checked_sha(sha)}", self.as_kept(status)
        body = {"state": _WORDS[told.state], "context": told.context, "description": told.description}
        if told.url:
            body["target_url"] = told.url
        self._audit(f"commit status {body['state']} {told.context}", f"{self._client.host}/{repository}@{sha}")
        with naming_right("Commit statuses: write", "repo:status"):
            try:
                await self._client.write(owner, repo, path, body)
            except ConflictError as exc:
                if "maximum number of statuses" not in exc.message.lower():
                    raise
                text = f"the commit has as many statuses named {told.context!r} as GitHub keeps; use another context"
                raise UpstreamError(text, status=exc.status, retryable=False, subject=exc.subject) from exc

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        """Return the newest status of a context, as GitHub has it, or None; contexts are compared without case.

        Only the newest thousand of all statuses are looked through.
        """
        owner, repo = split_repository(repository)
        wanted = cut_context(context, NAME_LIMIT, is_narrow=True).casefold()
        path = f"/commits/{checked_sha(sha)}/statuses?per_page={PER_PAGE}"
        for page in range(1, PAGES_LIMIT + 1):
            found = convert(await self._client.read_back(owner, repo, f"{path}&page={page}"), list[_WireStatus])
            for wire in found:  # the newest first
                if (wire.context or "").casefold() == wanted:
                    return _read(wire)
            if len(found) < PER_PAGE:
                break
        return None

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        """Return `status` as `find` answers it once it is taken: in GitHub's words, cut to its limits."""
        return CommitStatus(
            state=_STATES[_WORDS[status.state]],
            context=cut_context(status.context, NAME_LIMIT, is_narrow=True),
            description=cut_line(status.description, DESCRIPTION_LIMIT, is_narrow=True),
            url=web_address(status.url, limit=ADDRESS_LIMIT),
        )

    def budget_key(self, repository: str) -> str:
        """Return under which name the calls for a repository are counted: `github.com/acme`."""
        return self._client.budget_key(repository.partition("/")[0])


def _read(wire: _WireStatus) -> CommitStatus:
    return CommitStatus(
        state=_STATES.get(wire.state or "", StatusState.PENDING),
        context=wire.context or "",
        description=wire.description or "",
        url=wire.target_url or "",
    )
