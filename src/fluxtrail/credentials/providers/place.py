"""What a credential is asked for, and who makes one: the words that all providers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from fluxtrail.credentials.credential import Credential

ProviderName = Literal["generic", "github", "azure", "gcp", "aws", "gitlab"]
PROVIDERS: tuple[ProviderName, ...] = ("generic", "github", "azure", "gcp", "aws", "gitlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a credential will be shown."""

    host: str
    owner: str = ""
    port: int | None = None
    path: str = ""
    """Of the repository, as its URL has it; AWS signs it."""
    is_registry: bool = False

    @property
    def netloc(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPlace:
    """A Secret of a cluster."""

    namespace: str
    name: str
    context: str = ""
    """Of the kubeconfig; empty: the first cluster."""
    cluster: str = ""
    """Its uid, where a watched object named the Secret; wins over `context`."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are to a cloud, as the settings say; what they leave out is read of the environment. Holds no secret."""

    provider: ProviderName
    tenant_id: str = ""
    client_id: str = ""
    client_secret_file: Path | None = None
    refresh_token_file: Path | None = None
    identity_token_file: Path | None = None
    """A service account's token, projected: what workload identity shows."""
    service_account_file: Path | None = None
    """Google's credentials as JSON, of whichever type."""
    role_arn: str = ""
    region: str = ""
    base_url: str = ""
    secret: SecretPlace | None = None
    """A Flux Secret holds all of it."""
    setting: str = ""
    """Names it in messages."""


class Provider(Protocol):
    """Makes credentials for places. Safe for concurrent callers."""

    async def obtain(self, place: Place) -> Credential | None:
        """Return what to show there, or None where it has nothing for it.

        Raises:
            ConfigError: the identity is incomplete, or a library is missing. AuthError: its issuer refuses it.
            UpstreamError and kin: the issuer fails.
        """
        ...

    def reject(self, secret: str) -> None:
        """Somebody refused what was made: the next is another."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the identity itself holds; what is made of it, the cache knows."""
        ...
