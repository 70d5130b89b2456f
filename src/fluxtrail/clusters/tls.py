"""TLS contexts for an endpoint, made again when a certificate on disk or from a plugin changes."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.model.errors import ConfigError

_REREAD_SECONDS = 60.0


@dataclass(frozen=True)
class CertificatePair:
    """A client certificate and its key, as PEM bytes."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "CertificatePair([redacted])"


class TlsContexts:
    """The TLS context for one endpoint and whatever client certificate is in force.

    Files are read again at most once a minute, because certificates are rotated under running processes; a new context
    is built only when the bytes differ (building one costs tens of milliseconds).
    """

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._read_at: float | None = None
        self._authority: bytes | None = None
        self._own_pair: CertificatePair | None = None
        self._built: tuple[bytes, ssl.SSLContext] | None = None

    def context(self, pair: CertificatePair | None) -> ssl.SSLContext:
        """Return the context to use now; `pair` (from a credential plugin) goes before the endpoint's own certificate.

        Raises:
            ConfigError: a file cannot be read, or is no PEM certificate or key, or the two do not belong together.
        """
        self._reread()
        chosen = pair or self._own_pair
        fingerprint = _fingerprint(self._authority, chosen)
        if self._built is None or self._built[0] != fingerprint:
            self._built = (fingerprint, self._build(chosen))
        return self._built[1]

    def _reread(self) -> None:
        now = self._clock.monotonic()
        if self._read_at is not None and now - self._read_at < _REREAD_SECONDS:
            return
        endpoint = self._endpoint
        if endpoint.authority is not None:
            self._authority = endpoint.authority.load()
        if endpoint.certificate is not None and endpoint.key is not None:
            self._own_pair = CertificatePair(endpoint.certificate.load(), endpoint.key.load())
        self._read_at = now

    def _build(self, pair: CertificatePair | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self._endpoint.is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._authority is not None:
            self._trust(context, self._authority)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if pair is not None:
            self._present(context, pair)
        return context

    def _trust(self, context: ssl.SSLContext, authority: bytes) -> None:
        subject = self._endpoint.authority.subject if self._endpoint.authority else self._endpoint.name
        try:
            context.load_verify_locations(cadata=authority.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            message = "is not a PEM bundle of CA certificates; check that it was copied whole"
            raise ConfigError(message, subject=subject) from error

    def _present(self, context: ssl.SSLContext, pair: CertificatePair) -> None:
        subject = self._endpoint.certificate.subject if self._endpoint.certificate else f"{self._endpoint.name}: plugin"
        try:
            _load_pair(context, pair)
        except (ssl.SSLError, OSError, ValueError) as error:
            message = "the client certificate and key could not be loaded; check that both are PEM and belong together"
            raise ConfigError(message, subject=subject) from error


def _fingerprint(authority: bytes | None, pair: CertificatePair | None) -> bytes:
    digest = hashlib.sha256(authority or b"")
    if pair is not None:
        for part in (pair.certificate, pair.key):
            digest.update(hashlib.sha256(part).digest())
    return digest.digest()


def _load_pair(context: ssl.SSLContext, pair: CertificatePair) -> None:
    """Hand the pair to OpenSSL, which takes files only: in memory where the kernel can, else in a private directory.

    An encrypted key fails instead of asking on the terminal: the password callback answers with nothing.
    """
    together = pair.certificate.rstrip() + b"\n" + pair.key.strip() + b"\n"
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            os.write(handle, together)
            context.load_cert_chain(f"/proc/self/fd/{handle}", password=lambda: b"")
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.pem"
        path.touch(mode=0o600)
        path.write_bytes(together)
        context.load_cert_chain(path, password=lambda: b"")
