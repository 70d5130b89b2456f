"""The outside that a run asks: git repositories and forges, within what the settings allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.registries import RegistryCredentials
from fluxtrail.model.sources import url_to_ask
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.git.progress import CloneProgress
from fluxtrail.remotes.git.store import GitStore
from fluxtrail.remotes.oci.registries import Registries
from fluxtrail.runtime.forges import ConfiguredForges, api_url_of, default_hosts, known_hosts, open_forges
from fluxtrail.runtime.identities import Identities
from fluxtrail.runtime.sessions import Sessions
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.streams import kube_environ

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Remotes:
    sessions: Sessions
    credentials: CredentialSource
    identities: Identities
    allow: AllowList
    repositories: GitStore
    forges: ConfiguredForges
    registries: Registries
    allowances: AllowanceBook
    """What all forges say is left."""


async def open_remotes(settings: Settings, environ: Mapping[str, str], stack: AsyncExitStack) -> Remotes:
    """Open what is asked outside; `stack` closes it.

    Raises:
        ConfigError, StoreError: a credential or the folder of the clones cannot be used.
    """
    sessions = Sessions(stack, environ)
    allowances = AllowanceBook(time.time)
    credentials, identities = open_credentials(settings, environ, sessions, stack)
    registries = (*settings.images.registries, *(f"http://{host}" for host in settings.images.insecure_registries))
    allow = AllowList((*settings.allow, *registries), allow_file_protocol=settings.git.allow_file_protocol)
    for item in settings.repositories:
        for url in filter(None, map(url_to_ask, (item.url, *item.exports_to))):
            allow.admit(url, is_stated=True)
    repositories = await stack.enter_async_context(
        GitStore(
            settings.git.directory or settings.ledger.folder / "git",
            allow=allow,
            credentials=credentials,
            quota_bytes=settings.git.quota_bytes,
            progress=_progress(),
        )
    )
    return Remotes(
        sessions=sessions,
        credentials=credentials,
        identities=identities,
        allow=allow,
        repositories=repositories,
        forges=open_forges(settings, credentials, sessions, allow, allowances),
        registries=Registries(sessions.to, allow=allow, credentials=RegistryCredentials(credentials, environ=environ)),
        allowances=allowances,
    )


def open_credentials(
    settings: Settings, environ: Mapping[str, str], sessions: Sessions, stack: AsyncExitStack
) -> tuple[CredentialSource, Identities]:
    """Return the credentials of settings and environment, and who makes those that are made.

    Raises:
        ConfigError: a credential is malformed or contradicts another.
    """
    identities = Identities(
        settings,
        environ,
        sessions,
        stack,
        api_urls={name: api_url_of(item, settings) for name, item in known_hosts(settings).items()},
        kube_environ=kube_environ(environ, settings.kubeconfig),
    )
    files = [{"host": item.host, "token_file": item.token_file} for item in settings.forges if item.token_file]
    credentials = CredentialSource.from_settings(
        [*settings.credentials, *files],
        environ=environ,
        github_base_url=settings.github.base_url,
        forge_hosts=default_hosts(settings),
        make_issuer=identities.make_issuer,
        make_provider=identities.make_provider,
        made=identities.made,
    )
    credentials.find_elsewhere = identities.followed.find
    return credentials, identities


def _progress() -> Callable[[CloneProgress], None]:
    """Tell of a first clone in quarters: enough to see that it goes on."""
    told: set[tuple[str, str, int]] = set()

    def show(step: CloneProgress) -> None:
        quarter = (step.percent or 0) // 25 * 25
        if (step.repository, step.phase, quarter) not in told:
            told.add((step.repository, step.phase, quarter))
            log.info("cloning", repository=step.repository, phase=step.phase, percent=quarter)

    return show
