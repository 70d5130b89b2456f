"""Routes: which commits, environments and verdicts are told to which system, as the settings say. Pure."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from fluxtrail.model.verdict import Verdict

DEFAULT_CONTEXT = "fluxtrail/{{ environment }}"
"""The name of a status, where a route gives none."""


class RouteKind(StrEnum):
    """Whom a route tells, and how."""

    GITHUB_STATUS = "github_status"
    GITHUB_DEPLOYMENT = "github_deployment"
    GITHUB_DISPATCH = "github_dispatch"
    GITLAB_STATUS = "gitlab_status"
    GITLAB_DEPLOYMENT = "gitlab_deployment"
    AZURE_DEVOPS_STATUS = "azure_devops_status"
    AZURE_DEVOPS_TASK = "azure_devops_task"
    GITEA_STATUS = "gitea_status"
    BITBUCKET_STATUS = "bitbucket_status"
    SLACK = "slack"
    TEAMS = "teams"
    SUBSCRIBER = "subscriber"
    WEBHOOK = "webhook"
    CDEVENTS = "cdevents"

    @property
    def is_per_event(self) -> bool:
        """True where every event is told; else only how a commit stands now."""
        return self in _PER_EVENT

    @property
    def is_per_commit(self) -> bool:
        """True where one message tells of all environments."""
        return self in (RouteKind.SLACK, RouteKind.TEAMS)


_PER_EVENT = frozenset({RouteKind.SUBSCRIBER, RouteKind.WEBHOOK, RouteKind.CDEVENTS})


class Commits(StrEnum):
    """Which commits a route is about."""

    ALL = "all"
    SOURCE = "source"
    """Those that people made."""
    MANIFESTS = "manifests"
    """Carriers: exports, and pushes of image automation."""


class Until(StrEnum):
    """When a commit counts as done."""

    DEPLOYED = "deployed"
    RUNNING = "running"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route's rules. Patterns are those of a shell; none admits everything."""

    name: str
    kind: RouteKind
    repositories: tuple[str, ...] = ()
    """Canonical names of commits' repositories: `github.com/acme/*`."""
    commits: Commits = Commits.ALL
    environments: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    """`<Kind>/<namespace>/<name>`."""
    verdicts: frozenset[Verdict] = frozenset()
    """Of per-event routes: told ones; empty: all."""
    until: Until = Until.DEPLOYED
    fail_after: timedelta = timedelta(0)
    """A failure younger than this is still on its way."""
    says_pending: bool = True
    says_unaffected: bool = False
    """Also of environments in which a commit has nothing to do."""
    refresh: timedelta = timedelta(minutes=5)
    """How soon a status that stays pending may get another description."""

    @property
    def sink(self) -> str:
        return f"route.{self.name}"

    def admits_commit(self, repository: str, *, is_carrier: bool) -> bool:
        wanted = {Commits.ALL: True, Commits.SOURCE: not is_carrier, Commits.MANIFESTS: is_carrier}
        return wanted[self.commits] and _admits(self.repositories, repository)

    def admits_environment(self, name: str) -> bool:
        return _admits(self.environments, name)

    def admits_target(self, target: str) -> bool:
        return _admits(self.targets, target)

    def admits_verdict(self, verdict: Verdict) -> bool:
        return not self.verdicts or verdict in self.verdicts


def _admits(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
