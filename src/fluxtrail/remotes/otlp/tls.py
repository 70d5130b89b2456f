"""TLS from PEM files, read again when they change: certificates are rotated under running processes."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.otlp.options import TlsPaths
from fluxtrail.remotes.otlp.variables import Variable

_log = structlog.get_logger(__name__)
REREAD_SECONDS = 60.0
FILE_LIMIT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Pems:
    """The files' contents."""

    authority: bytes | None
    certificate: bytes | None
    key: bytes | None

    def __repr__(self) -> str:
        return "Pems([redacted])"


class TlsFiles:
    """The files of one connection, checked as they are read: gRPC takes any bytes, and fails later."""

    def __init__(self, paths: TlsPaths, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._paths = paths
        self._monotonic = monotonic
        self._read_at = -REREAD_SECONDS
        self._pems: Pems | None = None
        self._context: ssl.SSLContext | None = None

    def load(self) -> Pems:
        """Return what is in force; the same object as long as no file has changed.

        Raises:
            ConfigError: the first time only: a file cannot be read, is no PEM, or certificate and key do not match.
        """
        now = self._monotonic()
        if self._pems is None:
            self._pems = self._take()
            self._read_at = now
        elif now - self._read_at >= REREAD_SECONDS:
            self._read_at = now
            try:
                self._pems = self._take()
            except ConfigError as exc:
                # A rotation may be half done; what was good a minute ago is better than nothing.
                _log.warning("otlp_certificates_kept", reason=str(exc))
        return self._pems

    def _take(self) -> Pems:
        """Return what the files hold now, after making a context of it if it is new."""
        pems = Pems(_read(self._paths.authority), _read(self._paths.certificate), _read(self._paths.key))
        if pems == self._pems:
            return self._pems
        self._context = self._build(pems)
        return pems

    @property
    def context(self) -> ssl.SSLContext:
        """The context of what was loaded last; for HTTP."""
        self.load()
        assert self._context is not None
        return self._context

    def _build(self, pems: Pems) -> ssl.SSLContext:
        try:
            if pems.authority == b"":
                raise ValueError("empty")  # for OpenSSL this would mean: trust whom the system trusts
            context = ssl.create_default_context(cadata=pems.authority.decode("ascii") if pems.authority else None)
        except (ssl.SSLError, ValueError) as exc:
            raise _refusal(self._paths.authority, "is no PEM file of CA certificates; check that it is whole") from exc
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._paths.certificate and self._paths.key:
            try:
                # An encrypted key fails instead of asking on the terminal.
                context.load_cert_chain(self._paths.certificate.value, self._paths.key.value, password=lambda: b"")
            except (ssl.SSLError, OSError, ValueError) as exc:
                what = f"and {self._paths.key.name} are not a PEM certificate and its unencrypted key"
                raise _refusal(self._paths.certificate, what) from exc
        return context


def system_roots() -> bytes | None:
    """Return the certificates the system trusts; None leaves gRPC with those it brings along.

    gRPC does not look at the system's store by itself, where a company's own authority is.
    """
    where = ssl.get_default_verify_paths().cafile
    try:
        return Path(where).read_bytes() if where else None
    except OSError:
        return None


def _read(file: Variable | None) -> bytes | None:
    if file is None:
        return None
    try:
        with Path(file.value).open("rb") as stream:
            content = stream.read(FILE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise _refusal(file, f"names a file that cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    if len(content) > FILE_LIMIT_BYTES:
        raise _refusal(file, f"names a file larger than {FILE_LIMIT_BYTES} bytes, which is no certificate")
    return content


def _refusal(file: Variable | None, what: str) -> ConfigError:
    return file.refusal(what) if file else ConfigError(what)
