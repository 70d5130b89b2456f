"""Ports for processes that are killed and started again, and keep theirs while they are away."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from fluxtrail.model.errors import ConfigError

LASTING_PORTS = range(20_000, 30_000)
"""Kernels hand none of these to who asks for any port (Linux begins at 32768, macOS and Windows at 49152), nor does
Kubernetes to a Service (from 30000): while nobody listens on one, no connection of this machine takes it.
"""


def choose_addresses(addresses: Sequence[str]) -> list[str]:
    """Return them with another free port for each port 0; an empty one stays so.

    Raises:
        ConfigError: one is not host:port, or cannot be served on this machine.
    """
    pairs = [_split(address) if address else None for address in addresses]
    given = {pair[1] for pair in pairs if pair}
    with ExitStack() as probes:  # open until all are chosen: no two are the same
        return [_choose(pair, given, probes) if pair else "" for pair in pairs]


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ConfigError(f"{address!r} is not host:port", subject="listen")
    return host or "127.0.0.1", int(port)


def _choose(pair: tuple[str, int], given: set[int], probes: ExitStack) -> str:
    host, port = pair
    if port:
        return f"{host}:{port}"
    for number in random.sample(LASTING_PORTS, len(LASTING_PORTS)):
        if number not in given and _is_free(host, number, probes):
            return f"{host}:{number}"
    raise ConfigError(f"no port of {host} is free from {LASTING_PORTS[0]} to {LASTING_PORTS[-1]}", subject="listen")


def _is_free(host: str, port: int, probes: ExitStack) -> bool:
    probe = probes.enter_context(socket.socket())
    try:
        probe.bind((host, port))
    except OSError as exc:
        if exc.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise ConfigError(f"{host} cannot be served on this machine: {exc}", subject="listen") from exc
    return True
