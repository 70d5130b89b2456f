"""A GitHub App's tokens: a signed JWT for the App, an hour's token for each installation of it.

    App id + private key ──JWT──▶ installation (by its id, or by the owner) ──▶ token, until 5 minutes before its end

An installation belongs to one owner, and its token is only given for that owner: what GitHub says about the
installation decides, not who asks.

Source: docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App", "Authenticating as a GitHub App
installation".
"""

from __future__ import annotations

import asyncio
import copy
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
from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, NotFoundError

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 300.0
"""A token is replaced this long before its end: a long fetch must not outlive it."""
KNOWN_SECONDS = 3600.0
ABSENT_SECONDS = 600.0
"""How long an owner's installation, or the want of one, is believed."""
OWNERS_LIMIT = 1_000
RETIRED_LIMIT = 32
"""Replaced tokens that redaction still clears: they are good for minutes."""

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


@dataclass(slots=True)
class _Token:
    text: str
    expires_at: float
    """POSIX seconds by GitHub's clock."""


class _Slot:
    """One owner's: the lock makes many who wait for a token cause one request."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.installation: Installation | None = None
        self.believed_until = 0.0
        self.token: _Token | None = None
        self.failures = 0
        self.failure: FluxtrailError | None = None


class InstallationTokens:
    """The tokens of one App on one GitHub, by owner. Safe for concurrent callers.

    Args:
        session: made by the caller, closed by the caller.
        api_url: `https://api.github.com`, or Enterprise Server's `https://host/api/v3`.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        identity: AppIdentity,
        session: aiohttp.ClientSession,
        *,
        api_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._api = AppApi(session, app_id=identity.app_id, key=identity.key, api_url=api_url, clock=clock)
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._retired: list[str] = []

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key and every token that may still be good."""
        tokens = [slot.token.text for slot in self._slots.values() if slot.token is not None]
        return (*self._identity.key.secrets, *tokens, *self._retired)

    def may_serve(self, owner: str) -> bool:
        """Whether there may be a token for the owner: False once GitHub said that the App is not installed there."""
        slot = self._slots.get(owner.lower())
        return slot is None or slot.installation is not None or self._api.now() >= slot.believed_until

    async def find_token(self, owner: str) -> str | None:
        """Return a token that is good for minutes, or None where the App is not installed at `owner`.

        A token that still holds is given when a new one cannot be had.

        Raises:
            ConfigError: the key is gone or wrong. AuthError: GitHub refuses the App. UpstreamError: GitHub fails.
        """
        owner = owner.lower()
        if not _OWNER.fullmatch(owner):
            return None
        slot = self._slot(owner)
        failures = slot.failures
        async with slot.lock:
            now = self._api.now()
            if slot.token is not None and now < slot.token.expires_at - REFRESH_SECONDS:
                return slot.token.text
            if slot.failure is not None and slot.failures != failures:
                raise copy.copy(slot.failure)  # of the attempt that this caller waited for
            try:
                return await self._renew(slot, owner)
            except FluxtrailError as exc:
                slot.failure = exc
                slot.failures += 1
                if exc.retryable and slot.token is not None and self._api.now() < slot.token.expires_at:
                    log.warning("github app token not renewed", owner=owner, error=str(exc))
                    return slot.token.text
                raise

    def reject(self, token: str) -> None:
        """GitHub refused the token: the next `find_token` gets another."""
        for slot in self._slots.values():
            if slot.token is not None and slot.token.text == token:
                self._retire(slot)
                slot.believed_until = 0.0

    # -- inside ----------------------------------------------------------------------------------------------

    def _slot(self, owner: str) -> _Slot:
        slot = self._slots.get(owner)
        if slot is None:
            slot = self._slots[owner] = _Slot()
            while len(self._slots) > OWNERS_LIMIT:
                self._retire(self._slots.popitem(last=False)[1])
        self._slots.move_to_end(owner)
        return slot

    async def _renew(self, slot: _Slot, owner: str) -> str | None:
        if self._api.now() >= slot.believed_until:
            slot.installation = await self._find_installation(owner)
            lasting = ABSENT_SECONDS if slot.installation is None else KNOWN_SECONDS
            slot.believed_until = self._api.now() + lasting
            if slot.installation is None:
                log.warning("github app not installed", owner=owner, app_id=self._identity.app_id)
        if slot.installation is None:
            self._retire(slot)
            return None
        try:
            text, expires_at = await self._api.make_token(slot.installation.id)
        except NotFoundError as exc:
            slot.believed_until = 0.0  # uninstalled, or installed anew under another id
            raise AuthError(f"the installation {slot.installation.id} is gone: {exc.message}", status=404) from exc
        self._retire(slot)
        slot.token = _Token(text, expires_at)
        return text

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

    def _retire(self, slot: _Slot) -> None:
        if slot.token is not None:
            self._retired = [*self._retired, slot.token.text][-RETIRED_LIMIT:]
            slot.token = None


def github_api_url(host: str) -> str:
    """Return where the GitHub that serves repositories at `host` has its API; `host` may name a port."""
    if host == "github.com" or host.endswith(".ghe.com"):
        return f"https://api.{host}"
    return f"https://{host}/api/v3"
