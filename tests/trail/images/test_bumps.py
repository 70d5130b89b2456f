"""The commits that a new image brings: delivered by the sync that set it, whenever all of that becomes known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.trail.images.worlds import SHOP, Shop, digest

from fluxtrail.model.image_records import ImageState
from fluxtrail.model.moment import Evidence, Precision, observed
from fluxtrail.model.records import UNSAVED, CommitId, ExportEvidence, ExportRecord, TransitionKind
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail.late import deliver_all_late

replace = msgspec.structs.replace


async def test_commits_between_two_images_are_delivered_by_the_sync(shop: Shop) -> None:
    world = shop.world
    a, between, b = (world.commit("shop", name) for name in ("a", "between", "b"))
    await shop.image("a", a)
    await shop.image("b", b)
    carrier = await shop.bump("b", made="d1")
    await shop.roll("a", "b")

    await shop.trace()

    assert await shop.verdicts([a, between, b]) == ["-", "deployed", "deployed"]
    row = await shop.find(b)
    assert row is not None
    fleet = await world.record(carrier)
    assert row.carrier_id == fleet.id
    assert row.applied_sync == world.target(shop.flux).sync_id
    assert row.healthy_sync == row.applied_sync
    commit = await world.record(b)
    assert commit.merged is not None
    assert not commit.is_carrier
    assert await shop.untraced() == 0
    async with world.ledger.unit() as unit:
        links = await unit.exports_of([fleet.id])
    assert {link.source_id for link in links} == {commit.id, (await world.record(between)).id}


async def test_app_commit_has_a_lead_time_of_its_own(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    world.clock.forward(20)
    await world.branches.look()
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    await shop.trace()
    commit = await world.record(b)
    facts = [item for item in await world.facts() if item.commit_id == commit.id]
    assert [(item.is_carrier, item.has_carrier) for item in facts] == [(False, True)]
    assert facts[0].merged is not None
    assert facts[0].applied is not None
    assert facts[0].applied.at > facts[0].merged.at


async def test_tracing_twice_changes_nothing(shop: Shop) -> None:
    a, b = shop.world.commit("shop", "a"), shop.world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.bump("b", made="d1")
    row = await shop.roll("a", "b")
    await shop.trace()
    before = await shop.world.everything(), await _history(shop)
    await shop.world.restart()
    shop.reset()
    async with shop.world.ledger.unit() as unit:
        await unit.put_rollouts([replace(row, generation=3)])  # whoever else writes the row does not open it again
    await shop.trace()
    assert (await shop.world.everything(), await _history(shop)) == before
    assert await shop.untraced() == 0


@pytest.mark.parametrize("late", ["before", "after"])
async def test_image_that_is_described_late_is_traced_then(shop: Shop, late: str) -> None:
    a, b = shop.world.commit("shop", "a"), shop.world.commit("shop", "b")
    await shop.image("a", a, state=ImageState.PENDING if late == "before" else ImageState.KNOWN)
    await shop.image("b", b, state=ImageState.PENDING if late == "after" else ImageState.KNOWN)
    if late == "before":
        await shop.image("a", None, state=ImageState.PENDING)
    else:
        await shop.image("b", None, state=ImageState.PENDING)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    await shop.trace()
    assert await shop.verdicts([b]) == ["-"]
    assert await shop.untraced() == 1

    shop.world.clock.forward(600)
    await shop.world.restart()
    shop.reset()
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.trace()

    assert await shop.verdicts([b]) == ["deployed"]
    assert await shop.untraced() == 0


async def test_image_that_nobody_has_heard_of_is_asked_for(shop: Shop) -> None:
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    await shop.trace()
    async with shop.world.ledger.unit() as unit:
        images = await unit.images([digest("a"), digest("b")])
    assert {record.state for record in images.values()} == {ImageState.PENDING}
    assert images[digest("b")].image == f"{SHOP}:b"


async def test_digest_that_is_seen_after_the_roll_out_began(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b", runs=False)
    await shop.trace()
    assert await shop.verdicts([b]) == ["-"]

    await shop.run_image("b", world.clock.time + timedelta(seconds=3))
    await shop.trace()
    assert await shop.verdicts([b]) == ["deployed"]


async def test_tag_that_is_used_again_counts_by_what_it_leads_to(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.bump("latest", made="d1")
    row = await shop.roll({"shop": "latest"}, {"shop": "latest"}, runs=False)
    async with world.ledger.unit() as unit:
        await unit.put_rollouts([replace(row, digests_before={"shop": digest("a")})])
    await shop.run_image("a", world.clock.time - timedelta(hours=1), image=f"{SHOP}:latest")
    await shop.trace()
    assert await shop.untraced() == 1

    await shop.run_image("b", world.clock.time + timedelta(seconds=3), image=f"{SHOP}:latest")
    await shop.trace()
    assert await shop.verdicts([b]) == ["deployed"]


async def test_pinned_image_needs_no_pod(shop: Shop) -> None:
    a, b = shop.world.commit("shop", "a"), shop.world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.bump("b", made="d1")
    await shop.roll(f"{SHOP}:a@{digest('a')}", f"{SHOP}:b@{digest('b')}", runs=False)
    await shop.trace()
    assert await shop.verdicts([b]) == ["deployed"]


async def test_platforms_of_one_index_are_one_image(shop: Shop) -> None:
    """Another node, another architecture: nothing was delivered."""
    a = shop.world.commit("shop", "a")
    for name in ("amd", "arm"):
        await shop.image(name, a, index_digest=digest("index"))
    await shop.bump("arm", made="d1")
    await shop.roll("amd", "arm")
    await shop.trace()
    assert await shop.verdicts([a]) == ["-"]
    assert await shop.untraced() == 0


async def test_unreadable_repository_still_has_the_images_own_commit(shop: Shop) -> None:
    stranger: dict[str, Any] = {"source": "github.com/else/where"}
    await shop.image("a", "a" * 40, **stranger)
    await shop.image("b", "b" * 40, **stranger)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    await shop.trace()
    commit = await shop.world.record("b" * 40)
    assert commit.merged is None
    async with shop.world.ledger.unit() as unit:
        rows = await unit.deliveries_of([commit.id])
    assert [row.verdict for row in rows] == [Verdict.DEPLOYED]


async def test_commit_that_history_tells_late_has_an_estimated_merge_time(shop: Shop) -> None:
    """Nobody watched the branch move: the committer date is all there is."""
    a, b = shop.world.commit("shop", "a"), shop.world.commit("shop", "b")
    await shop.image("a", a)
    image = await shop.image("b", b)
    await shop.bump("b", made="d1")
    async with shop.world.ledger.unit() as unit:
        shop_repository = next(item for item in await unit.repositories() if item.canonical == shop.source)
        assert shop_repository.url
    await shop.roll("a", "b")
    await shop.trace()
    merged = (await shop.world.record(b)).merged
    assert merged is not None
    if merged.evidence is Evidence.COMMITTER_DATE:
        assert merged.precision is Precision.ESTIMATED
        assert image.created_at is not None
        assert merged.latest >= merged.earliest


async def test_going_back_to_an_older_image_rolls_back(shop: Shop) -> None:
    world = shop.world
    a, between, b = (world.commit("shop", name) for name in ("a", "between", "b"))
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    await shop.trace()
    assert await shop.verdicts([between, b]) == ["deployed", "deployed"]

    await shop.bump("a", made="d2")
    await shop.roll("b", "a")
    await shop.trace()
    assert await shop.verdicts([between, b]) == ["rolled_back", "rolled_back"]

    later = world.commit("fleet", apps__other="1")
    await world.deliver(shop.flux, "fleet", later, "d3")
    assert await shop.verdicts([between, b]) == ["rolled_back", "rolled_back"], "the older image still runs"

    await shop.bump("b", made="d4")
    await shop.roll("a", "b")
    await shop.trace()
    assert await shop.verdicts([between, b]) == ["deployed", "deployed"]


async def test_what_another_workload_still_runs_is_not_rolled_back(shop: Shop) -> None:
    world = shop.world
    a, b, c = (world.commit("shop", name) for name in ("a", "b", "c"))
    for name, sha in (("a", a), ("b", b), ("c", c)):
        await shop.image(name, sha)
    await shop.bump("c", made="d1")
    await shop.roll("a", "c")
    await shop.roll("a", "b", workload="worker")
    await shop.trace()
    await shop.bump("a", made="d2")
    await shop.roll("c", "a")
    await shop.trace()
    assert await shop.verdicts([b, c]) == ["deployed", "rolled_back"]


async def test_rollback_of_the_carrier_takes_the_source_with_it(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    first = world.commit("fleet", apps__shop="first")
    await world.deliver(shop.flux, "fleet", first, "d1")
    await shop.bump("b", made="d2")
    await shop.roll("a", "b")
    await shop.trace()
    world.push_back("fleet", first)
    await world.deliver(shop.flux, "fleet", first, "d1")
    assert await shop.verdicts([b]) == ["rolled_back"]
    await shop.roll("b", "a")
    await shop.trace()
    assert await shop.verdicts([b]) == ["rolled_back"]
    assert await shop.untraced() == 0


async def test_late_description_does_not_undo_a_later_rollback(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    await shop.run_image("b", world.clock.time + timedelta(seconds=1))
    await shop.bump("a", made="d2")
    await shop.roll("b", "a")
    await shop.trace()
    assert await shop.untraced() == 2
    world.clock.forward(900)
    await shop.image("b", b)
    await shop.trace()
    assert await shop.verdicts([b]) == ["rolled_back"]


async def test_source_follows_its_carrier_while_health_is_checked(shop: Shop) -> None:
    world = shop.world
    shop.flux.object = replace(shop.flux.object, has_checks=True)
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    carrier = await shop.bump("b", made="d1", finish=False)
    await shop.roll("a", "b")
    await shop.trace()
    assert (await shop.verdicts([b])) == [(await world.delivery(carrier, shop.flux)).verdict.value] == ["pending"]

    world.now(shop.flux).end_badly(f"main@sha1:{carrier}", "HealthCheckFailed", made="d1")
    await world.play(shop.flux)
    await world.settle()
    await shop.trace()
    assert await shop.verdicts([b]) == ["failed"]

    world.now(shop.flux).end_well(f"main@sha1:{carrier}", "d1")
    await world.play(shop.flux)
    await world.settle()
    await shop.trace()
    assert await shop.verdicts([b]) == ["deployed"]
    assert await shop.untraced() == 0


async def test_automation_is_rather_the_carrier_than_who_came_after_it(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    pushed = world.commit("fleet", "bump", apps__shop="b")
    person = world.commit("fleet", "scale", apps__shop="c")
    await world.fetch("fleet", person)
    async with world.ledger.unit() as unit:
        fleet = next(item for item in await unit.repositories() if item.canonical.endswith("fleet/origin"))
    await world.branches.look()
    async with world.ledger.unit() as unit:
        known = (await unit.commits_by_sha(fleet.id, [pushed]))[pushed]
        await unit.put_commits([replace(known, is_carrier=True)])
    world.now(shop.flux).succeed(f"main@sha1:{person}", "d1")
    await world.play(shop.flux)
    await world.settle()
    await shop.roll("a", "b")
    await shop.trace()
    row = await shop.find(b)
    assert row is not None
    assert row.carrier_id == known.id


async def test_automation_is_rather_the_carrier_than_an_export_that_came_after_it(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    pushed = world.commit("fleet", "bump", apps__shop="b")
    exported = world.commit("fleet", "export", apps__shop="c")
    await world.fetch("fleet", exported)
    await world.branches.look()
    bump, export = await world.record(pushed), await world.record(exported)
    async with world.ledger.unit() as unit:
        await unit.put_commits([replace(bump, is_carrier=True), replace(export, is_carrier=True)])
        source = replace(export, id=CommitId(UNSAVED), sha="5" * 40)
        (source,) = await unit.put_commits([source])
        stated = ExportRecord(carrier_id=export.id, source_id=source.id, stated_at=world.clock.now())
        await unit.put_exports([stated])
    world.now(shop.flux).succeed(f"main@sha1:{exported}", "d1")
    await world.play(shop.flux)
    await world.settle()
    await shop.roll("a", "b")
    await shop.trace()
    row = await shop.find(b)
    assert row is not None
    assert row.carrier_id == bump.id
    async with world.ledger.unit() as unit:
        assert await unit.exports_of([export.id]) == [stated]


@pytest.mark.parametrize("is_of_image", [False, True])
async def test_a_person_is_rather_the_carrier_than_what_a_run_exported_of_something_else(
    shop: Shop, is_of_image: bool
) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    world.clock.forward(20)
    await world.branches.look()
    await shop.image("a", a)
    await shop.image("b", b)
    by_hand = world.commit("fleet", "bump", apps__shop="b")
    exported = world.commit("fleet", "export", apps__shop="c")
    await world.fetch("fleet", exported)
    await world.branches.look()
    bump, export, source = await world.record(by_hand), await world.record(exported), await world.record(b)
    async with world.ledger.unit() as unit:
        await unit.put_commits([replace(export, is_carrier=True)])
        (other,) = await unit.put_commits([replace(source, id=CommitId(UNSAVED), sha="5" * 40)])
        made_from = source if is_of_image else other
        await unit.put_exports(
            [ExportRecord(carrier_id=export.id, source_id=made_from.id, stated_at=None, evidence=ExportEvidence.STATED)]
        )
    world.now(shop.flux).succeed(f"main@sha1:{exported}", "d1")
    await world.play(shop.flux)
    await world.settle()
    await shop.roll("a", "b")
    await shop.trace()
    row = await shop.find(b)
    assert row is not None
    assert row.carrier_id == (export.id if is_of_image else bump.id)


async def test_time_is_stated_by_exporters_alone(shop: Shop) -> None:
    world = shop.world
    a, between, b = (world.commit("shop", name) for name in ("a", "between", "b"))
    world.clock.forward(20)
    await world.branches.look()
    await shop.image("a", a)
    await shop.image("b", b)
    carrier = await world.record(await shop.bump("b", made="d1"))
    stated = ExportRecord(
        carrier_id=carrier.id, source_id=(await world.record(between)).id, stated_at=world.clock.now(), build_link="ci"
    )
    async with world.ledger.unit() as unit:
        await unit.put_exports([stated])
    await shop.roll("a", "b")
    await shop.trace()
    async with world.ledger.unit() as unit:
        links = await unit.exports_of([carrier.id])
    newest = (await world.record(b)).id
    built = ExportRecord(carrier_id=carrier.id, source_id=newest, stated_at=None, evidence=ExportEvidence.IMAGE)
    assert links == [stated, built]


async def test_what_a_run_states_and_an_image_says_is_one_link(shop: Shop) -> None:
    world = shop.world
    a, between, b = (world.commit("shop", name) for name in ("a", "between", "b"))
    world.clock.forward(20)
    await world.branches.look()
    await shop.image("a", a)
    await shop.image("b", b)
    carrier = await world.record(await shop.bump("b", made="d1"))
    source, other = await world.record(b), await world.record(between)
    stated = ExportRecord(
        carrier_id=carrier.id, source_id=source.id, stated_at=None, evidence=ExportEvidence.STATED, build_link="ci"
    )
    async with world.ledger.unit() as unit:
        await unit.put_exports([stated])
        await deliver_all_late(unit, [(carrier, [source])], now=world.clock.now())
        (before,) = await unit.deliveries_of([source.id])
    await shop.roll("a", "b")
    await shop.trace()
    async with world.ledger.unit() as unit:
        links = await unit.exports_of([carrier.id])
        assert await unit.deliveries_of([source.id]) == [before]
    assert [(link.source_id, link.evidence) for link in links] == [
        (other.id, ExportEvidence.IMAGE),
        (source.id, ExportEvidence.STATED),
    ]


@pytest.mark.parametrize(
    ("evidence", "is_told"),
    [(None, True), (ExportEvidence.IMAGE, True), (ExportEvidence.STATED, False), (None, False)],
)
async def test_commit_whose_image_was_replaced_before_it_ran_came_with_its_own_carrier(
    shop: Shop, evidence: ExportEvidence | None, is_told: bool
) -> None:
    """Where it ran elsewhere, which told the carrier; else it came with the next image as far as anybody knows."""
    world = shop.world
    a, b, c = (world.commit("shop", name) for name in ("a", "b", "c"))
    for name, sha in (("a", a), ("c", c)):
        await shop.image(name, sha)
    await world.branches.look()
    await shop.run_image("a", world.clock.time - timedelta(hours=1))
    first = await shop.bump("b", made="d1")
    never_ran = await shop.roll("a", "b", runs=False)
    second = await shop.bump("c", made="d2")
    row = await shop.roll("b", "c")
    await shop.run_image("c", world.clock.time)
    carriers = [await world.record(sha) for sha in (first, second)]
    newer = (await world.record(b)).id
    told = ExportRecord(carrier_id=carriers[0].id, source_id=newer, stated_at=None, evidence=evidence)
    async with world.ledger.unit() as unit:
        await unit.put_rollouts([replace(row, digests_before={"shop": digest("c")})])  # read when it had rolled out
        await unit.put_exports([told] if is_told or evidence else [])
    await shop.trace()
    found = [await shop.find(sha) for sha in (b, c)]
    with_first = (carriers[0].id, never_ran.sync_id)
    with_second = (carriers[1].id, row.sync_id)
    assert [(item.carrier_id, item.applied_sync) for item in found if item is not None] == [
        with_first if is_told else with_second,
        with_second,
    ]
    async with world.ledger.unit() as unit:
        links = await unit.exports_of([carriers[1].id])
    assert len(links) == (1 if is_told else 2)


async def test_several_containers_and_workloads_of_one_sync(shop: Shop) -> None:
    world = shop.world
    a, b, c = (world.commit("shop", name) for name in ("a", "b", "c"))
    for name, sha in (("a", a), ("b", b), ("c", c)):
        await shop.image(name, sha)
    await shop.bump("b", made="d1")
    await shop.roll({"web": "a", "worker": "a", "new": "a"}, {"web": "b", "worker": "a", "added": "c"})
    await shop.roll("a", "c", workload="other")
    await shop.trace()
    assert await shop.verdicts([b, c]) == ["deployed", "deployed"]
    transitions = [line for line in await _history(shop) if line[0] == TransitionKind.APPLIED.value]
    assert len(transitions) == len(set(transitions))


async def test_runs_already_when_it_is_traced(shop: Shop) -> None:
    world = shop.world
    a, b = world.commit("shop", "a"), world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    sync_id = world.target(shop.flux).sync_id
    assert sync_id is not None
    moment = observed(world.clock.time, Evidence.PODS_READY)
    async with world.ledger.unit() as unit:
        await unit.note_running([(sync_id, RunningState.REACHED, moment)])
    await shop.trace()
    commit = await world.record(b)
    told = [line for line in await _history(shop) if line[0] == TransitionKind.RUNNING.value]
    assert [line[1] for line in told] == [commit.id]


async def test_image_without_a_commit_brings_nothing(shop: Shop) -> None:
    await shop.image("a", shop.world.commit("shop", "a"))
    await shop.image("b", None)
    await shop.image("c", None, state=ImageState.PRIVATE)
    await shop.bump("b", made="d1")
    await shop.roll("a", "b")
    await shop.roll("a", "c", workload="private")
    await shop.trace()
    assert await shop.untraced() == 0


async def test_baseline_claims_no_history(shop: Shop) -> None:
    a, b = shop.world.commit("shop", "a"), shop.world.commit("shop", "b")
    await shop.image("a", a)
    await shop.image("b", b)
    await shop.roll("a", "b")
    await shop.trace()
    assert await shop.verdicts([b]) == ["-"]
    assert await shop.untraced() == 0


async def _history(shop: Shop) -> list[tuple[str, int | None, int | None, str]]:
    lines = await shop.world.ledger.transitions(after_id=0, limit=1_000)
    return [(line.kind.value, line.commit_id, line.target_id, line.after) for line in lines]
