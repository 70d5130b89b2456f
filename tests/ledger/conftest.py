from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.ledger.postgres import PostgresServer, running_server
from tests.ledger.world import StillClock, fresh_place

from fluxtrail.ledger.ledger import SqlLedger


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.sqlite"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.requires("postgres"))])
def engine(request: pytest.FixtureRequest) -> str:
    """Which database stands behind `ledger`; a test about one of them names it by parametrising this."""
    return str(request.param)


@pytest.fixture
async def where(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[Path | str]:
    """The address of an empty ledger of this version."""
    if engine == "sqlite":
        place: Path = request.getfixturevalue("place")
        yield await fresh_place(place)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.create(template=await migrated_template(server))
    try:
        yield url
    finally:
        server.drop(url)


@pytest.fixture
async def ledger(where: Path | str, clock: StillClock) -> AsyncIterator[SqlLedger]:
    opened = await SqlLedger.open(where, clock=clock)
    try:
        yield opened
    finally:
        await opened.close()


_templates: dict[int, str] = {}


async def migrated_template(server: PostgresServer) -> str:
    """Return the name of a database to copy: migrating takes twenty times longer than a test."""
    if id(server) not in _templates:
        url = server.create()
        opened = await SqlLedger.open(url, clock=StillClock())
        await opened.close()
        _templates[id(server)] = url.partition("@/")[2].partition("?")[0]
    return _templates[id(server)]
