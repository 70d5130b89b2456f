"""A kubeconfig for simulated servers: one context each, named like the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fluxtrail.simulator.apiserver.server import ApiServer


def kubeconfig(servers: Sequence[ApiServer]) -> dict[str, Any]:
    """Return a kubeconfig document; the first server is the current context. All must be started.

    Each context carries the first of its server's tokens, if it has any.
    """
    users = [(server.name, next(iter(server.access.tokens), None)) for server in servers]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": server.name, "cluster": {"server": server.url}} for server in servers],
        "users": [{"name": name, "user": {"token": token} if token else {}} for name, token in users],
        "contexts": [
            {"name": server.name, "context": {"cluster": server.name, "user": server.name}} for server in servers
        ],
        "current-context": servers[0].name if servers else "",
    }


def write_kubeconfig(path: Path, servers: Sequence[ApiServer]) -> None:
    """Write `kubeconfig(servers)` to `path`, readable by its owner only."""
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(kubeconfig(servers), sort_keys=False))
