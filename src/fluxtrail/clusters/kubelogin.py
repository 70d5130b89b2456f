"""From a kubeconfig's cluster and user entries to the parts of an endpoint, each complaint with its field."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from fluxtrail.clusters.endpoint import BasicLogin, BearerToken, BearerTokenFile, ExecPlugin, Login, Pem, Secret
from fluxtrail.clusters.kubeentries import ClusterEntry, ExecEntry, UserEntry
from fluxtrail.model.errors import ConfigError

_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")
_EXEC_EXTENSION = "client.authentication.k8s.io/exec"


def server_of(server: str | None, subject: str) -> str:
    """Return the base URL without a trailing slash."""
    if not server:
        raise ConfigError("is not set; write the API server's URL, like https://host:6443", subject=subject)
    try:
        parts = urlsplit(server)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError("is not an http(s) URL; write it like https://host:6443", subject=subject)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("must not hold a user, a query or a fragment; remove them", subject=subject)
    return server.rstrip("/")


def is_private(server: str) -> bool:
    """Whether nobody can read along: TLS, or a connection that does not leave the machine."""
    parts = urlsplit(server)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def resolved(path: str, file: Path) -> Path:
    """Return `path` as meant in the kubeconfig `file`: relative to the folder that file stands in."""
    return file.absolute().parent / path


def pem_of(data: str | None, path: str | None, file: Path, subject: str) -> Pem | None:
    """Return the certificate or key of a pair of fields `x` and `x-data`; the data goes first, as in kubectl."""
    if data:
        try:
            return Pem(subject=f"{subject}-data", data=base64.b64decode("".join(data.split()), validate=True))
        except (binascii.Error, ValueError) as error:
            raise ConfigError("is not base64; copy it whole", subject=f"{subject}-data") from error
    if path:
        return Pem(subject=subject, path=resolved(path, file))
    return None


def certificate_pair(user: UserEntry, file: Path, subject: str) -> tuple[Pem | None, Pem | None]:
    """Return the client certificate and its key: both or neither."""
    certificate = pem_of(user.client_certificate_data, user.client_certificate, file, f"{subject}.client-certificate")
    key = pem_of(user.client_key_data, user.client_key, file, f"{subject}.client-key")
    if (certificate is None) != (key is None):
        missing = "client-key" if key is None else "client-certificate"
        message = "is not set, but its counterpart is; give certificate and key together"
        raise ConfigError(message, subject=f"{subject}.{missing}")
    return certificate, key


def login_of(user: UserEntry, file: Path, subject: str, cluster: ClusterEntry) -> Login | None:
    """Return how the user logs in beside a client certificate, or None.

    Order as in client-go: a token file goes before a token, and a static credential before a plugin.
    """
    if user.auth_provider is not None:
        message = "auth providers are gone from Kubernetes since 1.26; use the exec plugin of your provider"
        raise ConfigError(message, subject=f"{subject}.auth-provider")
    if user.impersonated_user:
        raise ConfigError("impersonation is not supported; use a user of its own", subject=f"{subject}.as")
    if (user.token or user.token_file) and user.username:
        message = "is set together with a token; keep one way to log in"
        raise ConfigError(message, subject=f"{subject}.username")
    if user.token_file:
        return BearerTokenFile(path=resolved(user.token_file, file), subject=f"{subject}.tokenFile")
    if user.token:
        return BearerToken(token=Secret(user.token))
    if user.username:
        return BasicLogin(username=user.username, password=Secret(user.password or ""))
    if user.exec is not None:
        return _plugin(user.exec, file, f"{subject}.exec", cluster)
    return None


def _plugin(entry: ExecEntry, file: Path, subject: str, cluster: ClusterEntry) -> ExecPlugin:
    if not entry.command:
        raise ConfigError("is not set; name the credential plugin to run", subject=f"{subject}.command")
    if entry.api_version not in _EXEC_VERSIONS:
        message = f"is {entry.api_version!r}; supported are {' and '.join(_EXEC_VERSIONS)}"
        raise ConfigError(message, subject=f"{subject}.apiVersion")
    mode = entry.interactive_mode or ("" if entry.api_version == _EXEC_VERSIONS[0] else "IfAvailable")
    if mode not in _INTERACTIVE_MODES:
        message = f"is {entry.interactive_mode!r}; set it to Never or IfAvailable"
        raise ConfigError(message, subject=f"{subject}.interactiveMode")
    if mode == "Always":
        message = "is Always, but there is no terminal here; use a plugin that needs none"
        raise ConfigError(message, subject=f"{subject}.interactiveMode")
    return ExecPlugin(
        subject=subject,
        command=_command(entry.command, file),
        arguments=tuple(entry.args or ()),
        environment=tuple((variable.name, Secret(variable.value)) for variable in entry.env or ()),
        api_version=entry.api_version or _EXEC_VERSIONS[0],
        install_hint=entry.install_hint or "",
        provides_cluster_info=bool(entry.provide_cluster_info),
        cluster_config=next((e.extension for e in cluster.extensions or () if e.name == _EXEC_EXTENSION), None),
    )


def _command(command: str, file: Path) -> str:
    """A bare name is looked up in PATH; one with a slash is relative to the kubeconfig, as in kubectl."""
    return str(resolved(command, file)) if os.sep in command else command
