from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import anyio.to_thread
import pytest
import structlog
from click.testing import CliRunner, Result
from tests.cli.golden import golden
from tests.web.worlds import NOW, World

from fluxtrail.cli.main import cli
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.server import Listener, WebServer

__all__ = ["golden"]
Invoke = Callable[..., Awaitable[Result]]
QUIET = {"NO_COLOR": "1", "FORCE_COLOR": None, "COLUMNS": "80", "FLUXTRAIL_TOKEN": None, "TERM": "xterm"}


@pytest.fixture(autouse=True)
def logs_apart() -> Iterator[None]:
    """The server's log is no output of the command that runs in the same process."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    structlog.reset_defaults()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def server(world: World) -> AsyncIterator[str]:
    feed = Feed(world, poll_seconds=0.02)
    app = create_app(
        answers=world, report=world, now=lambda: NOW, feed=feed, records=world, chains=world, reports=world
    )
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as running:
        yield running.addresses["api"].url


@pytest.fixture
def invoke(server: str) -> Invoke:
    """`await invoke("get", "targets")`: the command in a thread, against the real server in this loop."""

    async def run(*arguments: str, **env: str | None) -> Result:
        environment = {**QUIET, "FLUXTRAIL_SERVER": server, **env}
        return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cli, list(arguments), env=environment))

    return run
