"""Who writes to which forge: a repository's client, as readers have it, with what it can be told."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.deployments import GitHubDeployments
from fluxtrail.remotes.github.dispatches import GitHubDispatches
from fluxtrail.remotes.github.statuses import GitHubStatuses
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.deployments import GitLabDeployments
from fluxtrail.remotes.gitlab.statuses import GitLabStatuses
from fluxtrail.reports.standings.ports import Deployments, Dispatches, StatusWriter
from fluxtrail.runtime.forges import ConfiguredForges, GitHubForge, GitLabForge
from fluxtrail.runtime.settings import ForgeKind

audit_log = structlog.get_logger("fluxtrail.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One repository on its forge. Satisfies the reports side's `Place`."""

    path: str
    budget: str
    statuses: StatusWriter
    deployments: Deployments | None = None
    dispatches: Dispatches | None = None


class Writers:
    """Finds what writes to a repository: there is one where its forge is known, allowed, and has a credential."""

    def __init__(self, forges: ConfiguredForges) -> None:
        self._forges = forges

    def find(self, repository: str, kind: ForgeKind) -> Placed | None:
        """Return what writes to a repository by its canonical name; None where it is on no forge of this kind."""
        forge = self._forges.find(repository)
        if kind == "github" and isinstance(forge, GitHubForge):
            return _github(forge.client, forge.path)
        if kind == "gitlab" and isinstance(forge, GitLabForge):
            return _gitlab(forge.client, forge.path)
        return None


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


def audit(what: str, where: str) -> None:
    """Leave a line for every write to the outside, before it is sent."""
    audit_log.info("write", what=what, where=where)
