"""Who says how commits stand to forges and pipelines: one speaker a route, on the forge that its kind is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import msgspec
import structlog

from fluxtrail.reports.phases.dispatches import dispatch_of, why_silent
from fluxtrail.reports.routes import RouteKind
from fluxtrail.reports.standings.budgets import Budget, Window
from fluxtrail.reports.standings.saying import Saying
from fluxtrail.reports.standings.speakers import (
    BudgetOf,
    DeploymentSpeaker,
    DispatchSpeaker,
    Speaker,
    StatusSpeaker,
)
from fluxtrail.reports.standings.tasks import TaskSpeaker
from fluxtrail.runtime.settings.routes import BudgetsSetting, RouteSetting
from fluxtrail.runtime.settings.sections import ForgeKind
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.writers import NamedHost, NamedKind, Placed, PlacedTasks, Writers

log = structlog.get_logger(__name__)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FORGE_OF: dict[RouteKind, ForgeKind | NamedKind] = {
    RouteKind.GITHUB_STATUS: "github",
    RouteKind.GITHUB_DEPLOYMENT: "github",
    RouteKind.GITHUB_DISPATCH: "github",
    RouteKind.GITLAB_STATUS: "gitlab",
    RouteKind.GITLAB_DEPLOYMENT: "gitlab",
    RouteKind.AZURE_DEVOPS_STATUS: "azure_devops",
    RouteKind.AZURE_DEVOPS_TASK: "azure_devops",
    RouteKind.GITEA_STATUS: "gitea",
    RouteKind.BITBUCKET_STATUS: "bitbucket",
}


class ForgeSpeakers:
    """Makes the speakers of routes to forges."""

    def __init__(self, settings: Settings, writers: Writers, *, ledger_id: str) -> None:
        """Args:
        ledger_id: of the ledger that tells: what it makes is named by it.
        """
        self._settings = settings
        self._writers = writers
        self._ledger_id = ledger_id

    def speaker(self, item: RouteSetting) -> Speaker:
        find, budget_of = self._finder(item), self.budget_of(item)
        match item.to:
            case RouteKind.GITHUB_DEPLOYMENT | RouteKind.GITLAB_DEPLOYMENT:
                return DeploymentSpeaker(
                    lambda repository: _known(find(repository)).deployments,
                    find,
                    budget_of,
                    key_of=self._key,
                    is_production=partial(fits, item.production),
                    is_transient=partial(fits, item.transient),
                )
            case RouteKind.GITHUB_DISPATCH:
                return DispatchSpeaker(
                    find,
                    budget_of,
                    repository=item.repository or "",
                    event_type=item.event_type,
                    payload_of=partial(_payload, self._key, needs_branch=item.deploy_branches),
                )
            case RouteKind.AZURE_DEVOPS_TASK:
                return TaskSpeaker(self.find_tasks(item), budget_of)
            case _:
                return StatusSpeaker(lambda repository: _known(find(repository)).statuses, find, budget_of)

    def budget_of(self, item: RouteSetting) -> BudgetOf:
        return partial(forge_budget, self._settings.budgets, FORGE_OF[item.to])

    def find_tasks(self, item: RouteSetting) -> Callable[[], PlacedTasks | None]:
        return partial(self._writers.find_tasks, item.repository or "", item.token_file)

    def _finder(self, item: RouteSetting) -> Callable[[str], Placed | None]:
        match FORGE_OF[item.to]:
            case "gitea" | "bitbucket" as kind:
                hosts = {name: NamedHost(kind=kind, host=name, api_url=item.api_url) for name in item.hosts}
                return lambda repository: self._writers.find_named(repository, hosts.get(repository.partition("/")[0]))
            case kind:
                return partial(self._writers.find, kind=kind)

    def _key(self, saying: Saying) -> str:
        """Name a deployment for ever: by the ledger that tells of it, and what it is of."""
        standing = saying.standing
        return f"{self._ledger_id}/{standing.commit.sha}/{standing.environment}"


def fits(patterns: Sequence[str], environment: str) -> bool:
    """Whether an environment fits one of the patterns; none fits nothing."""
    return any(fnmatchcase(environment, pattern) for pattern in patterns)


def _known(placed: Placed | None) -> Any:
    assert placed is not None, "asked for its budget before"
    return placed


def _payload(key_of: Callable[[Saying], str], saying: Saying, *, needs_branch: bool) -> Mapping[str, Any] | None:
    """Return what a pipeline is told: gitops-connector's fields where the commit's message has them, and ours."""
    commit = saying.standing.commit
    found = dispatch_of(commit.subject, commit.sha)
    if found is None and needs_branch:
        log.info("dispatch_not_sent", repository=commit.repository, sha=commit.sha, reason=why_silent(commit.subject))
        return None
    stated = msgspec.to_builtins(found) if found else {"sha": commit.sha, "commitmessage": commit.subject}
    return {
        **stated,
        "id": key_of(saying),
        "environment": saying.standing.environment,
        "repository": commit.repository,
    }


def forge_budget(setting: BudgetsSetting, kind: ForgeKind | NamedKind, whose: str) -> Budget:
    """Return the allowance of one installation (host and owner), or of one host."""
    windows = {
        "github": (Window(setting.github_per_minute, MINUTE), Window(setting.github_per_hour, HOUR)),
        "gitlab": (Window(setting.gitlab_per_minute, MINUTE),),
        "azure_devops": (Window(setting.azure_devops_per_minute, MINUTE),),
        "gitea": (Window(setting.gitea_per_minute, MINUTE),),
        "bitbucket": (Window(setting.bitbucket_per_hour, HOUR),),
    }
    return Budget(f"statuses/{whose}", windows[kind])
