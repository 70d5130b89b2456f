"""The connection a pod finds in itself: its service account."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fluxtrail.clusters.endpoint import BearerTokenFile, Endpoint, Pem
from fluxtrail.model.errors import ConfigError

SERVICE_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def is_in_cluster(environ: Mapping[str, str], *, folder: Path = SERVICE_ACCOUNT_FOLDER) -> bool:
    """Whether this process runs in a pod with a service account. Source: client-go rest.InClusterConfig."""
    has_address = bool(environ.get("KUBERNETES_SERVICE_HOST")) and bool(environ.get("KUBERNETES_SERVICE_PORT"))
    return has_address and (folder / "token").exists()


def own_namespace(*, folder: Path = SERVICE_ACCOUNT_FOLDER) -> str | None:
    """Return the namespace this pod runs in, or None outside of a pod."""
    try:
        return (folder / "namespace").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def in_cluster_endpoint(environ: Mapping[str, str], *, folder: Path = SERVICE_ACCOUNT_FOLDER) -> Endpoint:
    """Return the endpoint of the cluster this process runs in.

    The token is bound and rotated (about hourly), so it is given as a file to be read again.

    Raises:
        ConfigError: not in a pod, or the service account is not mounted.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        message = "is not set: this process does not run in a pod; name a kubeconfig context instead"
        raise ConfigError(message, subject="KUBERNETES_SERVICE_HOST")
    token, authority = folder / "token", folder / "ca.crt"
    if not token.exists():
        message = "there is no service account token; set automountServiceAccountToken: true on the pod"
        raise ConfigError(message, subject=str(token))
    shown_host = f"[{host}]" if ":" in host else host
    return Endpoint(
        name="in-cluster",
        server=f"https://{shown_host}:{port}",
        authority=Pem(subject=str(authority), path=authority),
        login=BearerTokenFile(path=token, subject=str(token)),
        namespace=own_namespace(folder=folder) or "default",
    )
