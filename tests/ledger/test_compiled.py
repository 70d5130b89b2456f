"""What one ledger has compiled serves the next one of the same engine."""

from __future__ import annotations

from tests.ledger.world import NewPlace, World, opened

from fluxtrail.ledger.compiled import COMPILED, PostgresCompiler, SqliteCompiler


async def test_the_second_ledger_compiles_nothing(new_place: NewPlace) -> None:
    COMPILED.clear()
    numbers = []
    for _ in range(2):
        async with new_place() as place, opened(place) as ledger:
            async with ledger.unit() as unit:
                world = World(unit)
                await world.commits(await world.repository(), range(1, 4))
            assert len(await ledger.transitions(after_id=0, limit=10)) == 0
        numbers.append(len(COMPILED))
    assert numbers[0] > 3
    assert numbers[1] == numbers[0]


def test_what_is_compiled_for_one_server_is_not_for_another() -> None:
    older, newer, unknown = [PostgresCompiler() for _ in range(3)]  # type: ignore[no-untyped-call]
    older.server_version_info, newer.server_version_info = (13, 4), (17, 0)
    assert older != newer
    assert older != unknown
    assert SqliteCompiler() == SqliteCompiler()
    assert SqliteCompiler() != unknown
