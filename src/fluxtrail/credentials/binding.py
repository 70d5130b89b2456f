"""Credentials bound to the host, and optionally the owner, that they are for.

A URL found in data never decides which secret it is given: the binding does. The most exact binding wins
(host with port over host, longer owner over shorter), and settings win over the environment.

    credentials:
      - host: github.com
        owner: acme              # this owner and what is below it; without it the whole host
        token_file: /etc/fluxtrail/github-token
      - host: git.example.com
        ssh_key_file: /etc/fluxtrail/id_ed25519
        known_hosts_file: /etc/fluxtrail/known_hosts
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from fluxtrail.model.errors import ConfigError

Kind = Literal["token", "basic", "ssh"]

TOKEN_USERNAME = "x-access-token"  # noqa: S105 - the login GitHub documents for tokens over git; others take any
SECRET_FILE_LIMIT_BYTES = 64 * 1024
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
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What to show to a host. Its representation never holds the secret."""

    kind: Kind
    username: str = TOKEN_USERNAME
    secret: str = field(default="", repr=False)
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None


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

    @property
    def kind(self) -> Kind:
        if self.ssh_key_file is not None:
            return "ssh"
        return "token" if self.is_token else "basic"

    def admits(self, host: str, owner: str, port: int | None) -> bool:
        if self.host not in (host, f"{host}:{port}"):
            return False
        return not self.owner or owner == self.owner or owner.startswith(self.owner + "/")


class CredentialSource:
    """Finds the credential for a host and owner; token files are read again when they change.

    Kubernetes rotates a mounted secret by renaming a directory: identity is (inode, size, mtime), checked on
    every `find`, so that a rotated token is used without a restart.
    """

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        self._bindings = list(bindings)
        self._files: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._retired: list[str] = []

    @classmethod
    def from_settings(
        cls,
        values: Sequence[Mapping[str, object]],
        *,
        environ: Mapping[str, str] | None = None,
        github_base_url: str = "https://api.github.com",
    ) -> CredentialSource:
        """Build from the `credentials` setting, and `GITHUB_TOKEN` bound to the host that `github_base_url` serves.

        Raises:
            ConfigError: an entry has an unknown field, no host, or not exactly one secret.
        """
        bindings = [parse_binding(value, field_name=f"credentials[{index}]") for index, value in enumerate(values)]
        token = (environ or {}).get("GITHUB_TOKEN", "").strip()
        if token:
            bindings.append(Binding(host=repository_host(github_base_url), secret=token))
        return cls(bindings)

    def find(
        self, host: str, owner: str = "", *, port: int | None = None, kinds: tuple[Kind, ...] = ("token", "basic")
    ) -> Credential | None:
        """Return the most exactly bound credential of one of `kinds`, or None.

        Raises:
            ConfigError: its file cannot be read; `subject` is the file.
        """
        host, owner = host.lower(), owner.lower()
        matching = [b for b in self._bindings if b.kind in kinds and b.admits(host, owner, port)]
        if not matching:
            return None
        best = max(matching, key=lambda b: (b.host != host, len(b.owner)))
        return Credential(
            kind=best.kind,
            username=best.username,
            secret=self._read(best.secret_file) if best.secret_file else best.secret,
            ssh_key_file=best.ssh_key_file,
            known_hosts_file=best.known_hosts_file,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret known so far, the rotated ones too: what redaction must clear."""
        held = [b.secret for b in self._bindings] + [text for _, text in self._files.values()] + self._retired
        return tuple(dict.fromkeys(secret for secret in held if secret))

    def _read(self, path: Path) -> str:
        try:
            stat = path.stat()
            identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            known = self._files.get(path)
            if known is not None and known[0] == identity:
                return known[1]
            if stat.st_size > SECRET_FILE_LIMIT_BYTES:
                raise ConfigError(f"the file is {stat.st_size} bytes, which is no token", subject=str(path))
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise ConfigError(f"the credential file cannot be read: {reason}", subject=str(path)) from exc
        if not text:
            raise ConfigError("the credential file is empty", subject=str(path))
        if known is not None:
            self._retired = [*self._retired, known[1]][-8:]
        self._files[path] = (identity, text)
        return text


def parse_binding(value: Mapping[str, object], *, field_name: str) -> Binding:
    """Check one entry of the `credentials` setting.

    Raises:
        ConfigError: `subject` is `field_name`; no secret is quoted.
    """
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        raise ConfigError(f"unknown field {unknown[0]!r}; known: {', '.join(_FIELDS)}", subject=field_name)
    wrong = sorted(name for name, text in value.items() if text is not None and not isinstance(text, str | Path))
    if wrong:
        raise ConfigError(f"{wrong[0]} must be text", subject=field_name)
    entry = {name: str(text).strip() for name, text in value.items() if text}
    host = entry.get("host", "").lower()
    if not host or "/" in host or "@" in host:
        raise ConfigError("host is missing or is not a bare host name such as github.com", subject=field_name)
    secrets = [n for n in ("token", "token_file", "password", "password_file", "ssh_key_file") if n in entry]
    if len(secrets) != 1:
        raise ConfigError(
            "exactly one of token, token_file, password, password_file, ssh_key_file is needed; "
            f"found {', '.join(secrets) or 'none'}",
            subject=field_name,
        )
    is_token = secrets[0].startswith("token")
    if secrets[0].startswith("password") and "username" not in entry:
        raise ConfigError("a password needs a username", subject=field_name)
    file = entry.get("token_file") or entry.get("password_file")
    return Binding(
        host=host,
        owner=entry.get("owner", "").strip("/").lower(),
        username=entry.get("username", TOKEN_USERNAME),
        secret=entry.get("token") or entry.get("password") or "",
        secret_file=Path(file) if file else None,
        is_token=is_token,
        ssh_key_file=Path(entry["ssh_key_file"]) if "ssh_key_file" in entry else None,
        known_hosts_file=Path(entry["known_hosts_file"]) if "known_hosts_file" in entry else None,
    )


def repository_host(github_base_url: str) -> str:
    """Return the host of the repositories that a GitHub API serves: `github.com` for `https://api.github.com`.

    Enterprise Server serves its API under its own host (`https://host/api/v3`), and data residency under
    `https://api.<name>.ghe.com` for repositories on `<name>.ghe.com`.
    """
    parts = urlsplit(github_base_url)
    host = (parts.hostname or "").lower()
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        return host.removeprefix("api.")
    return f"{host}:{parts.port}" if parts.port else host
