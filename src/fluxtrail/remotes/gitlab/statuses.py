"""Commit statuses on GitLab: jobs of an external pipeline of the commit.

A job that is pending or running is moved on by the next status of its name; one that has ended stays, and the next
status of its name makes another. GitLab refuses to move one to where it is ("Cannot transition status via :run from
:running"), and back from running to pending.
Source: docs.gitlab.com, "Commits API", Set commit pipeline status; gitlab-org/gitlab, Ci::CreateCommitStatusService.
"""

import msgspec

from fluxtrail.model.errors import ConflictError, UpstreamError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.gitlab.client import NAME, PER_PAGE, GitLabClient
from fluxtrail.remotes.gitlab.telling import TEXT_LIMIT, naming_right
from fluxtrail.remotes.writing import Audit, checked_sha, cut_context, cut_line, no_audit, web_address

_WORDS = {
    StatusState.PENDING: "pending",
    StatusState.RUNNING: "running",
    StatusState.SUCCESS: "success",
    StatusState.NEUTRAL: "success",
    StatusState.FAILURE: "failed",
    StatusState.ERROR: "canceled",
}
_STATES = {
    "running": StatusState.RUNNING,
    "success": StatusState.SUCCESS,
    "failed": StatusState.FAILURE,
    "canceling": StatusState.ERROR,
    "canceled": StatusState.ERROR,
    "skipped": StatusState.NEUTRAL,
}
"""All others (created, pending, preparing, …) are not there yet."""


class _WireStatus(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    status: str | None = None
    name: str | None = None
    description: str | None = None
    target_url: str | None = None


class GitLabStatuses:
    """Writes and reads back the statuses of commits. Safe for concurrent callers.

    `repository` is a project's path without GitLab's own root, see `GitLabClient.project_of`.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: GitLabClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None:
        """Write a status, once. One that GitLab has already is taken as written, its description as it was.

        Without an address a job that is moved on keeps the one it has.

        Raises:
            NotFoundError: the commit or the project is not known, or not to this token. UpstreamError: `retryable`: it
            may have been taken. ConflictError: `retryable`: another status of the commit is being written, or has just
            ended. RateLimitedError, AuthError, WireError.
        """
        told, path = self.as_kept(status), f"/statuses/{checked_sha(sha)}"
        body = {"state": _WORDS[told.state], "name": told.context, "description": told.description}
        if told.url:
            body["target_url"] = told.url
        self._audit(f"commit status {body['state']} {told.context}", f"{self._client.place(repository)}@{sha}")
        with naming_right():
            try:
                await self._client.write("POST", repository, path, body)
            except UpstreamError as exc:
                if exc.status != 400 or "cannot transition status" not in exc.message.lower():
                    raise
                if not _is_reached(told, await self.find(repository, sha, told.context)):
                    text = f"GitLab keeps another state of {told.context!r}: {exc.message}"
                    raise ConflictError(text, status=400, retryable=True, subject=exc.subject) from exc

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        """Return the newest status of a context, as GitLab has it, or None."""
        name = cut_context(context, TEXT_LIMIT)
        query: dict[str, str | int] = {"name": name, "order_by": "id", "sort": "desc", "per_page": PER_PAGE}
        path = f"/repository/commits/{checked_sha(sha)}/statuses"
        answer = await self._client.read_back(repository, path, **query)
        # Older GitLabs know no order; all of them know the name.
        found = [wire for wire in answer.read(list[_WireStatus], name=NAME) if wire.name == name]
        return _read(max(found, key=lambda wire: wire.id)) if found else None

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        """Return `status` as `find` answers it once it is taken: in GitLab's words, cut to its limits."""
        return CommitStatus(
            state=_STATES.get(_WORDS[status.state], StatusState.PENDING),
            context=cut_context(status.context, TEXT_LIMIT),
            description=cut_line(status.description, TEXT_LIMIT),
            url=web_address(status.url, limit=TEXT_LIMIT),
        )

    def budget_key(self, repository: str) -> str:
        """Return under which name the calls for a repository are counted: `gitlab.com/acme`."""
        return self._client.budget_key(repository)


def _is_reached(wanted: CommitStatus, kept: CommitStatus | None) -> bool:
    if kept is None:
        return False
    is_further = wanted.state is StatusState.PENDING and kept.state is StatusState.RUNNING
    return kept.state is wanted.state or is_further


def _read(wire: _WireStatus) -> CommitStatus:
    return CommitStatus(
        state=_STATES.get(wire.status or "", StatusState.PENDING),
        context=wire.name or "",
        description=wire.description or "",
        url=wire.target_url or "",
    )
