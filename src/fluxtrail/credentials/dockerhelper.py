"""Asks a docker credential helper, `docker-credential-<name> get`: the registry on stdin, a login in JSON on stdout.

Source: docker/docker-credential-helpers, README and `credentials/credentials.go`.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Mapping

import msgspec

from fluxtrail.credentials.dockerconfig import RegistryLogin
from fluxtrail.model.errors import AuthError, ConfigError
from fluxtrail.model.redaction import redact

TIMEOUT_SECONDS = 30.0
OUTPUT_LIMIT_BYTES = 256 * 1024
_REAP_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_FOUND = "credentials not found"
_IDENTITY = "<token>"


class _Answer(msgspec.Struct, rename="pascal"):
    username: str | None = None
    secret: str | None = None

    def __repr__(self) -> str:
        return "_Answer([redacted])"


async def ask_helper(
    name: str, server: str, *, environ: Mapping[str, str], timeout_seconds: float = TIMEOUT_SECONDS
) -> RegistryLogin | None:
    """Return the login that the helper knows for `server`, or None if it knows none.

    Raises:
        ConfigError: `name` is not the name of a helper, or there is no such program.
        AuthError: it failed, printed something else, or took too long. Retryable: what it needs may come back.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} is not the name of a credential helper", subject="docker config")
    program = f"docker-credential-{name}"
    code, output, complaint = await _run(program, server, environ, timeout_seconds)
    if code != 0:
        # Helpers print their complaints to stdout.
        told = (output + b" " + complaint).decode("utf-8", "replace").strip()
        if _NOT_FOUND in told.lower():
            return None
        raise AuthError(f"it failed with code {code}: {redact(told, limit_bytes=300)}", retryable=True, subject=program)
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's message may quote the output, and the output is a secret.
        raise AuthError("it printed no login in JSON", retryable=True, subject=program) from None
    if not answer.secret:
        return None
    if answer.username == _IDENTITY:
        return RegistryLogin(identity_token=answer.secret)
    return RegistryLogin(username=answer.username or "", password=answer.secret)


async def _run(
    program: str, server: str, environ: Mapping[str, str], timeout_seconds: float
) -> tuple[int, bytes, bytes]:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            env=dict(environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        trouble = getattr(exc, "strerror", None) or "it cannot be started"
        raise ConfigError(
            f"the credential helper of docker's config cannot be run: {trouble}", subject=program
        ) from exc
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _converse(process, server)
    except TimeoutError as exc:
        raise AuthError(f"no answer within {timeout_seconds:g} s", retryable=True, subject=program) from exc
    finally:
        await _reap(process)


async def _converse(process: asyncio.subprocess.Process, server: str) -> tuple[int, bytes, bytes]:
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:  # all are pipes, as asked for above
        return 1, b"", b"no pipes"
    with contextlib.suppress(ConnectionError):  # it may not care what it is asked
        stdin.write(server.encode())
        await stdin.drain()
    stdin.close()
    output, complaint = await asyncio.gather(_read_bounded(stdout), _read_bounded(stderr))
    return await process.wait(), output, complaint


async def _read_bounded(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, keeping the first bytes up to the bound: a chatty helper must not block on a full pipe."""
    kept = bytearray()
    while chunk := await reader.read(65536):
        kept += chunk[: max(0, OUTPUT_LIMIT_BYTES - len(kept))]
    return bytes(kept)


async def _reap(process: asyncio.subprocess.Process) -> None:
    """End the helper and whatever it started (it leads its own process group), and close its pipes."""
    stdout, stderr = process.stdout, process.stderr
    if stdout is None or stderr is None or (process.returncode is not None and stdout.at_eof() and stderr.at_eof()):
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAP_SECONDS):
            await asyncio.gather(_read_bounded(stdout), _read_bounded(stderr), process.wait())
