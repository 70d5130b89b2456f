"""Asks a Fluxtrail server, with the standard library alone: a command must start in a blink."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import click
import msgspec

from fluxtrail.model.errors import AuthError, ConfigError, ConflictError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.moment import parse_http_date
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.model.views import Candidate
from fluxtrail.web.shapes import Page, Problem

TIMEOUT_SECONDS = 30.0
ANSWER_LIMIT_BYTES = 128 * 1024 * 1024
BLOCK_BYTES = 64 * 1024
PAGE_LIMIT = 1000
API = "/api/v1"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")
Parameters = Mapping[str, str | int | None]


class AmbiguousError(UpstreamError):
    """A query means several commits."""

    def __init__(self, message: str, candidates: list[Candidate]) -> None:
        super().__init__(message, status=409, retryable=False)
        self.candidates = candidates


class UnreachableError(UpstreamError):
    """There is no answer: nobody listens, or what listens speaks something else."""


class Stream:
    """An answer while it comes."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        wire: socket.socket,
        response: http.client.HTTPResponse,
        translate: Callable[[Exception], UnreachableError],
    ) -> None:
        self._connection = connection
        self._wire = wire
        self.response = response
        self._translate = translate

    def read(self, limit: int) -> bytes:
        """Return at most `limit` bytes, all there are at the end. Raises UnreachableError."""
        try:
            return self.response.read(limit)
        except (OSError, http.client.HTTPException) as exc:
            raise self._translate(exc) from exc

    def blocks(self) -> Iterator[bytes]:
        """Yield what comes, as it comes. Raises UnreachableError."""
        try:
            while block := self.response.read1(BLOCK_BYTES):
                yield block
        except (OSError, http.client.HTTPException) as exc:
            raise self._translate(exc) from exc

    def interrupt(self) -> None:
        """End the reading of another thread."""
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.response.close()
        self._connection.close()


class Client:
    """One server. `now` is its clock as of the last answer."""

    def __init__(self, url: str, *, token: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.query:
            raise ConfigError(f"{redact_url(url)!r} is no server; write http://host:port", subject="--server")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._is_tls = parts.scheme == "https"
        self._host, self._port, self._prefix = parts.hostname, port, parts.path.rstrip("/")
        self._token = token
        self._timeout_seconds = timeout_seconds
        self.now = datetime.now(UTC)

    def get(self, path: str, shape: type[T], **parameters: str | int | None) -> T:
        """Return the decoded answer of `/api/v1<path>`.

        Raises:
            UnreachableError, AuthError, NotFoundError, AmbiguousError, UpstreamError: as the answer says.
            WireError: the answer has another shape than this version knows.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._answer(path + (f"?{urlencode(given)}" if given else ""), shape)

    def post(self, path: str, shape: type[T], body: object) -> T:
        """Send `body` as JSON; returns and raises as `get`, and ConflictError where it cannot be done now."""
        return self._answer(path, shape, msgspec.json.encode(body))

    def _answer(self, path: str, shape: type[T], sent: bytes | None = None) -> T:
        status, body = self._ask(f"{self._prefix}{API}{path}", sent)
        if status not in (200, 201):
            raise self._failure(status, body)
        try:
            return msgspec.json.decode(body, type=shape)
        except _UNREADABLE as exc:
            raise WireError(
                f"{self.url} answered in a shape this version does not know ({exc}); "
                "are client and server of one version?"
            ) from exc

    def pages(self, path: str, shape: type[T], *, limit: int, parameters: Parameters) -> Iterator[T]:
        """Yield at most `limit` items (0: all), following cursors."""
        cursor: str | None = None
        left = limit or None
        while True:
            size = min(left, PAGE_LIMIT) if left is not None else PAGE_LIMIT
            page = self.get(path, Page[shape], **parameters, limit=size, cursor=cursor)  # type: ignore[valid-type]
            yield from page.items
            cursor = page.next
            if left is not None:
                left -= len(page.items)
            if cursor is None or (left is not None and left <= 0):
                return

    def stream(self, path: str, *, media_type: str, headers: Mapping[str, str], silence_seconds: float) -> Stream:
        """Begin to read an answer without end; close it.

        Args:
            silence_seconds: the connection is given up when nothing comes for so long.

        Raises:
            UpstreamError, WireError: as `get`; it is refused, or no stream.
        """
        accepted = {"Accept": media_type, **headers}
        stream = self._send(f"{self._prefix}{API}{path}", accepted, timeout_seconds=silence_seconds)
        if stream.response.status == 200 and stream.response.headers.get_content_type() == media_type:
            return stream
        try:
            if stream.response.status == 200:
                raise WireError(f"{self.url}{API}{path} is no stream here; are client and server of one version?")
            raise self._failure(stream.response.status, stream.read(ANSWER_LIMIT_BYTES))
        finally:
            stream.close()

    def _ask(self, target: str, sent: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Accept": "application/json"} | ({} if sent is None else {"Content-Type": "application/json"})
        stream = self._send(target, headers, timeout_seconds=self._timeout_seconds, sent=sent)
        try:
            body = stream.read(ANSWER_LIMIT_BYTES + 1)
        finally:
            stream.close()
        if len(body) > ANSWER_LIMIT_BYTES:
            raise UpstreamError(f"the answer is larger than {ANSWER_LIMIT_BYTES} bytes; narrow the question")
        return stream.response.status, body

    def _send(
        self, target: str, headers: Mapping[str, str], *, timeout_seconds: float, sent: bytes | None = None
    ) -> Stream:
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout_seconds)
        bearer = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.connect()
            wire = connection.sock
            connection.request("GET" if sent is None else "POST", target, sent, headers={**headers, **bearer})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            raise self._unreachable(exc, timeout_seconds) from exc
        self._note_time(response.getheader("Date"))
        return Stream(connection, wire, response, lambda exc: self._unreachable(exc, timeout_seconds))

    def _note_time(self, date: str | None) -> None:
        self.now = parse_http_date(date) or datetime.now(UTC)

    def _unreachable(self, exc: Exception, timeout_seconds: float) -> UnreachableError:
        if isinstance(exc, ConnectionRefusedError):
            why = "nobody listens there. Start `fluxtrail run`, or point --server (FLUXTRAIL_SERVER) to one that runs"
        elif isinstance(exc, TimeoutError):
            why = f"no answer within {timeout_seconds:g} s"
        else:
            why = f"{redact(str(exc), limit_bytes=200) or type(exc).__name__}. Is --server (FLUXTRAIL_SERVER) right?"
        return UnreachableError(f"cannot ask {self.url}: {why}")

    def _failure(self, status: int, body: bytes) -> UpstreamError:
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except _UNREADABLE:
            message = f"{self.url} answered {status} and is no Fluxtrail. Is --server (FLUXTRAIL_SERVER) right?"
            return UnreachableError(message, status=status)
        if status == 401:
            given = "the token given is not the server's" if self._token else "the server wants a token"
            return AuthError(f"{given}: give it by --token-file or FLUXTRAIL_TOKEN", status=status)
        if status == 404:
            return NotFoundError(problem.detail, status=status)
        if problem.code == "conflict":
            return ConflictError(problem.detail, status=status)
        if status == 409:
            return AmbiguousError(problem.detail, problem.candidates)
        return UpstreamError(problem.detail, status=status, retryable=status >= 500)


def client_of(ctx: click.Context, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Client:
    """Return the client that the global options describe.

    Raises:
        ConfigError: the token file cannot be read, or the server is no URL.
    """
    options = ctx.find_root().obj
    token = os.environ.get("FLUXTRAIL_TOKEN", "").strip() or None
    if options["token_file"]:
        try:
            lines = Path(options["token_file"]).read_text(encoding="utf-8").split()
            token = lines[0] if lines else ""  # the newest first, while a server takes two
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            raise ConfigError(f"{options['token_file']} cannot be read: {reason}", subject="--token-file") from exc
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ConfigError("the token holds characters that no header may carry", subject="token")
    return Client(options["server"], token=token, timeout_seconds=timeout_seconds)
