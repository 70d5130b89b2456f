"""More of the trail end to end: gaps, tags, merges, bad payloads, repositories that come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.trail.following import World
from tests.trail.test_following import begin, export
from tests.trail.transcripts import CLUSTER

from fluxtrail.model.errors import StoreError
from fluxtrail.model.moment import Precision
from fluxtrail.model.observation import ClusterUid, Gone, Seen
from fluxtrail.model.records import Attribution
from fluxtrail.model.sources import GitRef
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import TrailView


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def test_what_was_applied_while_we_were_down_is_found(world: World) -> None:
    flux, _ = await begin(world)
    shas = [world.commit("fleet", f"c{n}", apps__a=str(n)) for n in (2, 3)]
    await world.fetch("fleet", shas[-1])
    applied = world.now(flux).succeed(f"main@sha1:{shas[-1]}", "d1")
    last = flux.writes[-1]
    world.clock.forward(3600)
    await world.restart()
    flux.writes[:] = [last._replace(at=world.clock.time)]
    await world.play(flux)
    await world.settle()
    assert await world.verdicts(shas, flux) == ["deployed", "deployed"]
    for facts in await world.facts():
        assert facts.applied is not None
        assert facts.applied.precision is Precision.EXACT  # its snapshot in the history is new and single
        assert abs((facts.applied.at - applied).total_seconds()) <= 1
        assert facts.merged is not None
        assert facts.merged.at <= facts.applied.at


async def test_a_merge_brings_its_other_parents_as_aliases(world: World) -> None:
    flux, _ = await begin(world)
    origin = world.origins["fleet"]
    origin.git("checkout", "-q", "-b", "topic")
    topic = world.commit("fleet", "on topic", apps__a="2")
    origin.git("checkout", "-q", "main")
    world.clock.forward(1)
    merge = origin.merge("topic", "Merge pull request #12 from acme/topic")
    await world.deliver(flux, "fleet", merge, "d1")
    assert await world.verdicts([merge], flux) == ["deployed"]
    assert (await world.record(merge)).pull_request == 12
    trail = await world.ledger.find_trail(topic, now=world.clock.time, settle_after=timedelta())
    assert isinstance(trail, TrailView)
    assert (trail.commit.sha, trail.via) == (merge, "merged")


async def test_a_pinned_commit_beside_the_branch_is_carried(world: World) -> None:
    flux, first = await begin(world)
    origin = world.origins["fleet"]
    origin.git("checkout", "-q", "-b", "hotfix", first)
    beside = world.commit("fleet", "beside", apps__a="9")
    origin.git("checkout", "-q", "main")
    await world.fetch("fleet", beside)
    world.now(flux).succeed(f"main@sha1:{beside}", "d9")
    await world.play(flux)
    await world.settle()
    assert await world.verdicts([beside], flux) == ["deployed"]


async def test_bad_exports_in_a_range_cost_only_themselves(world: World) -> None:
    world.origin("fleet")
    first = export(world, 0)
    flux = world.kustomization()
    await world.deliver(flux, "fleet", first, "d0")
    broken = world.commit_files("fleet", "broken", {"exporter-info.json": "{not json", "apps/a": "x"})
    nulls = world.commit_files(
        "fleet", "nulls", {"exporter-info.json": '{"commits_since_last_export": [null]}', "apps/a": "y"}
    )
    source = "ab" * 20
    good = export(world, 3, (source, "2026-02-28T10:00:00Z"))
    await world.deliver(flux, "fleet", good, "d1")
    assert await world.verdicts([broken, nulls, good, source], flux) == ["deployed"] * 4
    assert world.exports.problems == 2


async def test_a_repository_that_comes_back_is_attributed_then(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    origin = world.origins["fleet"]
    hidden = origin.path.with_name("hidden.git")
    origin.path.rename(hidden)
    await world.fetch("fleet", sha)
    world.now(flux).succeed(f"main@sha1:{sha}", "d1")
    await world.play(flux)
    await world.settle()
    sync = await world.sync(world.target(flux).sync_id)
    assert (sync.attribution, bool(sync.attribution_problem)) == (Attribution.PENDING, True)
    hidden.rename(origin.path)
    world.clock.forward(120)
    await world.settle()
    world.clock.forward(120)
    await world.settle()
    sync = await world.sync(world.target(flux).sync_id)
    assert (sync.attribution, sync.attribution_problem) == (Attribution.DONE, None)
    row = await world.delivery(sha, flux)
    assert row.verdict is Verdict.DEPLOYED
    assert (await world.record(sha)).subject == "change"


async def test_two_clusters_with_the_same_names_are_two_targets(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    await world.deliver(flux, "fleet", sha, "d1")
    other = world.kustomization()
    elsewhere = ClusterUid("c2")
    world.now(other).write()
    await world.play(other, cluster=elsewhere)
    assert world.registry.find_target(elsewhere, other.object.key) != world.target(flux)
    assert await world.verdicts([sha], flux) == ["deployed"]


async def test_a_source_that_goes_leaves_its_targets_as_they_are(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    await world.deliver(flux, "fleet", sha, "d1")
    source = world.registry.source_of(world.target(flux))
    assert source is not None
    gone = Gone(key=source.key, uid=source.uid, observed_at=world.clock.time)
    await world.follower.observe(CLUSTER, [gone, gone])
    assert await world.verdicts([sha], flux) == ["deployed"]
    following = world.commit("fleet", "next", apps__a="3")
    await world.deliver(flux, "fleet", following, "d2")
    assert await world.verdicts([sha, following], flux) == ["deployed", "deployed"]


async def test_a_batch_that_is_not_kept_leaves_no_trace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    flux, _ = await begin(world)
    before = await world.everything()
    targets = world.registry.targets
    other = world.kustomization("other")
    world.now(other).write()
    world.now(flux).suspend()
    batch = [
        Seen(key=item.object.key, object=item.object, observed_at=item.at, was_held=False)
        for item in (flux.writes[-1], other.writes[-1])
    ]
    flux.writes.clear()

    class FullDisk:
        def __getattr__(self, name: str) -> object:
            raise StoreError("the disk is full", subject=name)

    class Refusing:
        async def __aenter__(self) -> FullDisk:
            return FullDisk()

        async def __aexit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(world.ledger, "unit", Refusing)
    with pytest.raises(StoreError):
        await world.follower.observe(CLUSTER, batch)
    monkeypatch.undo()
    assert await world.everything() == before
    assert world.registry.targets == targets
    await world.follower.observe(CLUSTER, batch)
    assert world.target(flux).is_suspended
    assert world.target(other).awaits_baseline


async def test_tags_are_delivered_by_the_range_of_the_branch_they_stand_on(world: World) -> None:
    world.origin("fleet")
    first = world.commit("fleet", "first", apps__a="1")
    flux = world.kustomization()
    await world.fetch("fleet", first)

    async def fetch_tag(tag: str, sha: str) -> None:
        await world.fetch("fleet", sha, branch=tag, ref=GitRef(semver=">=1"))

    await fetch_tag("v1", first)
    world.now(flux).succeed(f"v1@sha1:{first}", "d0")
    await world.play(flux)
    await world.settle()
    shas = [world.commit("fleet", f"c{n}", apps__a=str(n)) for n in (2, 3, 4)]
    await world.settle()
    assert await world.verdicts(shas, flux) == ["pending"] * 3
    assert world.target(flux).follows_tags
    await fetch_tag("v2", shas[1])
    world.now(flux).succeed(f"v2@sha1:{shas[1]}", "d1")
    await world.play(flux)
    await world.settle()
    assert await world.verdicts(shas, flux) == ["deployed", "deployed", "pending"]
    assert world.target(flux).branch == "main"


async def test_the_revert_of_a_release_that_failed_its_checks_undoes_it(world: World) -> None:
    """The manifests are those of the last success again, but what was live in between was another release."""
    flux, _ = await begin(world, has_checks=True)
    bad = world.commit("fleet", "bad", apps__a="2")
    await world.fetch("fleet", bad)
    world.now(flux).fail_health(f"main@sha1:{bad}")
    await world.play(flux)
    await world.settle()
    assert await world.verdicts([bad], flux) == ["failed"]
    revert = world.commit("fleet", f"Revert\n\nThis reverts commit {bad}.", apps__a="1")
    await world.deliver(flux, "fleet", revert, "d0")
    assert await world.verdicts([bad, revert], flux) == ["deployed", "deployed"]
    assert (await world.delivery(bad, flux)).undone_by == (await world.record(revert)).id


async def test_a_failure_that_is_force_pushed_away_is_lost(world: World) -> None:
    flux, first = await begin(world)
    bad = world.commit("fleet", "bad", apps__a="2")
    await world.fetch("fleet", bad)
    world.now(flux).fail_build(f"main@sha1:{bad}")
    await world.play(flux)
    await world.settle()
    world.push_back("fleet", first)
    await world.deliver(flux, "fleet", first, "d0")
    assert await world.verdicts([bad], flux) == ["lost"]
    assert world.target(flux).baseline_sha == first
    again = world.commit("fleet", "good", apps__a="3")
    await world.deliver(flux, "fleet", again, "d3")
    assert await world.verdicts([bad, again], flux) == ["lost", "deployed"]


async def test_a_build_failure_without_effect_after_its_fix_is_unaffected(world: World) -> None:
    flux, _ = await begin(world)
    bad = world.commit("fleet", "bad", apps__a="2")
    await world.fetch("fleet", bad)
    world.now(flux).fail_build(f"main@sha1:{bad}")
    await world.play(flux)
    await world.settle()
    fixed = world.commit("fleet", "back", apps__a="1")
    await world.deliver(flux, "fleet", fixed, "d0")
    assert await world.verdicts([bad, fixed], flux) == ["unaffected", "unaffected"]


async def test_a_commit_rolled_back_and_contained_again_without_effect(world: World) -> None:
    flux, first = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    await world.deliver(flux, "fleet", sha, "d1")
    world.push_back("fleet", first)
    await world.deliver(flux, "fleet", first, "d0")
    assert await world.verdicts([sha], flux) == ["rolled_back"]
    world.origins["fleet"].git("reset", "-q", "--hard", sha)
    comment = world.commit("fleet", "back to the same", apps__a="1")
    await world.deliver(flux, "fleet", comment, "d0")
    assert await world.verdicts([sha, comment], flux) == ["deployed", "unaffected"]


@pytest.mark.parametrize("is_attributed_early", [False, True], ids=["at the end", "while checks run"])
async def test_a_push_without_effect_is_unaffected_whenever_it_is_attributed(
    world: World, is_attributed_early: bool
) -> None:
    flux, _ = await begin(world, has_checks=True)
    sha = world.commit("fleet", "comment only", apps__a="1 # same")
    await world.fetch("fleet", sha)
    world.now(flux).apply(f"main@sha1:{sha}")
    await world.play(flux)
    if is_attributed_early:
        await world.settle()
        assert (await world.delivery(sha, flux)).applied_sync is not None
    world.now(flux).end_well(f"main@sha1:{sha}", "d0")
    await world.play(flux)
    await world.settle()
    row = await world.delivery(sha, flux)
    assert (row.verdict, row.applied_sync) == (Verdict.UNAFFECTED, None)


async def test_a_push_without_effect_while_we_were_down_is_unaffected(world: World) -> None:
    flux, _ = await begin(world)
    comment = world.commit("fleet", "comment only", apps__a="1 # same")
    await world.fetch("fleet", comment)
    flux.wait(60)
    world.now(flux).succeed(f"main@sha1:{comment}", "d0")
    world.clock.time = flux.now
    change = world.commit("fleet", "change", apps__a="2")
    await world.fetch("fleet", change)
    flux.wait(60)
    world.now(flux).succeed(f"main@sha1:{change}", "d1")
    last = flux.writes[-1]
    world.clock.forward(600)
    await world.restart()
    flux.writes[:] = [last._replace(at=world.clock.time)]
    await world.play(flux)
    await world.settle()
    assert await world.verdicts([comment, change], flux) == ["unaffected", "deployed"]


async def test_a_fetch_that_is_told_late_is_waited_for(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    world.clock.forward(2)
    fetched_at = world.clock.time.replace(microsecond=0)
    world.now(flux).succeed(f"main@sha1:{sha}", "d1")
    await world.play(flux)
    await world.settle()
    await world.fetch("fleet", sha, updated_at=fetched_at)
    await world.settle()
    assert await world.verdicts([sha], flux) == ["deployed"]
    [facts] = await world.facts()
    assert facts.fetched is not None
    assert facts.fetched.at == fetched_at


async def test_a_fetch_that_was_replaced_unseen_is_not_waited_for(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    world.now(flux).succeed(f"main@sha1:{sha}", "d1")
    await world.play(flux)
    world.clock.forward(5)
    await world.fetch("fleet", world.commit("fleet", "more", apps__a="3"))
    await world.settle()
    assert await world.verdicts([sha], flux) == ["deployed"]
    [facts] = await world.facts()
    assert facts.fetched is None
