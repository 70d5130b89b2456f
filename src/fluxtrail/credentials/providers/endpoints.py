"""Where issuers are, by the variables that the clouds' own libraries read; who tests points them elsewhere.

Metadata services are asked here and nowhere else: the allow-list refuses their addresses to everything that comes from
data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact_url

AZURE_AUTHORITY = "https://login.microsoftonline.com"
AZURE_METADATA = "http://169.254.169.254"
GOOGLE_METADATA = "http://metadata.google.internal"
GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    azure_authority: str = AZURE_AUTHORITY
    azure_metadata: str = AZURE_METADATA
    azure_registry: str = ""
    """Stands for `https://<registry>`."""
    google_metadata: str = GOOGLE_METADATA
    aws_sts: str = ""
    """Stands for `https://sts.<region>.amazonaws.com`."""
    aws_ecr: str = ""
    """Stands for `https://api.ecr.<region>.amazonaws.com`."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Endpoints:
        """Return them as `AZURE_AUTHORITY_HOST`, `GCE_METADATA_HOST`, `AWS_ENDPOINT_URL_STS` and their kin say.

        Raises:
            ConfigError: one is no address of an issuer; `subject` is the variable.
        """
        google = environ.get("GCE_METADATA_HOST", "").strip()
        return cls(
            azure_authority=_read(environ, "AZURE_AUTHORITY_HOST") or AZURE_AUTHORITY,
            azure_metadata=_read(environ, "AZURE_POD_IDENTITY_AUTHORITY_HOST", is_metadata=True) or AZURE_METADATA,
            google_metadata=f"http://{google}" if google else GOOGLE_METADATA,
            aws_sts=_read(environ, "AWS_ENDPOINT_URL_STS"),
            aws_ecr=_read(environ, "AWS_ENDPOINT_URL_ECR"),
        )


def check_issuer(url: str, *, setting: str) -> str:
    """Return the address of an issuer, which gets secrets: by HTTPS, or on this machine.

    Raises:
        ConfigError: it is neither; `subject` is `setting`.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not is_safe or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{redact_url(url)[:200]!r} is no address of an issuer: write https://host", subject=setting)
    return url.rstrip("/")


def check_outside(url: str, *, setting: str) -> str:
    """Return the address of an issuer that came from a cluster: by HTTPS, and by a name, which no inner service has.

    Raises:
        ConfigError: it is not; `subject` is `setting`.
    """
    url = check_issuer(url, setting=setting)
    host = (urlsplit(url).hostname or "").rstrip(".")
    is_name = "." in host and not host.replace(".", "").isdigit() and ":" not in host
    if not url.startswith("https:") or not is_name or host.endswith((".internal", ".localhost", ".local", ".svc")):
        raise ConfigError(f"{host[:80]!r} is an inner address: state base_url in the settings", subject=setting)
    return url


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(environ: Mapping[str, str], name: str, *, is_metadata: bool = False) -> str:
    text = environ.get(name, "").strip()
    if not text:
        return ""
    if "://" not in text:  # azure-identity takes a bare host too
        text = f"https://{text}"
    return text.rstrip("/") if is_metadata else check_issuer(text, setting=name)
