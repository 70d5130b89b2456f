"""Build statuses on Bitbucket Cloud: one a commit and key, and what is posted under a key replaces what was there.

So a post is as good as an update, and one whose answer is lost may be repeated. A key has 40 characters at most: it is
a digest of the context, which is the name.
Source: developer.atlassian.com, Bitbucket Cloud REST API, "Commit statuses".
"""

from __future__ import annotations

import hashlib

from fluxtrail.model.errors import NotFoundError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.bitbucket.client import NAME, BitbucketClient
from fluxtrail.remotes.bitbucket.telling import RIGHT, TEXT_LIMIT, WireStatus, kept, read
from fluxtrail.remotes.writing import Audit, checked_sha, cut_context, naming_right, no_audit

KEY_LIMIT = 40
_WORDS = {
    StatusState.PENDING: "INPROGRESS",
    StatusState.RUNNING: "INPROGRESS",
    StatusState.SUCCESS: "SUCCESSFUL",
    StatusState.NEUTRAL: "SUCCESSFUL",
    StatusState.FAILURE: "FAILED",
    StatusState.ERROR: "STOPPED",
}


class BitbucketCloudStatuses:
    """Writes and reads back the statuses of commits. Safe for concurrent callers.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: BitbucketClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None:
        """Write a status, once. Without an address, which Bitbucket wants, it leads to the commit's own page.

        Raises:
            NotFoundError: the commit or the repository is not known, or not to this token. UpstreamError: `retryable`:
            it may have been taken. RateLimitedError, AuthError, WireError.
        """
        told, path = self.as_kept(status), f"{self._commit(repository, sha)}/statuses/build"
        body = {
            "key": key_of(told.context),
            "state": _WORDS[told.state],
            "name": told.context,
            "description": told.description,
            "url": told.url or self._client.commit_page(repository, sha),
        }
        self._audit(f"build status {body['state']} {told.context}", f"{self._client.place(repository)}@{sha}")
        with naming_right(RIGHT):
            await self._client.write("POST", repository, path, body)

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        """Return the status of a context, as Bitbucket has it, or None."""
        name = cut_context(context, TEXT_LIMIT)
        path = f"{self._commit(repository, sha)}/statuses/build/{key_of(name)}"
        try:
            answer = await self._client.read_back(repository, path)
        except NotFoundError:
            return None
        return read(answer.read(WireStatus, name=NAME), name, page=self._client.commit_page(repository, sha))

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        """Return `status` as `find` answers it once it is taken."""
        return kept(status, _WORDS)

    def _commit(self, repository: str, sha: str) -> str:
        workspace, name = self._client.names_of(repository)
        return f"/repositories/{workspace}/{name}/commit/{checked_sha(sha)}"


def key_of(context: str) -> str:
    """Return the key of a context."""
    return hashlib.sha256(context.encode("utf-8", "replace")).hexdigest()[:KEY_LIMIT]
