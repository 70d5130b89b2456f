"""A cluster to write to with plain requests, and a watcher's observations of it."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from fluxtrail.clusters.clock import SystemClock
from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import BearerTokenFile, Endpoint
from fluxtrail.clusters.subjects import Subject, WatchOptions
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.observation import Current, Gone, Listed, Observation, Seen, Unavailable
from fluxtrail.simulator.apiserver.server import ApiServer

FLUX = "source.toolkit.fluxcd.io"
"""ExternalArtifacts: the one kind of Flux that no controller of its own writes to, so that a test may."""
WAIT_SECONDS = 12.0
MERGE = "application/merge-patch+json"


class WireMeta(msgspec.Struct):
    name: str
    labels: dict[str, str] | None = None


class WireReference(msgspec.Struct):
    name: str | None = None


class WireSpec(msgspec.Struct, rename="camel"):
    source_ref: WireReference | None = None


class WireArtifactStatus(msgspec.Struct):
    revision: str | None = None


class WireStatus(msgspec.Struct):
    artifact: WireArtifactStatus | None = None


class WireArtifact(msgspec.Struct):
    metadata: WireMeta
    spec: WireSpec | None = None
    status: WireStatus | None = None


class Sight(msgspec.Struct, frozen=True):
    name: str
    source: str
    revision: str


def project(wire: WireArtifact) -> Sight:
    reference = wire.spec.source_ref if wire.spec else None
    artifact = wire.status.artifact if wire.status else None
    source, revision = (reference.name if reference else None), (artifact.revision if artifact else None)
    return Sight(wire.metadata.name, source or "", revision or "")


@dataclass
class World:
    """One namespace of a cluster, of this test's own."""

    connection: Connection
    session: aiohttp.ClientSession
    make_old: Callable[[], None]
    """Makes the cluster forget what it can of its history; a real one has forgotten its first versions long ago."""
    namespace: str = field(default_factory=lambda: f"contract-{uuid.uuid4().hex[:10]}")

    async def call(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        credential = await self.connection._credentials.current()
        headers = {"Content-Type": content_type}
        if credential.authorization is not None:
            headers["Authorization"] = credential.authorization.reveal()
        tls = self.connection._tls
        url = self.connection.server + path
        data = None if body is None else msgspec.json.encode(body)
        ssl = tls.context(None) if tls is not None else True
        async with self.session.request(method, url, data=data, headers=headers, ssl=ssl) as response:
            answer = msgspec.json.decode(await response.read())
            assert response.status < 300, answer
            return answer

    @property
    def artifacts(self) -> str:
        return f"/apis/{FLUX}/v1/namespaces/{self.namespace}/externalartifacts"

    async def create(self, name: str, source: str = "a", **labels: str) -> dict[str, Any]:
        body = {
            "apiVersion": f"{FLUX}/v1",
            "kind": "ExternalArtifact",
            "metadata": {"name": name, "labels": labels},
            "spec": {"sourceRef": {"apiVersion": "example.dev/v1", "kind": "Thing", "name": source}},
        }
        created: dict[str, Any] = await self.call("POST", self.artifacts, body)
        return created

    async def patch(self, name: str, body: dict[str, Any], subresource: str = "") -> None:
        await self.call("PATCH", f"{self.artifacts}/{name}{subresource}", body, content_type=MERGE)

    async def point(self, name: str, source: str) -> None:
        await self.patch(name, {"spec": {"sourceRef": {"name": source}}})

    async def reach(self, name: str, revision: str) -> None:
        """Write a status, as a controller does."""
        artifact = {
            "digest": "sha256:0",
            "lastUpdateTime": "2026-01-01T00:00:00Z",
            "path": "x",
            "revision": revision,
            "url": "http://example.dev/x",
        }
        await self.patch(name, {"status": {"artifact": artifact}}, "/status")

    async def label(self, name: str, **labels: str) -> None:
        await self.patch(name, {"metadata": {"labels": labels}})

    async def delete(self, name: str) -> None:
        await self.call("DELETE", f"{self.artifacts}/{name}")

    def subject(self, **changes: Any) -> Subject[Sight]:
        settings: dict[str, Any] = {
            "group": FLUX,
            "kind": "ExternalArtifact",
            "versions": ("v2", "v1"),
            "wire": WireArtifact,
            "project": project,
            "namespaces": (self.namespace,),
        }
        return Subject(**(settings | changes))


@asynccontextmanager
async def open_world(server: ApiServer, folder: Path, *names: str) -> AsyncIterator[World]:
    """Open a world on a simulated server, with these objects, by a token that is in `folder`."""
    (folder / "token").write_text("first")
    login = BearerTokenFile(path=folder / "token", subject="tokenFile")
    async with (
        Connection(Endpoint(name=server.name, server=server.url, login=login)) as connection,
        aiohttp.ClientSession() as session,
    ):
        world = World(connection, session, make_old=server.faults.compact)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}
        await world.call("POST", "/api/v1/namespaces", namespace)
        for name in names:
            await world.create(name)
        yield world


class BriskClock(SystemClock):
    """Waits a twentieth of every back-off."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


class Observer:
    """A running watcher and what it said, one or two words each."""

    def __init__(self, watcher: Watcher[Sight]) -> None:
        self.watcher = watcher
        self.seen: list[Observation[Sight]] = []

    async def emit(self, batch: Sequence[Observation[Sight]]) -> None:
        self.seen.extend(batch)

    def told(self) -> list[str]:
        return [text for each in self.seen if (text := _told(each))]

    async def until(self, condition: Callable[[], object]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while not condition():  # noqa: ASYNC110 the condition may be about anything
                    await asyncio.sleep(0.01)
                return
        raise AssertionError(f"never came; seen so far: {self.told()}; {self.watcher.stats}")

    async def until_told(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.told() for text in texts))

    async def until_listed(self, times: int = 1) -> None:
        await self.until(lambda: self.told().count("listed") >= times)

    async def until_resumed(self) -> None:
        """Wait for the next stream."""
        before = self.watcher.stats.resumes
        await self.until(lambda: self.watcher.stats.resumes > before)

    def currents(self) -> list[Current]:
        return [each for each in self.seen if isinstance(each, Current)]


def _told(each: Observation[Any]) -> str:
    match each:
        case Seen(object=Sight() as sight, was_held=was_held):
            return " ".join(part for part in (sight.name, sight.source, sight.revision, was_held and "held") if part)
        case Seen(key=key):
            return key.name
        case Gone(key=key):
            return f"gone {key.name}"
        case Listed():
            return "listed"
        case Unavailable(reason=reason):
            return reason
        case Current():
            return ""


@asynccontextmanager
async def observing(
    world: World, subject: Subject[Sight] | None = None, *, connection: Connection | None = None, **options: Any
) -> AsyncIterator[Observer]:
    watcher = Watcher(
        connection or world.connection, subject or world.subject(), options=WatchOptions(**options), clock=BriskClock()
    )
    observer = Observer(watcher)
    task = asyncio.create_task(watcher.run(observer.emit))
    try:
        yield observer
    finally:
        was_running = not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert was_running


def requires_kubernetes() -> bool:
    return "kubernetes" in os.environ.get("FLUXTRAIL_TEST_REQUIRE", "").replace(",", " ").split()
