"""What is asked of and told to a Gitea or a Forgejo: both have one API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from fluxtrail.credentials.binding import Credential, CredentialSource
from fluxtrail.model.errors import WireError
from fluxtrail.remotes.rest import Answer, RestClient, Service, basic

NAME = "Gitea"
API_ROOT = "api/v1"
PATH_LIMIT = 1_000


def gitea_api_url(host: str) -> str:
    """Return where the Gitea at `host`, which may name a port, has its API."""
    return f"https://{host}/{API_ROOT}"


class GiteaClient:
    """One Gitea or Forgejo. Safe for concurrent callers.

    `repository` is its path below the host: `owner/name`; with a relative root `root/owner/name`.

    Every method raises RateLimitedError, AuthError, NotFoundError, ConflictError, UpstreamError (after five attempts
    where it reads) and WireError (an answer of another shape).

    Args:
        host: of the repositories; credentials are bound to it.
        api_url: `https://host/api/v1` by default; with a relative root `https://host/root/api/v1`.
        options: see `RestClient`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credentials: CredentialSource,
        host: str,
        api_url: str | None = None,
        **options: Any,
    ) -> None:
        service = Service(name=NAME, authorize=_authorize)
        api_url = api_url or gitea_api_url(host)
        self._rest = RestClient(session, service, api_url=api_url, host=host, credentials=credentials, **options)
        self._root = urlsplit(api_url).path.strip("/").removesuffix(API_ROOT).strip("/")

    async def read_back(self, repository: str, path: str, **query: str | int) -> Answer:
        """Return the answer at a path below the repository."""
        return await self._rest.read_back(f"{self._path(repository)}{path}", owner=_owner(repository), **query)

    async def write(self, method: str, repository: str, path: str, body: Any) -> Answer:
        """Send to a path below the repository, once; see `RestClient.write`."""
        return await self._rest.write(method, f"{self._path(repository)}{path}", body, owner=_owner(repository))

    def place(self, repository: str) -> str:
        """Return a repository with its host, for people.

        Raises:
            WireError: it is none.
        """
        self._path(repository)
        return f"{self._rest.host}/{repository}"

    @property
    def budget_key(self) -> str:
        """Under which name calls are counted: `codeberg.org`."""
        return self._rest.budget_key("")

    def _path(self, repository: str) -> str:
        inner = repository.removeprefix(self._root + "/") if self._root else repository
        names = inner.split("/")
        is_odd = len(repository) > PATH_LIMIT or len(names) != 2 or not repository.isprintable()
        if is_odd or any(name in ("", ".", "..") for name in names):
            raise WireError(f"{repository[:100]!r} is not a repository such as owner/name", subject="repository")
        return f"/repos/{quote(names[0], safe='')}/{quote(names[1], safe='')}"


def _owner(repository: str) -> str:
    """Return what credentials are bound to: all before the name, as in the canonical name."""
    return repository.rpartition("/")[0]


def _authorize(credential: Credential) -> Mapping[str, str]:
    """Show a token as Gitea's own scheme has it (all versions take that), a password with its login."""
    if credential.kind == "token":
        return {"Authorization": f"token {credential.secret}"}
    return basic(credential.username, credential.secret)
