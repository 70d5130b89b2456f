"""All simulated issuers of tokens behind one address; what they grant ends by their own clock.

| path | who |
|---|---|
| `/github/…` | GitHub, for an App |
| `/azure/<tenant>/oauth2/v2.0/token`, `/metadata/identity/…` | Entra ID, a machine |
| `/acr/oauth2/exchange` | a container registry of Azure |
| `/google/…`, `/computeMetadata/v1/…` | Google, a machine |
| `/aws/sts/`, `/aws/ecr/` | AWS |
| `/gitlab/oauth/token` | GitLab |
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from fluxtrail.simulator.issuers.aws import AwsIssuer
from fluxtrail.simulator.issuers.azure import AzureIssuer
from fluxtrail.simulator.issuers.desk import Desk, Fault
from fluxtrail.simulator.issuers.github import GitHubIssuer
from fluxtrail.simulator.issuers.gitlab import GitLabIssuer
from fluxtrail.simulator.issuers.google import GoogleIssuer


class Issuers:
    """Mount it on an application by `add_routes`, or let it serve by itself: `async with Issuers(clock) as issuers`.

    Args:
        clock: POSIX seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.desk = Desk(clock)
        self.github = GitHubIssuer(self.desk)
        self.azure = AzureIssuer(self.desk)
        self.google = GoogleIssuer(self.desk)
        self.aws = AwsIssuer(self.desk)
        self.gitlab = GitLabIssuer(self.desk)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return self.desk.url

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for issuer in (self.github, self.azure, self.google, self.aws, self.gitlab):
            issuer.add_routes(router)

    def fail(self, system: str, fault: Fault | None) -> None:
        """Let one issuer fail from now on; None heals it."""
        if fault is None:
            self.desk.faults.pop(system, None)
        else:
            self.desk.faults[system] = fault

    def environ(self) -> dict[str, str]:
        """Return the variables that lead the clouds' own clients here."""
        host = self.url.removeprefix("http://")
        return {
            "AZURE_AUTHORITY_HOST": f"{self.url}/azure",
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url,
            "GCE_METADATA_HOST": host,
            "AWS_ENDPOINT_URL_STS": f"{self.url}/aws/sts",
            "AWS_ENDPOINT_URL_ECR": f"{self.url}/aws/ecr",
        }

    async def __aenter__(self) -> Self:
        app = web.Application()
        self.add_routes(app.router)
        runner = self._runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.desk.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fault in self.desk.faults.values():
            if fault.gate is not None:
                fault.gate.set()
        if self._runner is not None:
            await self._runner.cleanup()
