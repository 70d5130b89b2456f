"""Events of a cluster that nobody watches, signed by the sender that speaks of it, have verdicts and moments."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from tests.trail.notices.telling import APPS, CLUSTER, ToldWorld

from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.notices import KeptNotice
from fluxtrail.model.observation import told_cluster
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.rollout import RunningState
from fluxtrail.trail.notices.evidence import EvidenceTaker, Speaker

GOOD, UNDER_WAY = "ReconciliationSucceeded", "Progressing"
replace = msgspec.structs.replace


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ToldWorld]:
    made = ToldWorld(tmp_path)
    async with made:
        yield made


async def begin(world: ToldWorld) -> str:
    """Let `apps` have its baseline."""
    world.origin("fleet")
    first = world.commit("fleet", "first", apps__a="1", infra__b="1")
    await tell(world, world.event(GOOD, first, now(world)))
    return first


async def tell(world: ToldWorld, *notices: KeptNotice, taker: EvidenceTaker | None = None) -> None:
    await (taker or world.taker()).handle(notices)
    await world.settle()


def now(world: ToldWorld, seconds: float = 1.0) -> datetime:
    world.clock.forward(seconds)
    return world.clock.time.replace(microsecond=0)


async def test_a_commit_goes_from_pending_to_deployed_at_the_time_of_the_event(world: ToldWorld) -> None:
    first = await begin(world)
    assert await world.told_verdicts([first]) == ["-"]  # a baseline claims nothing
    sha, elsewhere = world.commit("fleet", "two", apps__a="2"), world.commit("fleet", "three", infra__b="2")
    await world.settle()
    assert await world.told_verdicts([sha]) == ["pending"]
    taker = world.taker()
    await tell(world, world.event(UNDER_WAY, elsewhere, now(world)), taker=taker)
    assert await world.told_verdicts([sha]) == ["pending"]
    at = now(world)
    await tell(world, world.event(GOOD, elsewhere, at), taker=taker)
    assert await world.told_verdicts([sha, elsewhere]) == ["deployed", "-"]  # the other has no file in apps
    (facts,) = await world.facts()
    assert (facts.applied, facts.fetched, facts.healthy) == (exact(at, Evidence.EVENT), None, None)
    target = world.told_target()
    assert target is not None
    assert (await world.sync(target.sync_id)).running_state is RunningState.UNKNOWN
    async with world.ledger.unit() as unit:
        assert [item.cluster for item in await unit.targets()] == [told_cluster(CLUSTER)]


async def test_a_failure_is_told_with_its_reason_and_what_was_applied_stays(world: ToldWorld) -> None:
    first = await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    failed_at = now(world)
    await tell(world, world.event("BuildFailed", sha, failed_at))
    (row,) = await world.told_rows([sha])
    assert row is not None
    assert (row.verdict, row.reason) == ("failed", "BuildFailed")
    target = world.told_target()
    assert target is not None
    assert (target.applied, target.phase) == (f"main@sha1:{first}", Outcome.FAILED)
    assert (await world.sync(target.sync_id)).failed == exact(failed_at, Evidence.EVENT)
    await tell(world, world.event(UNDER_WAY, sha, now(world)))
    assert await world.told_verdicts([sha]) == ["failed"]  # Flux's endless retry of it
    await tell(world, world.event(GOOD, sha, now(world)))
    assert await world.told_verdicts([sha]) == ["deployed"]


@pytest.mark.parametrize(
    ("reason", "phase"),
    [
        ("DependencyNotReady", Outcome.WAITING),
        ("HealthCheckCanceled", Outcome.RUNNING),
        ("Progressing", Outcome.RUNNING),
    ],
)
async def test_what_goes_on_is_no_failure(world: ToldWorld, reason: str, phase: Outcome) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    await tell(world, world.event(reason, sha, now(world)))
    target = world.told_target()
    assert target is not None
    assert (target.phase, await world.told_verdicts([sha])) == (phase, ["pending"])


async def test_an_event_without_a_reason_of_its_own_is_judged_by_its_severity(world: ToldWorld) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    await tell(world, world.event("info", sha, now(world)))
    assert await world.told_verdicts([sha]) == ["pending"]
    await tell(world, world.event("SomethingNew", sha, now(world), severity="error"))
    assert await world.told_verdicts([sha]) == ["failed"]


async def test_a_success_repeated_in_each_interval_keeps_its_first_moment(world: ToldWorld) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    at, taker = now(world), world.taker()
    await tell(world, world.event(GOOD, sha, at), taker=taker)
    before = await world.everything()
    for _ in range(3):
        await tell(world, world.event(GOOD, sha, now(world, 600)), taker=taker)
    assert await world.everything() == before


async def test_what_is_older_changes_nothing_even_after_a_restart(world: ToldWorld) -> None:
    await begin(world)
    two, three = world.commit("fleet", "two", apps__a="2"), world.commit("fleet", "three", apps__a="3")
    notices = [
        world.event(UNDER_WAY, two, now(world)),
        world.event("BuildFailed", two, now(world)),
        world.event(GOOD, three, now(world)),
    ]
    await tell(world, *notices)
    before = await world.everything()
    for notice in (*notices, *reversed(notices)):
        await tell(world, notice)  # each time to one that remembers nothing
    assert await world.everything() == before
    assert await world.told_verdicts([two, three]) == ["deployed", "deployed"]


async def test_a_success_that_comes_late_counts_beside_what_is_under_way(world: ToldWorld) -> None:
    await begin(world)
    two, three = world.commit("fleet", "two", apps__a="2"), world.commit("fleet", "three", apps__a="3")
    applied_at, begun_at, taker = now(world), now(world), world.taker()
    await tell(world, world.event(UNDER_WAY, three, begun_at), taker=taker)
    await tell(world, world.event(GOOD, two, applied_at), taker=taker)
    assert await world.told_verdicts([two, three]) == ["deployed", "pending"]
    target = world.told_target()
    assert target is not None
    assert (target.phase, target.attempted) == (Outcome.RUNNING, f"main@sha1:{three}")
    assert [item.applied for item in await world.facts()] == [exact(applied_at, Evidence.EVENT)]


async def test_of_one_second_the_end_wins_over_the_beginning(world: ToldWorld) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    at = now(world)
    for reasons in itertools.permutations([UNDER_WAY, GOOD, UNDER_WAY]):
        taker = world.taker()
        for reason in reasons:
            await tell(world, world.event(reason, sha, at), taker=taker)
        target = world.told_target()
        assert target is not None
        assert (target.phase, target.applied) == (Outcome.SUCCEEDED, f"main@sha1:{sha}")
    assert [item.applied for item in await world.facts()] == [exact(at, Evidence.EVENT)]


async def test_a_fetch_is_told_by_the_source_and_dates_the_stage(world: ToldWorld) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    fetched_at, applied_at = now(world), now(world)
    await tell(
        world,
        world.event(GOOD, sha, applied_at),
        world.event("NewArtifact", sha, fetched_at, kind="GitRepository", name="fleet"),
    )
    (facts,) = await world.facts()
    assert (facts.fetched, facts.applied) == (exact(fetched_at, Evidence.EVENT), exact(applied_at, Evidence.EVENT))
    await tell(world, world.event("NewArtifact", sha, applied_at, kind="GitRepository", name="fleet"))
    assert [item.fetched for item in await world.facts()] == [exact(fetched_at, Evidence.EVENT)]


async def test_keys_with_their_prefix_and_the_commit_behind_an_artifact(world: ToldWorld) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    notice = world.event(GOOD, sha, now(world))
    metadata = {
        "kustomize.toolkit.fluxcd.io/revision": f"latest@sha256:{'a' * 64}",
        "kustomize.toolkit.fluxcd.io/originRevision": f"main@sha1:{sha}",
        "event.toolkit.fluxcd.io/cluster": CLUSTER,
        "event.toolkit.fluxcd.io/path": "./apps",
    }
    await tell(world, replace(notice, said=replace(notice.said, metadata=metadata)))
    assert await world.told_verdicts([sha]) == ["deployed"]


async def test_who_tells_of_another_cluster_is_not_believed(world: ToldWorld) -> None:
    world.origin("fleet")
    sha = world.commit("fleet", "first", apps__a="1")
    await tell(
        world,
        world.event(GOOD, sha, now(world), cluster="prod"),
        world.event(GOOD, sha, now(world), sender=""),
        world.event(GOOD, sha, now(world), sender="nobody"),
        world.event(GOOD, sha, now(world, 0).replace(year=2099)),
        world.event(GOOD, "1234567", now(world)),
        world.event(GOOD, sha, now(world), kind="HelmRelease"),
    )
    assert world.registry.targets == []
    assert world.registry.sources == {}


async def test_a_sender_that_names_no_repository_gives_hints(world: ToldWorld) -> None:
    world.origin("fleet")
    sha = world.commit("fleet", "first", apps__a="1")
    taker = EvidenceTaker(
        world.registry,
        world.ledger,
        world.follower.observe,
        speakers=[Speaker(name="flux-edge", cluster=CLUSTER)],
        is_watched=lambda _: False,
    )
    await tell(world, world.event(GOOD, sha, now(world)), taker=taker)
    assert world.registry.targets == []


async def test_of_a_watched_cluster_nothing_is_believed_and_what_was_told_goes(world: ToldWorld) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", apps__a="2")
    await world.settle()
    assert await world.told_verdicts([sha]) == ["pending"]
    world.watched.add(CLUSTER)
    taker = world.taker()
    assert not taker.is_concerned(world.event(GOOD, sha, now(world)))
    await taker.retire()
    assert await world.told_verdicts([sha]) == ["abandoned"]
    target = world.told_target()
    assert target is not None
    assert target.deleted_at is not None


async def test_another_path_is_a_new_baseline(world: ToldWorld) -> None:
    await begin(world)
    sha = world.commit("fleet", "two", infra__b="2")
    await world.settle()
    await tell(world, world.event(GOOD, sha, now(world), path="infra"))
    assert await world.told_verdicts([sha]) == ["-"]
    target = world.told_target()
    assert target is not None
    assert (target.path, target.awaits_baseline, target.baseline_sha) == ("infra", False, sha)
    assert target.key == APPS
