"""CI's wiring: which forge is asked about the runs of a repository, as the settings say, and the watcher's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Protocol

from fluxtrail.model.distribution import Spread
from fluxtrail.model.records import RepositoryId
from fluxtrail.remotes.azure_devops.builds import AzureBuilds, AzureProjectBuilds
from fluxtrail.remotes.github.actions import GitHubActions
from fluxtrail.remotes.gitlab.pipelines import GitLabPipelines
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.forges import AzureDevOpsForge, AzureDevOpsHost, ForgeHost, GitHubForge, GitLabForge
from fluxtrail.runtime.settings.ci import CiRepositorySetting, CiSetting
from fluxtrail.runtime.telemetry import Job
from fluxtrail.trail.ci.ports import CiPlace
from fluxtrail.trail.ci.roles import CiRule, rule_of
from fluxtrail.trail.ci.watcher import CiWatcher
from fluxtrail.trail.ports import Clock, Forge, Forges
from fluxtrail.trail.registry import Registry
from fluxtrail.web.measures import Kind, Measure, counter, gauge


class KnownForges(Forges, Protocol):
    """Satisfied by `ConfiguredForges`."""

    def find_host(self, name: str) -> ForgeHost | None: ...


class ForgeReaders:
    """Finds whom to ask about the CI of a repository: the forge that is asked for its pull requests, and the projects
    of Azure DevOps that the settings say to build it.
    """

    def __init__(self, forges: KnownForges, settings: Sequence[CiRepositorySetting] = ()) -> None:
        self._forges = forges
        self._settings = settings

    def find(self, canonical: str) -> list[CiPlace]:
        forge = self._forges.find(canonical)
        own = place_of(forge) if forge is not None else None
        elsewhere = self._project(project_of(self._settings, canonical), canonical)
        found = [place for place in (own, elsewhere) if place is not None]
        # Of one system, one place is asked.
        return list({place.reader.system: place for place in reversed(found)}.values())[::-1]

    def _project(self, name: str, canonical: str) -> CiPlace | None:
        host, _, path = name.partition("/")
        known = self._forges.find_host(host) if path else None
        if not isinstance(known, AzureDevOpsHost):
            return None
        return CiPlace(AzureProjectBuilds(known.client, canonical=canonical), path)


def place_of(forge: Forge) -> CiPlace | None:
    """Return where a forge is asked about runs, or None of one that has no CI of its own."""
    match forge:
        case GitHubForge():
            return CiPlace(GitHubActions(forge.client), forge.path)
        case GitLabForge():
            return CiPlace(GitLabPipelines(forge.client), forge.path)
        case AzureDevOpsForge():
            repository = forge.repository
            return CiPlace(AzureBuilds(forge.client), f"{repository.owner}/{repository.name}")
        case _:
            return None


class Ci:
    """The watcher over CI as the settings want it, and what it counts."""

    def __init__(
        self, setting: CiSetting, *, registry: Registry, ledger: FoldedLedger, forges: KnownForges, clock: Clock
    ) -> None:
        self.watcher = CiWatcher(
            registry=registry,
            ledger=ledger,
            places=ForgeReaders(forges, setting.repositories),
            clock=clock,
            rules=[to_rule(item) for item in setting.repositories],
            every=timedelta(seconds=setting.poll_seconds),
            horizon=timedelta(hours=setting.horizon_hours),
            requests_per_hour=setting.requests_per_hour,
        )

    @property
    def poke(self) -> Callable[[RepositoryId], None]:
        return self.watcher.poke

    @property
    def jobs(self) -> dict[str, Job]:
        return {"ci": self.watcher.run}

    def measures(self) -> Iterable[Measure]:
        watcher = self.watcher
        yield gauge("fluxtrail_ci_repositories", "Repositories whose CI is asked about.", watcher.asked_repositories)
        yield counter("fluxtrail_ci_requests", "Requests to CI systems, unchanged answers too.", watcher.budget.asked)
        yield counter(
            "fluxtrail_ci_requests_refused", "Requests that ci.requests_per_hour put off.", watcher.budget.refused
        )
        yield counter("fluxtrail_ci_runs_changed", "CI runs that were new, or had changed.", watcher.changed_runs)
        yield Measure(
            name="fluxtrail_ci_failures",
            help="Looks at a repository's CI that failed, by host.",
            kind=Kind.COUNTER,
            labels=("host",),
            values=[((host,), float(count)) for host, count in watcher.failures.items()],
        )
        durations = watcher.durations
        yield Measure(
            name="fluxtrail_ci_duration_seconds",
            help="Time from merged to built. Estimates are left out.",
            kind=Kind.HISTOGRAM,
            labels=("repository",),
            spreads=[((name,), Spread(*durations.cumulative(name))) for name in sorted(durations.histograms)],
        )


def project_of(settings: Sequence[CiRepositorySetting], canonical: str) -> str:
    """Return the project of Azure DevOps that builds a repository, or nothing."""
    rules = [to_rule(item) for item in settings]
    rule = rule_of(rules, canonical)
    return next((item.azure_pipelines for known, item in zip(rules, settings, strict=True) if known is rule), "")


def to_rule(item: CiRepositorySetting) -> CiRule:
    return CiRule(
        repository=item.repository,
        builds=item.builds,
        exports=item.exports,
        ignore=item.ignore,
        enabled=item.enabled,
    )
