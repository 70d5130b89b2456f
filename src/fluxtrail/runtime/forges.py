"""Which forge knows a repository: by the settings, or by its host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from fluxtrail.credentials.binding import AZURE_HOST, CredentialSource, repository_host
from fluxtrail.credentials.github_app import github_api_url
from fluxtrail.model.errors import ConfigError, FluxtrailError
from fluxtrail.model.repository import parse_repository
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.azure_devops.facts import PullRequest as AzurePullRequest
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.facts import PullRequest
from fluxtrail.remotes.gitlab.client import GitLabClient, gitlab_api_url
from fluxtrail.remotes.gitlab.facts import MergeRequest
from fluxtrail.remotes.waits import RetryWaits
from fluxtrail.runtime.sessions import Sessions
from fluxtrail.runtime.settings.sections import ForgeHostSetting, ForgeKind, RepositorySetting
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.trail.ports import Forge

RETRY_WAITS = RetryWaits(initial_seconds=0.2, longest_seconds=2.0, jitter_seconds=0.2)
"""Five attempts within about 3 s: commits wait for the answer, and are followed without it too."""


class GitHubForge:
    """One repository on a GitHub."""

    def __init__(self, client: GitHubClient, owner: str, repo: str) -> None:
        self.client = client
        self._owner = owner
        self._repo = repo

    @property
    def path(self) -> str:
        return f"{self._owner}/{self._repo}"

    async def find_pull_requests(self, sha: str) -> Sequence[PullRequest]:
        return await self.client.find_pull_requests(self._owner, self._repo, sha)

    async def pull_request_commits(self, number: int) -> list[str]:
        return await self.client.pull_request_commits(self._owner, self._repo, number)


class GitLabForge:
    """One project on a GitLab."""

    def __init__(self, client: GitLabClient, project: str) -> None:
        self.client = client
        self.path = project

    async def find_pull_requests(self, sha: str) -> Sequence[MergeRequest]:
        return await self.client.find_merge_requests(self.path, sha)

    async def pull_request_commits(self, number: int) -> list[str]:
        return await self.client.merge_request_commits(self.path, number)


class AzureDevOpsForge:
    """One repository on an Azure DevOps."""

    def __init__(self, client: AzureDevOpsClient, repository: AzureRepository) -> None:
        self.client = client
        self.repository = repository

    async def find_pull_requests(self, sha: str) -> Sequence[AzurePullRequest]:
        return await self.client.find_pull_requests(self.repository, sha)

    async def pull_request_commits(self, number: int) -> list[str]:
        return await self.client.pull_request_commits(self.repository, number)


class ForgeHost(Protocol):
    """A forge's whole host: makes one repository's forge of a canonical path."""

    def open(self, path: str) -> Forge | None:
        """Return None where `path` is no repository of such a forge."""


class GitHubHost:
    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    def open(self, path: str) -> Forge | None:
        owner, _, repo = path.partition("/")
        return GitHubForge(self._client, owner, repo) if owner and repo and "/" not in repo else None


class GitLabHost:
    def __init__(self, client: GitLabClient) -> None:
        self._client = client

    def open(self, path: str) -> Forge | None:
        project = self._client.project_of(path)
        return GitLabForge(self._client, project) if "/" in project else None


class AzureDevOpsHost:
    def __init__(self, client: AzureDevOpsClient) -> None:
        self.client = client

    def open(self, path: str) -> Forge | None:
        repository = self.client.find_repository(path)
        return AzureDevOpsForge(self.client, repository) if repository is not None else None


class ConfiguredForges:
    """Finds the forge of a repository: the stated one, else that of its host.

    Without a credential a forge answers few questions: then only stated repositories are asked about.

    Args:
        hosts: by the host of repositories; with the ports that credentials are bound to.
        stated: by canonical name, the forge that the settings state.
    """

    def __init__(
        self,
        hosts: Mapping[str, tuple[ForgeHost, int | None]],
        stated: Mapping[str, Forge],
        *,
        allow: AllowList,
        credentials: CredentialSource,
    ) -> None:
        self._hosts, self._stated = hosts, stated
        self._allow, self._credentials = allow, credentials

    def find_host(self, name: str) -> ForgeHost | None:
        """Return a host that the settings know, for what they say to ask there."""
        known = self._hosts.get(name)
        return known[0] if known is not None else None

    def find(self, canonical: str) -> Forge | None:
        stated = self._stated.get(canonical)
        if stated is not None:
            return stated
        host, _, path = canonical.partition("/")
        known = self._hosts.get(host)
        if known is None or not self._is_allowed(canonical):
            return None
        forge_host, port = known
        if not self._credentials.covers(host, path.rpartition("/")[0], port=port):
            return None
        return forge_host.open(path)

    def _is_allowed(self, canonical: str) -> bool:
        for scheme in ("https", "http"):
            try:
                self._allow.check(f"{scheme}://{quote(canonical, safe='/:[]')}")
            except FluxtrailError:
                continue
            return True
        return False


def known_hosts(settings: Settings) -> dict[str, ForgeHostSetting]:
    """Return every forge host by its name (with a port where one is stated): the settings', then the public ones.

    Raises:
        ConfigError: a host is stated twice.
    """
    found: dict[str, ForgeHostSetting] = {}
    for index, item in enumerate(settings.forges):
        if item.host in found:
            raise ConfigError(f"{item.host} is there twice", subject=f"setting forges.{index}.host")
        found[item.host] = item
    github = repository_host(settings.github.base_url)
    public: tuple[tuple[str, ForgeKind], ...] = (
        (github, "github"),
        ("gitlab.com", "gitlab"),
        (AZURE_HOST, "azure_devops"),
    )
    for host, kind in public:
        found.setdefault(host, ForgeHostSetting(host=host, kind=kind))
    return found


def api_url_of(item: ForgeHostSetting, settings: Settings) -> str:
    """Return the API of a forge host: the stated one, else where such a forge has it."""
    if item.api_url:
        return item.api_url
    if item.kind == "github":
        is_default = item.host == repository_host(settings.github.base_url)
        return settings.github.base_url if is_default else github_api_url(item.host)
    return gitlab_api_url(item.host) if item.kind == "gitlab" else f"https://{item.host}"


def default_hosts(settings: Settings) -> dict[str, str]:
    """Return the one host of each kind that a token in the environment is for: the first stated, else the public."""
    hosts = {
        "github": repository_host(settings.github.base_url), "gitlab": "gitlab.com", "azure_devops": AZURE_HOST,
    }  # fmt: skip
    for item in reversed(settings.forges):
        if item.kind != "github":
            hosts[item.kind] = item.host
    return hosts


def open_forges(
    settings: Settings,
    credentials: CredentialSource,
    sessions: Sessions,
    allow: AllowList,
    allowances: AllowanceBook,
) -> ConfiguredForges:
    """Build the clients of all known hosts; nothing is asked yet.

    Raises:
        ConfigError: an address cannot be one, a host is stated twice, or a repository's forge has an unknown host.
    """
    known = known_hosts(settings)
    hosts = {name: _open_host(item, settings, credentials, sessions, allowances) for name, item in known.items()}
    stated = {
        parse_repository(item.url).canonical: _open_stated(item, index, hosts, known, settings)
        for index, item in enumerate(settings.repositories)
        if item.forge is not None
    }
    by_name = {_bare(name): (host, _port(name)) for name, host in hosts.items()}
    return ConfiguredForges(by_name, stated, allow=allow, credentials=credentials)


def _open_host(
    item: ForgeHostSetting,
    settings: Settings,
    credentials: CredentialSource,
    sessions: Sessions,
    allowances: AllowanceBook,
) -> ForgeHost:
    url = api_url_of(item, settings)
    session = sessions.to(url)
    shared: dict[str, Any] = {
        "credentials": credentials, "host": item.host, "retry_waits": RETRY_WAITS, "allowances": allowances,
    }  # fmt: skip
    match item.kind:
        case "github":
            return GitHubHost(GitHubClient(session, base_url=url, **shared))
        case "gitlab":
            return GitLabHost(GitLabClient(session, api_url=url, **shared))
        case "azure_devops":
            return AzureDevOpsHost(AzureDevOpsClient(session, api_url=url, **shared))


def _open_stated(
    item: RepositorySetting,
    index: int,
    hosts: Mapping[str, ForgeHost],
    known: Mapping[str, ForgeHostSetting],
    settings: Settings,
) -> Forge:
    forge, field = item.forge, f"setting repositories.{index}.forge"
    assert forge is not None
    host = (forge.host or default_hosts(settings)[forge.kind]).lower()
    if host not in hosts or known[host].kind != forge.kind:
        raise ConfigError(f"{host} is no {forge.kind} that is known; add it to `forges`", subject=f"{field}.host")
    opened = hosts[host].open(f"{forge.owner}/{forge.repo}")
    if opened is None:
        raise ConfigError(f"{forge.owner}/{forge.repo} is no repository of a {forge.kind}", subject=field)
    return opened


def _bare(name: str) -> str:
    return urlsplit(f"//{name}").hostname or name


def _port(name: str) -> int | None:
    return urlsplit(f"//{name}").port
