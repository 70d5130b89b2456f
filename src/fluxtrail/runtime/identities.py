"""Makes what gives credentials: Apps, identities of clouds and Secrets of clusters, all with one cache."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import TypedDict

from fluxtrail.credentials.binding import TokenIssuer
from fluxtrail.credentials.flux_secrets import FluxSecretProvider, Makers
from fluxtrail.credentials.followed import FluxSource, FollowedSources
from fluxtrail.credentials.github_app import AppIdentity, InstallationTokens, github_api_url
from fluxtrail.credentials.providers.aws import AwsProvider
from fluxtrail.credentials.providers.azure import AzureProvider
from fluxtrail.credentials.providers.endpoints import Endpoints
from fluxtrail.credentials.providers.exchange import Exchange
from fluxtrail.credentials.providers.gcp import GoogleProvider
from fluxtrail.credentials.providers.gitlab import GitLabProvider
from fluxtrail.credentials.providers.place import Identity, Provider
from fluxtrail.credentials.tokens.cache import TokenCache
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.sources import GitRepository
from fluxtrail.runtime.flux_secrets import ClusterSecrets
from fluxtrail.runtime.sessions import Sessions
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.web.measures import Kind, Measure

CONTAINER_REGISTRY = "ghcr.io"
"""GitHub's; its tokens are those of github.com."""


class _Shared(TypedDict):
    exchange: Exchange
    cache: TokenCache
    clock: Callable[[], float]


class Identities:
    """Makes issuers and providers, and follows what GitRepositories say where the settings allow it.

    Satisfies the web side's `MetricSource`.

    Args:
        api_urls: of GitHubs, by the host of their repositories.
        environ: what identities of clouds leave out, and the kubeconfig for Secrets.
        sessions: to issuers; metadata services are asked without a proxy.
        stack: closes what is opened here.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        sessions: Sessions,
        stack: AsyncExitStack,
        *,
        api_urls: Mapping[str, str],
        kube_environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environ, self._sessions, self._api_urls, self._clock = environ, sessions, api_urls, clock
        self._endpoints = Endpoints.from_environ(environ)
        self.cache = TokenCache(wall=clock)
        self._exchange = Exchange(sessions.to, direct=Sessions(stack, {}).to, clock=clock)
        self._secrets = ClusterSecrets(settings.contexts, kube_environ, stack)
        allowed = settings.credentials_from_flux
        self.followed = FollowedSources(
            providers=allowed.providers, secrets=allowed.secrets, make_provider=self.make_provider
        )

    def make_issuer(self, host: str, app: AppIdentity) -> TokenIssuer:
        """Return what makes the tokens of an App on the GitHub of a host."""
        github = "github.com" if host == CONTAINER_REGISTRY else host
        api_url = app.api_url or self._api_urls.get(github) or github_api_url(github)
        return InstallationTokens(app, self._sessions.to(api_url), api_url=api_url, clock=self._clock, cache=self.cache)

    def make_provider(self, host: str, identity: Identity) -> Provider:
        """Return what makes credentials of an identity; nothing is asked yet.

        Raises:
            ConfigError: the identity cannot be one.
        """
        if identity.secret is not None:
            makers = Makers(app=self.make_issuer, google=lambda text: self._google(identity, text))
            return FluxSecretProvider(identity, host=host, reader=self._secrets, cache=self.cache, makers=makers)
        match identity.provider:
            case "azure":
                return AzureProvider(identity, environ=self._environ, endpoints=self._endpoints, **self._shared())
            case "aws":
                return AwsProvider(identity, environ=self._environ, endpoints=self._endpoints, **self._shared())
            case "gitlab":
                return GitLabProvider(identity, host=host, exchange=self._exchange, cache=self.cache)
            case _:
                return self._google(identity, "")

    def note_source(self, cluster: ClusterUid, key: ObjectKey, source: GitRepository | None) -> None:
        """Take what a GitRepository says of its credential; None: it is gone."""
        if source is None:
            self.followed.lose(cluster, key.namespace, key.name)
            return
        self.followed.note(
            FluxSource(
                cluster=cluster,
                namespace=key.namespace,
                name=key.name,
                url=source.url,
                provider=source.provider,
                secret=source.secret,
            )
        )

    def made(self) -> tuple[str, ...]:
        """Return every secret that was made, or read of a Secret."""
        return (*self.cache.secrets, *self.followed.secrets)

    def measures(self) -> Iterable[Measure]:
        counts = self.cache.counts
        yield _counter(
            "fluxtrail_token_cache_events",
            "How often a token was held when it was wanted.",
            "event_type",
            {"cache_hit": counts.hits, "cache_miss": counts.misses},
        )
        yield _counter(
            "fluxtrail_token_cache_requests",
            "What issuers of tokens answered.",
            "status",
            {"success": counts.successes, "failure": counts.failures},
        )
        yield Measure(
            name="fluxtrail_token_cache_evictions",
            help="Tokens forgotten because there were too many.",
            kind=Kind.COUNTER,
            labels=(),
            values=[((), float(counts.evictions))],
        )
        yield Measure(
            name="fluxtrail_token_cache_items",
            help="Tokens held.",
            kind=Kind.GAUGE,
            labels=(),
            values=[((), float(self.cache.size))],
        )

    def _google(self, identity: Identity, text: str) -> GoogleProvider:
        return GoogleProvider(identity, environ=self._environ, endpoints=self._endpoints, text=text, **self._shared())

    def _shared(self) -> _Shared:
        return {"exchange": self._exchange, "cache": self.cache, "clock": self._clock}


def _counter(name: str, text: str, label: str, counts: Mapping[str, Counter[str]]) -> Measure:
    values = [((value, provider), float(n)) for value, counter in counts.items() for provider, n in counter.items()]
    return Measure(name=name, help=text, kind=Kind.COUNTER, labels=(label, "provider"), values=values)
