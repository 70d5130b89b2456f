"""Who writes to which forge: a repository's client, as readers have it, with what it can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import structlog

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient
from fluxtrail.remotes.azure_devops.statuses import AzureStatuses
from fluxtrail.remotes.azure_devops.tasks import AzureTasks
from fluxtrail.remotes.bitbucket.client import BitbucketClient, bitbucket_api_url
from fluxtrail.remotes.bitbucket.cloud import BitbucketCloudStatuses
from fluxtrail.remotes.bitbucket.server import BitbucketServerStatuses
from fluxtrail.remotes.gitea.client import GiteaClient, gitea_api_url
from fluxtrail.remotes.gitea.statuses import GiteaStatuses
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.deployments import GitHubDeployments
from fluxtrail.remotes.github.dispatches import GitHubDispatches
from fluxtrail.remotes.github.statuses import GitHubStatuses
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.deployments import GitLabDeployments
from fluxtrail.remotes.gitlab.statuses import GitLabStatuses
from fluxtrail.reports.standings.ports import Deployments, Dispatches, StatusWriter
from fluxtrail.reports.standings.tasks import Tasks
from fluxtrail.runtime.forges import AzureDevOpsForge, GitHubForge, GitLabForge, api_url_of, known_hosts
from fluxtrail.runtime.remotes import Remotes
from fluxtrail.runtime.settings.sections import ForgeKind
from fluxtrail.runtime.settings.settings import Settings

audit_log = structlog.get_logger("fluxtrail.audit")

NamedKind = Literal["gitea", "bitbucket"]
"""Forges that are only written to: routes name their hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One repository on its forge. Satisfies the reports side's `Place`."""

    path: str
    budget: str
    statuses: StatusWriter
    deployments: Deployments | None = None
    dispatches: Dispatches | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTasks:
    """One repository whose pull requests have tasks. Satisfies the reports side's `TaskPlace`."""

    path: str
    budget: str
    tasks: Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedHost:
    """A host that a route names, and where its API is, if not at the usual place."""

    kind: NamedKind
    host: str
    api_url: str | None = None


class Writers:
    """Finds what writes to a repository: there is one where its forge is known, allowed, and has a credential."""

    def __init__(self, remotes: Remotes, settings: Settings) -> None:
        self._remotes = remotes
        self._settings = settings
        self._forges = remotes.forges
        self._named: dict[NamedHost, tuple[StatusWriter, str]] = {}
        self._azure: dict[tuple[str, Path], AzureDevOpsClient] = {}
        for repository in filter(None, (item.repository for item in settings.routes)):
            remotes.allow.admit(f"https://{quote(repository, safe='/:[]')}")

    def find(self, repository: str, kind: ForgeKind) -> Placed | None:
        """Return what writes to a repository by its canonical name; None where it is on no forge of this kind."""
        forge = self._forges.find(repository)
        if kind == "github" and isinstance(forge, GitHubForge):
            return _github(forge.client, forge.path)
        if kind == "gitlab" and isinstance(forge, GitLabForge):
            return _gitlab(forge.client, forge.path)
        if kind == "azure_devops" and isinstance(forge, AzureDevOpsForge):
            return _azure(forge.client, _azure_path(forge))
        return None

    def find_named(self, repository: str, host: NamedHost | None) -> Placed | None:
        """Return what writes to a repository of a host that a route names; None on another, or without a credential."""
        name, _, path = repository.partition("/")
        if host is None or name != host.host or not path:
            return None
        owner, port = path.rpartition("/")[0], _own_port(host)
        if not self._remotes.credentials.covers(name, owner, port=port):
            return None
        known = self._named.get(host)
        if known is None:
            known = self._named[host] = self._open_named(host, f"{name}:{port}" if port else name)
        statuses, budget = known
        return Placed(path=path, budget=budget, statuses=statuses)

    def find_tasks(self, repository: str, token_file: Path | None = None) -> PlacedTasks | None:
        """Return what ends the tasks of a repository's pull requests; None where it is on no known Azure DevOps.

        Args:
            token_file: of the route alone; by default the host's credential is shown.
        """
        if token_file is None:
            forge = self._forges.find(repository)
            if not isinstance(forge, AzureDevOpsForge):
                return None
            client, path = forge.client, _azure_path(forge)
        else:
            host, _, path = repository.partition("/")
            own = self._azure.get((host, token_file)) or self._open_azure(host, token_file)
            if own is None or own.find_repository(path) is None:
                return None
            client = self._azure[host, token_file] = own
        return PlacedTasks(path=path, budget=client.budget_key, tasks=AzureTasks(client, audit=audit))

    def _open_azure(self, host: str, token_file: Path) -> AzureDevOpsClient | None:
        for item in known_hosts(self._settings).values():
            if item.kind == "azure_devops" and urlsplit(f"//{item.host}").hostname == host:
                credentials = CredentialSource.from_settings([{"host": item.host, "token_file": token_file}])
                url = api_url_of(item, self._settings)
                session = self._remotes.sessions.to(url)
                return AzureDevOpsClient(
                    session,
                    credentials=credentials,
                    host=item.host,
                    api_url=url,
                    allowances=self._remotes.allowances,
                )
        return None

    def _open_named(self, named: NamedHost, host: str) -> tuple[StatusWriter, str]:
        shared: dict[str, Any] = {
            "credentials": self._remotes.credentials,
            "allowances": self._remotes.allowances,
        }
        if named.kind == "gitea":
            url = named.api_url or gitea_api_url(host)
            gitea = GiteaClient(self._remotes.sessions.to(url), host=host, api_url=url, **shared)
            return GiteaStatuses(gitea, audit=audit), gitea.budget_key
        url = named.api_url or bitbucket_api_url(host)
        client = BitbucketClient(self._remotes.sessions.to(url), host=host, api_url=url, **shared)
        writer = BitbucketCloudStatuses if client.is_cloud else BitbucketServerStatuses
        return writer(client, audit=audit), client.budget_key


def _github(client: GitHubClient, path: str) -> Placed:
    return Placed(
        path=path,
        budget=client.budget_key(path.partition("/")[0]),
        statuses=GitHubStatuses(client, audit=audit),
        deployments=GitHubDeployments(client, audit=audit),
        dispatches=GitHubDispatches(client, audit=audit),
    )


def _gitlab(client: GitLabClient, path: str) -> Placed:
    return Placed(
        path=path,
        budget=client.budget_key(path),
        statuses=GitLabStatuses(client, audit=audit),
        deployments=GitLabDeployments(client, audit=audit),
    )


def _azure(client: AzureDevOpsClient, path: str) -> Placed:
    return Placed(path=path, budget=client.budget_key, statuses=AzureStatuses(client, audit=audit))


def _azure_path(forge: AzureDevOpsForge) -> str:
    """Return the path below the host, as the repository's canonical name has it."""
    return f"{forge.repository.owner}/{forge.repository.name}"


def _own_port(named: NamedHost) -> int | None:
    """Return the port of a host's API, where that is the host of the repositories: credentials may be bound to it."""
    parts = urlsplit(named.api_url or "")
    return parts.port if parts.hostname == named.host else None


def audit(what: str, where: str) -> None:
    """Leave a line for every write to the outside, before it is sent."""
    audit_log.info("write", what=what, where=where)
