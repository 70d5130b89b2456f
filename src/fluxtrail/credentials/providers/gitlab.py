"""GitLab: access tokens of an OAuth application, got with a refresh token.

GitLab has no grant that needs no user: somebody signs in once, and the refresh token of that is what is kept. Each one
is good for one request, whose answer has the next: it is written back to its file, so that a restart goes on with it.

Source: docs.gitlab.com "OAuth 2.0 identity provider API" (refresh token), "Access Git over HTTPS with access token".
"""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path

import msgspec
import structlog

from fluxtrail.credentials.credential import Credential
from fluxtrail.credentials.providers.exchange import Exchange
from fluxtrail.credentials.providers.place import Identity, Place
from fluxtrail.credentials.tokens.cache import Issued, TokenCache
from fluxtrail.credentials.tokens.keys import Secret, digest
from fluxtrail.model.errors import AuthError, ConfigError

NAME = "GitLab"
USERNAME = "oauth2"
DEFAULT_LIFE_SECONDS = 7200.0
log = structlog.get_logger(__name__)


class _Token(msgspec.Struct):
    access_token: str
    refresh_token: str | None = None
    expires_in: float | None = None

    def __repr__(self) -> str:
        return "_Token([redacted])"


class GitLabProvider:
    """One application's. Safe for concurrent callers of one process; two must not share a refresh token."""

    def __init__(self, identity: Identity, *, host: str, exchange: Exchange, cache: TokenCache) -> None:
        if not identity.client_id or identity.refresh_token_file is None:
            raise ConfigError("an OAuth application needs client_id and refresh_token_file", subject=identity.setting)
        self._client = identity.client_id
        self._file = identity.refresh_token_file
        self._refresh = Secret(file=self._file, setting=f"{identity.setting}: refresh_token_file")
        file = identity.client_secret_file
        self._secret = Secret(file=file, setting=f"{identity.setting}: client_secret_file") if file else None
        self._url = f"{identity.base_url or f'https://{host}'}/oauth/token"
        self._exchange, self._cache = exchange, cache
        self._asking: asyncio.Task[Issued[str]] | None = None
        self._newest = ""
        """A refresh token that could not be written."""
        self._replaced = ""
        """What its file holds, and is no longer good."""

    def __repr__(self) -> str:
        return f"GitLabProvider(url={self._url!r}, client={self._client!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        held = self._secret.secrets if self._secret is not None else ()
        return (*self._refresh.secrets, *held, *filter(None, (self._newest,)))

    def reject(self, secret: str) -> None:
        self._cache.reject(secret)

    async def obtain(self, place: Place) -> Credential | None:
        secret = self._secret.read() if self._secret is not None else ""
        # Not the refresh token, which is another after each answer: the file's name stands for whose it is.
        key = digest(provider="gitlab", url=self._url, client=self._client, secret=secret, file=self._file)
        token = await self._cache.get(key, lambda: self._fetch_whole(secret), provider="gitlab")
        return Credential(kind="token", username=USERNAME, secret=token)

    async def _fetch_whole(self, secret: str) -> Issued[str]:
        """Ask, and write down what comes, also where the one who asked is cancelled: the answer would be lost, and with
        it the only refresh token that is good. Bounded by the request's own deadline.
        """
        self._asking = asyncio.create_task(self._fetch(secret), name="gitlab refresh token")
        return await asyncio.shield(self._asking)

    async def _fetch(self, secret: str) -> Issued[str]:
        refresh = self._refresh.read()
        if self._newest and refresh == self._replaced:
            refresh = self._newest
        form = {"grant_type": "refresh_token", "client_id": self._client, "refresh_token": refresh}
        if secret:
            form["client_secret"] = secret
        shown = (refresh, *filter(None, (secret,)))
        try:
            found = await self._exchange.ask("POST", self._url, _Token, name=NAME, form=form, secrets=shown)
        except AuthError as exc:
            remedy = f"sign in again, and put the new refresh token into {self._file}"
            raise AuthError(f"{exc.message}; {remedy}", status=exc.status, subject=exc.subject) from None
        if found.refresh_token:
            await self._keep(found.refresh_token)
        life = found.expires_in or DEFAULT_LIFE_SECONDS
        return Issued(value=found.access_token, life_seconds=life, secrets=(found.access_token,))

    async def _keep(self, refresh: str) -> None:
        """Write the next refresh token in the place of the one before, which is no longer good."""
        self._replaced = self._refresh.read()
        try:
            await asyncio.to_thread(_replace, self._file, refresh)
            self._newest = ""
        except OSError as exc:
            self._newest = refresh
            log.error("refresh token not written", file=str(self._file), error=exc.strerror)


def _replace(file: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            written.write(text + "\n")
            written.flush()
            os.fsync(written.fileno())
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
