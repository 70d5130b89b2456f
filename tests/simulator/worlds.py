"""Short ways to ask a played world what became of something."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fluxtrail.simulator.world import World

Play = Callable[..., AbstractAsyncContextManager[World]]

Json = dict[str, Any]
Record = Callable[..., AbstractAsyncContextManager[tuple[World, list[Json]]]]


def commits(world: World, subject: str) -> list[Json]:
    """Return the truth about the commits whose subject begins so, oldest first."""
    found = [commit for commit in world.report() if commit["subject"].startswith(subject)]
    assert found, f"no commit {subject!r} in {[c['subject'] for c in world.report()]}"
    return found


def delivery(commit: Json, cluster: str, name: str) -> Json:
    target = f"Kustomization/flux-system/{name}"
    found: Json = next(d for d in commit["deliveries"] if (d["cluster"], d["target"]) == (cluster, target))
    return found


def verdicts(commit: Json) -> dict[str, str]:
    """Return `cluster/name` -> verdict of all that is affected."""
    return {
        f"{d['cluster']}/{d['target'].rpartition('/')[2]}": d["verdict"]
        for d in commit["deliveries"]
        if d["verdict"] != "unaffected"
    }
