"""What is asked of and told to a Bitbucket: Cloud, or a Server (Data Center) of one's own. They share little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from fluxtrail.credentials.binding import Credential, CredentialSource
from fluxtrail.model.errors import WireError
from fluxtrail.remotes.rest import Answer, RestClient, Service, basic

NAME = "Bitbucket"
CLOUD_HOST = "bitbucket.org"
CLOUD_API_URL = "https://api.bitbucket.org/2.0"
PATH_LIMIT = 1_000
_CLOUD_ROOT, _SERVER_ROOT = "2.0", "rest"


def bitbucket_api_url(host: str) -> str:
    """Return where the Bitbucket at `host`, which may name a port, has its API."""
    return CLOUD_API_URL if host == CLOUD_HOST else f"https://{host}/{_SERVER_ROOT}"


class BitbucketClient:
    """One Bitbucket. Safe for concurrent callers.

    `repository` is its path below the host: `workspace/name`; on a Server `scm/project/name` or `project/name`.

    Every method raises RateLimitedError, AuthError, NotFoundError, ConflictError, UpstreamError (after five attempts
    where it reads) and WireError (an answer of another shape).

    Args:
        host: of the repositories; credentials are bound to it.
        api_url: Cloud's ends in `/2.0`, a Server's in `/rest`.
        options: see `RestClient`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credentials: CredentialSource,
        host: str = CLOUD_HOST,
        api_url: str | None = None,
        **options: Any,
    ) -> None:
        service = Service(name=NAME, authorize=_authorize)
        api_url = (api_url or bitbucket_api_url(host)).rstrip("/")
        self._rest = RestClient(session, service, api_url=api_url, host=host, credentials=credentials, **options)
        self.is_cloud = api_url.endswith(f"/{_CLOUD_ROOT}")
        self._root = "" if self.is_cloud else urlsplit(api_url).path.strip("/").removesuffix(_SERVER_ROOT).strip("/")

    def names_of(self, repository: str) -> tuple[str, str]:
        """Return workspace (or project) and name, each as one segment of a path.

        Raises:
            WireError: it is no repository.
        """
        inner = repository.removeprefix(self._root + "/") if self._root else repository
        names = inner.split("/")
        if not self.is_cloud and len(names) == 3 and names[0] == "scm":
            names = names[1:]
        is_odd = len(repository) > PATH_LIMIT or len(names) != 2 or not repository.isprintable()
        if is_odd or any(name in ("", ".", "..") for name in names):
            raise WireError(f"{repository[:100]!r} is not a repository such as project/name", subject="repository")
        return quote(names[0], safe="~"), quote(names[1], safe="")

    async def read_back(self, repository: str, path: str, **query: str | int) -> Answer:
        """Return the answer at a path of the API."""
        return await self._rest.read_back(path, owner=_owner(repository), **query)

    async def write(self, method: str, repository: str, path: str, body: Any) -> Answer:
        """Send to a path of the API, once; see `RestClient.write`."""
        return await self._rest.write(method, path, body, owner=_owner(repository))

    def place(self, repository: str) -> str:
        """Return a repository with its host, for people."""
        return f"{self._rest.host}/{repository}"

    def commit_page(self, repository: str, sha: str) -> str:
        """Return where people see a commit."""
        owner, name = self.names_of(repository)
        if self.is_cloud:
            return f"https://{self._rest.host}/{owner}/{name}/commits/{sha}"
        root = self._rest.api_url.removesuffix(f"/{_SERVER_ROOT}")
        return f"{root}/projects/{owner}/repos/{name}/commits/{sha}"

    @property
    def budget_key(self) -> str:
        """Under which name calls are counted: `bitbucket.org`."""
        return self._rest.budget_key("")


def _owner(repository: str) -> str:
    """Return what credentials are bound to: all before the name, as in the canonical name."""
    return repository.rpartition("/")[0]


def _authorize(credential: Credential) -> Mapping[str, str]:
    """Show an access token as a bearer; an app password, or an API token, with its login."""
    if credential.kind == "token":
        return {"Authorization": f"Bearer {credential.secret}"}
    return basic(credential.username, credential.secret)
