"""Build statuses on Bitbucket Server and Data Center: one a commit and key, replaced by the next.

From 7.4 on they belong to a repository; before that, to a commit id alone.
Source: developer.atlassian.com, Bitbucket Data Center, "Updating build status for commits"; the same for 4.14.
"""

from __future__ import annotations

import re

import msgspec
import structlog

from fluxtrail.model.errors import NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.bitbucket.client import NAME, BitbucketClient
from fluxtrail.remotes.bitbucket.telling import RIGHT, TEXT_LIMIT, WireStatus, kept, read
from fluxtrail.remotes.writing import Audit, checked_sha, cut_context, naming_right, no_audit

log = structlog.get_logger(__name__)

BUILDS_SINCE = (7, 4)
"""The first version that knows builds of a repository."""
PER_PAGE = 100
_WORDS = {
    StatusState.PENDING: "INPROGRESS",
    StatusState.RUNNING: "INPROGRESS",
    StatusState.SUCCESS: "SUCCESSFUL",
    StatusState.NEUTRAL: "SUCCESSFUL",
    StatusState.FAILURE: "FAILED",
    StatusState.ERROR: "FAILED",  # `CANCELLED` is newer than most
}


class _WireProperties(msgspec.Struct, frozen=True, kw_only=True):
    version: str | None = None


class _WirePage(msgspec.Struct, frozen=True, kw_only=True):
    values: list[WireStatus]


class BitbucketServerStatuses:
    """Writes and reads back the statuses of commits. Safe for concurrent callers.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: BitbucketClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit
        self._has_builds: bool | None = None

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None:
        """Write a status, once. Without an address, which Bitbucket wants, it leads to the commit's own page.

        Raises:
            NotFoundError: the commit or the repository is not known, or not to this token. UpstreamError: `retryable`:
            it may have been taken. RateLimitedError, AuthError, WireError.
        """
        told, page = self.as_kept(status), self._client.commit_page(repository, checked_sha(sha))
        path = await self._path(repository, sha)
        body = {
            "key": told.context,
            "state": _WORDS[told.state],
            "name": told.context,
            "description": told.description,
            "url": told.url or page,
        }
        self._audit(f"build status {body['state']} {told.context}", f"{self._client.place(repository)}@{sha}")
        with naming_right(RIGHT):
            await self._client.write("POST", repository, path, body)

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        """Return the status of a context, as Bitbucket has it, or None."""
        name, page = cut_context(context, TEXT_LIMIT), self._client.commit_page(repository, checked_sha(sha))
        path = await self._path(repository, sha)
        if not self._has_builds:
            answer = await self._client.read_back(repository, path, limit=PER_PAGE)
            found = [wire for wire in answer.read(_WirePage, name=NAME).values if wire.key == name]
            return read(found[0], name, page=page) if found else None
        try:
            answer = await self._client.read_back(repository, path, key=name)
        except NotFoundError:
            return None
        return read(answer.read(WireStatus, name=NAME), name, page=page)

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        """Return `status` as `find` answers it once it is taken."""
        return kept(status, _WORDS)

    async def _path(self, repository: str, sha: str) -> str:
        if self._has_builds is None:
            self._has_builds = await self._look(repository)
        if not self._has_builds:
            return f"/build-status/1.0/commits/{sha}"
        project, name = self._client.names_of(repository)
        return f"/api/latest/projects/{project}/repos/{name}/commits/{sha}/builds"

    async def _look(self, repository: str) -> bool:
        """Return whether it has builds of repositories; one that hides its version is taken for a new one."""
        try:
            answer = await self._client.read_back(repository, "/api/1.0/application-properties")
            version = answer.read(_WireProperties, name=NAME).version or ""
        except (RateLimitedError, TimeoutError):
            raise
        except UpstreamError as exc:
            if exc.retryable:
                raise
            return True
        except WireError:
            return True
        found = re.match(r"(\d{1,4})\.(\d{1,4})", version)
        return found is None or (int(found[1]), int(found[2])) >= BUILDS_SINCE
