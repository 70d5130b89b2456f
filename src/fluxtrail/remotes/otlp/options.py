"""How telemetry is sent: our settings > the signal's own `OTEL_*` variables > the general ones > the defaults.

Defaults are those of the replaced tool: gRPC, `localhost:4317`, not secured. A collector that `OTEL_*` names is spoken
to as the specification has it: secured, unless its scheme or an `INSECURE` variable says otherwise.
docs/telemetry.md has the table. Source: opentelemetry-specification, protocol/exporter.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.otlp.endpoints import GRPC_PORT, HTTP_PORT, Endpoint, parse_grpc, parse_http
from fluxtrail.remotes.otlp.pace import Pace, read_pace
from fluxtrail.remotes.otlp.proxies import find_proxy
from fluxtrail.remotes.otlp.variables import (
    Signal,
    Variable,
    Variables,
    parse_choice,
    parse_flag,
    parse_headers,
    parse_milliseconds,
)

DEFAULT_TIMEOUT_SECONDS = 10.0
LONGEST_TIMEOUT_SECONDS = 600.0
GRPC_REQUEST_LIMIT_BYTES = 4 * 1024 * 1024
"""What gRPC servers take by default; the collector's receiver too."""
HTTP_REQUEST_LIMIT_BYTES = 20 * 1024 * 1024
"""What OTLP recommends to both sides."""
_SETTING = "setting telemetry.endpoint"


class Protocol(StrEnum):
    GRPC = "grpc"
    HTTP = "http/protobuf"


@dataclass(frozen=True)
class TlsPaths:
    """PEM files: whom to trust (None: whom the system trusts), and who we are."""

    authority: Variable | None = None
    certificate: Variable | None = None
    key: Variable | None = None


@dataclass(frozen=True, kw_only=True)
class SignalOptions:
    signal: Signal
    is_enabled: bool = True
    """False where `OTEL_<SIGNAL>_EXPORTER` does not name `otlp`."""
    protocol: Protocol = Protocol.GRPC
    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    is_compressed: bool = False
    tls: TlsPaths = field(default_factory=TlsPaths)
    proxy: str | None = field(default=None, repr=False)
    """For HTTP. gRPC reads the proxy variables of the process by itself."""
    request_limit_bytes: int = GRPC_REQUEST_LIMIT_BYTES
    """Before compression."""


@dataclass(frozen=True, kw_only=True)
class OtlpOptions:
    traces: SignalOptions
    logs: SignalOptions
    metrics: SignalOptions
    pace: Pace = field(default_factory=Pace)
    is_disabled: bool = False
    """`OTEL_SDK_DISABLED`: nothing is to be sent."""
    warnings: tuple[str, ...] = ()
    """What was stated and has no effect; without secrets."""

    @classmethod
    def from_environ(
        cls, environ: Mapping[str, str], *, endpoint: str | None = None, insecure: bool | None = None
    ) -> OtlpOptions:
        """Return the options of a run.

        Args:
            endpoint: our own setting, None where nobody set it: its default must not hide what `OTEL_*` says.
            insecure: our own setting, likewise.

        Raises:
            ConfigError: naming the variable, its value (never a header's) and what is expected.
        """
        reader = _Reader(Variables(environ), environ, endpoint=endpoint, insecure=insecure)
        pace, warnings = read_pace(reader.variables)
        disabled = reader.variables.find("OTEL_SDK_DISABLED")
        return cls(
            traces=reader.read(Signal.TRACES),
            logs=reader.read(Signal.LOGS),
            metrics=reader.read(Signal.METRICS),
            pace=pace,
            is_disabled=parse_flag(disabled) if disabled else False,
            warnings=(*warnings, *dict.fromkeys(reader.warnings)),
        )


class _Reader:
    def __init__(
        self, variables: Variables, environ: Mapping[str, str], *, endpoint: str | None, insecure: bool | None
    ) -> None:
        self.variables = variables
        self.warnings: list[str] = []
        self._environ = environ
        self._endpoint = Variable(_SETTING, endpoint.strip()) if endpoint and endpoint.strip() else None
        self._insecure = insecure

    def read(self, signal: Signal) -> SignalOptions:
        protocol = self._protocol(signal)
        endpoint = self._find_endpoint(signal, protocol)
        headers = self.variables.find_for(signal, "HEADERS")
        is_http = protocol is Protocol.HTTP
        return SignalOptions(
            signal=signal,
            is_enabled=self._is_enabled(signal),
            protocol=protocol,
            endpoint=endpoint,
            headers=parse_headers(headers) if headers else (),
            timeout_seconds=self._timeout(signal),
            is_compressed=self._is_compressed(signal),
            tls=self._tls(signal, endpoint),
            proxy=find_proxy(endpoint.address, self._environ) if is_http else None,
            request_limit_bytes=HTTP_REQUEST_LIMIT_BYTES if is_http else GRPC_REQUEST_LIMIT_BYTES,
        )

    def _protocol(self, signal: Signal) -> Protocol:
        stated = self.variables.find_for(signal, "PROTOCOL")
        return Protocol(parse_choice(stated, tuple(Protocol))) if stated else Protocol.GRPC

    def _is_enabled(self, signal: Signal) -> bool:
        name = f"OTEL_{signal.upper()}_EXPORTER"
        stated = self.variables.find(name)
        exporters = [part.strip().lower() for part in stated.value.split(",")] if stated else ["otlp"]
        if "otlp" not in exporters and exporters != ["none"]:
            self.warnings.append(f"{name} does not name otlp: {signal} are not sent")
        return "otlp" in exporters

    def _find_endpoint(self, signal: Signal, protocol: Protocol) -> Endpoint:
        own = self.variables.find_own(signal, "ENDPOINT")
        general = self.variables.find_for(signal, "ENDPOINT")
        is_ours = self._endpoint is not None or general is None
        is_insecure = self._is_insecure(signal, is_ours=is_ours)
        port = GRPC_PORT if protocol is Protocol.GRPC else HTTP_PORT
        given = self._endpoint or general or Variable(_SETTING, f"localhost:{port}")
        if protocol is Protocol.GRPC:
            endpoint = parse_grpc(given, is_insecure=is_insecure)
        else:
            is_base = is_ours or own is None
            endpoint = parse_http(given, signal, is_base=is_base, is_insecure=is_insecure, may_lack_scheme=is_ours)
        if self._insecure is False and not endpoint.is_secure:
            remedy = f"{endpoint.shown} is not secured, and telemetry.insecure is false; write https:// or drop one"
            raise ConfigError(remedy, subject=given.name)
        return endpoint

    def _is_insecure(self, signal: Signal, *, is_ours: bool) -> bool:
        if self._insecure is not None:
            return self._insecure
        stated = self.variables.find_for(signal, "INSECURE")
        return parse_flag(stated) if stated else is_ours

    def _timeout(self, signal: Signal) -> float:
        """Return seconds; the specification's 0 is "no limit", which here is the longest one."""
        stated = self.variables.find_for(signal, "TIMEOUT")
        seconds = parse_milliseconds(stated) if stated else DEFAULT_TIMEOUT_SECONDS
        return min(seconds or LONGEST_TIMEOUT_SECONDS, LONGEST_TIMEOUT_SECONDS)

    def _is_compressed(self, signal: Signal) -> bool:
        stated = self.variables.find_for(signal, "COMPRESSION")
        return stated is not None and parse_choice(stated, ("gzip", "none")) == "gzip"

    def _tls(self, signal: Signal, endpoint: Endpoint) -> TlsPaths:
        authority, certificate, key = (
            self.variables.find_for(signal, option) for option in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
        )
        if (certificate is None) != (key is None):
            present = certificate or key
            assert present is not None
            missing = "CLIENT_KEY" if certificate else "CLIENT_CERTIFICATE"
            remedy = f"needs OTEL_EXPORTER_OTLP_{missing} beside it: a certificate and its key go together"
            raise ConfigError(remedy, subject=present.name)
        if not endpoint.is_secure:
            for unused in filter(None, (authority, certificate)):
                self.warnings.append(f"{unused.name} has no effect: {endpoint.shown} is not secured; use https://")
            return TlsPaths()
        return TlsPaths(authority, certificate, key)
