"""A small fleet for the running service: API servers, git repositories, what Flux writes, and what we answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from tests.ledger.world import fresh_place

from fluxtrail.runtime.assembly import open_service
from fluxtrail.runtime.service import Service
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig
from fluxtrail.simulator.apiserver.server import ApiServer
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.repositories import Commit, Person, Repository
from fluxtrail.simulator.statuses import Conditions, upsert_snapshot

ADA = Person("Ada", "ada@example.com")
WAIT_SECONDS = 30.0
NAMESPACE = "flux-system"
FREE = "127.0.0.1:0"


def ago(seconds: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds)


async def until(condition: Callable[[], Any], what: str, *, seconds: float = WAIT_SECONDS) -> Any:
    """Ask again and again until the condition (awaited where it is awaitable) holds; return what it gave."""
    found: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = condition()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"never came: {what}; the last answer was {found!r}") from None


# -- repositories -------------------------------------------------------------------------------------------------


async def make_repository(folder: Path, name: str = "fleet") -> Repository:
    repository = Repository(folder / f"{name}.git", name=f"acme/{name}")
    await repository.create()
    await push(repository, {"apps/web.yaml": "replicas: 0\n"}, "Begin", at=ago(7200))
    return repository


async def push(
    repository: Repository, changes: dict[str, str | None], message: str = "Change", *, at: datetime | None = None
) -> Commit:
    return await repository.commit(changes, message, author=ADA, at=at or ago(0))


def revision(commit: Commit) -> str:
    return f"main@sha1:{commit.sha}"


# -- clusters -----------------------------------------------------------------------------------------------------


class Cluster:
    """An API server, with the writes of a Flux that is told what to do."""

    def __init__(self, name: str = "prod", **options: Any) -> None:
        self.server = ApiServer(name=name, **options)
        self.name = name

    @property
    def store(self) -> Any:
        return self.server.store

    def fetch(
        self,
        commit: Commit | str | None,
        *,
        url: str,
        name: str = "fleet",
        namespace: str = NAMESPACE,
        at: datetime | None = None,
    ) -> None:
        """A GitRepository that has fetched `commit` (or a revision given as text)."""
        self._make("GitRepository", name, namespace, {"url": url, "ref": {"branch": "main"}, "interval": "1m"})
        if commit is None:
            return
        text = commit if isinstance(commit, str) else revision(commit)
        artifact = {
            "revision": text,
            "digest": f"sha256:{text[-40:]:0<64}",
            "lastUpdateTime": wire_time(at or ago(0)),
            "path": "x",
            "url": "http://source-controller/x",
        }
        ready = Conditions(None, generation=1).set("Ready", "True", "Succeeded", "stored artifact", at=at or ago(0))
        self._status("GitRepository", name, namespace, {"artifact": artifact, "conditions": ready.listed()})

    def pull(
        self,
        url: str,
        digest: str,
        *,
        tag: str = "latest",
        name: str = "manifests",
        annotations: dict[str, str] | None = None,
        at: datetime | None = None,
    ) -> str:
        """An OCIRepository that has pulled an artifact; returns its revision."""
        spec = {"url": url, "ref": {"tag": tag}, "interval": "1m", "insecure": True}
        self._make("OCIRepository", name, NAMESPACE, spec)
        text = f"{tag}@{digest}"
        artifact = {
            "revision": text,
            "digest": digest,
            "lastUpdateTime": wire_time(at or ago(0)),
            "path": "x",
            "url": "http://source-controller/x",
            "metadata": annotations or {},
        }
        ready = Conditions(None, generation=1).set("Ready", "True", "Succeeded", "stored artifact", at=at or ago(0))
        self._status("OCIRepository", name, NAMESPACE, {"artifact": artifact, "conditions": ready.listed()})
        return text

    def apply(
        self,
        commit: Commit | str,
        *,
        name: str = "apps",
        namespace: str = NAMESPACE,
        source: str = "fleet",
        kind: str = "GitRepository",
        path: str = "./",
        at: datetime | None = None,
    ) -> None:
        """A Kustomization that has applied `commit` (or a revision given as text)."""
        text = commit if isinstance(commit, str) else revision(commit)
        self.target(name, namespace=namespace, source=source, kind=kind, path=path)
        before = self.store.get("kustomizations", name, namespace).get("status") or {}
        when = at or ago(0)
        conditions = Conditions(before.get("conditions"), generation=1)
        conditions.set("Ready", "True", "ReconciliationSucceeded", f"Applied revision: {text}", at=when)
        history = upsert_snapshot(
            before.get("history"),
            digest=f"sha256:{abs(hash(text)):064x}",
            status="ReconciliationSucceeded",
            revision=text,
            at=when,
            seconds=0.5,
        )
        self._status("Kustomization", name, namespace, {"lastAttemptedRevision": text})
        self._status("Kustomization", name, namespace, {"conditions": conditions.listed(), "observedGeneration": 1})
        self._status("Kustomization", name, namespace, {"lastAppliedRevision": text, "history": history})

    def target(
        self,
        name: str = "apps",
        *,
        namespace: str = NAMESPACE,
        source: str = "fleet",
        kind: str = "GitRepository",
        path: str = "./",
    ) -> None:
        """A Kustomization whose controller has not looked at it yet. In its source's namespace it need not say so."""
        reference = {"kind": kind, "name": source} | ({"namespace": NAMESPACE} if namespace != NAMESPACE else {})
        spec = {"sourceRef": reference, "path": path, "interval": "1m", "prune": True}
        self._make("Kustomization", name, namespace, spec)

    def _make(self, kind: str, name: str, namespace: str, spec: dict[str, Any]) -> None:
        plural, group = _KINDS[kind]
        if self.store.find("namespaces", namespace) is None:
            self.store.insert_namespace(namespace)
        if self.store.find(plural, name, namespace) is None:
            version = self.store.catalog.get(plural).versions[0]
            body = {"apiVersion": f"{group}/{version}", "kind": kind, "spec": spec}
            self.store.create(plural, {**body, "metadata": {"name": name, "namespace": namespace}})

    def _status(self, kind: str, name: str, namespace: str, status: dict[str, Any]) -> None:
        self.store.patch_status(_KINDS[kind][0], name, namespace, status)


_KINDS = {
    "GitRepository": ("gitrepositories", "source.toolkit.fluxcd.io"),
    "OCIRepository": ("ocirepositories", "source.toolkit.fluxcd.io"),
    "Kustomization": ("kustomizations", "kustomize.toolkit.fluxcd.io"),
}


# -- the service --------------------------------------------------------------------------------------------------


def make_settings(folder: Path, *clusters: Cluster, **changes: Any) -> Settings:
    """Settings on free ports, with a kubeconfig of the (started) clusters where there are any."""
    given: dict[str, Any] = {
        "ledger": {"path": folder / "ledger" / "fluxtrail.sqlite"},
        "git": {"poll_seconds": 0.2, "allow_file_protocol": True},
        "api": {"listen": FREE},
        "metrics": {"listen": FREE},
        "health": {"listen": FREE},
    }
    if clusters:
        path = folder / "kubeconfig"
        write_kubeconfig(path, [cluster.server for cluster in clusters])
        given |= {"kubeconfig": str(path), "kube_contexts": tuple(cluster.name for cluster in clusters)}
    for name, value in changes.items():
        given[name] = {**given.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings(**given)


def make_environ(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), **more}


class Running:
    """A service that runs, and questions to it."""

    def __init__(self, service: Service, addresses: dict[str, str], session: aiohttp.ClientSession) -> None:
        self.service = service
        self.addresses = addresses
        self._session = session

    async def get(self, listener: str, path: str) -> tuple[int, str]:
        async with self._session.get(self.addresses[listener] + path) as response:
            return response.status, await response.text()

    async def ask(self, path: str) -> Any:
        """Return the JSON of the API, or None where it knows nothing."""
        async with self._session.get(f"{self.addresses['api']}/api/v1{path}") as response:
            return await response.json() if response.status == 200 else None

    async def readiness(self) -> tuple[int, str]:
        return await self.get("health", "/readyz")

    async def until_ready(self) -> None:
        async def is_ready() -> bool:
            return (await self.readiness())[0] == 200

        await until(is_ready, "readiness")

    async def targets(self) -> list[dict[str, Any]]:
        return list((await self.ask("/targets"))["items"])

    async def until_applied(self, commit: Commit | str, *, target: str = "apps") -> None:
        """Wait until a target's applied revision is kept."""
        text = commit if isinstance(commit, str) else revision(commit)

        async def is_applied() -> bool:
            return any(
                item["target"].endswith(f"/{target}") and item["applied"] == text for item in await self.targets()
            )

        await until(is_applied, f"{target} at {text}")

    async def deliveries(self, sha: str) -> list[dict[str, Any]]:
        trail = await self.ask(f"/commits/{sha}")
        return trail["deliveries"] if trail else []

    async def until_verdict(
        self, commit: Commit | str, verdict: str, *, target: str = "apps", seconds: float = WAIT_SECONDS
    ) -> dict[str, Any]:
        """Wait for the verdict of a commit on a target; return the delivery."""
        sha = commit if isinstance(commit, str) else commit.sha

        async def find() -> dict[str, Any] | None:
            for item in await self.deliveries(sha):
                if item["target"].endswith(f"/{target}") and item["verdict"] == verdict:
                    return dict(item)
            return None

        found: dict[str, Any] = await until(find, f"{sha} {verdict} on {target}", seconds=seconds)
        return found

    async def until_read(self, commit: Commit | str, verdict: str, *, target: str = "apps") -> dict[str, Any]:
        """Wait for the verdict and for the workloads read after it: the delivery, which nothing changes any more."""

        async def find() -> dict[str, Any] | None:
            found = await self.until_verdict(commit, verdict, target=target)
            return found if found["running"] not in ("", "unread") else None

        found: dict[str, Any] = await until(find, f"the workloads of {target} at {commit}")
        return found

    async def until_attributed(self) -> None:
        """Wait until no sync waits for its commits."""

        async def is_done() -> bool:
            return await self.sample("fluxtrail_attribution_pending") == 0

        await until(is_done, "attribution of all syncs")

    async def samples(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        status, text = await self.get("metrics", "/metrics")
        assert status == 200, text
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    async def sample(self, name: str, **labels: str) -> float:
        """Return the sum of the series that have the labels; 0 without any."""
        series = (await self.samples()).get(name, [])
        return sum(value for have, value in series if labels.items() <= have.items())


@asynccontextmanager
async def running(settings: Settings, environ: dict[str, str]) -> AsyncIterator[Running]:
    """Run the service in this loop, and stop it as a signal does: the jobs, the listeners, the ledger."""
    place = settings.ledger.path
    if isinstance(place, Path) and not place.exists() and place.parent.parent.is_dir():
        await fresh_place(place)
    async with open_service(settings, environ) as service, aiohttp.ClientSession() as session:
        serving: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(service.run(on_ready=serving.set_result))
            addresses = await serving
            yield Running(service, addresses, session)
            task.cancel()


def cluster_named(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(item) for item in status["clusters"] if item["name"] == name)


def stream_of(status: dict[str, Any], name: str, kind: str) -> dict[str, Any]:
    return next(dict(item) for item in cluster_named(status, name)["streams"] if item["kind"] == kind)
