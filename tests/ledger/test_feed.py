from __future__ import annotations

from datetime import timedelta

import pytest
from tests.ledger.world import StillClock, World, at, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import CommitId, SyncId, TargetId, Transition, TransitionKind


def line(number: int, **more: object) -> Transition:
    return Transition(at=at(number), kind=TransitionKind.VERDICT, before="pending", after="deployed", **more)  # type: ignore[arg-type]


async def tell(ledger: SqlLedger, numbers: range) -> None:
    async with ledger.unit() as unit:
        await unit.add_transitions([line(number) for number in numbers])


async def test_lines_have_the_names_of_what_they_are_about(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        await unit.put_cluster(ClusterUid("c1"), "prod-eu", at())
        repository = await world.repository()
        (commit,) = await world.commits(repository, range(1, 2))
        target = await world.target(repository)
        sync = await world.sync(target)
        rewritten = Transition(
            at=at(2),
            kind=TransitionKind.BRANCH_REWRITTEN,
            before=sha(1),
            detail={"repository": "github.com/acme/shop", "branch": "main"},
        )
        named = line(1, commit_id=commit.id, target_id=target.id, sync_id=sync.id, detail={"reason": "BuildFailed"})
        await unit.add_transitions([named, rewritten])
    page = await ledger.feed(0, 10)
    first, second = page.items
    assert (first.id, first.at, first.kind, first.before, first.after) == (1, at(1), "verdict", "pending", "deployed")
    assert (first.sha, first.subject, first.repository) == (sha(1), "Change 1", "github.com/acme/shop")
    assert (first.cluster, first.cluster_uid) == ("prod-eu", "c1")
    assert (first.target, first.target_id) == ("Kustomization/flux-system/apps", target.id)
    assert (first.revision, first.detail) == (f"main@sha1:{sha(1)}", {"reason": "BuildFailed"})
    assert (second.kind, second.repository, second.sha, second.target) == (
        "branch_rewritten",
        "github.com/acme/shop",
        None,
        None,
    )
    assert (page.last_id, page.is_reset) == (2, False)


async def test_what_is_forgotten_is_none_and_its_line_stays(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        gone = line(1, commit_id=CommitId(77), target_id=TargetId(78), sync_id=SyncId(79))
        await unit.add_transitions([gone])
    (item,) = (await ledger.feed(0, 10)).items
    assert (item.sha, item.target, item.cluster, item.revision, item.target_id) == (None, None, None, None, 78)


async def test_it_begins_at_the_end_and_goes_on_behind_an_id(ledger: SqlLedger) -> None:
    assert ((await ledger.feed(None, 10)).last_id, (await ledger.feed(0, 10)).last_id) == (0, 0)
    await tell(ledger, range(5))
    begun = await ledger.feed(None, 10)
    assert (list(begun.items), begun.last_id, begun.is_reset) == ([], 5, False)
    await tell(ledger, range(5, 12))
    ids, cursor = [], begun.last_id
    for expected in (3, 3, 1, 0):
        page = await ledger.feed(cursor, 3)
        assert (len(page.items), page.is_reset) == (expected, False)
        ids += [item.id for item in page.items]
        cursor = page.last_id
    assert (ids, cursor) == (list(range(6, 13)), 12)


@pytest.mark.parametrize(
    ("after", "is_reset"), [(13, True), (2**62, True), (12, False), (6, False), (5, True), (0, True)]
)
async def test_an_id_from_the_future_or_older_than_retention_is_answered_by_reset(
    ledger: SqlLedger, clock: StillClock, after: int, is_reset: bool
) -> None:
    await tell(ledger, range(12))
    async with ledger.unit() as unit:
        assert (await unit.prune(at(6))).transitions == 6
    page = await ledger.feed(after, 100)
    assert page.is_reset is is_reset
    if is_reset:
        assert (list(page.items), page.last_id) == ([], 12)
    else:
        assert [item.id for item in page.items] == list(range(after + 1, 13))


async def test_a_history_that_was_forgotten_whole_goes_on(ledger: SqlLedger) -> None:
    await tell(ledger, range(3))
    async with ledger.unit() as unit:
        await unit.prune(at() + timedelta(days=1))
    reset = await ledger.feed(3, 10)
    assert reset.is_reset
    await tell(ledger, range(3, 5))
    assert (await ledger.feed(reset.last_id, 10)).last_id == 5
