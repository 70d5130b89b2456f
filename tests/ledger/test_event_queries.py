"""What events say besides: whether something was there before, and what was built of a commit."""

from __future__ import annotations

import msgspec
from tests.ledger.running import image
from tests.ledger.world import World, moment, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.image_records import ImageRecord
from fluxtrail.model.records import Cause, CommitId, SyncId
from fluxtrail.model.telling import BuiltImage


async def test_the_first_that_applies_anything_is_the_first(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        new, known = await world.target(shop, "new"), await world.target(shop, "known")
        failed = await world.sync(new, 1)
        first = await world.sync(new, 2, applied=moment(10))
        second = await world.sync(new, 3, applied=moment(20))
        baseline = await world.sync(known, 1, cause=Cause.BASELINE)
        later = await world.sync(known, 2, applied=moment(30))
    asked = [failed.id, first.id, second.id, baseline.id, later.id, SyncId(99)]
    assert await ledger.first_syncs(asked) == {failed.id, first.id}
    assert await ledger.first_syncs([]) == set()


async def test_an_image_is_known_where_one_was_built_of_a_commit(ledger: SqlLedger) -> None:
    def built(number: int, commit: int, **given: object) -> ImageRecord:
        fields = {"source": "github.com/acme/shop", "revision": sha(commit)} | given
        return msgspec.structs.replace(image(number), **fields)

    async with ledger.unit() as unit:
        shop = await World(unit).repository()
        one, two, three, four = await World(unit).commits(shop, range(1, 5))
        elsewhere = built(4, 3, source="github.com/acme/other")
        await unit.put_images([built(1, 1), built(2, 2), built(3, 2), elsewhere])
    found = await ledger.built_images([one.id, two.id, three.id, four.id, CommitId(99)])
    known = image(1)
    assert found == {one.id: BuiltImage(repository=known.repository, digest=known.digest)}
