"""Exports that runs state, on every engine: what waits, what is linked late, and what a trail shows of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from msgspec.structs import replace
from sqlalchemy import Engine, create_engine, event, text
from tests.ledger.postgres import PostgresServer
from tests.ledger.world import World, at, moment, opened, sha
from tests.model.ci import run

from fluxtrail.ledger import migrate
from fluxtrail.ledger.columns import Facts
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import AliasKind, ExportEvidence, ExportRecord
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import TrailView
from fluxtrail.trail.ci.linking import link_carriers, link_sources
from fluxtrail.trail.ci.stating import check_carrier, take_statements

SHOP, MANIFESTS = "github.com/acme/shop", "github.com/acme/manifests"
EXPORT = run(
    sha=sha(1), role=CiRole.EXPORT, state=CiState.SUCCEEDED, finished_at=at(90), updated_at=at(90),
    url="https://ci.test/7", carrier_repository=MANIFESTS, carrier_sha=sha(200), evidence=CiEvidence.STATED,
)  # fmt: skip


async def _trail(ledger: SqlLedger, query: str) -> TrailView:
    found = await ledger.find_trail(query, now=at(3600), settle_after=timedelta(hours=1))
    assert isinstance(found, TrailView)
    return found


async def _state(ledger: SqlLedger, *runs: CiRun) -> list[CiRun]:
    async with ledger.unit() as unit:
        return await take_statements(unit, runs, now=at(100))


async def test_what_is_stated_of_a_delivered_commit_is_delivered(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (source,), (carrier,) = await world.commits(shop, range(1, 2)), await world.commits(manifests, range(200, 201))
        await unit.put_repository_exports(shop.id, [manifests.id])
        target = await world.target(manifests)
        sync = await world.sync(target, 200, applied=moment(210), succeeded=moment(220), outcome=Outcome.SUCCEEDED)
        await world.delivery(
            carrier, target, verdict=Verdict.DEPLOYED, applied_sync=sync.id, healthy_sync=sync.id, since=at(220)
        )
    (waiting,) = (await _trail(ledger, sha(1))).deliveries
    assert waiting.reason == "awaiting_export"
    assert await _state(ledger, EXPORT) == [EXPORT]
    assert await _state(ledger, replace(EXPORT, updated_at=at(95), finished_at=at(95))) == []
    trail = await _trail(ledger, sha(1))
    (delivery,) = trail.deliveries
    assert (delivery.verdict, delivery.reason, delivery.carrier) == ("deployed", "", sha(200))
    assert delivery.stages["applied"].at == at(210)
    (export,) = trail.exports
    assert (export.sha, export.evidence, export.build_link) == (sha(200), "stated", "https://ci.test/7")
    async with ledger.unit() as unit:
        assert await unit.exports_of([carrier.id]) == [
            ExportRecord(
                carrier_id=carrier.id,
                source_id=source.id,
                stated_at=None,
                build_link="https://ci.test/7",
                evidence=ExportEvidence.STATED,
            )
        ]
        lines = [(line.kind.value, line.at, line.sync_id) for line in await ledger.transitions(after_id=0)]
    assert lines == [("applied", at(210), sync.id), ("verdict", at(220), sync.id)]


@pytest.mark.parametrize("is_source_first", [True, False])
async def test_what_is_stated_waits_for_both_commits(ledger: SqlLedger, is_source_first: bool) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
    await _state(ledger, EXPORT)
    for is_source in (is_source_first, not is_source_first):
        async with ledger.unit() as unit:
            world = World(unit)
            if is_source:
                await link_sources(unit, shop, await world.commits(shop, range(1, 2)), now=at(300))
            else:
                await link_carriers(unit, manifests, await world.commits(manifests, range(200, 201)), now=at(300))
    (export,) = (await _trail(ledger, sha(1))).exports
    assert (export.sha, export.evidence) == (sha(200), "stated")
    assert (await _trail(ledger, sha(200))).commit.is_carrier


async def test_runs_are_found_by_what_they_made(ledger: SqlLedger) -> None:
    short = replace(EXPORT, run_id="8", carrier_sha=sha(200)[:7])
    others = [
        replace(EXPORT, run_id="9", carrier_sha=sha(500)),
        replace(EXPORT, run_id="10", carrier_sha=""),
        replace(EXPORT, run_id="11", role=CiRole.BUILD),
    ]
    async with ledger.unit() as unit:
        await unit.put_ci_runs([EXPORT, short, *others])
        assert [item.run_id for item in await unit.runs_naming([sha(200), sha(7)])] == ["7", "8"]
        assert await unit.runs_naming([]) == []
        assert await unit.known_runs([short.key, EXPORT.key]) == [EXPORT, short]
        await unit.put_ci_runs([replace(short, carrier_sha=sha(600), updated_at=at(99))])
        assert [item.run_id for item in await unit.runs_naming([sha(200)])] == ["7"]
        assert [item.run_id for item in await unit.runs_naming([sha(600)])] == ["8"]


async def test_commits_are_found_by_how_their_shas_begin(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (own,) = await world.commits(shop, range(200, 201))
        (there,) = await world.commits(manifests, range(200, 201))
        (merge,) = await world.commits(manifests, range(900, 901))
        await unit.put_aliases(manifests.id, merge.id, AliasKind.MERGED, [sha(4096)])
        assert await unit.commits_beginning([MANIFESTS], sha(200)) == [(sha(200), there)]
        assert await unit.commits_beginning([MANIFESTS], sha(4096)[:8]) == [(sha(4096), merge)]
        both = await unit.commits_beginning([MANIFESTS, SHOP], sha(200)[:8])
        assert sorted(both, key=lambda item: item[1].id) == [(sha(200), own), (sha(200), there)]
        assert await unit.commits_beginning([], sha(200)) == []


async def test_commits_are_found_by_whole_shas_in_some_repositories(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (own,) = await world.commits(shop, range(200, 201))
        (there,) = await world.commits(manifests, range(200, 201))
        (merge,) = await world.commits(manifests, range(900, 901))
        await unit.put_aliases(manifests.id, merge.id, AliasKind.MERGED, [sha(4096)])
        shas = [sha(200), sha(4096), sha(5)]
        assert await unit.commits_named([MANIFESTS], shas) == [(sha(200), there), (sha(4096), merge)]
        assert await unit.commits_named([SHOP, MANIFESTS], shas[:1]) == [(sha(200), own), (sha(200), there)]
        assert await unit.commits_named(["github.com/acme/none"], shas) == []
        assert await unit.commits_named([SHOP], []) == []


async def test_what_is_taken_back_is_as_if_it_had_not_been_said(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (source,) = await world.commits(shop, range(1, 2))
        (carrier,) = await world.commits(manifests, range(200, 201))
        target = await world.target(manifests)
        before = await world.delivery(carrier, target, verdict=Verdict.PENDING)
    await _state(ledger, EXPORT)
    async with ledger.unit() as unit:
        assert [link.carrier_id for link in await unit.exports_from([source.id])] == [carrier.id]
        assert await unit.deliveries_of([source.id]) == [replace(before, commit_id=source.id, carrier_id=carrier.id)]
    await _state(ledger, replace(EXPORT, carrier_sha=sha(500)))
    async with ledger.unit() as unit:
        assert await unit.exports_from([source.id]) == []
        assert await unit.deliveries_of([source.id, carrier.id]) == [before]
    assert not (await _trail(ledger, sha(200))).commit.is_carrier


async def test_a_carrier_of_which_figures_were_made_stays_one(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        manifests = await world.repository("manifests")
        plain, final, other = await world.commits(manifests, range(200, 203), is_carrier=True)
        await unit.put_commits([replace(final, merged_is_final=True)])
        await unit.clear_carriers([plain.id, final.id])
        found = await unit.commits_by_id([plain.id, final.id, other.id])
        assert [found[item.id].is_carrier for item in (plain, final, other)] == [False, True, True]


async def test_the_newest_syncs_of_many_targets_are_read_at_once(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        manifests = await world.repository("manifests")
        targets = [await world.target(manifests, name) for name in ("apps", "infra", "none")]
        for number in range(5):
            await world.sync(targets[0], number)
            for item in targets[:2] if number > 2 else ():
                await world.sync(item, number + 10)
        for limit in (1, 3, 16):
            alone = {item.id: await unit.recent_syncs(item.id, limit=limit) for item in targets[:2]}
            assert await unit.recent_syncs_of([item.id for item in targets], limit=limit) == alone
        assert await unit.recent_syncs_of([], limit=3) == {}


async def test_many_runs_cost_as_many_statements_as_one(ledger: SqlLedger) -> None:
    counts = []
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        targets = [await world.target(manifests, name) for name in ("apps", "infra", "more")]
        for first, count in ((1, 1), (101, 30)):
            numbers = range(first, first + count)
            sources = await world.commits(shop, numbers, branch=None)
            for carrier in await world.commits(manifests, range(1000 + first, 1000 + first + count), branch=None):
                for target in targets:
                    await world.delivery(carrier, target, verdict=Verdict.FAILED, since=at(50), reason="HealthCheck")
            runs = [replace(EXPORT, run_id=str(n), sha=sha(n), carrier_sha=sha(1000 + n)) for n in numbers]
            await unit.put_ci_runs(runs)
            with counted() as statements:
                await link_sources(unit, shop, sources, now=at(300))
            counts.append(len(statements))
            assert len(await unit.deliveries_of([item.id for item in sources])) == 3 * count
    assert counts[0] == counts[1], counts


@contextmanager
def counted() -> Iterator[list[str]]:
    """Note the statements that ledgers are asked; one with many values is one."""
    noted = list[str]()

    def note(_c: object, _u: object, statement: str, *_: object) -> None:
        noted.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def test_a_beginning_that_fits_several_commits_is_refused_and_links_nothing(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        await world.commits(shop, range(1, 2))
        carriers = await world.commits(manifests, range(1, 4))
        short = replace(EXPORT, carrier_sha=sha(1)[:7])
        with pytest.raises(ConfigError, match=r"carrier_sha: '0000000' fits 3 commits .*give more digits"):
            await check_carrier(unit, short)
        await take_statements(unit, [short], now=at(100))
        assert await unit.exports_of([carrier.id for carrier in carriers]) == []
        await check_carrier(unit, replace(EXPORT, carrier_sha=sha(2)[:8]))


async def test_a_manifests_repository_must_be_followed_or_exported_to(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        with pytest.raises(ConfigError, match="carrier_repository: 'github.com/acme/manifests' is neither followed"):
            await check_carrier(unit, EXPORT)
        await check_carrier(unit, EXPORT, allow_unfollowed=True)
        await check_carrier(unit, replace(EXPORT, carrier_repository=""))
        manifests = await unit.put_repository(replace(shop, id=0, canonical=MANIFESTS, url=""))
        with pytest.raises(ConfigError, match="carrier_repository"):
            await check_carrier(unit, EXPORT)
        await unit.put_repository_exports(shop.id, [manifests.id])
        await check_carrier(unit, EXPORT)
        assert await unit.exports_to(SHOP) == [MANIFESTS]
        assert await unit.exports_to(MANIFESTS) == []


async def test_how_a_link_is_known_is_what_the_best_of_them_says(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (source,), (carrier,) = await world.commits(shop, range(1, 2)), await world.commits(manifests, range(200, 201))
        await take_statements(unit, [EXPORT], now=at(100))
        read = ExportRecord(
            carrier_id=carrier.id, source_id=source.id, stated_at=at(1), evidence=ExportEvidence.EXPORTER_INFO
        )
        await unit.put_exports([read])
        await take_statements(unit, [replace(EXPORT, run_id="8")], now=at(101))
        assert await unit.exports_of([carrier.id]) == [read]
        await take_statements(unit, [replace(EXPORT, state=CiState.FAILED, updated_at=at(110))], now=at(110))
        assert await unit.exports_of([carrier.id]) == [read], "what was read is not what was stated"
        await unit.drop_exports([read])
        assert await unit.exports_of([carrier.id]) == []


async def test_runs_of_an_older_ledger_are_found_by_what_they_made(
    engine: str, place: Path, request: pytest.FixtureRequest
) -> None:
    where: Path | str = place
    if engine == "sqlite":
        place.parent.mkdir(mode=0o700)
        place.touch(mode=0o600)
        address = f"sqlite:///{place}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        where = server.create()
        address = where.replace("postgresql://", "postgresql+psycopg://")
    _make_old(address)
    async with opened(where) as ledger, ledger.unit() as unit:
        assert [item.run_id for item in await unit.runs_naming([sha(200)])] == ["7"]


def _make_old(address: str) -> None:
    plain = create_engine(address)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations").replace("%", "%%"))
    pack = Facts(CiRun).bind_processor(plain.dialect)
    assert pack is not None
    with plain.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        for item in (EXPORT, replace(EXPORT, run_id="8", carrier_sha=""), replace(EXPORT, role=CiRole.BUILD)):
            values = {name: str(getattr(item, name)) for name in _KEPT} | {"at": 1, "facts": pack(item)}
            connection.execute(text(_INSERT), values)
    plain.dispose()


_KEPT = ("system", "host", "project", "run_id", "role", "repository", "sha", "state", "evidence")
_INSERT = f"""
    INSERT INTO ci_runs ({", ".join(_KEPT)}, at, facts)
    VALUES ({", ".join(f":{name}" for name in _KEPT)}, :at, :facts)
"""
