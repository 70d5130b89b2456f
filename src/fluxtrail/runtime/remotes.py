"""The outside that a run asks: git repositories and forges, within what the settings allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import structlog

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.progress import CloneProgress
from fluxtrail.remotes.git.store import GitStore
from fluxtrail.remotes.github.client import GitHubClient, RetryWaits
from fluxtrail.runtime.forges import ConfiguredForges
from fluxtrail.runtime.settings import Settings

log = structlog.get_logger(__name__)

GITHUB_RETRY_WAITS = RetryWaits(initial_seconds=0.2, longest_seconds=2.0, jitter_seconds=0.2)
"""Five attempts within about 3 s: commits wait for the answer, and are followed without it too."""


@dataclass(frozen=True, kw_only=True)
class Remotes:
    allow: AllowList
    repositories: GitStore
    forges: ConfiguredForges


async def open_remotes(settings: Settings, environ: Mapping[str, str], stack: AsyncExitStack) -> Remotes:
    """Open what is asked outside; `stack` closes it.

    Raises:
        ConfigError, StoreError: a credential or the folder of the clones cannot be used.
    """
    credentials = CredentialSource.from_settings(
        settings.credentials, environ=environ, github_base_url=settings.github.base_url
    )
    allow = AllowList(settings.allow, allow_file_protocol=settings.git.allow_file_protocol)
    for item in settings.repositories:
        for url in (item.url, *item.exports_to):
            allow.admit(url)
    repositories = await stack.enter_async_context(
        GitStore(
            settings.git.directory or settings.ledger.path.absolute().parent / "git",
            allow=allow,
            credentials=credentials,
            quota_bytes=settings.git.quota_bytes,
            progress=_progress(),
        )
    )
    session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=True))
    github = GitHubClient(
        session, credentials=credentials, base_url=settings.github.base_url, retry_waits=GITHUB_RETRY_WAITS
    )
    forges = ConfiguredForges(github, settings.repositories, has_token=credentials.find(github.host) is not None)
    return Remotes(allow=allow, repositories=repositories, forges=forges)


def _progress() -> Callable[[CloneProgress], None]:
    """Tell of a first clone in quarters: enough to see that it goes on."""
    told: set[tuple[str, str, int]] = set()

    def show(step: CloneProgress) -> None:
        quarter = (step.percent or 0) // 25 * 25
        if (step.repository, step.phase, quarter) not in told:
            told.add((step.repository, step.phase, quarter))
            log.info("cloning", repository=step.repository, phase=step.phase, percent=quarter)

    return show
