"""Where a signal is sent: a URL for OTLP over HTTP, a target for gRPC, and whether the connection is secured.

A scheme decides the security, whatever any `insecure` says. Without one (`collector:4317`) `insecure` does.
Source: opentelemetry-specification, protocol/exporter.md; grpc/doc/naming.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact_url
from fluxtrail.remotes.otlp.variables import Signal, Variable

GRPC_PORT = 4317
HTTP_PORT = 4318
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_RESOLVED_BY_GRPC = ("dns:", "unix:", "unix-abstract:", "ipv4:", "ipv6:")


@dataclass(frozen=True)
class Endpoint:
    address: str
    """A URL for HTTP, a gRPC target otherwise. Errors show `shown`: a query may hold a key."""
    is_secure: bool

    @property
    def shown(self) -> str:
        return redact_url(self.address)


def parse_grpc(given: Variable, *, is_insecure: bool) -> Endpoint:
    """Return the target of `given`: `http(s)://host[:port]`, `host[:port]` (else 4317), or a form of gRPC's own.

    Raises:
        ConfigError: none of these, or a URL with a login in it.
    """
    if given.value.startswith(_RESOLVED_BY_GRPC):
        return Endpoint(given.value, is_secure=not is_insecure)
    if "://" in given.value:
        parts = _url(given)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return Endpoint(f"{host}:{port}", is_secure=parts.scheme == "https")
    host, port = _host_and_port(given, default_port=GRPC_PORT)
    return Endpoint(f"{host}:{port}", is_secure=not is_insecure)


def parse_http(given: Variable, signal: Signal, *, is_base: bool, is_insecure: bool, may_lack_scheme: bool) -> Endpoint:
    """Return the URL of `given`; the signal's path (`/v1/traces`) is added to a base only, the rest is used as it is.

    Args:
        may_lack_scheme: `host:port` is understood too, with the scheme by `is_insecure`: our own setting allows it, the
            specification does not.

    Raises:
        ConfigError: not an http or https URL with a host, or one with a login in it.
    """
    if "://" not in given.value:
        if not may_lack_scheme:
            raise given.refusal("must begin with http:// or https:// where the protocol is http/protobuf")
        host, port = _host_and_port(given, default_port=HTTP_PORT)
        given = Variable(given.name, f"{'http' if is_insecure else 'https'}://{host}:{port}")
    parts = _url(given)
    path = f"{parts.path.rstrip('/')}/v1/{signal}" if is_base else parts.path or "/"
    return Endpoint(urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")), is_secure=parts.scheme == "https")


def _url(given: Variable) -> SplitResult:
    try:
        parts = urlsplit(given.value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise _refusal(given, "is not an http:// or https:// URL with a host")
    if "@" in parts.netloc:
        raise _refusal(given, "must not hold a login; put credentials into OTEL_EXPORTER_OTLP_HEADERS")
    return parts


def _host_and_port(given: Variable, *, default_port: int) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(given.value)
    port = int(match["port"] or default_port) if match else 0
    if match is None or not 0 < port < 65_536:
        raise _refusal(given, "is not host:port; write it like localhost:4317 or https://collector.example.com:4317")
    return match["host"], port


def _refusal(given: Variable, what: str) -> ConfigError:
    """Say what is wrong without showing more of the address than is safe."""
    return Variable(given.name, redact_url(given.value)).refusal(what)
