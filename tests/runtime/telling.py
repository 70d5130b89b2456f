"""What the tests of routes and hooks share: clusters that a commit is delivered to, and senders that sign."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from tests.runtime.worlds import NAMESPACE, Cluster, Running, ago, make_settings, push, revision

from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.simulator.repositories import Commit, Repository
from fluxtrail.simulator.statuses import Conditions

PUBLIC_URL = "https://trail.example"
SECRET = "a secret of a sender, long enough"
_ENVIRONMENTS = [{"name": "production", "clusters": ["prod-*"]}]


@asynccontextmanager
async def open_clusters(*names: str) -> AsyncIterator[list[Cluster]]:
    async with AsyncExitStack() as stack:
        made = [Cluster(name) for name in names]
        for cluster in made:
            await stack.enter_async_context(cluster.server)
        yield made


def settings_of(
    folder: Path,
    clusters: Iterable[Cluster],
    repository: Repository,
    *routes: dict[str, Any],
    forge: dict[str, Any] | None = None,
    **changes: Any,
) -> Settings:
    """Settings with these routes, for `production` (all `prod-*`) and each other cluster.

    Args:
        forge: where the repository is told of; by its address otherwise.
    """
    followed = {"url": repository.url, "branch": "main", **({"forge": forge} if forge else {})}
    given = {
        "repositories": [followed],
        "environments": _ENVIRONMENTS,
        "routes": list(routes),
        "public_url": PUBLIC_URL,
    }
    return make_settings(folder, *clusters, **(given | changes))


def fetch(clusters: Iterable[Cluster], repository: Repository, commit: Commit) -> None:
    for cluster in clusters:
        cluster.fetch(commit, url=repository.url)


def deliver(clusters: Iterable[Cluster], repository: Repository, commit: Commit, **options: Any) -> None:
    """Let Flux fetch a commit and apply it."""
    for cluster in clusters:
        cluster.fetch(commit, url=repository.url)
        cluster.apply(commit, **options)


async def begin(clusters: Iterable[Cluster], repository: Repository, **options: Any) -> None:
    """Deliver a first commit: what comes after it is news."""
    deliver(clusters, repository, await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "First"), **options)


def say(cluster: Cluster, commit: Commit, *, ready: str, reason: str, message: str = "", **more: Any) -> None:
    """Let the Kustomization `apps` say what came of a commit; its manifests are as before."""
    found = cluster.store.get("kustomizations", "apps", NAMESPACE).get("status") or {}
    conditions = Conditions(found.get("conditions"), generation=1)
    conditions.set("Ready", ready, reason, message or f"{reason} of {revision(commit)}", at=ago(0))
    status = {"lastAttemptedRevision": revision(commit), "conditions": conditions.listed(), **more}
    cluster.store.patch_status("kustomizations", "apps", NAMESPACE, status)


# -- senders ------------------------------------------------------------------------------------------------------


def signed(data: bytes) -> str:
    """What `X-Signature` and `X-Hub-Signature-256` say of a body that the holder of SECRET sends."""
    return "sha256=" + hmac.new(SECRET.encode(), data, hashlib.sha256).hexdigest()


async def send(here: Running, path: str, data: bytes, **headers: str) -> int:
    """Post to the hooks listener; returns the answer's status."""
    url = here.addresses["hooks"] + path
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as response:
        return response.status
