from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.world import ON_POSTGRES, ON_SQLITE, NewPlace, StillClock, World, at, moment, opened, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.model.records import ExportRecord, FetchRecord, Transition, TransitionKind
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.model.views import DeliveryFacts

BOUND = 50


async def _prune_all(ledger: SqlLedger, before: float, *, limit: int) -> list[DeliveryFacts]:
    facts: list[DeliveryFacts] = []
    for _ in range(500):
        async with ledger.unit() as unit:
            pruned = await unit.prune(at(before), limit=limit)
        facts += pruned.facts
        if pruned.is_complete:
            return facts
    raise AssertionError("it never ends")


async def _facts(ledger: SqlLedger) -> dict[tuple[int, int], DeliveryFacts]:
    return {(fact.commit_id, fact.target_id): fact async for batch in ledger.delivery_facts() for fact in batch}


_PLANS = st.lists(
    st.fixed_dictionaries(
        {
            "target": st.integers(0, 2),
            "commit": st.integers(0, 9),
            "verdict": st.sampled_from(list(Verdict)),
            "since": st.integers(0, 99),
            "sync": st.none() | st.integers(0, 5),
            "carrier": st.none() | st.integers(0, 9),
            "undone_by": st.none() | st.integers(0, 9),
        }
    ),
    max_size=25,
)


_PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
_GIVEN: dict[str, Any] = {"plans": _PLANS, "limit": st.integers(1, 8), "baseline": st.integers(0, 9)}


@ON_SQLITE
@pytest.mark.timeout(90)
@settings(max_examples=15, **_PROPERTY)
@given(**_GIVEN)
async def test_retention_takes_what_is_over_and_nothing_else(
    new_place: NewPlace, plans: list[dict[str, Any]], limit: int, baseline: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_retention(ledger, plans, limit, baseline)


@ON_POSTGRES
@pytest.mark.requires("postgres")
@settings(max_examples=6, **_PROPERTY)
@given(**_GIVEN)
async def test_retention_takes_the_same_from_a_database(
    new_place: NewPlace, plans: list[dict[str, Any]], limit: int, baseline: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_retention(ledger, plans, limit, baseline)


async def _check_retention(ledger: SqlLedger, plans: list[dict[str, Any]], limit: int, baseline: int) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        commits = await world.commits(repository, range(0, 100, 10))
        targets = [
            await world.target(repository, f"t{n}", baseline_sha=commits[baseline].sha if n == 0 else None)
            for n in range(3)
        ]
        syncs = [await world.sync(targets[n % 3], n, version=1, attributed_version=1) for n in range(6)]
        targets[2] = await world.target(repository, "t2", uid=targets[2].uid, sync_id=syncs[5].id)
        for plan in plans:
            links: dict[str, Any] = {
                "applied_sync": None if plan["sync"] is None else syncs[plan["sync"]].id,
                "healthy_sync": None if plan["sync"] is None else syncs[-plan["sync"]].id,
                "carrier_id": None if plan["carrier"] is None else commits[plan["carrier"]].id,
                "undone_by": None if plan["undone_by"] is None else commits[plan["undone_by"]].id,
            }
            commit, target = commits[plan["commit"]], targets[plan["target"]]
            await world.delivery(commit, target, plan["verdict"], since=at(plan["since"]), **links)
        before = await unit.deliveries_of([commit.id for commit in commits])
    facts_before = await _facts(ledger)
    taken = await _prune_all(ledger, BOUND, limit=limit)
    async with ledger.unit() as unit:
        after = await unit.deliveries_of([commit.id for commit in commits])
        kept_commits = await unit.commits_by_id([commit.id for commit in commits])
        kept_syncs = await unit.syncs([sync.id for sync in syncs])
        assert await unit.targets() != []
    assert after == [d for d in before if d.verdict in OPEN or d.since >= at(BOUND)]
    assert facts_before == await _facts(ledger) | {(fact.commit_id, fact.target_id): fact for fact in taken}
    assert len(facts_before) == len(await _facts(ledger)) + len(taken)
    needed_syncs = {id_ for d in after for id_ in (d.applied_sync, d.healthy_sync) if id_} | {syncs[5].id}
    assert set(kept_syncs) == needed_syncs
    needed = {id_ for d in after for id_ in (d.commit_id, d.carrier_id, d.undone_by) if id_}
    needed |= {commits[baseline].id, *(commit.id for commit in commits[BOUND // 10 :])}
    assert set(kept_commits) == needed


async def test_exports_go_with_their_carriers_and_keep_their_sources_until_then(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        [source] = await world.commits(shop, range(1, 2))
        [carrier] = await world.commits(manifests, range(2, 3), is_carrier=True)
        await unit.put_exports([ExportRecord(carrier_id=carrier.id, source_id=source.id, stated_at=None)])
        target = await world.target(manifests)
        await world.delivery(carrier, target, Verdict.FAILED)
    await _prune_all(ledger, 60, limit=10)
    async with ledger.unit() as unit:
        assert set(await unit.commits_by_id([source.id, carrier.id])) == {source.id, carrier.id}
        await World(unit).delivery(carrier, target, Verdict.DEPLOYED, since=at(3))
    await _prune_all(ledger, 60, limit=1)
    await _prune_all(ledger, 60, limit=1)
    async with ledger.unit() as unit:
        assert await unit.commits_by_id([source.id, carrier.id]) == {}
        assert await unit.exports_of([carrier.id]) == []


async def test_transitions_and_fetches_go_by_age_and_positions_are_never_given_again(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        made = await world.commits(repository, range(3))
        source = await world.source(repository, revision="present")
        await unit.add_transitions([Transition(at=at(n), kind=TransitionKind.SYNC) for n in (1, 2, 90, 3)])
        for revision in ("old", "present"):
            await unit.note_fetch(FetchRecord(source_id=source.id, revision=revision, digest="d", fetched=moment(1)))
    await _prune_all(ledger, BOUND, limit=1)
    left = await ledger.transitions(after_id=0)
    assert [line.at for line in left] == [at(90), at(3)]
    async with ledger.unit() as unit:
        assert await unit.find_fetch(source.id, "old") is None
        assert await unit.find_fetch(source.id, "present") == moment(1)
        assert await unit.commits_by_id([commit.id for commit in made]) == {}
        [later] = await World(unit).commits(repository, range(60, 61))
        assert later.id > made[-1].id
        assert await unit.chain_position(repository.id, "main", later.sha) == 4


async def test_old_commit_claims_nothing_where_its_row_may_be_gone(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        await world.commits(repository, range(1, 2))
        [commit] = await world.commits(repository, range(5, 6))
        ready: dict[str, Any] = {"baseline_sha": sha(1), "awaits_baseline": False}
        done, stuck = await world.target(repository, "done", **ready), await world.target(repository, "stuck", **ready)
        sync = await world.sync(done, 5)
        await world.delivery(commit, done, applied_sync=sync.id)
        await world.delivery(commit, stuck, Verdict.FAILED)
    await _prune_all(ledger, BOUND, limit=10)
    found = await ledger.find_trail(sha(5), now=at(99), settle_after=at(1) - at(0))
    assert found is not None
    assert not isinstance(found, list)
    assert [delivery.verdict for delivery in found.deliveries] == ["failed"]


# facts and backups


async def test_facts_have_everything_the_figures_need(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        [source] = await world.commits(shop, range(1, 2))
        [carrier] = await world.commits(manifests, range(2, 3), is_carrier=True)
        await unit.put_exports([ExportRecord(carrier_id=carrier.id, source_id=source.id, stated_at=at(0.5))])
        target = await world.target(manifests)
        first = await world.sync(target, fetched=moment(10), applied=moment(11), succeeded=moment(12))
        later = await world.sync(target, healthy=moment(20), succeeded=moment(21))
        await world.delivery(source, target, carrier_id=carrier.id, applied_sync=first.id, healthy_sync=later.id)
        await world.delivery(carrier, target, applied_sync=first.id, healthy_sync=first.id, is_scope_unknown=True)
        other = await world.target(manifests, "other")
        await world.delivery(source, other, Verdict.PENDING)
        touched = sorted(unit.touched_deliveries)
    everything = await _facts(ledger)
    fact, of_carrier = everything[source.id, target.id], everything[carrier.id, target.id]
    assert set(everything) == {(source.id, target.id), (carrier.id, target.id)}
    assert (fact.cluster, fact.namespace, fact.name, fact.kind) == ("c1", "flux-system", "apps", "Kustomization")
    assert (fact.merged, fact.exported) == (source.merged, carrier.merged)
    assert (fact.stated_at, fact.carrier_committed_at) == (at(0.5), carrier.committed_at)
    assert (fact.fetched, fact.applied, fact.healthy, fact.succeeded) == (
        moment(10),
        moment(11),
        moment(20),
        moment(21),
    )
    assert (fact.is_carrier, fact.has_carrier, fact.is_scope_unknown) == (False, True, False)
    assert (of_carrier.is_carrier, of_carrier.has_carrier, of_carrier.is_scope_unknown) == (True, False, True)
    assert (of_carrier.carrier_committed_at, of_carrier.healthy) == (carrier.committed_at, None)
    assert of_carrier.succeeded == moment(12)
    some = [fact async for batch in ledger.delivery_facts(touched) for fact in batch]
    assert {(fact.commit_id, fact.target_id): fact for fact in some} == everything


@ON_SQLITE
async def test_backup_is_a_whole_ledger_of_one_instant(ledger: SqlLedger, tmp_path: Path) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
    steps: list[tuple[int, int]] = []
    copy = tmp_path / "copy.sqlite"
    async with ledger.unit() as unit:
        await unit.put_note("not", "yet")
        await ledger.backup(copy, lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] > 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.sqlite"]
    opened = await SqlLedger.open(copy, clock=StillClock())
    try:
        assert opened.instance_id == ledger.instance_id
        async with opened.unit() as unit:
            assert await unit.targets() == [target]
            assert await unit.get_note("not") is None
    finally:
        await opened.close()


@ON_SQLITE
async def test_backup_never_replaces_a_file_and_leaves_no_part(ledger: SqlLedger, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(StoreError, match="the file exists"):
        await ledger.backup(taken)
    with pytest.raises(StoreError, match="cannot be written"):
        await ledger.backup(tmp_path / "nowhere" / "copy")
    assert taken.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["taken"]


@ON_SQLITE
async def test_backup_of_what_is_not_a_ledger_says_so(ledger: SqlLedger, tmp_path: Path) -> None:
    from fluxtrail.ledger.backup import copy_ledger

    with pytest.raises(StoreError, match="there is no ledger"):
        await copy_ledger(tmp_path / "none", tmp_path / "copy")
    other = tmp_path / "other.sqlite"
    sqlite3.connect(other).close()
    other.write_bytes(b"hello" * 100)
    with pytest.raises(StoreError, match="no ledger"):
        await copy_ledger(other, tmp_path / "copy")
    assert ledger.path.exists()
