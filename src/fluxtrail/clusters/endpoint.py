"""What it takes to reach one API server, wherever that was written down. Values only; secrets never show in a repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact_url


class Secret:
    """Text that must not be printed by accident. Ask for it by name with `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret([redacted])"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, kw_only=True)
class Pem:
    """A certificate or a key: PEM bytes written in place, or the file they stand in (read again when it changes)."""

    subject: str
    """The field it comes from, for errors."""
    data: bytes | None = field(default=None, repr=False)
    path: Path | None = None

    def load(self) -> bytes:
        """Return the PEM bytes.

        Raises:
            ConfigError: the file cannot be read.
        """
        if self.data is not None:
            return self.data
        if self.path is None:
            raise ConfigError("neither data nor a file was given", subject=self.subject)
        try:
            return self.path.read_bytes()
        except OSError as error:
            message = f"cannot read {self.path}: {error.strerror}; check that the file exists and may be read"
            raise ConfigError(message, subject=self.subject) from error


@dataclass(frozen=True, kw_only=True)
class BearerToken:
    token: Secret


@dataclass(frozen=True, kw_only=True)
class BearerTokenFile:
    path: Path
    subject: str


@dataclass(frozen=True, kw_only=True)
class BasicLogin:
    username: str
    password: Secret


@dataclass(frozen=True, kw_only=True)
class ExecPlugin:
    """A credential plugin: a command that prints an `ExecCredential`."""

    subject: str
    command: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, Secret], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    install_hint: str = ""
    provides_cluster_info: bool = False
    cluster_config: object = field(default=None, repr=False)
    """The cluster's extension `client.authentication.k8s.io/exec`, handed on as it is."""


Login = BearerToken | BearerTokenFile | BasicLogin | ExecPlugin


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One API server and how to be let in."""

    name: str
    """What people call it: a label, never an identity."""
    server: str
    """Base URL, possibly with a path prefix; no userinfo, no trailing slash."""
    authority: Pem | None = None
    is_verified: bool = True
    tls_server_name: str | None = None
    proxy_url: str | None = field(default=None, repr=False)
    certificate: Pem | None = None
    key: Pem | None = None
    login: Login | None = None
    namespace: str = "default"

    @property
    def shown_proxy(self) -> str:
        return redact_url(self.proxy_url or "")
