from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from tests.cli.golden import golden
from tests.web.worlds import NOW, World, at

from fluxtrail.model.figures import Figures
from fluxtrail.web.app import create_app
from fluxtrail.web.health import create_health_app
from fluxtrail.web.measures import MetricSource
from fluxtrail.web.metrics import Metrics, create_metrics_app
from fluxtrail.web.server import Listener, WebServer
from fluxtrail.web.tracker_metrics import TrackerCounters, TrackerMetrics


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    json: Any


__all__ = ["golden"]
Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def sources() -> list[MetricSource]:
    return []


@pytest.fixture
def tracked() -> TrackerCounters:
    return TrackerCounters()


@pytest.fixture
async def server(
    world: World, figures: Figures, sources: list[MetricSource], tracked: TrackerCounters
) -> AsyncIterator[WebServer]:
    metrics = Metrics(
        figures=lambda: figures,
        answers=world,
        created_at=at(-86400),
        now=lambda: world.now,
        sources=sources,
        records=world,
        tracker=lambda: tracked,
    )
    api = create_app(answers=world, report=world, now=lambda: NOW, records=world, chains=world, reports=world)
    tracker = create_metrics_app(TrackerMetrics(lambda: tracked))
    listeners = [
        Listener(name="api", app=api, host="127.0.0.1", port=0),
        Listener(name="metrics", app=create_metrics_app(metrics), host="127.0.0.1", port=0),
        Listener(name="tracker", app=tracker, host="127.0.0.1", port=0),
        Listener(name="health", app=create_health_app(world), host="127.0.0.1", port=0),
    ]
    async with WebServer(listeners) as running:
        yield running


@pytest.fixture
async def ask(server: WebServer) -> AsyncIterator[Ask]:
    """`await ask("api", "/api/v1/commits")`: what a listener answers, undecoded and decoded."""
    async with aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"}) as session:

        async def request(listener: str, path: str, method: str = "GET", **more: Any) -> Answer:
            url = f"{server.addresses[listener].url}{path}"
            async with session.request(method, url, **more) as response:
                body = await response.read()
                is_json = "json" in response.headers.get("content-type", "")
                return Answer(
                    response.status,
                    {name.lower(): value for name, value in response.headers.items()},
                    body,
                    await response.json(content_type=None) if is_json and body else None,
                )

        yield request
