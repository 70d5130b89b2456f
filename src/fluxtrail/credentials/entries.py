"""One entry of the `credentials` setting: read, checked, and whom it admits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fluxtrail.credentials.credential import TOKEN_USERNAME, Kind
from fluxtrail.credentials.github_app import AppIdentity, make_identity
from fluxtrail.credentials.github_key import parse_app_key
from fluxtrail.credentials.providers.endpoints import check_issuer
from fluxtrail.credentials.providers.entries import FIELDS as PROVIDER_FIELDS
from fluxtrail.credentials.providers.entries import parse_identity, parse_provider
from fluxtrail.credentials.providers.place import Identity
from fluxtrail.model.errors import ConfigError

AZURE_HOST = "dev.azure.com"
_FIELDS = (
    "host",
    "owner",
    "token",
    "token_file",
    "username",
    "password",
    "password_file",
    "ssh_key_file",
    "known_hosts_file",
    "app_id",
    "private_key_file",
    "installation_id",
    *PROVIDER_FIELDS,
)
_APP_FIELDS = ("app_id", "installation_id", "installation_owner")
_SECRETS = ("token", "token_file", "password", "password_file", "ssh_key_file", "private_key_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One entry of the settings, checked. `host` may name a port; `owner` is a prefix on whole segments."""

    host: str
    owner: str = ""
    username: str = TOKEN_USERNAME
    secret: str = field(default="", repr=False)
    secret_file: Path | None = None
    is_token: bool = True
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None
    app: AppIdentity | None = None
    """Its tokens are made when they are needed, and end after an hour."""
    identity: Identity | None = None
    """The same, of another issuer."""

    @property
    def is_made(self) -> bool:
        """Its credentials are made when they are asked for: that takes a while, and may fail."""
        return self.app is not None or self.identity is not None

    @property
    def kind(self) -> Kind:
        if self.ssh_key_file is not None:
            return "ssh"
        return "token" if self.is_token else "basic"

    def is_one_of(self, kinds: tuple[Kind, ...]) -> bool:
        """Whether it gives a credential of one of `kinds`; what an identity gives is known when it is there."""
        return self.kind in kinds if self.identity is None else bool({"token", "basic"} & set(kinds))

    def admits(self, host: str, owner: str, port: int | None) -> bool:
        if self.host not in (host, f"{host}:{port}", known_as(host, port)):
            return False
        return not self.owner or owner == self.owner or owner.startswith(self.owner + "/")


def parse_binding(value: Mapping[str, object], *, field_name: str) -> Binding:
    """Check one entry of the `credentials` setting.

    Raises:
        ConfigError: `subject` is `field_name`; no secret is quoted.
    """
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        raise ConfigError(f"unknown field {unknown[0]!r}; known: {', '.join(_FIELDS)}", subject=field_name)
    wrong = sorted(name for name, text in value.items() if text is not None and not _is_text(name, text))
    if wrong:
        raise ConfigError(f"{wrong[0]} must be text", subject=field_name)
    entry = {name: str(text).strip() for name, text in value.items() if text}
    host = entry.get("host", "").lower()
    if not host or "/" in host or "@" in host:
        raise ConfigError("host is missing or is not a bare host name such as github.com", subject=field_name)
    provider = parse_provider(entry, field_name)
    identity = parse_identity(entry, provider, field_name)
    secrets = [name for name in _SECRETS if name in entry]
    owner = (entry.get("owner") or entry.get("installation_owner", "")).strip("/").lower()
    if "owner" in entry and "installation_owner" in entry:
        raise ConfigError("owner and installation_owner are the same, write one", subject=field_name)
    if identity is not None:
        if secrets:
            stated = "flux_secret" if identity.secret else f"provider {provider}"
            raise ConfigError(f"{secrets[0]} and {stated} exclude each other", subject=field_name)
        return Binding(host=host, owner=owner, username=entry.get("username", TOKEN_USERNAME), identity=identity)
    if len(secrets) != 1:
        raise ConfigError(
            f"exactly one of {', '.join(_SECRETS)} is needed; found {', '.join(secrets) or 'none'}",
            subject=field_name,
        )
    is_token = secrets[0] in ("token", "token_file", "private_key_file")
    if secrets[0].startswith("password") and "username" not in entry:
        raise ConfigError("a password needs a username", subject=field_name)
    app = _parse_app_entry(entry, field_name)
    file = entry.get("token_file") or entry.get("password_file")
    return Binding(
        host=host,
        owner=owner,
        username=entry.get("username", TOKEN_USERNAME),
        secret=entry.get("token") or entry.get("password") or "",
        secret_file=Path(file) if file else None,
        is_token=is_token,
        ssh_key_file=Path(entry["ssh_key_file"]) if "ssh_key_file" in entry else None,
        known_hosts_file=Path(entry["known_hosts_file"]) if "known_hosts_file" in entry else None,
        app=app,
    )


def _is_text(name: str, value: object) -> bool:
    is_id = name in ("app_id", "installation_id")  # YAML reads these as numbers
    return isinstance(value, str | Path) or (is_id and isinstance(value, int) and not isinstance(value, bool))


def _parse_app_entry(entry: Mapping[str, str], field_name: str) -> AppIdentity | None:
    if "private_key_file" not in entry:
        if stray := [name for name in (*_APP_FIELDS, "base_url") if name in entry]:
            raise ConfigError(f"{stray[0]} needs a private_key_file", subject=field_name)
        return None
    if "app_id" not in entry:
        raise ConfigError("a private_key_file needs an app_id", subject=field_name)
    key = parse_app_key(entry["private_key_file"], setting=f"{field_name}.private_key_file")
    names = (f"{field_name}.app_id", f"{field_name}.installation_id")
    app = make_identity(entry["app_id"], key, entry.get("installation_id", ""), field_names=names)
    base_url = entry.get("base_url", "")
    return replace(app, api_url=check_issuer(base_url, setting=f"{field_name}.base_url")) if base_url else app


def known_as(host: str, port: int | None) -> str:
    """Return the other name of a host: Azure DevOps' organisations also have one each, of old."""
    return AZURE_HOST if port is None and host.endswith(".visualstudio.com") else host
