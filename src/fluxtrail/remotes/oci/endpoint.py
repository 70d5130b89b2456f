"""Where one registry answers."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from fluxtrail.remotes.oci.references import Reference

_PORTS = {"https": 443, "http": 80}
Origin = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    """As people write it, with its port: `docker.io`, `localhost:5000`."""
    api_host: str
    is_insecure: bool = False
    """Spoken to by plain HTTP, because its source says so."""

    @classmethod
    def of(cls, reference: Reference, *, insecure: bool) -> Endpoint:
        return cls(reference.registry, reference.api_host, insecure)

    @property
    def base_url(self) -> str:
        return f"{'http' if self.is_insecure else 'https'}://{self.api_host}"

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.base_url).port or _PORTS["http" if self.is_insecure else "https"]

    @property
    def origin(self) -> Origin:
        return origin_of(self.base_url)


def origin_of(url: str) -> Origin:
    """Return scheme, host and port of a URL; empty ones for text that is none."""
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None
