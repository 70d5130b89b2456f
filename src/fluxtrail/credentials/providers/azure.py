"""Azure: what Entra ID issues to a workload, a managed identity or an application; for Azure DevOps and ACR.

As in Flux the first identity that is there is taken: a client secret (or certificate), workload identity, else the
managed identity of the machine. These are a documented request each, made here: azure-identity keeps tokens and waits
by rules of its own, and refuses issuers without TLS. What it alone knows (certificates; App Service, Arc and their kin)
it is asked for.

Source: fluxcd/pkg auth/azure; learn.microsoft.com "OAuth 2.0 client credentials flow", "How to use managed identities
on a virtual machine to acquire an access token", "ACR AAD OAuth".
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from fluxtrail.credentials.credential import Credential
from fluxtrail.credentials.providers.endpoints import Endpoints
from fluxtrail.credentials.providers.exchange import Exchange
from fluxtrail.credentials.providers.extras import bring
from fluxtrail.credentials.providers.place import Identity, Place
from fluxtrail.credentials.tokens.cache import Issued, TokenCache
from fluxtrail.credentials.tokens.keys import Secret, digest, subject_of
from fluxtrail.model.errors import AuthError, ConfigError, UpstreamError
from fluxtrail.model.redaction import redact

NAME = "Azure's identity service"
DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798"
"""The application Azure DevOps, in every tenant."""
REGISTRY_USER = "00000000-0000-0000-0000-000000000000"
REGISTRY_LIFE_SECONDS = 3600.0
"""How long a registry's refresh token is used; it does not say, and lasts three hours."""
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ARM = {
    ".azurecr.cn": "https://management.chinacloudapi.cn",
    ".azurecr.us": "https://management.usgovcloudapi.net",
}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,127}")
_OTHERS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT")
"""Variables of places with a managed identity whose service is not a virtual machine's."""


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    expires_on: float | None = None

    def __repr__(self) -> str:
        return "_Token([redacted])"


class _Exchanged(msgspec.Struct):
    refresh_token: str

    def __repr__(self) -> str:
        return "_Exchanged([redacted])"


class AzureProvider:
    """One identity. Safe for concurrent callers.

    Args:
        environ: what `identity` leaves out: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`, ….
    """

    def __init__(
        self,
        identity: Identity,
        *,
        exchange: Exchange,
        cache: TokenCache,
        environ: Mapping[str, str],
        endpoints: Endpoints,
        clock: Callable[[], float],
    ) -> None:
        self._exchange, self._cache, self._endpoints, self._clock = exchange, cache, endpoints, clock
        self._environ = environ
        self._setting = identity.setting or "credentials: provider azure"
        self._tenant = identity.tenant_id or environ.get("AZURE_TENANT_ID", "").strip()
        self._client = identity.client_id or environ.get("AZURE_CLIENT_ID", "").strip()
        text = environ.get("AZURE_CLIENT_SECRET", "").strip() if identity.client_secret_file is None else ""
        is_stated = bool(identity.client_secret_file or text)
        self._secret = Secret(text, file=identity.client_secret_file, setting=self._setting) if is_stated else None
        proof = identity.identity_token_file or _path(environ.get("AZURE_FEDERATED_TOKEN_FILE"))
        self._proof = Secret(file=proof, setting=self._setting) if proof else None
        self._certificate = _path(environ.get("AZURE_CLIENT_CERTIFICATE_PATH"))
        for name, text in (("tenant_id", self._tenant), ("client_id", self._client)):
            if text and not _ID.fullmatch(text):
                raise ConfigError(f"{text[:80]!r} is no id of Azure", subject=f"{self._setting}: {name}")

    def __repr__(self) -> str:
        return f"AzureProvider(tenant={self._tenant!r}, client={self._client!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(text for held in (self._secret, self._proof) if held is not None for text in held.secrets)

    def reject(self, secret: str) -> None:
        self._cache.reject(secret)

    async def obtain(self, place: Place) -> Credential | None:
        if place.is_registry:
            return await self._registry(place)
        return Credential(kind="token", secret=await self.token(DEVOPS), is_bearer=True)

    async def token(self, resource: str) -> str:
        """Return an access token for `resource`, an application's id or URL.

        Raises:
            As `Provider.obtain`.
        """
        key, fetch = self._plan(resource)
        return await self._cache.get(key, fetch, provider="azure")

    # -- inside ----------------------------------------------------------------------------------------------

    async def _registry(self, place: Place) -> Credential:
        suffix = next((text for text in _ARM if place.host.endswith(text)), "")
        resource = _ARM.get(suffix, "https://management.azure.com")
        identity, _ = self._plan(resource)
        origin = self._endpoints.azure_registry or f"https://{place.netloc}"

        async def exchange() -> Issued[str]:
            token = await self.token(resource)
            form = {"grant_type": "access_token", "service": place.netloc, "access_token": token}
            if self._tenant:
                form["tenant"] = self._tenant
            url = f"{origin}/oauth2/exchange"
            found = await self._exchange.ask("POST", url, _Exchanged, name="the registry", form=form, secrets=(token,))
            secret = found.refresh_token
            return Issued(value=secret, life_seconds=REGISTRY_LIFE_SECONDS, secrets=(secret,))

        key = digest(identity=identity, registry=place.netloc)
        secret = await self._cache.get(key, exchange, provider="azure")
        return Credential(kind="basic", username=REGISTRY_USER, secret=secret)

    def _plan(self, resource: str) -> tuple[str, Callable[[], Any]]:
        """Return the key of a token, and how to get it: by the first identity that is there."""
        parts = {"provider": "azure", "tenant": self._tenant, "client": self._client, "resource": resource}
        parts["authority"] = self._endpoints.azure_authority
        if self._secret is not None:
            secret = self._secret.read()
            shown = {"client_secret": secret}
            return digest(**parts, secret=secret), lambda: self._ask_authority(resource, shown, secret)
        if self._certificate is not None:
            return digest(**parts, certificate=self._certificate), lambda: self._ask_library(resource)
        if self._proof is not None:
            proof = self._proof.read()
            shown = {"client_assertion_type": _ASSERTION, "client_assertion": proof}
            return digest(**parts, subject=subject_of(proof)), lambda: self._ask_authority(resource, shown, proof)
        if any(self._environ.get(name) for name in _OTHERS):
            return digest(**parts, kind="managed"), lambda: self._ask_library(resource)
        return digest(**parts, kind="machine"), lambda: self._ask_machine(resource)

    async def _ask_authority(self, resource: str, shown: Mapping[str, str], secret: str) -> Issued[str]:
        for name, text in (
            ("tenant_id (AZURE_TENANT_ID)", self._tenant),
            ("client_id (AZURE_CLIENT_ID)", self._client),
        ):
            if not text:
                raise ConfigError(f"{name} is missing: an application's identity needs both", subject=self._setting)
        url = f"{self._endpoints.azure_authority}/{quote(self._tenant, safe='')}/oauth2/v2.0/token"
        form = {"grant_type": "client_credentials", "client_id": self._client, "scope": f"{resource}/.default", **shown}
        found = await self._exchange.ask("POST", url, _Token, name=NAME, form=form, secrets=(secret,))
        return self._issued(found, url)

    async def _ask_machine(self, resource: str) -> Issued[str]:
        query = {"api-version": "2018-02-01", "resource": resource}
        if self._client:
            query["client_id"] = self._client
        base = f"{self._endpoints.azure_metadata}/metadata/identity/oauth2/token"
        url = f"{base}?{urlencode(query)}"
        headers = {"Metadata": "true"}
        found = await self._exchange.ask("GET", url, _Token, name=NAME, headers=headers, is_metadata=True)
        return self._issued(found, url)

    def _issued(self, found: _Token, url: str) -> Issued[str]:
        life = found.expires_in
        if life is None:
            life = (found.expires_on or 0.0) - self._exchange.now(url)
        return Issued(value=found.access_token, life_seconds=life, secrets=(found.access_token,))

    async def _ask_library(self, resource: str) -> Issued[str]:
        """Ask azure-identity, which reads the process's own environment, and speaks asyncio."""
        azure, errors = await bring("azure.identity.aio", "azure.core.exceptions", extra="azure", what="this identity")
        try:
            if self._certificate is not None:
                credential = azure.CertificateCredential(
                    self._tenant, self._client, str(self._certificate), authority=self._endpoints.azure_authority
                )
            else:
                credential = azure.ManagedIdentityCredential(client_id=self._client or None)
            async with credential:
                found = await credential.get_token(f"{resource}/.default")
        except errors.ClientAuthenticationError as exc:
            raise AuthError(f"{NAME} refuses the identity: {redact(str(exc))}", subject=self._setting) from None
        except (errors.AzureError, ValueError, OSError) as exc:
            raise UpstreamError(f"{NAME} gives no token: {redact(str(exc))}", subject=self._setting) from None
        life = float(found.expires_on) - self._clock()
        return Issued(value=found.token, life_seconds=life, secrets=(found.token,))


def _path(text: str | None) -> Path | None:
    return Path(text.strip()) if text and text.strip() else None
