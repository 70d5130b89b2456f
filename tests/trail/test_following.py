"""End to end within the trail: what a cluster shows and what git has become verdicts and moments in the ledger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.trail.following import START, World
from tests.trail.transcripts import CLUSTER, Controller

from fluxtrail.model.derive import not_ready_text
from fluxtrail.model.moment import Evidence, Precision
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Attribution, Cause
from fluxtrail.model.verdict import Verdict

replace = msgspec.structs.replace


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def begin(world: World, **fields: Any) -> tuple[Controller, str]:
    """Return a Kustomization `apps` over the repository `fleet`, and the commit of its baseline."""
    world.origin("fleet")
    first = world.commit("fleet", "first", apps__a="1", infra__b="1", README="1")
    flux = world.kustomization(**fields)
    await world.deliver(flux, "fleet", first, "d0")
    return flux, first


async def test_a_baseline_claims_nothing(world: World) -> None:
    flux, first = await begin(world)
    assert await world.verdicts([first], flux) == ["-"]
    target = world.target(flux)
    assert (target.baseline_sha, target.awaits_baseline) == (first, False)
    assert await world.facts() == []


async def test_an_ordinary_delivery_with_its_moments(world: World) -> None:
    flux, _ = await begin(world, has_checks=True)
    sha = world.commit("fleet", "Change (#7)", apps__a="2")
    await world.settle()
    assert await world.verdicts([sha], flux) == ["pending"]
    await world.deliver(flux, "fleet", sha, "d1")
    row = await world.delivery(sha, flux)
    assert row.verdict is Verdict.DEPLOYED
    assert not row.is_scope_unknown
    commit = await world.record(sha)
    assert (commit.subject, commit.pull_request, commit.merged_is_final) == ("Change (#7)", 7, True)
    (facts,) = await world.facts()
    assert facts.merged is not None
    assert (facts.merged.evidence, facts.merged.precision) == (Evidence.BRANCH_MOVED, Precision.OBSERVED)
    for moment, evidence in (
        (facts.fetched, Evidence.ARTIFACT),
        (facts.applied, Evidence.HEALTH_CHECKS_STARTED),
        (facts.healthy, Evidence.READY_CONDITION),
        (facts.succeeded, Evidence.READY_CONDITION),
    ):
        assert moment is not None
        assert (moment.evidence, moment.precision) == (evidence, Precision.EXACT)
    assert facts.fetched is not None
    assert facts.applied is not None
    assert facts.healthy is not None
    assert facts.merged.at <= facts.fetched.at <= facts.applied.at <= facts.healthy.at


async def test_skipped_commits_are_deployed_by_the_revision_that_contains_them(world: World) -> None:
    flux, _ = await begin(world)
    shas = [world.commit("fleet", f"c{n}", apps__a=str(n)) for n in (2, 3, 4)]
    await world.deliver(flux, "fleet", shas[-1], "d1")
    assert await world.verdicts(shas, flux) == ["deployed"] * 3
    syncs = {(await world.delivery(sha, flux)).applied_sync for sha in shas}
    assert len(syncs) == 1
    assert (await world.sync(syncs.pop())).sha == shas[-1]


async def test_a_commit_outside_the_paths_has_no_row(world: World) -> None:
    flux, _ = await begin(world)
    outside = world.commit("fleet", "docs", README="2")
    inside = world.commit("fleet", "apps", apps__a="2")
    await world.deliver(flux, "fleet", inside, "d1")
    assert await world.verdicts([outside, inside], flux) == ["-", "deployed"]


async def test_a_commit_that_gives_the_same_manifests_is_unaffected(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "comment only", apps__a="1 # same")
    await world.deliver(flux, "fleet", sha, "d0")
    assert await world.verdicts([sha], flux) == ["unaffected"]


async def test_new_manifests_with_nobody_in_scope_count_for_the_whole_range(world: World) -> None:
    flux, _ = await begin(world)
    shas = [world.commit("fleet", f"elsewhere {n}", infra__b=str(n)) for n in (2, 3)]
    await world.deliver(flux, "fleet", shas[-1], "d1")
    rows = [await world.delivery(sha, flux) for sha in shas]
    assert [(row.verdict, row.is_scope_unknown) for row in rows] == [(Verdict.DEPLOYED, True)] * 2


async def test_a_failure_is_deployed_by_the_next_revision(world: World) -> None:
    flux, _ = await begin(world)
    bad = world.commit("fleet", "bad", apps__a="bad")
    await world.fetch("fleet", bad)
    world.now(flux).fail_build(f"main@sha1:{bad}")
    await world.play(flux)
    await world.settle()
    row = await world.delivery(bad, flux)
    assert (row.verdict, row.reason, row.applied_sync) == (Verdict.FAILED, "BuildFailed", None)
    flux.wait(30)
    flux.fail_build(f"main@sha1:{bad}")
    await world.play(flux)
    await world.settle()
    assert await world.delivery(bad, flux) == row  # Flux's retry of it changes nothing
    fixed = world.commit("fleet", "fixed", apps__a="good")
    await world.fetch("fleet", fixed)
    world.now(flux).begin(f"main@sha1:{fixed}")
    await world.play(flux)
    await world.settle()
    assert await world.verdicts([bad, fixed], flux) == ["pending", "pending"]
    flux.end_well(f"main@sha1:{fixed}", "d1")
    await world.play(flux)
    await world.settle()
    assert await world.verdicts([bad, fixed], flux) == ["deployed", "deployed"]
    assert (await world.delivery(bad, flux)).reason == ""


async def test_failed_health_keeps_what_was_applied(world: World) -> None:
    flux, _ = await begin(world, has_checks=True)
    bad = world.commit("fleet", "bad", apps__a="bad")
    await world.fetch("fleet", bad)
    world.now(flux).fail_health(f"main@sha1:{bad}")
    await world.play(flux)
    await world.settle()
    row = await world.delivery(bad, flux)
    assert (row.verdict, row.reason, row.healthy_sync) == (Verdict.FAILED, "HealthCheckFailed", None)
    assert (await world.sync(row.applied_sync)).applied is not None
    fixed = world.commit("fleet", "fixed", apps__a="good")
    await world.deliver(flux, "fleet", fixed, "d2")
    after = await world.delivery(bad, flux)
    assert (after.verdict, after.applied_sync) == (Verdict.DEPLOYED, row.applied_sync)
    assert (await world.sync(after.healthy_sync)).sha == fixed


async def test_a_revert_undoes_and_its_revert_makes_whole(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    await world.deliver(flux, "fleet", sha, "d1")
    revert = world.commit("fleet", f'Revert "change"\n\nThis reverts commit {sha}.', apps__a="1")
    await world.deliver(flux, "fleet", revert, "d0")
    assert await world.verdicts([sha, revert], flux) == ["deployed", "deployed"]
    assert (await world.delivery(sha, flux)).undone_by == (await world.record(revert)).id
    again = world.commit("fleet", f"Reapply\n\nThis reverts commit {revert}.", apps__a="2")
    await world.deliver(flux, "fleet", again, "d1")
    assert (await world.delivery(sha, flux)).undone_by is None
    assert (await world.delivery(revert, flux)).undone_by == (await world.record(again)).id


async def test_a_force_push_back_rolls_back(world: World) -> None:
    flux, first = await begin(world)
    shas = [world.commit("fleet", f"c{n}", apps__a=str(n)) for n in (2, 3)]
    await world.deliver(flux, "fleet", shas[-1], "d1")
    world.push_back("fleet", first)
    await world.deliver(flux, "fleet", first, "d0")
    assert await world.verdicts(shas, flux) == ["rolled_back", "rolled_back"]
    world.origins["fleet"].git("reset", "-q", "--hard", shas[-1])
    world.origins["fleet"].push()
    await world.deliver(flux, "fleet", shas[-1], "d1")
    assert await world.verdicts(shas, flux) == ["deployed", "deployed"]


async def test_a_force_push_loses_what_was_never_delivered(world: World) -> None:
    flux, first = await begin(world)
    gone = world.commit("fleet", "gone", apps__a="2")
    await world.settle()
    assert await world.verdicts([gone], flux) == ["pending"]
    world.push_back("fleet", first)
    kept = world.commit("fleet", "kept", apps__a="3")
    await world.settle()
    assert await world.verdicts([gone, kept], flux) == ["lost", "pending"]
    await world.deliver(flux, "fleet", kept, "d1")
    assert await world.verdicts([gone, kept], flux) == ["lost", "deployed"]


async def test_a_branch_switch_abandons_and_begins_anew(world: World) -> None:
    flux, _ = await begin(world)
    waiting = world.commit("fleet", "waiting", apps__a="2")
    await world.settle()
    world.origins["fleet"].git("checkout", "-q", "-b", "release")
    release = world.commit("fleet", "release", apps__a="3")
    await world.deliver(flux, "fleet", release, "d3", branch="release")
    assert await world.verdicts([waiting], flux) == ["abandoned"]
    target = world.target(flux)
    assert (target.branch, target.baseline_sha, target.awaits_baseline) == ("release", release, False)
    assert (await world.sync(target.sync_id)).cause is Cause.BASELINE
    following = world.commit("fleet", "next", apps__a="4")
    await world.deliver(flux, "fleet", following, "d4", branch="release")
    assert await world.verdicts([following], flux) == ["deployed"]


async def test_a_deleted_target_abandons_what_it_waited_for(world: World) -> None:
    flux, _ = await begin(world)
    waiting = world.commit("fleet", "waiting", apps__a="2")
    await world.settle()
    await world.lose(flux)
    assert await world.verdicts([waiting], flux) == ["abandoned"]
    assert world.target(flux).deleted_at is not None
    later = world.commit("fleet", "later", apps__a="3")
    await world.settle()
    assert await world.verdicts([later], flux) == ["-"]


async def test_two_kustomizations_on_one_path_each_have_their_own(world: World) -> None:
    flux, first = await begin(world)
    other = world.kustomization("other", path="apps/")
    world.now(other).succeed(f"main@sha1:{first}", "o0")
    await world.play(other)
    await world.settle()
    sha = world.commit("fleet", "change", apps__a="2")
    await world.deliver(flux, "fleet", sha, "d1")
    assert await world.verdicts([sha], flux) == ["deployed"]
    assert await world.verdicts([sha], other) == ["pending"]
    world.now(other).fail_build(f"main@sha1:{sha}")
    await world.play(other)
    await world.settle()
    assert await world.verdicts([sha], flux) == ["deployed"]
    assert await world.verdicts([sha], other) == ["failed"]


async def test_a_remote_cluster_is_where_it_lands(world: World) -> None:
    flux, _ = await begin(world, kube_config="flux-system/prod")
    assert world.target(flux).lands_on == f"{CLUSTER}/flux-system/prod"
    assert world.target(flux).cluster == CLUSTER


async def test_a_commit_ahead_of_a_baseline_is_pending(world: World) -> None:
    world.origin("fleet")
    first = world.commit("fleet", "first", apps__a="1")
    ahead = world.commit("fleet", "ahead", apps__a="2")
    flux = world.kustomization()
    await world.deliver(flux, "fleet", first, "d0")
    assert await world.verdicts([ahead], flux) == ["pending"]
    await world.deliver(flux, "fleet", ahead, "d1")
    assert await world.verdicts([ahead], flux) == ["deployed"]


async def test_a_repointed_path_is_a_new_baseline(world: World) -> None:
    flux, first = await begin(world)
    waiting = world.commit("fleet", "waiting", apps__a="2")
    await world.settle()
    world.now(flux).write(path="./infra", generation=2)
    await world.play(flux)
    assert await world.verdicts([waiting], flux) == ["abandoned"]
    await world.deliver(flux, "fleet", waiting, "i0")
    assert world.target(flux).baseline_sha == waiting
    sha = world.commit("fleet", "infra", infra__b="2")
    await world.deliver(flux, "fleet", sha, "i1")
    assert await world.verdicts([first, waiting, sha], flux) == ["-", "abandoned", "deployed"]


# -- exports ------------------------------------------------------------------------------------------------------


def export(world: World, number: int, *sources: tuple[str, str]) -> str:
    entries = [{"hash": sha, "summary": "s", "author": "Ada", "email": "a@x", "time": time} for sha, time in sources]
    info = {"commit": "x", "commits_since_last_export": entries, "export_build_link": "https://ci.example.com/1"}
    files = {"exporter-info.json": json.dumps(info), "apps/a": str(number)}
    return world.commit_files("fleet", f"export {number}", files)


async def test_source_commits_inherit_the_verdicts_of_their_exports(tmp_path: Path) -> None:
    made = World(tmp_path)
    made.origin("fleet")
    made.origin("shop")
    made.stated["shop"] = ["fleet"]
    async with made as world:
        first = export(world, 0)
        flux = world.kustomization()
        world.commit("shop", "begin", x="0")
        await world.deliver(flux, "fleet", first, "d0")
        one, two = world.commit("shop", "one", x="1"), world.commit("shop", "two", x="2")
        await world.settle()
        now = world.clock.time.isoformat()
        skipped, last = export(world, 1, (one, now)), export(world, 2, (two, now))
        await world.settle()
        assert await world.verdicts([one, two, skipped, last], flux) == ["pending"] * 4
        await world.deliver(flux, "fleet", last, "d1")
        assert await world.verdicts([one, two, skipped, last], flux) == ["deployed"] * 4
        row = await world.delivery(one, flux)
        assert row.carrier_id == (await world.record(skipped)).id
        assert (await world.record(last)).is_carrier
        assert not (await world.record(one)).is_carrier
        (merged,) = {item.merged for item in await world.facts() if item.commit_id == row.commit_id}
        assert merged is not None
        assert merged.evidence is Evidence.BRANCH_MOVED
        world.push_back("fleet", first)
        await world.deliver(flux, "fleet", first, "d0")
        assert await world.verdicts([one, two], flux) == ["rolled_back"] * 2


async def test_a_revert_that_is_read_after_its_export_was_applied_still_undoes(tmp_path: Path) -> None:
    made = World(tmp_path)
    made.origin("fleet")
    made.origin("shop")
    made.stated["shop"] = ["fleet"]
    async with made as world:
        flux = world.kustomization()
        begin = world.commit("shop", "begin", x="0")
        await world.deliver(flux, "fleet", export(world, 0), "d0")
        now = world.clock.time.isoformat()
        bad = world.commit("shop", "bad", x="1")
        await world.deliver(flux, "fleet", export(world, 1, (bad, now)), "d1")
        shop = world.origins["shop"]
        revert = shop.commit(f"Revert\n\nThis reverts commit {bad}.", files={"x": "0"}, push=False)
        await world.deliver(flux, "fleet", export(world, 2, (revert, now)), "d2")
        assert await world.verdicts([begin, bad, revert], flux) == ["-", "deployed", "deployed"]
        assert (await world.delivery(bad, flux)).undone_by is None
        shop.push()
        await world.settle()
        assert (await world.delivery(bad, flux)).undone_by == (await world.record(revert)).id


async def test_the_export_at_first_sight_is_measured_once_in_the_replaced_tools_place(tmp_path: Path) -> None:
    async with World(tmp_path, measures_baseline=True) as world:
        world.origin("fleet")
        source = "ab" * 20
        stated = world.clock.time + timedelta(seconds=1) - timedelta(minutes=15)
        manifests = export(world, 1, (source, stated.isoformat()))
        committed = world.clock.time
        flux = world.kustomization("apps")
        world.clock.time = committed + timedelta(minutes=10) - timedelta(seconds=2)
        await world.fetch("fleet", manifests)
        world.now(flux)
        flux.now = committed + timedelta(minutes=10) - timedelta(seconds=0.4)
        flux.succeed(f"main@sha1:{manifests}", "d0")
        last = flux.writes[-1]
        flux.writes[:] = [last]
        flux.wait(60)
        flux.writes[:] = [last._replace(at=flux.now)]
        await world.play(flux)
        await world.settle()
        (facts,) = [item for item in await world.facts() if item.has_carrier]
        applied = facts.succeeded
        assert applied is not None
        assert facts.stated_at is not None
        assert facts.carrier_committed_at == committed
        assert (applied.at - facts.carrier_committed_at).total_seconds() == 600
        assert (facts.carrier_committed_at - facts.stated_at).total_seconds() == 900
        assert (applied.at - facts.stated_at).total_seconds() == 1500
        before = await world.everything()
        await world.restart()
        flux.writes[:] = [last._replace(at=flux.now + timedelta(minutes=5))]
        await world.play(flux)
        await world.settle()
        assert await world.everything() == before
        assert len([item for item in await world.facts() if item.has_carrier]) == 1


async def test_a_target_that_was_never_ready_delivers_nothing_and_says_so(world: World) -> None:
    world.origin("fleet")
    first = world.commit("fleet", "first", apps__a="1")
    await world.fetch("fleet", first)
    flux = world.kustomization("test-kustomization-pending", path="./apps")
    world.now(flux).begin(f"main@sha1:{first}")
    await world.play(flux)
    await world.settle()
    target = world.target(flux)
    assert (target.phase, target.awaits_baseline) == (Outcome.RUNNING, True)
    assert not_ready_text(target) == (
        "kustomization 'flux-system/test-kustomization-pending' has not reconciled successfully yet"
    )
    assert await world.facts() == []


# -- what goes wrong ----------------------------------------------------------------------------------------------


async def test_without_the_repository_the_revisions_own_commit_is_followed(world: World, tmp_path: Path) -> None:
    flux = world.kustomization()
    shas = ["a" * 40, "b" * 40]
    url = f"file://{tmp_path}/nowhere.git"
    await world.fetch("fleet", shas[0], url=url)
    world.now(flux).succeed(f"main@sha1:{shas[0]}", "d0")
    await world.play(flux)
    await world.settle()
    await world.fetch("fleet", shas[1], url=url)
    world.now(flux).succeed(f"main@sha1:{shas[1]}", "d1")
    await world.play(flux)
    await world.settle()
    row = await world.delivery(shas[1], flux)
    assert (row.verdict, row.is_scope_unknown) == (Verdict.DEPLOYED, True)
    sync = await world.sync(row.applied_sync)
    assert sync.attribution is Attribution.PENDING
    assert sync.attribution_problem


async def test_an_abbreviated_revision_does_not_stop_the_others(world: World) -> None:
    flux, _ = await begin(world)
    sha = world.commit("fleet", "change", apps__a="2")
    await world.settle()
    other = world.kustomization("other", path="./infra")
    world.now(other).succeed("main@sha1:abcdef123456", "o0")
    await world.play(other)
    await world.deliver(flux, "fleet", sha, "d1")
    assert await world.verdicts([sha], flux) == ["deployed"]


async def test_a_revision_that_is_gone_from_the_repository_does_not_stop_the_others(world: World) -> None:
    flux, first = await begin(world)
    other = world.kustomization("other", path="./infra")
    world.now(other).succeed(f"main@sha1:{first}", "o0")
    await world.play(other)
    sha = world.commit("fleet", "change", apps__a="2")
    world.now(other).succeed(f"main@sha1:{'e' * 40}", "o1")
    await world.play(other)
    await world.deliver(flux, "fleet", sha, "d1")
    assert await world.verdicts([sha], flux) == ["deployed"]


async def test_a_restart_in_the_middle_changes_nothing(world: World) -> None:
    flux, _ = await begin(world, has_checks=True)
    shas = [world.commit("fleet", f"c{n}", apps__a=str(n)) for n in (2, 3)]
    await world.fetch("fleet", shas[-1])
    world.now(flux).apply(f"main@sha1:{shas[-1]}")
    await world.play(flux)
    before = await world.everything()
    await world.restart()
    assert await world.everything() == before
    await world.settle()
    rows = [await world.delivery(sha, flux) for sha in shas]
    assert all(row.verdict is Verdict.PENDING and row.applied_sync for row in rows)
    await world.restart()
    await world.settle()
    assert [await world.delivery(sha, flux) for sha in shas] == rows
    flux.end_well(f"main@sha1:{shas[-1]}", "d1")
    await world.play(flux)
    await world.restart()
    await world.settle()
    assert await world.verdicts(shas, flux) == ["deployed", "deployed"]
    done = await world.everything()
    facts = await world.facts()
    await world.restart()
    await world.settle()
    assert await world.everything() == done
    assert await world.facts() == facts
    assert all(item.applied is not None and item.applied.at >= START for item in facts)
