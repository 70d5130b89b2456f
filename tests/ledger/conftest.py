from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.ledger.postgres import PostgresServer, running_server
from tests.ledger.world import NewPlace, StillClock, fresh_place

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
def new_place(engine: str, request: pytest.FixtureRequest) -> NewPlace:
    """Gives addresses of empty ledgers of this version, as many as a test wants."""

    @asynccontextmanager
    async def in_file() -> AsyncIterator[Path | str]:
        with TemporaryDirectory() as folder:
            yield await fresh_place(Path(folder) / "data" / "ledger.sqlite")

    @asynccontextmanager
    async def in_postgres() -> AsyncIterator[Path | str]:
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.lend(await migrated_template(server)) as url:
            yield url

    return in_file if engine == "sqlite" else in_postgres


@pytest.fixture
async def where(new_place: NewPlace) -> AsyncIterator[Path | str]:
    async with new_place() as place:
        yield place


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
