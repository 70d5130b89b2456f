"""Which token is shown to the artifact metadata API: a GitHub App's, a stated one, or one bound to its host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from fluxtrail.credentials.binding import Credential, CredentialSource, Kind, TokenIssuer, repository_host
from fluxtrail.credentials.files import SecretFiles
from fluxtrail.credentials.github_app import AppIdentity, InstallationTokens
from fluxtrail.model.errors import AuthError

_KINDS: tuple[Kind, ...] = ("token",)


class Bearer(Protocol):
    """Gives the token to show. Safe for concurrent callers."""

    async def obtain(self) -> str | None:
        """Return the token, or None where there is none at all.

        Raises:
            ConfigError: a file cannot be read. AuthError, UpstreamError: a GitHub App gets no token.
        """

    async def renew(self, rejected: str) -> str | None:
        """Return another token in place of one that was refused (401), or None where there is no other."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be in any message."""


class AppBearer:
    """A GitHub App's installation at the organisation."""

    def __init__(self, issuer: TokenIssuer, organization: str) -> None:
        self._issuer, self._organization = issuer, organization

    async def obtain(self) -> str | None:
        token = await self._issuer.find_token(self._organization)
        if token is None:
            # Without a token GitHub would answer 404, as for an artifact that it does not know.
            raise AuthError(
                f"the GitHub App is not installed at {self._organization}; install it there with the permission "
                "'Artifact metadata: write', or correct the installation id",
                subject="deployment_records (GH_APP_ID, GH_INSTALL_ID)",
            )
        return token

    async def renew(self, rejected: str) -> str | None:
        self._issuer.reject(rejected)
        token = await self.obtain()
        return None if token == rejected else token

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._issuer.secrets


class TokenBearer:
    """A stated token, or a file of it that is read again when it changes."""

    def __init__(self, token: str = "", file: Path | None = None) -> None:
        self._token, self._file = token.strip(), file
        self._files = SecretFiles()

    async def obtain(self) -> str | None:
        return self._files.read(self._file) if self._file is not None else self._token

    async def renew(self, rejected: str) -> str | None:
        token = await self.obtain()
        return None if token == rejected else token

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*((self._token,) if self._token else ()), *self._files.secrets)


class BoundBearer:
    """What the `credentials` setting binds to the API's host and the organisation."""

    def __init__(self, credentials: CredentialSource, base_url: str, organization: str) -> None:
        self._credentials, self._owner = credentials, organization
        self._port = urlsplit(base_url).port
        self._host = repository_host(base_url).removesuffix(f":{self._port}")

    async def obtain(self) -> str | None:
        found = await self._credentials.obtain(self._host, self._owner, port=self._port, kinds=_KINDS)
        return found.secret if found is not None else None

    async def renew(self, rejected: str) -> str | None:
        shown = Credential(kind="token", secret=rejected)
        found = await self._credentials.renew(shown, self._host, self._owner, port=self._port, kinds=_KINDS)
        return found.secret if found is not None else None

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._credentials.secrets


def choose_bearer(
    session: aiohttp.ClientSession,
    *,
    base_url: str,
    organization: str,
    app: AppIdentity | None,
    token: str,
    token_file: Path | None,
    credentials: CredentialSource | None,
    clock: Callable[[], float],
) -> Bearer:
    """Return the first there is of: the App, the token, what is bound.

    The App's tokens are made by the API that the records go to, Enterprise Server's too.
    """
    if app is not None:
        return AppBearer(InstallationTokens(app, session, api_url=base_url, clock=clock), organization)
    if token.strip() or token_file is not None or credentials is None:
        return TokenBearer(token, token_file)
    return BoundBearer(credentials, base_url, organization)
