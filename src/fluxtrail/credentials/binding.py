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
      - host: github.example.com # a GitHub App instead of a token
        app_id: "123456"
        private_key_file: /etc/fluxtrail/app.pem
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from fluxtrail.credentials.files import SecretFiles
from fluxtrail.credentials.github_app import AppIdentity, make_identity, parse_app
from fluxtrail.credentials.github_key import parse_app_key
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact_url

Kind = Literal["token", "basic", "ssh"]

TOKEN_USERNAME = "x-access-token"  # noqa: S105 - the login GitHub documents for tokens over git; others take any
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
)
_SECRETS = ("token", "token_file", "password", "password_file", "ssh_key_file", "private_key_file")
_VARIABLES = (("GITLAB_TOKEN", "gitlab"), ("AZURE_DEVOPS_TOKEN", "azure_devops"))


class TokenIssuer(Protocol):
    """Makes the tokens of one GitHub App; see `credentials/github_app.py`."""

    async def find_token(self, owner: str) -> str | None: ...

    def may_serve(self, owner: str) -> bool: ...

    def reject(self, token: str) -> None: ...

    @property
    def secrets(self) -> tuple[str, ...]: ...


IssuerMaker = Callable[[str, AppIdentity], TokenIssuer]
"""Makes the issuer of an App on the GitHub of a host (which may name a port)."""


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
    app: AppIdentity | None = None
    """Its tokens are made when they are needed, and end after an hour."""

    @property
    def kind(self) -> Kind:
        if self.ssh_key_file is not None:
            return "ssh"
        return "token" if self.is_token else "basic"

    def admits(self, host: str, owner: str, port: int | None) -> bool:
        if self.host not in (host, f"{host}:{port}", _known_as(host, port)):
            return False
        return not self.owner or owner == self.owner or owner.startswith(self.owner + "/")


class CredentialSource:
    """Finds the credential for a host and owner; token files are read again when they change.

    Args:
        make_issuer: for the bindings that are a GitHub App; without it they give nothing.
    """

    def __init__(self, bindings: Iterable[Binding] = (), *, make_issuer: IssuerMaker | None = None) -> None:
        self._bindings = list(bindings)
        self._files = SecretFiles()
        self._issuers: dict[int, TokenIssuer] = {}
        for index, binding in enumerate(self._bindings):
            if binding.app is not None and make_issuer is not None:
                self._issuers[index] = make_issuer(binding.host, binding.app)

    @classmethod
    def from_settings(
        cls,
        values: Sequence[Mapping[str, object]],
        *,
        environ: Mapping[str, str] | None = None,
        github_base_url: str = "https://api.github.com",
        forge_hosts: Mapping[str, str] | None = None,
        make_issuer: IssuerMaker | None = None,
    ) -> CredentialSource:
        """Build from the `credentials` setting and the environment.

        `GITHUB_TOKEN` or `GITHUB_APP_*` is bound to the host that `github_base_url` serves, `GITLAB_TOKEN` and
        `AZURE_DEVOPS_TOKEN` to one host each: that of `forge_hosts`, else gitlab.com and dev.azure.com.

        Args:
            forge_hosts: `gitlab` and `azure_devops`, and the host of each.

        Raises:
            ConfigError: an entry has an unknown field, no host, or not exactly one secret; a token and an App.
        """
        bindings = [parse_binding(value, field_name=f"credentials[{index}]") for index, value in enumerate(values)]
        environ = environ or {}
        app = parse_app(environ)
        if app is not None:
            bindings.append(Binding(host=repository_host(github_base_url), app=app))
        hosts = {"gitlab": "gitlab.com", "azure_devops": AZURE_HOST, **(forge_hosts or {})}
        stated = [("GITHUB_TOKEN", repository_host(github_base_url)), *((name, hosts[k]) for name, k in _VARIABLES)]
        for name, host in stated:
            if token := environ.get(name, "").strip():
                bindings.append(Binding(host=host, secret=token))
        return cls(bindings, make_issuer=make_issuer)

    def find(
        self, host: str, owner: str = "", *, port: int | None = None, kinds: tuple[Kind, ...] = ("token", "basic")
    ) -> Credential | None:
        """Return the most exactly bound credential of one of `kinds` that is there already, or None.

        Who can wait asks `obtain`, which also has the tokens of GitHub Apps.

        Raises:
            ConfigError: its file cannot be read; `subject` is the file.
        """
        for _, binding in self._matching(host, owner, port, kinds):
            if binding.app is None:
                return self._credential(binding)
        return None

    async def obtain(
        self, host: str, owner: str = "", *, port: int | None = None, kinds: tuple[Kind, ...] = ("token", "basic")
    ) -> Credential | None:
        """Return the most exactly bound credential of one of `kinds`, or None.

        A GitHub App that is not installed at the owner gives nothing: then the next binding counts.

        Raises:
            ConfigError: its file cannot be read; `subject` is the file.
            UpstreamError and its kin: GitHub makes no token.
        """
        for index, binding in self._matching(host, owner, port, kinds):
            if binding.app is None:
                return self._credential(binding)
            issuer = self._issuers.get(index)
            # The owner of a repository deeper than owner/name is no owner on GitHub: `find_token` has nothing then.
            token = await issuer.find_token(owner) if issuer is not None else None
            if token is not None:
                return Credential(kind="token", secret=token)
        return None

    async def renew(
        self,
        rejected: Credential,
        host: str,
        owner: str = "",
        *,
        port: int | None = None,
        kinds: tuple[Kind, ...] = ("token", "basic"),
    ) -> Credential | None:
        """Return another credential in place of one that was refused (401), or None where there is no other."""
        for issuer in self._issuers.values():
            issuer.reject(rejected.secret)
        found = await self.obtain(host, owner, port=port, kinds=kinds)
        return None if found is None or found.secret == rejected.secret else found

    def covers(self, host: str, owner: str = "", *, port: int | None = None) -> bool:
        """Whether there is, or can be, a token or password for the owner: nothing is asked, no file is read."""
        found = self._matching(host, owner, port, ("token", "basic"))
        return any(b.app is None or (i in self._issuers and self._issuers[i].may_serve(owner)) for i, b in found)

    def allowance_of(self, host: str, owner: str = "", *, port: int | None = None) -> str:
        """Return whose allowance a call for the owner uses up, and no secret: a token is one, whoever it is used for.

        An App has one at each owner. Without a credential it is the owner's too.
        """
        place = f"{host}:{port}" if port else host
        for index, binding in self._matching(host, owner, port, ("token", "basic")):
            if binding.app is None:
                return "/".join(filter(None, (binding.host, binding.owner)))
            if index in self._issuers and self._issuers[index].may_serve(owner):
                break
        return "/".join(filter(None, (place, owner.strip("/").lower())))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret known so far, the rotated ones too: what redaction must clear."""
        held = [binding.secret for binding in self._bindings] + [*self._files.secrets]
        made = [secret for issuer in self._issuers.values() for secret in issuer.secrets]
        return tuple(dict.fromkeys(secret for secret in (*held, *made) if secret))

    def _matching(self, host: str, owner: str, port: int | None, kinds: tuple[Kind, ...]) -> list[tuple[int, Binding]]:
        """Return the bindings that admit the owner, the most exact first; of equals, the one stated first."""
        host, owner = host.lower(), owner.lower()
        found = [(i, b) for i, b in enumerate(self._bindings) if b.kind in kinds and b.admits(host, owner, port)]
        ranks = {_known_as(host, port): 2, host: 1}  # whatever else was admitted names the port
        return sorted(found, key=lambda pair: (ranks.get(pair[1].host, 0), -len(pair[1].owner), pair[0]))

    def _credential(self, binding: Binding) -> Credential:
        return Credential(
            kind=binding.kind,
            username=binding.username,
            secret=self._files.read(binding.secret_file) if binding.secret_file else binding.secret,
            ssh_key_file=binding.ssh_key_file,
            known_hosts_file=binding.known_hosts_file,
        )


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
    secrets = [name for name in _SECRETS if name in entry]
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
        owner=entry.get("owner", "").strip("/").lower(),
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
        if stray := [name for name in ("app_id", "installation_id") if name in entry]:
            raise ConfigError(f"{stray[0]} needs a private_key_file", subject=field_name)
        return None
    if "app_id" not in entry:
        raise ConfigError("a private_key_file needs an app_id", subject=field_name)
    key = parse_app_key(entry["private_key_file"], setting=f"{field_name}.private_key_file")
    names = (f"{field_name}.app_id", f"{field_name}.installation_id")
    return make_identity(entry["app_id"], key, entry.get("installation_id", ""), field_names=names)


def _known_as(host: str, port: int | None) -> str:
    """Return the other name of a host: Azure DevOps' organisations also have one each, of old."""
    return AZURE_HOST if port is None and host.endswith(".visualstudio.com") else host


def repository_host(github_base_url: str) -> str:
    """Return the host of the repositories that a GitHub API serves: `github.com` for `https://api.github.com`.

    Enterprise Server serves its API under its own host (`https://host/api/v3`), and data residency under
    `https://api.<name>.ghe.com` for repositories on `<name>.ghe.com`.

    Raises:
        ConfigError: it is no URL with a host.
    """
    parts = urlsplit(github_base_url)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigError(
            f"{redact_url(github_base_url)!r} is not the URL of an API, such as https://api.github.com",
            subject="setting github.base_url",
        )
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        return host.removeprefix("api.")
    return f"{host}:{parts.port}" if parts.port else host
