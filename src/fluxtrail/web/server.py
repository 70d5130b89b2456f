"""Serves ASGI applications on several listeners in this process: the API, metrics, health."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import uvicorn

from fluxtrail.model.errors import ConfigError
from fluxtrail.web.access.asgi import AsgiApp, Receive, Scope, Send
from fluxtrail.web.connections import Connection

BACKLOG = 128
KEEP_ALIVE_SECONDS = 30
MAX_CONCURRENT_REQUESTS = 256
"""On one listener; what comes above it is answered 503."""
_STOPPING = "fluxtrail.stopping"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where one application is served. Port 0 takes a free one."""

    name: str
    app: AsgiApp
    host: str
    port: int
    streams: int = 0
    """How many answers may go on for as long as their clients want, beside the requests."""
    connections: int = MAX_CONCURRENT_REQUESTS
    """How many clients may be connected, busy or idle, beside those; what comes above it is answered 503."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """An `http://` URL that reaches it from this machine."""
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{Address(reachable, self.port)}"


def parse_address(text: str, *, subject: str) -> tuple[str, int]:
    """Return (host, port) of `:8888`, `127.0.0.1:8080` or `[::1]:8080`; no host means every address.

    Raises:
        ConfigError: none of these.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise ConfigError(f"{text!r} is not an address; write host:port, [ipv6]:port or :port", subject=subject)
    return host.strip("[]"), int(port)


class WebServer:
    """`async with WebServer([...]) as server:` serves until it is left; the ports are bound when it is entered.

    On leaving, no new connection is taken, running requests get `grace_seconds`, then they are cancelled; answers
    without end learn of it by `stopping_of`.
    Enter and leave in the same task. What crashes in a listener comes out of the `async with`.

    Raises:
        ConfigError: an address cannot be bound; the message names it.
    """

    def __init__(self, listeners: Sequence[Listener], *, grace_seconds: int = 5) -> None:
        self._listeners = tuple(listeners)
        self._grace_seconds = grace_seconds
        self._servers: list[_Server] = []
        self._group = asyncio.TaskGroup()
        self._stopping = asyncio.Event()
        self.addresses: dict[str, Address] = {}

    async def __aenter__(self) -> WebServer:
        sockets = _bind_all(self._listeners)
        self.addresses = {
            listener.name: Address(listener.host, bound.getsockname()[1])
            for listener, bound in zip(self._listeners, sockets, strict=True)
        }
        await self._group.__aenter__()
        try:
            for listener, bound in zip(self._listeners, sockets, strict=True):
                app = _told_of_stopping(listener.app, self._stopping)
                server = _Server(_config(app, self._grace_seconds, connections=listener.connections + listener.streams))
                self._servers.append(server)
                self._group.create_task(server.serve(sockets=[bound]), name=f"web/{listener.name}")
            for server in self._servers:
                await server.is_up.wait()
        except BaseException:
            await self._group.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for server in self._servers:
            server.should_exit = True
        # The body's own error is not the group's: it would cancel requests that may still end well.
        await self._group.__aexit__(None, None, None)


def stopping_of(scope: Scope) -> asyncio.Event:
    """Return what is set when the server that a request came by is being left; never set elsewhere."""
    found = (scope.get("extensions") or {}).get(_STOPPING)
    return found["event"] if found else asyncio.Event()


def _told_of_stopping(app: AsgiApp, stopping: asyncio.Event) -> AsgiApp:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**(scope.get("extensions") or {}), _STOPPING: {"event": stopping}}
        await app(scope, receive, send)

    return told


class _Server(uvicorn.Server):
    """uvicorn inside our own loop: signals are the runtime's business, and start-up can be waited for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.is_up.set()


def _config(app: Any, grace_seconds: int, *, connections: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        http=Connection,
        ws="none",
        backlog=max(BACKLOG, connections),
        limit_concurrency=connections,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )


def _bind_all(listeners: Sequence[Listener]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        sockets.extend(_bind(listener) for listener in listeners)
    except ConfigError:
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _bind(listener: Listener) -> socket.socket:
    try:
        infos = socket.getaddrinfo(
            listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # Where every address is meant, the IPv6 one takes both families.
        infos.sort(key=lambda info: info[0] != (socket.AF_INET6 if not listener.host else socket.AF_INET))
        return _open(infos)
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {listener.host or '*'}:{listener.port} for {listener.name}: {exc.strerror or exc}; "
            "is another process there? Choose another address",
            subject=f"{listener.name} address",
        ) from exc


def _open(infos: Sequence[tuple[Any, ...]]) -> socket.socket:
    last = OSError("no such address")
    for family, kind, protocol, _, address in infos:
        bound = None
        try:
            bound = socket.socket(family, kind, protocol)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            bound.bind(address)
        except OSError as exc:
            if bound is not None:
                bound.close()
            last = exc
        else:
            bound.setblocking(False)
            return bound
    raise last
