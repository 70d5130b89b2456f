"""Where records are sent: the API's address, the organisation, the cluster, checked before anything is asked."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, urlsplit

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact_url
from fluxtrail.remotes.github.artifact_errors import UnsendableError

DEFAULT_BASE_URL = "https://api.github.com"
CLUSTER_LIMIT = 128

_ORGANIZATION = re.compile(r"[a-zA-Z0-9_-]+")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_ADDRESS = re.compile(
    r"https?://(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%+-]*)*",
    re.IGNORECASE,
)
_SERVICE_SUFFIX = ".svc.cluster.local"


def parse_base_url(text: str, *, subject: str = "deployment_records.base_url (BASE_URL)") -> str:
    """Return the API's address without a slash at its end; without a scheme it is https.

    Plain http goes only to this machine and to services of a Kubernetes cluster, judged by the host alone.

    Raises:
        ConfigError: it is no such address, or http to anywhere else.
    """
    stated = text.strip()
    url = stated if _SCHEME.match(stated) else f"https://{stated}"
    if not _ADDRESS.fullmatch(url) or not _has_port_if_any(url):
        shown = redact_url(url)[:200]
        raise ConfigError(
            f"{shown!r} is not an API address such as {DEFAULT_BASE_URL} or https://host/api/v3", subject=subject
        )
    parts = urlsplit(url)
    if parts.scheme == "http" and not _may_be_plain(parts.hostname or ""):
        raise ConfigError(
            f"insecure URL not allowed: {url[:200]} (use HTTPS for non-local hosts: the token would be readable)",
            subject=subject,
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def parse_organization(text: str, *, subject: str = "deployment_records.organization (GITHUB_ORG, ORG)") -> str:
    """Return the organisation's name.

    Raises:
        ConfigError: it is none: it would change the path that is asked.
    """
    if not _ORGANIZATION.fullmatch(text):
        raise ConfigError(
            f"invalid organization name: {text[:100]!r} (must be alphanumeric, hyphens, or underscores)",
            subject=subject,
        )
    return text


def cluster_segment(cluster: str) -> str:
    """Return a cluster's name as one segment of a path.

    Raises:
        UnsendableError: it cannot be one.
    """
    if not cluster or cluster in (".", "..") or len(cluster) > CLUSTER_LIMIT:
        raise UnsendableError(
            f"{cluster[:80]!r} cannot be a cluster's name: it has 1 to {CLUSTER_LIMIT} characters and is no '.' or "
            "'..'; set deployment_records.cluster (CLUSTER)",
            subject="cluster",
        )
    return quote(cluster, safe="", errors="replace")


def _may_be_plain(host: str) -> bool:
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(_SERVICE_SUFFIX):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _has_port_if_any(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        return False
