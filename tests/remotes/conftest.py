from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.remotes.forges import FakeForge, Times, serve
from tests.remotes.worlds import FakeClock, GitServer, Origin, StoreMaker

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.store import GitStore


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def forge() -> AsyncIterator[FakeForge]:
    async with serve(FakeForge()) as fake:
        yield fake


@pytest.fixture
async def make_store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[StoreMaker]:
    made: list[GitStore] = []

    def make(
        folder: str = "clones",
        *,
        patterns: tuple[str, ...] = (),
        credentials: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> GitStore:
        store = GitStore(
            tmp_path / folder,
            allow=AllowList(patterns, allow_file_protocol=True),
            credentials=CredentialSource.from_settings(credentials or []),
            clock=clock,
            **options,
        )
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def git_server(tmp_path: Path) -> AsyncIterator[GitServer]:
    server = GitServer(tmp_path)
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    if server.gate is not None:
        server.gate.set()
    await runner.cleanup()


@pytest.fixture
def processes() -> Callable[[str], list[int]]:
    """Find the live processes whose command line holds a text."""

    def find(text: str) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if text.encode() in (folder / "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    if sys.platform != "linux":
        pytest.skip("reads /proc")
    return find
