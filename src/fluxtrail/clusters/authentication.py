"""Who we say we are: credentials that may change under us, and how each kind is renewed."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.endpoint import BasicLogin, BearerToken, BearerTokenFile, Endpoint, ExecPlugin, Secret
from fluxtrail.clusters.execplugin import ExecPluginRunner
from fluxtrail.clusters.tls import CertificatePair
from fluxtrail.model.errors import AuthError

_REREAD_SECONDS = 60.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What one request is sent with."""

    authorization: Secret | None = None
    """The whole `Authorization` header."""
    certificate: CertificatePair | None = field(default=None, repr=False)
    """From a plugin; a certificate of the endpoint's own is the TLS context's business."""


class CredentialSource(Protocol):
    """Gives the credential in force. Callers are concurrent; one renewal serves them all."""

    async def current(self) -> Credential:
        """Return the credential to send now.

        Raises:
            AuthError: there is none: an unreadable file, a failing plugin. May succeed later.
        """
        ...

    async def refresh(self, rejected: Credential) -> bool:
        """Renew after a 401 for `rejected`. Returns whether `current` now gives another one: a retry makes sense."""
        ...


class FixedCredentials:
    """A token, a user and password, or nothing: never renewed."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def current(self) -> Credential:
        return self._credential

    async def refresh(self, rejected: Credential) -> bool:
        return self._credential != rejected


class TokenFileCredentials:
    """A token in a file that somebody else rotates: read again once a minute and after a 401.

    A file that cannot be read for a moment (rotation, a slow mount) leaves the last token in force.
    """

    def __init__(self, settings: BearerTokenFile, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._read_at: float | None = None
        self._credential: Credential | None = None

    async def current(self) -> Credential:
        now = self._clock.monotonic()
        if self._credential is None or self._read_at is None or now - self._read_at >= _REREAD_SECONDS:
            self._credential = self._read()
            self._read_at = now
        return self._credential

    async def refresh(self, rejected: Credential) -> bool:
        self._read_at = None
        return await self.current() != rejected

    def _read(self) -> Credential:
        try:
            token = self._settings.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            return self._keep(f"cannot read {self._settings.path}: {getattr(error, 'strerror', 'not text')}", error)
        if not token:
            return self._keep(f"{self._settings.path} is empty", None)
        return Credential(authorization=bearer(token, subject=self._settings.subject))

    def _keep(self, trouble: str, error: Exception | None) -> Credential:
        if self._credential is None:
            message = f"{trouble}; put a token there or correct the path"
            raise AuthError(message, retryable=True, subject=self._settings.subject) from error
        _log.warning("token_file_unreadable", subject=self._settings.subject, trouble=trouble)
        return self._credential


class ExecCredentials:
    """The credential a plugin prints, kept until it expires or is refused."""

    def __init__(self, runner: ExecPluginRunner) -> None:
        self._runner = runner

    async def current(self) -> Credential:
        return _from_plugin(await self._runner.obtain(), self._runner.subject)

    async def refresh(self, rejected: Credential) -> bool:
        # Another request may have renewed it already; then this one only has to try again.
        held = self._runner.held
        if held is not None and _from_plugin(held, self._runner.subject) == rejected:
            self._runner.forget()
        return await self.current() != rejected


def _from_plugin(answer: tuple[Secret | None, CertificatePair | None], subject: str) -> Credential:
    token, certificate = answer
    return Credential(
        authorization=bearer(token.reveal(), subject=subject) if token is not None else None, certificate=certificate
    )


def bearer(token: str, *, subject: str) -> Secret:
    """Return the header for `token`.

    Raises:
        AuthError: it holds a line break or another character that no header may hold.
    """
    if not token.isascii() or not token.isprintable():
        message = "the token holds characters that no HTTP header may hold; check that it is one line of text"
        raise AuthError(message, subject=subject)
    return Secret(f"Bearer {token}")


def credentials_for(endpoint: Endpoint, clock: Clock) -> CredentialSource:
    """Return the source that the endpoint's login asks for."""
    match endpoint.login:
        case BearerToken(token=token):
            return FixedCredentials(Credential(authorization=bearer(token.reveal(), subject=endpoint.name)))
        case BasicLogin(username=username, password=password):
            pair = base64.b64encode(f"{username}:{password.reveal()}".encode()).decode("ascii")
            return FixedCredentials(Credential(authorization=Secret(f"Basic {pair}")))
        case BearerTokenFile() as settings:
            return TokenFileCredentials(settings, clock)
        case ExecPlugin() as plugin:
            return ExecCredentials(ExecPluginRunner(plugin, endpoint, clock))
        case None:
            return FixedCredentials(Credential())
