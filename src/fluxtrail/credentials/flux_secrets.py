"""Credentials that are a Secret of a cluster, as Flux keeps them: read by its name, and only where settings name it.

| keys | what they are |
|---|---|
| `githubAppID`, `githubAppPrivateKey`, `githubAppInstallationID` or `…Owner`, `githubAppBaseURL` | a GitHub App |
| `username`, `password` | a login |
| `bearerToken` | a token |
| `gcpServiceAccount` | Google's credentials |
| `.dockerconfigjson` | logins of registries |

Source: fluxcd/pkg runtime/secrets; the keys of document 003's draft (`githubInstallationID`, `githubPrivateKey`,
`githubApiURl`) are taken too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fluxtrail.credentials.credential import Credential
from fluxtrail.credentials.dockerconfig import parse_docker_config
from fluxtrail.credentials.github_app import AppIdentity, make_identity
from fluxtrail.credentials.github_key import parse_app_pem
from fluxtrail.credentials.providers.endpoints import check_outside
from fluxtrail.credentials.providers.place import Identity, Place, Provider, ProviderName, SecretPlace
from fluxtrail.credentials.tokens.cache import Issued, TokenCache
from fluxtrail.credentials.tokens.keys import digest
from fluxtrail.model.errors import ConfigError

KEPT_SECONDS = 75.0
"""A Secret is read again a minute after it was read; a refused credential makes it sooner."""
_APP_KEYS = ("githubAppID", "githubAppPrivateKey", "githubPrivateKey")
_GITHUB_HOST = "github.com"


class SecretReader(Protocol):
    async def read(self, place: SecretPlace) -> Mapping[str, bytes]:
        """Return the data of a Secret, decoded.

        Raises:
            AuthError: it may not be read. NotFoundError: there is none. UpstreamError: the API server fails.
        """
        ...


class AppTokens(Protocol):
    async def find_token(self, owner: str) -> str | None: ...

    def reject(self, token: str) -> None: ...

    @property
    def secrets(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Makers:
    """What makes credentials of what a Secret holds."""

    app: Callable[[str, AppIdentity], AppTokens]
    """Of the host of repositories, and an App."""
    google: Callable[[str], Provider]
    """Of Google's credentials as JSON."""


@dataclass(frozen=True, slots=True)
class _Content:
    data: Mapping[str, str] = field(repr=False)
    digest: str


class FluxSecretProvider:
    """What one Secret holds. Safe for concurrent callers.

    Args:
        identity: `secret` says which; `provider` what it must hold, `generic` is whatever its keys are of.
        host: of the repositories.
    """

    def __init__(
        self, identity: Identity, *, host: str, reader: SecretReader, cache: TokenCache, makers: Makers
    ) -> None:
        assert identity.secret is not None
        self._place, self._provider = identity.secret, identity.provider
        self._base_url, self._host = identity.base_url, host
        self._setting = identity.setting or f"Secret {identity.secret}"
        self._reader, self._cache, self._makers = reader, cache, makers
        self._app: tuple[str, AppTokens, str, str] | None = None
        """Digest of the content, the App's tokens, the one owner they are for (empty: any), and its GitHub."""
        self._google: tuple[str, Provider] | None = None

    def __repr__(self) -> str:
        return f"FluxSecretProvider({str(self._place)!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        made = self._app[1].secrets if self._app is not None else ()
        return (*made, *(self._google[1].secrets if self._google is not None else ()))

    def reject(self, secret: str) -> None:
        self._cache.reject(secret)
        if self._app is not None:
            self._app[1].reject(secret)
        if self._google is not None:
            self._google[1].reject(secret)

    async def obtain(self, place: Place) -> Credential | None:
        content = await self._read()
        kind = self._kind_of(content.data)
        if kind == "github":
            return await self._of_app(content, place)
        if kind == "gcp":
            return await self._of_google(content, place)
        return self._generic(content.data, place)

    # -- inside ----------------------------------------------------------------------------------------------

    async def _read(self) -> _Content:
        async def fetch() -> Issued[_Content]:
            found = await self._reader.read(self._place)
            try:
                data = {name: text.decode("utf-8").strip() for name, text in found.items()}
            except UnicodeDecodeError:
                raise self._refuse("holds bytes that are no text") from None
            content = _Content(data, digest(**{f"key {name}": text for name, text in data.items()}))
            return Issued(value=content, life_seconds=KEPT_SECONDS, secrets=tuple(filter(None, data.values())))

        key = digest(provider="secret", place=self._place, context=self._place.context, cluster=self._place.cluster)
        return await self._cache.get(key, fetch, provider="secret")

    def _kind_of(self, data: Mapping[str, str]) -> ProviderName:
        found: ProviderName = "generic"
        if any(name in data for name in _APP_KEYS):
            found = "github"
        elif "gcpServiceAccount" in data:
            found = "gcp"
        if self._provider not in ("generic", found):
            raise self._refuse(f"does not hold what the provider {self._provider} needs")
        return found

    async def _of_app(self, content: _Content, place: Place) -> Credential | None:
        if self._app is None or self._app[0] != content.digest:
            app, owner = self._parse_app(content.data)
            self._app = (content.digest, self._makers.app(self._host, app), owner, github_host(app.api_url))
        _, tokens, owner, github = self._app
        if self._place.cluster and place.host != github:
            return None  # a watched object named host and Secret: the App's own GitHub is the only one that is meant
        wanted = place.owner.partition("/")[0] if place.is_registry else place.owner
        if owner and wanted.lower() != owner:
            return None
        token = await tokens.find_token(wanted)
        return Credential(kind="token", secret=token) if token is not None else None

    def _parse_app(self, data: Mapping[str, str]) -> tuple[AppIdentity, str]:
        pem = data.get("githubAppPrivateKey") or data.get("githubPrivateKey", "")
        number = data.get("githubAppInstallationID") or data.get("githubInstallationID", "")
        owner = data.get("githubAppInstallationOwner", "").lower()
        if number and owner:
            raise self._refuse("has githubAppInstallationID and githubAppInstallationOwner; one of them is enough")
        names = (f"{self._setting}: githubAppID", f"{self._setting}: githubAppInstallationID")
        key = parse_app_pem(pem, setting=f"{self._setting}: githubAppPrivateKey")
        app = make_identity(data.get("githubAppID", ""), key, number, field_names=names)
        base_url = self._base_url
        if not base_url and (stated := data.get("githubAppBaseURL") or data.get("githubApiURl", "")):
            base_url = check_outside(stated, setting=f"{self._setting}: githubAppBaseURL")
        if base_url:
            app = AppIdentity(app_id=app.app_id, key=key, installation_id=app.installation_id, api_url=base_url)
        return app, owner

    async def _of_google(self, content: _Content, place: Place) -> Credential | None:
        if self._google is None or self._google[0] != content.digest:
            self._google = (content.digest, self._makers.google(content.data["gcpServiceAccount"]))
        return await self._google[1].obtain(place)

    def _generic(self, data: Mapping[str, str], place: Place) -> Credential | None:
        if place.is_registry and ".dockerconfigjson" in data:
            config = parse_docker_config(data[".dockerconfigjson"].encode(), subject=f"Secret {self._place}")
            login = config.find_login(place.netloc, place.owner) or config.find_login(place.host, place.owner)
            if login is None or not login.password:
                return None
            return Credential(kind="basic", username=login.username, secret=login.password)
        if token := data.get("bearerToken"):
            return Credential(kind="token", secret=token, is_bearer=True)
        if data.get("username") and data.get("password"):
            return Credential(kind="basic", username=data["username"], secret=data["password"])
        if "identity" in data:
            raise self._refuse("holds an SSH key, which is taken of a file only: mount it, and state ssh_key_file")
        raise self._refuse("has none of username and password, bearerToken, githubAppID, gcpServiceAccount")

    def _refuse(self, why: str) -> ConfigError:
        return ConfigError(f"the Secret {self._place} {why}", subject=self._setting)


def github_host(data_url: str) -> str:
    """Return the host of the repositories that a GitHub's API address, or none, is of."""
    match = re.match(r"https?://([^/]+)", data_url)
    if match is None:
        return _GITHUB_HOST
    host = match[1].lower()
    return host.removeprefix("api.") if host == "api.github.com" or host.endswith(".ghe.com") else host
