"""What Fluxtrail asks Azure DevOps (Services, or a Server of one's own): the pull requests of commits.

What it tells Azure DevOps is in `statuses.py` and `tasks.py`; they go through `read` and `write` here.
Repositories are `dev.azure.com/{organisation}/{project}/_git/{repository}`, or on a Server
`{host}/[tfs/]{collection}/{project}/_git/{repository}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from weakref import WeakValueDictionary

import aiohttp

from fluxtrail.credentials.binding import AZURE_HOST, Credential, CredentialSource
from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.remotes.azure_devops.facts import PullRequest, WireCommits, WireQuery, read_pull_request
from fluxtrail.remotes.rest import PAGES_LIMIT, Answer, RestClient, Service, basic

NAME = "Azure DevOps"
API_VERSION = "6.0"
"""Taken by Services, and by Server from 2020 on."""
COMMITS_LIMIT = 250
PER_PAGE = 100
PATH_LIMIT = 1_000
_JWT_BEGINS = "eyJ"


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureRepository:
    organisation: str
    """On a Server: the collection."""
    project: str
    name: str
    owner: str
    """What credentials are bound to: all of the path before the name, as in the repository's canonical name."""


class AzureDevOpsClient:
    """Reads from one Azure DevOps. Safe for concurrent callers.

    Every method raises RateLimitedError, AuthError (a sign-in page too), NotFoundError, ConflictError, UpstreamError
    (after five attempts) and WireError (an answer of another shape).

    Args:
        api_url: `https://dev.azure.com`, or a Server's `https://host/tfs`.
        options: see `RestClient`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credentials: CredentialSource,
        host: str = AZURE_HOST,
        api_url: str | None = None,
        **options: Any,
    ) -> None:
        service = Service(name=NAME, authorize=_authorize)
        api_url = api_url or f"https://{host}"
        self._rest = RestClient(session, service, api_url=api_url, host=host, credentials=credentials, **options)
        self._root = tuple(name for name in urlsplit(api_url).path.split("/") if name)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def find_repository(self, path: str) -> AzureRepository | None:
        """Return what a canonical path names, or None where it is none of the known forms.

        On dev.azure.com it is `organisation/project/repository`; a Server's still has its `_git`.
        """
        return parse_names(path.split("/"), root=self._root)

    def repository_of(self, path: str) -> AzureRepository:
        """Return what a canonical path names.

        Raises:
            WireError: it is none of the known forms.
        """
        found = self.find_repository(path) if path.isprintable() and len(path) <= PATH_LIMIT else None
        if found is None:
            text = f"{path[:100]!r} is no repository of Azure DevOps, such as organisation/project/name"
            raise WireError(text, subject="repository")
        return found

    def is_of(self, repository: AzureRepository, collection_url: str) -> bool:
        """Whether an address is that of the repository's own organisation: on this API's host, or of its old form.

        Nothing is ever asked there: it only says whose ids those are that come with it.
        """
        try:
            parts, own = urlsplit(collection_url), urlsplit(self._rest.api_url)
            place = (parts.scheme, parts.hostname, parts.port)
            is_named = parts.scheme in ("https", "http") and parts.hostname == self._rest.host
            is_own = is_named or place == (own.scheme, own.hostname, own.port)
        except ValueError:
            return False
        if parts.query or parts.fragment or "@" in parts.netloc:
            return False
        names = [unquote(name).lower() for name in parts.path.split("/") if name]
        organisation = repository.organisation.lower()
        if is_own and names == [*(name.lower() for name in self._root), organisation]:
            return True
        is_old = self._rest.host == AZURE_HOST and place == ("https", f"{organisation}.visualstudio.com", None)
        return is_old and names in ([], ["defaultcollection"])

    async def read(self, repository: AzureRepository, path: str = "", **query: str | int) -> Answer:
        """Return the answer at a path below the repository."""
        return await self._rest.read_back(f"{_path(repository)}{path}", owner=repository.owner, **query)

    async def read_project(self, repository: AzureRepository, project: str, path: str, **query: str | int) -> Answer:
        """Return the answer at a path below a project of the repository's organisation, by its id."""
        place = f"{_project_path(repository, project)}{path}"
        return await self._rest.read_back(place, owner=repository.owner, **query)

    async def write(self, method: str, repository: AzureRepository, path: str, body: Any, **query: str | int) -> Answer:
        """Send to a path below the repository, once; see `RestClient.write`."""
        place = f"{_path(repository)}{path}"
        return await self._rest.write(method, place, body, owner=repository.owner, **query)

    async def write_project(
        self, method: str, repository: AzureRepository, project: str, path: str, body: Any, **query: str | int
    ) -> Answer:
        """Send to a path below a project of the repository's organisation, once."""
        place = f"{_project_path(repository, project)}{path}"
        return await self._rest.write(method, place, body, owner=repository.owner, **query)

    def lock(self, name: str) -> asyncio.Lock:
        """Return the one lock of that name, for who must not write between another's reading and writing."""
        found = self._locks.get(name)
        if found is None:
            found = self._locks[name] = asyncio.Lock()
        return found

    def place(self, repository: AzureRepository) -> str:
        """Return a repository with its host, for people."""
        return f"{self._rest.host}/{repository.organisation}/{repository.project}/{repository.name}"

    def commit_page(self, repository: AzureRepository, sha: str) -> str:
        """Return where people see a commit."""
        organisation, project, name = _quoted(repository)
        return f"{self._rest.api_url}/{organisation}/{project}/_git/{name}/commit/{sha}"

    @property
    def host(self) -> str:
        """What this one is called wherever its things are named; without a port."""
        return self._rest.host

    @property
    def budget_key(self) -> str:
        """Under which name calls are counted: `dev.azure.com`."""
        return self._rest.budget_key("")

    async def find_pull_requests(self, repository: AzureRepository, sha: str) -> list[PullRequest]:
        """Return the pull requests that made or brought a commit, those whose merge it is first.

        Both are asked in one question: a squash or a merge is `lastMergeCommit`, a commit of its own `commit`.
        """
        if not is_sha(sha):
            raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
        queries = [{"type": kind, "items": [sha]} for kind in ("lastMergeCommit", "commit")]
        path = f"{_path(repository)}/pullrequestquery"
        body = {"queries": queries}
        answer = await self._rest.post(path, body, owner=repository.owner, **{"api-version": API_VERSION})
        found: dict[int, PullRequest] = {}
        for result in answer.read(WireQuery, name=NAME).results:
            for commit, requests in result.items():
                if commit.lower() == sha:
                    for wire in requests:
                        found.setdefault(wire.pull_request_id, read_pull_request(wire))
        return list(found.values())

    async def pull_request_commits(self, repository: AzureRepository, number: int) -> list[str]:
        """Return the shas of a pull request's own commits, oldest first, the newest 250 of them."""
        path = f"{_path(repository)}/pullRequests/{int(number)}/commits"
        query: dict[str, str | int] = {"api-version": API_VERSION, "$top": PER_PAGE}
        shas: list[str] = []
        for _ in range(PAGES_LIMIT):
            answer = await self._rest.get(path, owner=repository.owner, **query)
            shas += [wire.commit_id.lower() for wire in answer.read(WireCommits, name=NAME).value if wire.commit_id]
            following = answer.headers.get("x-ms-continuationtoken", "").strip()
            if not following or len(shas) >= COMMITS_LIMIT:
                break
            query["continuationToken"] = following
        return shas[:COMMITS_LIMIT][::-1]


def parse_names(segments: Sequence[str], *, root: Sequence[str] = ()) -> AzureRepository | None:
    """Return the repository that path segments name, or None.

    Args:
        segments: with `_git`, or brought to organisation, project, repository.
        root: where the Server lives below its host, such as `tfs`; it is no part of the names.
    """
    names = list(segments)
    if [name.lower() for name in names[: len(root)]] == [name.lower() for name in root]:
        names = names[len(root) :]
    if "_git" in names:
        at = names.index("_git")
        before, after = names[:at], names[at + 1 :]
        # A project's first repository has its name, and may be written without the project.
        names = [*before, *(after if len(before) == 1 else []), *after]
    if len(names) != 3 or any(name in ("", ".", "..") for name in names):
        return None
    owner = "/".join(segments[:-1])
    return AzureRepository(organisation=names[0], project=names[1], name=names[2], owner=owner)


def _authorize(credential: Credential) -> Mapping[str, str]:
    """Show a personal access token as a password without a login, an Entra ID token as a bearer."""
    if credential.kind == "token" and credential.secret.startswith(_JWT_BEGINS) and credential.secret.count(".") == 2:
        return {"Authorization": f"Bearer {credential.secret}"}
    return basic(credential.username if credential.kind == "basic" else "", credential.secret)


def _path(repository: AzureRepository) -> str:
    organisation, project, name = _quoted(repository)
    return f"/{organisation}/{project}/_apis/git/repositories/{name}"


def _project_path(repository: AzureRepository, project: str) -> str:
    return f"/{_quoted(repository)[0]}/{quote(project, safe='')}/_apis"


def _quoted(repository: AzureRepository) -> tuple[str, str, str]:
    names = repository.organisation, repository.project, repository.name
    organisation, project, name = (quote(part, safe="") for part in names)
    return organisation, project, name
