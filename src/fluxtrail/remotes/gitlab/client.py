"""What Fluxtrail asks GitLab, gitlab.com or a self-managed one: the merge requests of commits.

What it tells GitLab is in `statuses.py` and `deployments.py`; they go through `write` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp

from fluxtrail.credentials.binding import Credential, CredentialSource
from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.remotes.gitlab.facts import MergeRequest, WireCommit, WireMergeRequest, read_merge_request
from fluxtrail.remotes.rest import PAGES_LIMIT, Answer, RestClient, Service

T = TypeVar("T")

NAME = "GitLab"
COMMITS_LIMIT = 250
REQUESTS_LIMIT = 100
PER_PAGE = 100
PROJECT_LIMIT = 1_000


def gitlab_api_url(host: str) -> str:
    """Return where the GitLab at `host`, which may name a port, has its API."""
    return f"https://{host}/api/v4"


class GitLabClient:
    """One GitLab. Safe for concurrent callers.

    Every method raises RateLimitedError, AuthError, NotFoundError, ConflictError, UpstreamError (after five attempts)
    and WireError (an answer of another shape).

    Args:
        api_url: `https://host/api/v4`; with a relative root `https://host/root/api/v4`.
        options: see `RestClient`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credentials: CredentialSource,
        host: str = "gitlab.com",
        api_url: str | None = None,
        **options: Any,
    ) -> None:
        service = Service(name=NAME, authorize=_authorize, kinds=("token",))
        api_url = api_url or gitlab_api_url(host)
        self._rest = RestClient(session, service, api_url=api_url, host=host, credentials=credentials, **options)
        self._root = urlsplit(api_url).path.strip("/").removesuffix("api/v4").strip("/")

    @property
    def host(self) -> str:
        """What this one is called wherever its things are named; without a port."""
        return self._rest.host

    def project_of(self, path: str) -> str:
        """Return the project that a repository's path names: `group/subgroup/name`, without GitLab's own root."""
        return path.removeprefix(self._root + "/") if self._root else path

    async def find_merge_requests(self, project: str, sha: str) -> list[MergeRequest]:
        """Return the merge requests that a commit belongs to, merged or open, as GitLab orders them.

        Args:
            project: `group/subgroup/name`.
        """
        if not is_sha(sha):
            raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
        path = f"{_project(project)}/repository/commits/{sha}/merge_requests"
        found = await self._pages(path, project, list[WireMergeRequest], limit=REQUESTS_LIMIT)
        return [read_merge_request(wire) for wire in found]

    async def merge_request_commits(self, project: str, number: int) -> list[str]:
        """Return the shas of a merge request's own commits, oldest first, the newest 250 of them."""
        path = f"{_project(project)}/merge_requests/{int(number)}/commits"
        found = await self._pages(path, project, list[WireCommit], limit=COMMITS_LIMIT)
        return [wire.id for wire in reversed(found)]

    async def read_back(self, project: str, path: str = "", **query: str | int) -> Answer:
        """Return the answer at a path below the project; asked conditionally where it is known already."""
        return await self._rest.read_back(f"{_project(project)}{path}", owner=self._owner(project), **query)

    async def write(self, method: str, project: str, path: str, body: Any) -> Answer:
        """Send to a path below the project, once; see `RestClient.write`."""
        return await self._rest.write(method, f"{_project(project)}{path}", body, owner=self._owner(project))

    def place(self, project: str) -> str:
        """Return a project with its host, for people.

        Raises:
            WireError: it is none.
        """
        _project(project)
        return f"{self._rest.host}/{project}"

    def budget_key(self, project: str) -> str:
        """Return under which name the calls for a project are counted: `gitlab.com/acme`."""
        return self._rest.budget_key(project.partition("/")[0])

    def _owner(self, project: str) -> str:
        """Return what credentials are bound to: all before the name, as in the canonical name."""
        return "/".join(filter(None, (self._root, project.rpartition("/")[0])))

    async def _pages(self, path: str, project: str, type_: type[list[T]], *, limit: int) -> list[T]:
        owner = self._owner(project)
        items: list[T] = []
        page = "1"
        for _ in range(PAGES_LIMIT):
            answer = await self._rest.get(path, owner=owner, per_page=PER_PAGE, page=page)
            items += answer.read(type_, name=NAME)
            # Not the Link header: behind a proxy it may name another address than the one that is asked.
            page = answer.headers.get("x-next-page", "").strip()
            if not page.isdecimal() or len(items) >= limit:
                break
        return items[:limit]


def _authorize(credential: Credential) -> Mapping[str, str]:
    """Show a token: as OAuth's bearer, which GitLab takes for personal, project, group and OAuth tokens alike."""
    return {"Authorization": f"Bearer {credential.secret}"}


def _project(project: str) -> str:
    names = project.split("/")
    is_odd = len(project) > PROJECT_LIMIT or len(names) < 2 or not project.isprintable()
    if is_odd or any(name in ("", ".", "..") for name in names):
        raise WireError(f"{project[:100]!r} is not a GitLab project such as group/subgroup/name", subject="project")
    return f"/projects/{quote(project, safe='')}"
