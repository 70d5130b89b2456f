"""Runs a credential plugin and keeps what it printed.

Source: kubernetes.io/docs/reference/access-authn-authz/authentication, "client-go credential plugins"; API group
client.authentication.k8s.io.
"""

import asyncio
import base64
import contextlib
import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fluxtrail.clusters.answers import UNREADABLE
from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.endpoint import Endpoint, ExecPlugin, Secret
from fluxtrail.clusters.tls import CertificatePair
from fluxtrail.model.errors import AuthError
from fluxtrail.model.redaction import redact

TIMEOUT_SECONDS = 60.0
_OUTPUT_LIMIT_BYTES = 1024 * 1024
_FAILURE_KEPT_SECONDS = 5.0
_REAP_SECONDS = 5.0
_EXPIRY_MARGIN = timedelta(seconds=10)

Answer = tuple[Secret | None, CertificatePair | None]


class _PluginStatus(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None

    def __repr__(self) -> str:
        return "_PluginStatus([redacted])"


class _PluginCredential(msgspec.Struct, rename="camel"):
    api_version: str | None = None
    kind: str | None = None
    status: _PluginStatus | None = None


class ExecPluginRunner:
    """Obtains credentials from one plugin: one run at a time, its answer kept until it expires or is forgotten.

    A failure is remembered for a few seconds, so that a dozen watchers do not start the failing command a dozen times.
    """

    def __init__(
        self,
        plugin: ExecPlugin,
        endpoint: Endpoint,
        clock: Clock,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.subject = plugin.subject
        self._plugin = plugin
        self._endpoint = endpoint
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._environ = environ
        self._lock = asyncio.Lock()
        self._answer: Answer | None = None
        self._expires_at: datetime | None = None
        self._failure: tuple[float, str] | None = None

    @property
    def held(self) -> Answer | None:
        """The answer in force, expired or not."""
        return self._answer

    def forget(self) -> None:
        """The answer was refused: the next `obtain` runs the plugin again."""
        self._answer = None

    async def obtain(self) -> Answer:
        """Return token and certificate, running the plugin if what is held has expired.

        Raises:
            AuthError: the plugin is missing, fails, takes too long, or prints no usable credential. Retryable: what
                it needs (a login, a network) may come back.
        """
        async with self._lock:
            is_expired = self._expires_at is not None and self._clock.now() >= self._expires_at - _EXPIRY_MARGIN
            if self._answer is not None and not is_expired:
                return self._answer
            self._raise_remembered()
            try:
                self._answer, self._expires_at = self._parse(await self._run())
            except AuthError as error:
                self._failure = (self._clock.monotonic(), error.message)
                raise
            return self._answer

    def _raise_remembered(self) -> None:
        if self._failure is not None and self._clock.monotonic() - self._failure[0] < _FAILURE_KEPT_SECONDS:
            raise self._error(self._failure[1])
        self._failure = None

    async def _run(self) -> bytes:
        plugin = self._plugin
        base = os.environ if self._environ is None else self._environ
        environ = {**base, **{name: value.reveal() for name, value in plugin.environment}}
        environ["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(self._info()).decode()
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command,
                *plugin.arguments,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            trouble = getattr(error, "strerror", None) or "cannot be started"
            raise self._error(f"the command {plugin.command!r} cannot be run: {trouble}{self._hint()}") from error
        try:
            return await self._result(process)
        finally:
            await _reap(process)

    async def _result(self, process: asyncio.subprocess.Process) -> bytes:
        if process.stdout is None or process.stderr is None:  # both are pipes, as asked for above
            raise self._error("the command has no output")
        try:
            async with asyncio.timeout(self._timeout_seconds):
                output, complaint = await asyncio.gather(_read_bounded(process.stdout), _read_bounded(process.stderr))
                code = await process.wait()
        except TimeoutError as error:
            waited = f"{self._timeout_seconds:g} s"
            raise self._error(f"the command {self._plugin.command!r} gave no answer within {waited}") from error
        if code != 0:
            told = redact(complaint.decode("utf-8", "replace").strip(), secrets=self._secrets())
            raise self._error(f"the command {self._plugin.command!r} failed with code {code}: {told}{self._hint()}")
        return output

    def _parse(self, output: bytes) -> tuple[Answer, datetime | None]:
        try:
            credential = msgspec.json.decode(output, type=_PluginCredential)
        except UNREADABLE as error:
            # The decoder's message may quote the output, and the output is a secret.
            raise self._error(f"the command {self._plugin.command!r} printed no ExecCredential in JSON") from error
        if credential.kind != "ExecCredential" or credential.api_version != self._plugin.api_version:
            printed = f"{credential.api_version} {credential.kind}"
            raise self._error(f"the plugin printed {printed}, expected {self._plugin.api_version} ExecCredential")
        status = credential.status
        if status is None or not (status.token or status.client_certificate_data):
            raise self._error("the plugin's status holds neither token nor clientCertificateData")
        if bool(status.client_certificate_data) != bool(status.client_key_data):
            raise self._error("the plugin's status needs clientCertificateData and clientKeyData together")
        pair = None
        if status.client_certificate_data and status.client_key_data:
            pair = CertificatePair(status.client_certificate_data.encode(), status.client_key_data.encode())
        expires_at = status.expiration_timestamp
        if expires_at is not None and expires_at.tzinfo is None:
            expires_at = expires_at.replace(tzinfo=UTC)
        return (Secret(status.token) if status.token else None, pair), expires_at

    def _info(self) -> dict[str, Any]:
        spec: dict[str, Any] = {"interactive": False}
        if self._plugin.provides_cluster_info:
            spec["cluster"] = _cluster_info(self._endpoint, self._plugin.cluster_config)
        return {"kind": "ExecCredential", "apiVersion": self._plugin.api_version, "spec": spec}

    def _secrets(self) -> tuple[str, ...]:
        return tuple(value.reveal() for _, value in self._plugin.environment if len(value.reveal()) >= 8)

    def _hint(self) -> str:
        return f" ({redact(self._plugin.install_hint)})" if self._plugin.install_hint else ""

    def _error(self, message: str) -> AuthError:
        return AuthError(message, retryable=True, subject=self.subject)


def _cluster_info(endpoint: Endpoint, config: object) -> dict[str, Any]:
    info: dict[str, Any] = {"server": endpoint.server}
    if endpoint.tls_server_name:
        info["tls-server-name"] = endpoint.tls_server_name
    if not endpoint.is_verified:
        info["insecure-skip-tls-verify"] = True
    if endpoint.authority is not None:
        info["certificate-authority-data"] = base64.b64encode(endpoint.authority.load()).decode("ascii")
    if endpoint.proxy_url:
        info["proxy-url"] = endpoint.proxy_url
    if config is not None:
        info["config"] = config
    return info


async def _read_bounded(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, keeping the first bytes up to the bound: a chatty plugin must not block on a full pipe."""
    kept = bytearray()
    while chunk := await reader.read(65536):
        kept += chunk[: max(0, _OUTPUT_LIMIT_BYTES - len(kept))]
    return bytes(kept)


async def _reap(process: asyncio.subprocess.Process) -> None:
    """End the plugin and whatever it started (it leads its own process group), and wait until its pipes are closed."""
    if process.stdout is None or process.stderr is None:
        return
    if process.returncode is not None and process.stdout.at_eof() and process.stderr.at_eof():
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAP_SECONDS):
            await asyncio.gather(_read_bounded(process.stdout), _read_bounded(process.stderr), process.wait())
