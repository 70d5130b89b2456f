"""The kubeconfig's own shapes, and reading one file of it."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fluxtrail.model.errors import ConfigError

FILE_LIMIT_BYTES = 4 * 1024 * 1024


class Extension(msgspec.Struct):
    name: str | None = None
    extension: Any = None


class ClusterEntry(msgspec.Struct, rename="kebab"):
    server: str | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None
    extensions: list[Extension] | None = None


class EnvironmentEntry(msgspec.Struct):
    name: str
    value: str

    def __repr__(self) -> str:
        return f"EnvironmentEntry({self.name})"


class ExecEntry(msgspec.Struct, rename="camel"):
    command: str | None = None
    args: list[str] | None = None
    env: list[EnvironmentEntry] | None = None
    api_version: str | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class UserEntry(msgspec.Struct, rename="kebab"):
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    username: str | None = None
    password: str | None = None
    exec: ExecEntry | None = None
    auth_provider: Any = None
    impersonated_user: str | None = msgspec.field(default=None, name="as")

    def __repr__(self) -> str:
        return "UserEntry([redacted])"


class ContextEntry(msgspec.Struct):
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class NamedCluster(msgspec.Struct):
    name: str
    cluster: ClusterEntry | None = None


class NamedUser(msgspec.Struct):
    name: str
    user: UserEntry | None = None


class NamedContext(msgspec.Struct):
    name: str
    context: ContextEntry | None = None


class _Document(msgspec.Struct, rename="kebab"):
    current_context: str | None = None
    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None


class KubeFile(_Document, kw_only=True):
    """One file's content and where it came from."""

    path: Path


class _Loader(yaml.SafeLoader):
    """YAML as the Kubernetes tools read it: no timestamps made out of text that looks like one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_kubefile(path: Path) -> KubeFile:
    """Return what stands in `path`. An empty file is an empty kubeconfig.

    Raises:
        ConfigError: it cannot be read, is no YAML, or a field has the wrong type; values are never quoted.
    """
    return _parse(path, _read(path))


@lru_cache(maxsize=8)
def _parse(path: Path, text: str) -> KubeFile:
    """Parse a file's text once: each context asks for it, and each attempt to connect, and hundreds may be in one."""
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 a SafeLoader with fewer resolvers
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise ConfigError(f"is not valid YAML{place}: {problem}; correct the file", subject=str(path)) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply; correct the file", subject=str(path)) from error
    try:
        document = msgspec.convert({} if tree is None else tree, type=_Document)
    except msgspec.ValidationError as error:
        raise _wrong_type(path, error) from error
    return KubeFile(
        path=path,
        current_context=document.current_context,
        clusters=document.clusters,
        users=document.users,
        contexts=document.contexts,
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        if len(data) > FILE_LIMIT_BYTES:
            raise ConfigError(f"is larger than {FILE_LIMIT_BYTES} bytes; is it a kubeconfig?", subject=str(path))
        return data.decode("utf-8-sig")
    except OSError as error:
        message = f"cannot be read: {error.strerror}; check the path and its permissions"
        raise ConfigError(message, subject=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8 text; is it a kubeconfig?", subject=str(path)) from error


def _wrong_type(path: Path, error: msgspec.ValidationError) -> ConfigError:
    """Split msgspec's "Expected `str`, got `int` - at `$.users[0].user.token`" into field and complaint."""
    found = re.search(r" - at `\$\.?(.*)`$", str(error))
    complaint = str(error)[: found.start()] if found else str(error)
    subject = f"{path}: {found.group(1)}" if found and found.group(1) else str(path)
    return ConfigError(f"{complaint}; correct the file (numbers meant as text need quotes)", subject=subject)
