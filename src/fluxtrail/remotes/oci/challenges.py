"""What a registry asks for before it answers (`WWW-Authenticate`), and which token service may be given its secrets.

Source: distribution's token authentication specification; RFC 9110, 11.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fluxtrail.model.errors import AuthError
from fluxtrail.model.redaction import redact_url
from fluxtrail.remotes.oci.endpoint import Endpoint

HEADER_LIMIT = 4096
CHALLENGE_LIMIT = 16
KNOWN_REALMS: Mapping[str, str] = {
    "docker.io": "auth.docker.io",
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
    "registry.digitalocean.com": "api.digitalocean.com",
}
"""Registries whose token service has another name, by what their operators document."""

_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s,"]+))\s*(?:,|\Z)')
_SCHEME = re.compile(r"[\s,]*([A-Za-z][A-Za-z0-9-]*)(?:[\s,]+|\Z)")


@dataclass(frozen=True, slots=True)
class Challenge:
    scheme: str
    """Lower case: `bearer`, `basic`."""
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read all challenges of all `WWW-Authenticate` headers; what cannot be read ends its header."""
    found: list[Challenge] = []
    for text in headers:
        found += _parse_header(text[:HEADER_LIMIT])
        if len(found) >= CHALLENGE_LIMIT:
            break
    return found[:CHALLENGE_LIMIT]


def _parse_header(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while position < len(text) and len(found) <= CHALLENGE_LIMIT:
        match = _PARAMETER.match(text, position) if found else None
        if match is not None:
            value = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
            found[-1].parameters.setdefault(match[1].lower(), value)
        else:
            match = _SCHEME.match(text, position)
            if match is None:
                break
            found.append(Challenge(match[1].lower()))
        position = match.end()
    return found


def check_realm(realm: str, registry: Endpoint, *, realms: Mapping[str, str]) -> str:
    """Return `realm`, if it is the registry's own token service.

    It is on the registry's host (with HTTPS on any port: the certificate proves the host), or on the one that
    `realms` names for it. Anything else is refused, with or without a credential: a registry must not be able to
    send us anywhere.

    Raises:
        AuthError: not retryable; the message names both hosts.
    """
    try:
        parts = urlsplit(realm)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("https", "http") or "@" in parts.netloc or parts.fragment:
        raise AuthError("the registry names no token service that can be asked", subject=registry.name)
    if parts.scheme == "http" and not registry.is_insecure:
        raise AuthError(
            f"the registry's token service is not served by HTTPS: {redact_url(realm)}", subject=registry.name
        )
    same_host = host == registry.host
    same_port = (port or {"https": 443, "http": 80}[parts.scheme]) == registry.port
    partners = {realms.get(registry.name), realms.get(registry.host), KNOWN_REALMS.get(registry.name)} - {None}
    if (same_host and (parts.scheme == "https" or same_port)) or {host, f"{host}:{port}"} & partners:
        return realm
    raise AuthError(
        f"the registry asks for a token from another host ({redact_url(realm)[:200]}), which is not known as its token "
        "service: neither a request nor a credential goes there",
        subject=registry.name,
    )
