"""Commit statuses on Gitea and Forgejo: each post is one more, and the newest of a context counts.

They are compared as written, and cut nowhere: the limits here are what people read.
Source: go-gitea/gitea, models/git/commit_status.go, routers/api/v1/repo/status.go; Forgejo has the same.
"""

import msgspec

from fluxtrail.model.errors import NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.gitea.client import NAME, GiteaClient
from fluxtrail.remotes.writing import Audit, checked_sha, cut_context, cut_line, naming_right, no_audit, web_address

TEXT_LIMIT = 255
PER_PAGE = 50
"""The most that Gitea gives at once, by default."""
PAGES_LIMIT = 10
_WORDS = {
    StatusState.PENDING: "pending",
    StatusState.RUNNING: "pending",
    StatusState.SUCCESS: "success",
    StatusState.NEUTRAL: "success",  # `skipped` is newer than most
    StatusState.FAILURE: "failure",
    StatusState.ERROR: "error",
}
_STATES = {
    "success": StatusState.SUCCESS,
    "failure": StatusState.FAILURE,
    "warning": StatusState.FAILURE,
    "error": StatusState.ERROR,
    "skipped": StatusState.NEUTRAL,
}
"""All others are not there yet."""
_RIGHT = "statuses need a token with the scope write:repository, of somebody who may write to the repository"


class _WireStatus(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    status: str | None = None
    context: str | None = None
    description: str | None = None
    target_url: str | None = None


class GiteaStatuses:
    """Writes and reads back the statuses of commits. Safe for concurrent callers.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: GiteaClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None:
        """Write a status, once.

        Raises:
            NotFoundError: the commit or the repository is not known, or not to this token. UpstreamError: `retryable`:
            it may have been taken. RateLimitedError, AuthError, ConflictError, WireError.
        """
        told, path = self.as_kept(status), f"/statuses/{checked_sha(sha)}"
        body = {"state": _WORDS[told.state], "context": told.context, "description": told.description}
        if told.url:
            body["target_url"] = told.url
        self._audit(f"commit status {body['state']} {told.context}", f"{self._client.place(repository)}@{sha}")
        with naming_right(_RIGHT, unknown_commit="no such commit"):
            try:
                await self._client.write("POST", repository, path, body)
            except RateLimitedError:
                raise
            except UpstreamError as exc:
                if exc.status == 500:  # so it answers for a commit that it does not have
                    await self._check_commit(repository, sha)
                raise

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        """Return the newest status of a context, as it is kept there, or None. The newest 500 are looked through."""
        name, path = cut_context(context, TEXT_LIMIT), f"/commits/{checked_sha(sha)}/statuses"
        for page in range(1, PAGES_LIMIT + 1):
            answer = await self._client.read_back(repository, path, limit=PER_PAGE, page=page)
            wires = [] if answer.body.strip() == b"null" else answer.read(list[_WireStatus], name=NAME)
            found = [wire for wire in wires if wire.context == name]
            if found:  # newest first, but for those of one second
                return _read(max(found, key=lambda wire: wire.id))
            if not wires:  # a page may be shorter than was asked for: the server has a limit of its own
                break
        return None

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        """Return `status` as `find` answers it once it is taken: in Gitea's words, cut to our limits."""
        return CommitStatus(
            state=_STATES.get(_WORDS[status.state], StatusState.PENDING),
            context=cut_context(status.context, TEXT_LIMIT),
            description=cut_line(status.description, TEXT_LIMIT),
            url=web_address(status.url),
        )

    async def _check_commit(self, repository: str, sha: str) -> None:
        """Raises NotFoundError: there is no such commit. Whatever else is wrong was told before."""
        try:
            await self._client.read_back(repository, f"/git/commits/{sha}", stat="false", files="false")
        except NotFoundError as exc:
            text = f"no such commit: {exc.message}"
            raise NotFoundError(text, status=exc.status, subject=exc.subject) from exc
        except UpstreamError:
            return


def _read(wire: _WireStatus) -> CommitStatus:
    return CommitStatus(
        state=_STATES.get(wire.status or "", StatusState.PENDING),
        context=wire.context or "",
        description=wire.description or "",
        url=wire.target_url or "",
    )
