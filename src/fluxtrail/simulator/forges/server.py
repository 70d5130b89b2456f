"""All simulated forges, chats and receivers behind one address.

| path | who |
|---|---|
| `/repos/…` | GitHub |
| `/gitlab/api/v4/…` | GitLab |
| `/azure/<org>/<project>/_apis/…` | Azure DevOps |
| `/gitea/api/v1/…` | Gitea, Forgejo |
| `/bitbucket/2.0/…`, `/bitbucket-server/rest/…` | Bitbucket Cloud, Bitbucket Server |
| `/slack/api/…`, `/slack/services/…` | Slack, its incoming webhooks |
| `/teams/workflows/…` | Teams |
| `/webhooks/<name>` | receivers of webhooks, subscribers |
| `/cdevents` | a sink of CDEvents |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.azure_builds import AzureBuildsApi
from fluxtrail.simulator.forges.azure_devops import AzureLimits, AzureStatuses
from fluxtrail.simulator.forges.azure_tasks import AzureTasks
from fluxtrail.simulator.forges.bitbucket import BitbucketCloud, BitbucketServer
from fluxtrail.simulator.forges.ci_runs import CiBook
from fluxtrail.simulator.forges.commits import AnyCommits, Commits
from fluxtrail.simulator.forges.faults import ForgeFault
from fluxtrail.simulator.forges.gitea import Gitea
from fluxtrail.simulator.forges.github import GitHubRepositories
from fluxtrail.simulator.forges.github_actions import GitHubActionsApi
from fluxtrail.simulator.forges.github_deployments import GitHubDeployments
from fluxtrail.simulator.forges.github_limits import GitHubLimits
from fluxtrail.simulator.forges.github_statuses import GitHubStatuses
from fluxtrail.simulator.forges.gitlab import GitLab
from fluxtrail.simulator.forges.gitlab_pipelines import GitLabPipelinesApi
from fluxtrail.simulator.forges.push_hooks import PushHooks
from fluxtrail.simulator.forges.receivers import CDEvents, Webhooks
from fluxtrail.simulator.forges.record import FinalStatus, Recorder, StatusKey
from fluxtrail.simulator.forges.service import Desk, Service
from fluxtrail.simulator.forges.slack import Slack
from fluxtrail.simulator.forges.teams import Teams

MAX_BODY_BYTES = 16 * 1024 * 1024

Json = dict[str, Any]


class Forges:
    """Mount it on an application by `add_routes`, or let it serve by itself: `async with Forges(clock) as forges`.

    Args:
        commits: which there are; all, by default.
    """

    def __init__(self, clock: SimulatedClock, *, commits: Commits | None = None) -> None:
        self.desk = Desk(clock=clock, commits=commits or AnyCommits())
        self.ci = CiBook()
        """What CI runs; whoever lets it run writes here."""
        self.pushes = PushHooks()
        """Tells of what is pushed to GitHub; whoever has repositories adds their pushes, and runs it."""
        self.github_limits = GitHubLimits()
        self.azure_limits = AzureLimits()
        self.github_statuses = GitHubStatuses(self.desk, self.github_limits)
        self.github_deployments = GitHubDeployments(self.desk, self.github_limits, self.github_statuses)
        self.gitlab = GitLab(self.desk)
        self.azure_statuses = AzureStatuses(self.desk, self.azure_limits)
        self.azure_tasks = AzureTasks(self.desk, self.azure_limits)
        self.slack = Slack(self.desk)
        self.teams = Teams(self.desk)
        self.webhooks = Webhooks(self.desk)
        self.cdevents = CDEvents(self.desk)
        self._services: tuple[Service, ...] = (
            self.github_statuses,
            self.github_deployments,
            GitHubRepositories(self.desk, self.github_limits),
            GitHubActionsApi(self.desk, self.github_limits, self.ci),
            GitLabPipelinesApi(self.desk, self.ci),
            AzureBuildsApi(self.desk, self.azure_limits, self.ci),
            self.gitlab,
            self.azure_statuses,
            self.azure_tasks,
            Gitea(self.desk),
            BitbucketCloud(self.desk),
            BitbucketServer(self.desk),
            self.slack,
            self.teams,
            self.webhooks,
            self.cdevents,
        )
        self.mounts: list[Callable[[web.UrlDispatcher], None]] = []
        """Add more routes to a server of its own."""
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def recorder(self) -> Recorder:
        return self.desk.recorder

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for service in self._services:
            service.add_routes(router)

    def fail(self, fault: ForgeFault) -> None:
        self.desk.fail(fault)

    def trust(self, *, tokens: Mapping[str, str], webhooks: Mapping[str, str]) -> None:
        """Say what callers must show from now on: tokens by system, secrets of webhooks by name; empty: nothing."""
        self.desk.tokens |= tokens
        self.webhooks.secrets |= webhooks

    def final_statuses(self, system: str = "") -> dict[StatusKey, FinalStatus]:
        """Return what stands on every (system, repository, sha, context)."""
        return self.recorder.final_statuses(system)

    def report(self) -> Json:
        """Return the record, how near anybody came to GitHub's limits, and what came of its webhooks."""
        copies = {"webhooks": self.webhooks.copies, "cdevents": self.cdevents.copies}
        more = {"github_peaks": self.github_limits.peaks(), "copies": copies, "pushes": dict(self.pushes.counts)}
        return self.recorder.report() | more

    async def __aenter__(self) -> Forges:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        for mount in (self.add_routes, *self.mounts):
            mount(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.ci.pages = self.url
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
