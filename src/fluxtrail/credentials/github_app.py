"""A GitHub App's tokens: a signed JWT for the App, an hour's token for each installation of it.

    App id + private key ──JWT──▶ installation (by its id, or by the owner) ──▶ token, for most of its hour

An installation belongs to one owner, and its token is only given for that owner: what GitHub says about the
installation decides, not who asks.

Source: docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App", "Authenticating as a GitHub App
installation".
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
import structlog

from fluxtrail.credentials.github_api import AppApi, Installation
from fluxtrail.credentials.github_key import VARIABLE, AppKey, parse_app_key
from fluxtrail.credentials.tokens.cache import Issued, TokenCache
from fluxtrail.credentials.tokens.keys import digest
from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, NotFoundError

log = structlog.get_logger(__name__)

KNOWN_SECONDS = 3600.0
ABSENT_SECONDS = 600.0
"""How long an owner's installation, or the want of one, is believed."""
OWNERS_LIMIT = 1_000

_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?")
_APP_ID = re.compile(r"[0-9]{1,19}|Iv[A-Za-z0-9.]{6,60}")
_ID = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppIdentity:
    """Who we are to GitHub. Its representation never holds the key."""

    app_id: str
    key: AppKey
    installation_id: int | None = None
    """None: found by the owner of what is asked for."""
    api_url: str = ""
    """Of its GitHub, where the host of the repositories does not tell."""


def parse_app(environ: Mapping[str, str]) -> AppIdentity | None:
    """Return the App that the environment states, or None.

    Raises:
        ConfigError: it also states GITHUB_TOKEN, or only a part of an App; `subject` is the variable.
    """
    names = ("GITHUB_APP_ID", VARIABLE, "GITHUB_APP_INSTALLATION_ID")
    app_id, key, installation_id = (environ.get(name, "").strip() for name in names)
    if not (app_id or key or installation_id):
        return None
    if environ.get("GITHUB_TOKEN", "").strip():
        raise ConfigError("a token and a GitHub App exclude each other; unset GITHUB_TOKEN or it", subject=names[0])
    for name, text in ((names[0], app_id), (VARIABLE, key)):
        if not text:
            raise ConfigError(f"is missing: {names[0]} and {VARIABLE} come together", subject=name)
    return make_identity(app_id, parse_app_key(key), installation_id, field_names=(names[0], names[2]))


def make_identity(app_id: str, key: AppKey, installation_id: str, *, field_names: tuple[str, str]) -> AppIdentity:
    """Check the ids of an App.

    Raises:
        ConfigError: one of them is no id; `subject` is its name of `field_names`.
    """
    if not _APP_ID.fullmatch(app_id):
        raise ConfigError(f"{app_id[:40]!r} is no App id, such as 123456 (App settings, About)", subject=field_names[0])
    if installation_id and not _ID.fullmatch(installation_id):
        raise ConfigError(f"{installation_id[:40]!r} is no installation id, such as 12345678", subject=field_names[1])
    return AppIdentity(app_id=app_id, key=key, installation_id=int(installation_id) if installation_id else None)


class _NotInstalledError(FluxtrailError):
    """The App is not installed at the owner. Never leaves this module."""


@dataclass(slots=True)
class _Belief:
    """What is known of one owner's installation."""

    installation: Installation | None = None
    until: float = 0.0


class InstallationTokens:
    """The tokens of one App on one GitHub, by owner. Safe for concurrent callers.

    Args:
        session: made by the caller, closed by the caller.
        api_url: `https://api.github.com`, or Enterprise Server's `https://host/api/v3`.
        clock: POSIX seconds.
        cache: shared with other identities; one of its own by default.
    """

    def __init__(
        self,
        identity: AppIdentity,
        session: aiohttp.ClientSession,
        *,
        api_url: str,
        clock: Callable[[], float] = time.time,
        cache: TokenCache | None = None,
    ) -> None:
        self._identity, self._api_url = identity, api_url
        self._api = AppApi(session, app_id=identity.app_id, key=identity.key, api_url=api_url, clock=clock)
        self._cache = cache or TokenCache(wall=clock)
        self._beliefs: OrderedDict[str, _Belief] = OrderedDict()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key and every token that may still be good."""
        return (*self._identity.key.secrets, *self._cache.secrets)

    def may_serve(self, owner: str) -> bool:
        """Whether there may be a token for the owner: False once GitHub said that the App is not installed there."""
        belief = self._beliefs.get(owner.lower())
        return belief is None or belief.installation is not None or self._api.now() >= belief.until

    async def find_token(self, owner: str) -> str | None:
        """Return a token that is good for minutes, or None where the App is not installed at `owner`.

        A token that still holds is given when a new one cannot be had.

        Raises:
            ConfigError: the key is gone or wrong. AuthError: GitHub refuses the App. UpstreamError: GitHub fails.
        """
        owner = owner.lower()
        if not _OWNER.fullmatch(owner) or not self.may_serve(owner):
            return None
        key = self._key(owner)
        try:
            return await self._cache.get(key, lambda: self._fetch(owner), provider="github")
        except _NotInstalledError:
            self._cache.forget(key)
            return None

    def reject(self, token: str) -> None:
        """GitHub refused the token: the next `find_token` gets another, and looks for the installation anew."""
        if self._cache.reject(token):
            for belief in self._beliefs.values():
                belief.until = 0.0

    # -- inside ----------------------------------------------------------------------------------------------

    def _key(self, owner: str) -> str:
        identity = self._identity
        return digest(
            provider="github",
            app=identity.app_id,
            installation=identity.installation_id,
            owner=owner,
            url=self._api_url,
            key=identity.key.read(),
        )

    def _belief(self, owner: str) -> _Belief:
        belief = self._beliefs.setdefault(owner, _Belief())
        self._beliefs.move_to_end(owner)
        while len(self._beliefs) > OWNERS_LIMIT:
            self._beliefs.popitem(last=False)
        return belief

    async def _fetch(self, owner: str) -> Issued[str]:
        belief = self._belief(owner)
        if self._api.now() >= belief.until:
            belief.installation = await self._find_installation(owner)
            lasting = ABSENT_SECONDS if belief.installation is None else KNOWN_SECONDS
            belief.until = self._api.now() + lasting
            if belief.installation is None:
                log.warning("github app not installed", owner=owner, app_id=self._identity.app_id)
        if belief.installation is None:
            raise _NotInstalledError("the App is not installed", subject=owner)
        try:
            text, expires_at = await self._api.make_token(belief.installation.id)
        except NotFoundError as exc:
            belief.until = 0.0  # uninstalled, or installed anew under another id
            raise AuthError(f"the installation {belief.installation.id} is gone: {exc.message}", status=404) from exc
        return Issued(value=text, life_seconds=expires_at - self._api.now(), secrets=(text,))

    async def _find_installation(self, owner: str) -> Installation | None:
        """Return the owner's installation; None where there is none, or where the stated one is another owner's."""
        if self._identity.installation_id is not None:
            found = await self._api.find_installation(f"/app/installations/{self._identity.installation_id}")
            if found is None:
                raise ConfigError(
                    f"GitHub knows no installation {self._identity.installation_id} of this App; correct it, or leave "
                    "it out: it is then found by the owner",
                    subject="installation_id (GITHUB_APP_INSTALLATION_ID)",
                )
        else:
            name = quote(owner, safe="")
            found = await self._api.find_installation(f"/orgs/{name}/installation")
            found = found or await self._api.find_installation(f"/users/{name}/installation")
        return found if found is not None and found.owner == owner else None


def github_api_url(host: str) -> str:
    """Return where the GitHub that serves repositories at `host` has its API; `host` may name a port."""
    if host == "github.com" or host.endswith(".ghe.com"):
        return f"https://api.{host}"
    return f"https://{host}/api/v3"
