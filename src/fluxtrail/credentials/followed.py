"""What watched GitRepositories are fetched with: `spec.provider` and `spec.secretRef`, where the settings allow it.

Whoever may write a GitRepository says where its credential is shown. So each is for that one repository, and the hosts
are held to what Flux holds them to: an identity of Azure is for Azure DevOps, one of AWS for CodeCommit, an App's token
for its own GitHub. A Secret is of the GitRepository's own namespace, and one that the settings name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from fluxtrail.credentials.entries import AZURE_HOST
from fluxtrail.credentials.providers.aws import is_codecommit
from fluxtrail.credentials.providers.place import PROVIDERS, Identity, Place, Provider, SecretPlace
from fluxtrail.model.errors import WireError
from fluxtrail.model.repository import parse_repository

SOURCES_LIMIT = 10_000
SETTING = "credentials_from_flux"


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxSource:
    """What a GitRepository says of its credential."""

    cluster: str
    namespace: str
    name: str
    url: str
    provider: str
    secret: str
    """The Secret's name, in the same namespace; empty: none."""


class FollowedSources:
    """Finds the provider for a repository by what the clusters say. Not for APIs of forges, nor for registries.

    Args:
        providers: which `spec.provider` are followed.
        secrets: `namespace/name` of the Secrets that may be read, on any cluster.
    """

    def __init__(
        self,
        *,
        providers: Collection[str],
        secrets: Collection[str],
        make_provider: Callable[[str, Identity], Provider],
    ) -> None:
        self._providers, self._secrets = frozenset(providers), frozenset(secrets)
        self._make = make_provider
        self._known: OrderedDict[tuple[str, str, str], tuple[str, str, Identity]] = OrderedDict()
        """(cluster, namespace, name) → canonical repository, its host, the identity."""
        self._made: OrderedDict[tuple[str, Identity], Provider] = OrderedDict()

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for provider in self._made.values() for secret in provider.secrets)

    def note(self, source: FluxSource) -> None:
        """Take what a GitRepository says now, in place of what it said before."""
        key = (source.cluster, source.namespace, source.name)
        self._known.pop(key, None)
        admitted = self._admit(source)
        if admitted is not None:
            self._known[key] = admitted
            while len(self._known) > SOURCES_LIMIT:
                self._known.popitem(last=False)

    def lose(self, cluster: str, namespace: str, name: str) -> None:
        """The GitRepository is gone."""
        self._known.pop((cluster, namespace, name), None)

    def find(self, place: Place) -> Provider | None:
        if place.is_registry or not place.path or not self._known:
            return None
        try:
            wanted = parse_repository(f"https://{place.netloc}/{place.path}").canonical
        except WireError:
            return None
        found = next((item for item in self._known.values() if item[0] == wanted), None)
        return self._provider(found[1], found[2]) if found is not None else None

    # -- inside ----------------------------------------------------------------------------------------------

    def _admit(self, source: FluxSource) -> tuple[str, str, Identity] | None:
        """Return repository, host and identity, or None where the settings or the host do not allow it."""
        provider = source.provider or "generic"
        if provider not in self._providers or provider not in PROVIDERS:
            return None
        try:
            url = parse_repository(source.url)
        except WireError:
            return None
        if url.scheme != "https" or not _may_be_shown(provider, url.host):
            return None
        place = None
        if provider in ("generic", "github"):
            if f"{source.namespace}/{source.secret}" not in self._secrets:
                return None
            place = SecretPlace(namespace=source.namespace, name=source.secret, cluster=source.cluster)
        setting = f"{SETTING}: GitRepository {source.namespace}/{source.name}"
        return url.canonical, url.host, Identity(provider=provider, secret=place, setting=setting if place else SETTING)

    def _provider(self, host: str, identity: Identity) -> Provider:
        key = (host, identity)
        if key not in self._made:
            self._made[key] = self._make(host, identity)
            while len(self._made) > SOURCES_LIMIT:
                self._made.popitem(last=False)
        return self._made[key]


def _may_be_shown(provider: str, host: str) -> bool:
    if provider == "azure":
        return host == AZURE_HOST or host.endswith(".visualstudio.com")
    if provider == "aws":
        return is_codecommit(host)
    return provider in ("generic", "github")
