"""Docker's `config.json`: logins for registries, and which helper program knows others.

    {"auths": {"ghcr.io": {"auth": "<base64 of user:password>"}},
     "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "pass"}

Looked for in `$DOCKER_CONFIG/config.json`, else `$HOME/.docker/config.json`, else where podman keeps its own
(`$REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`). Read again when it changes: a mounted secret rotates.
Source: docker/cli, cli/config/configfile; containers/image, containers-auth.json(5).
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fluxtrail.model.errors import ConfigError

CONFIG_LIMIT_BYTES = 1024 * 1024
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLogin:
    """What to show to one registry. Its representation never holds a secret."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token, exchanged at the registry's token service for one that lasts minutes."""
    registry_token: str = field(default="", repr=False)
    """A token that is sent to the registry itself."""

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(text for text in (self.password, self.identity_token, self.registry_token) if text)


class _Auth(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class _Config(msgspec.Struct, rename="camel"):
    auths: dict[str, _Auth | None] | None = None
    cred_helpers: dict[str, str | None] | None = None
    creds_store: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """One file, parsed. Keys are hosts, or hosts and the beginning of a repository, in lower case."""

    logins: Mapping[str, RegistryLogin] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    def find_login(self, registry: str, repository: str) -> RegistryLogin | None:
        """Return the login under the longest key that `registry/repository` lies in."""
        return next((self.logins[key] for key in _keys(registry, repository) if key in self.logins), None)

    def find_helper(self, registry: str, repository: str) -> str:
        """Return the name of the helper program to ask about the registry; empty where there is none."""
        keys = _keys(registry, repository)
        return next((self.helpers[key] for key in keys if key in self.helpers), self.store)


def server_name(registry: str) -> str:
    """Return a registry's name as helpers know it; Docker Hub's is a URL for reasons of history."""
    return DOCKER_HUB_KEY if registry in _DOCKER_HUB else registry


def parse_docker_config(data: bytes, *, subject: str) -> DockerConfig:
    """Read a `config.json`.

    Raises:
        ConfigError: not JSON, another shape, or an `auth` that is not base64 of `user:password`. Quotes no value.
    """
    try:
        wire = msgspec.json.decode(data, type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(
            "it is not a docker configuration in JSON; run `docker login` again", subject=subject
        ) from exc
    logins = {
        _normalise(key): login
        for key, auth in (wire.auths or {}).items()
        if auth is not None and (login := _read_auth(auth, f"{subject}: auths[{key}]")) is not None
    }
    helpers = {_normalise(key): name for key, name in (wire.cred_helpers or {}).items() if name}
    return DockerConfig(logins=logins, helpers=helpers, store=wire.creds_store or "")


def find_config_file(environ: Mapping[str, str]) -> Path | None:
    """Return the first file that exists among the places of docker and podman; only docker's own if it is stated."""
    stated = environ.get("DOCKER_CONFIG", "")
    if stated:
        candidates = [Path(stated) / "config.json"]
    else:
        candidates = [Path(home) / ".docker" / "config.json" for home in (environ.get("HOME"),) if home]
        candidates += [Path(file) for file in (environ.get("REGISTRY_AUTH_FILE"),) if file]
        runtime = (environ.get("XDG_RUNTIME_DIR"),)
        candidates += [Path(folder) / "containers" / "auth.json" for folder in runtime if folder]
    return next((path for path in candidates if _is_file(path)), None)


class DockerConfigFile:
    """The configuration of an environment, read again when its file changes, appears or goes."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._identity: tuple[Path, int, int, int] | None = None
        self._config = DockerConfig()

    def read(self) -> DockerConfig:
        """Return what the file says now; nothing at all where there is none.

        Raises:
            ConfigError: it cannot be read or understood; `subject` is the file.
        """
        path = find_config_file(self._environ)
        if path is None:
            self._identity, self._config = None, DockerConfig()
            return self._config
        try:
            stat = path.stat()
            identity = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if identity != self._identity:
                if stat.st_size > CONFIG_LIMIT_BYTES:
                    raise ConfigError(f"{stat.st_size} bytes are no docker configuration", subject=str(path))
                self._config = parse_docker_config(path.read_bytes(), subject=str(path))
                self._identity = identity
        except OSError as exc:
            raise ConfigError(f"the docker configuration cannot be read: {exc.strerror}", subject=str(path)) from exc
        return self._config


def _read_auth(auth: _Auth, subject: str) -> RegistryLogin | None:
    username, password = auth.username or "", auth.password or ""
    if auth.auth:
        try:
            plain = base64.b64decode(auth.auth, validate=True).decode("utf-8").rstrip("\x00")
        except (binascii.Error, ValueError) as exc:
            raise ConfigError("auth is not base64 of user:password", subject=subject) from exc
        username, colon, password = plain.partition(":")
        if not colon:
            raise ConfigError("auth is not base64 of user:password", subject=subject)
    login = RegistryLogin(
        username=username,
        password=password,
        identity_token=auth.identitytoken or "",
        registry_token=auth.registrytoken or "",
    )
    return login if login.secrets else None


def _normalise(key: str) -> str:
    """`https://ghcr.io/v2/` → `ghcr.io`, and all of Docker Hub's names → `docker.io`."""
    bare = key.strip().lower().removeprefix("https://").removeprefix("http://").rstrip("/")
    host, _, path = bare.partition("/")
    path = "" if path in ("v1", "v2") else path
    host = "docker.io" if host in _DOCKER_HUB else host
    return f"{host}/{path}" if path else host


def _keys(registry: str, repository: str) -> list[str]:
    """From the most exact to the host alone."""
    names = _normalise(registry).split("/")[:1] + [name for name in repository.split("/") if name]
    return ["/".join(names[:length]) for length in range(len(names), 0, -1)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # it is there, and reading it will say what is wrong
