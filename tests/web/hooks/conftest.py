"""A hooks listener as it is served, over a real ledger in a file."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.ledger.world import fresh_place

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.notices import Hook, KeptNotice
from fluxtrail.web.hooks.app import CONNECTIONS, NO_LIMITS, HooksApp, create_hooks_app
from fluxtrail.web.hooks.bodies import Limits
from fluxtrail.web.hooks.intake import Inbox
from fluxtrail.web.hooks.senders import Sender
from fluxtrail.web.server import Address, Listener, WebServer

NOW = datetime(2026, 8, 7, 7, 30, tzinfo=UTC)
PROD_SECRET = "the secret of production's Flux"
FORGE_SECRET = "the secret of the forge's webhooks"
FORGES = frozenset({Hook.GITHUB, Hook.GITLAB, Hook.AZURE_DEVOPS})
SENDERS = (
    Sender(name="other", secret="one that nobody uses here"),
    Sender(name="prod", secret=PROD_SECRET, hooks=frozenset({Hook.FLUX, Hook.GITOPSPHASE, Hook.ARGOCD})),
    Sender(name="forge", secret=FORGE_SECRET, hooks=frozenset({*FORGES, Hook.CDEVENTS})),
)
SHA = "40d6b21b888db0ca794876cf7bdd399e3da2137e"
DEADLINE_SECONDS = 10.0


class StillClock:
    def now(self) -> datetime:
        return NOW


class Hands:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        return found


Post = Callable[..., Awaitable[Answer]]


@dataclass
class World:
    """What a test may change before the listener is up."""

    senders: Sequence[Sender] = SENDERS
    anonymous: Mapping[Hook, int] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    hands: Hands = field(default_factory=Hands)
    woken: int = 0

    def wake(self) -> None:
        self.woken += 1


def flux(name: str = "apps", **given: Any) -> bytes:
    """Return an event as notification-controller posts it."""
    content = {
        "involvedObject": {
            "kind": "Kustomization",
            "namespace": "flux-system",
            "name": name,
            "uid": "7d0c0000-0000-4000-8000-000000000001",
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "resourceVersion": "811",
        },
        "severity": "info",
        "timestamp": "2026-08-07T07:26:19Z",
        "message": "Reconciliation finished in 1.2s, next run in 10m0s",
        "reason": "ReconciliationSucceeded",
        "metadata": {"revision": f"main@sha1:{SHA}", "commit_status": "update", "cluster": "prod-1"},
        "reportingController": "kustomize-controller",
        "reportingInstance": "kustomize-controller-7c7b47f5f-8bhrp",
    }
    return json.dumps(content | given).encode()


def argo(**given: Any) -> bytes:
    content = {
        "commitid": SHA,
        "phase": "Succeeded",
        "sync_status": "Synced",
        "health": "Healthy",
        "message": "successfully synced",
        "resources": [{"status": "Synced", "health": {"status": "Healthy"}}],
    }
    return json.dumps(content | given).encode()


def cdevent(**given: Any) -> bytes:
    context = {
        "version": "0.5.1",
        "id": "271069a8",
        "source": "/forge/acme",
        "type": "dev.cdevents.change.merged.0.3.0",
        "timestamp": "2026-08-07T07:20:00Z",
    }
    return json.dumps({"context": context | given, "subject": {"id": "1", "content": {}}}).encode()


def push(**given: Any) -> bytes:
    content = {
        "ref": "refs/heads/main",
        "before": "1" * 40,
        "after": SHA,
        "repository": {"clone_url": "https://github.com/acme/shop.git"},
    }
    return json.dumps(content | given).encode()


def sign(body: bytes, secret: str = PROD_SECRET, algorithm: str = "sha256") -> str:
    return f"{algorithm}={hmac.digest(secret.encode(), body, algorithm).hex()}"


def signed(body: bytes, secret: str = PROD_SECRET) -> dict[str, str]:
    return {"X-Signature": sign(body, secret)}


def github(body: bytes, event: str = "push", delivery: str = "d-1") -> dict[str, str]:
    return {"X-Hub-Signature-256": sign(body, FORGE_SECRET), "X-GitHub-Event": event, "X-GitHub-Delivery": delivery}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    opened = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=StillClock())
    try:
        yield opened
    finally:
        await opened.close()


def build(world: World, inbox: Inbox) -> HooksApp:
    return create_hooks_app(
        world.senders,
        inbox,
        now=StillClock().now,
        monotonic=world.hands,
        anonymous=world.anonymous,
        on_kept=world.wake,
        limits=world.limits,
    )


@asynccontextmanager
async def serving(app: HooksApp) -> AsyncIterator[Address]:
    """Serve as `fluxtrail run` does: the job ends before the listener."""
    listener = Listener(name="hooks", app=app, host="127.0.0.1", port=0, connections=CONNECTIONS)
    async with WebServer([listener]) as server, asyncio.TaskGroup() as group:
        job = group.create_task(app.run())
        try:
            yield server.addresses["hooks"]
        finally:
            job.cancel()


@pytest.fixture
def app(world: World, ledger: SqlLedger) -> HooksApp:
    return build(world, ledger.inbox)


@pytest.fixture
async def address(app: HooksApp) -> AsyncIterator[Address]:
    async with serving(app) as address:
        yield address


@asynccontextmanager
async def posting(address: Address) -> AsyncIterator[Post]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def post(path: str, body: Any = b"", headers: Mapping[str, str] = {}, method: str = "POST") -> Answer:
            data = io.BytesIO(body) if isinstance(body, bytes) else body
            async with session.request(method, f"{address.url}{path}", data=data, headers=headers) as response:
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, found, await response.read())

        yield post


@pytest.fixture
async def post(address: Address) -> AsyncIterator[Post]:
    """`await post("/hooks/flux", body, headers)`: what the listener answers."""
    async with posting(address) as post:
        yield post


@pytest.fixture
def kept(ledger: SqlLedger) -> Callable[[], Awaitable[list[KeptNotice]]]:
    """What is in the ledger now."""

    async def read() -> list[KeptNotice]:
        return await ledger.inbox.take(10_000)

    return read


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - numbers of what is tested
            await asyncio.sleep(0.002)


def counted(app: HooksApp) -> dict[tuple[str, ...], float]:
    """Return every number of the listener by (metric without its beginning, labels...)."""
    return {
        (measure.name.removeprefix("fluxtrail_hooks_"), *labels): value
        for measure in app.measures()
        for labels, value in measure.values
    }
