"""Artifacts as Flux really writes them: lost storage, other tags, streams in any order, restarts, clusters that lag."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.trail.following import World
from tests.trail.test_artifacts import PLACE, apply, artifact, begin, layer, source, tagged
from tests.trail.transcripts import CLUSTER, Controller

from fluxtrail.model.errors import StoreError, UpstreamError
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ClusterUid, Gone, ObjectKey, ObjectUid, Seen
from fluxtrail.model.records import Attribution, TargetRecord
from fluxtrail.model.sources import (
    GENERATOR_GROUP,
    PINNED,
    ArtifactGenerator,
    ArtifactSource,
    SourceInput,
    project_artifact_source,
)
from fluxtrail.model.wire import WireArtifactSource

replace = msgspec.structs.replace
OTHER = ClusterUid("c2")
GIT = ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "fleet")
GENERATOR = ObjectKey(GENERATOR_GROUP, "ArtifactGenerator", "flux-system", "both")
Step = Callable[[], Awaitable[object]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        made.origin("fleet")
        yield made


async def show(world: World, item: ArtifactSource, *, cluster: ClusterUid = CLUSTER, was_held: bool = True) -> None:
    """Let a cluster's source be seen as it is."""
    await world.follower.observe(
        cluster, [Seen(key=item.key, object=item, observed_at=world.clock.time, was_held=was_held)]
    )


def annotated(world: World, sha: str) -> dict[str, Any]:
    return {"origin": f"main@sha1:{sha}", "origin_url": world.origins["fleet"].url}


async def apply_made_from(world: World, flux: Controller, number: int, sha: str, made: str) -> None:
    flux.object = replace(flux.object, last_applied_origin=f"main@sha1:{sha}")
    await apply(world, flux, tagged(number), made)


def target_on(world: World, flux: Controller, cluster: ClusterUid) -> TargetRecord:
    found = world.registry.find_target(cluster, flux.object.key)
    assert found is not None
    return found


async def verdict_on(world: World, sha: str, flux: Controller, cluster: ClusterUid) -> str:
    commit = await world.record(sha)
    async with world.ledger.unit() as unit:
        row = (await unit.deliveries(target_on(world, flux, cluster).id, [commit.id])).get(commit.id)
    return row.verdict.value if row else "-"


# -- a source without its artifact ----------------------------------------------------------------------------------


async def test_a_lost_storage_abandons_nothing_of_what_is_on_its_way(world: World) -> None:
    """source-controller empties `status.artifact`, and sets the same one again with a new time."""
    first = world.commit("fleet", "first", apps__a="0")
    await world.fetch("fleet", first)
    item, flux = await begin(world, source(), **annotated(world, first))
    coming = world.commit("fleet", "coming", apps__a="1")
    await world.settle()
    emptied = replace(item, revision=None, digest=None, updated_at=None, origin=None, origin_url=None)
    await show(world, emptied)
    assert await world.verdicts([coming], flux) == ["pending"]
    await world.pull(item)
    assert world.target(flux).awaits_baseline is False
    item = await world.pull(item, revision=tagged(2), **annotated(world, coming))
    await apply_made_from(world, flux, 2, coming, "d2")
    assert await world.verdicts([coming], flux) == ["deployed"]


async def test_a_lost_storage_of_a_place_leaves_its_line_as_it_is(world: World) -> None:
    item, flux = await begin(world, source())
    item = await world.pull(item, revision=tagged(2))
    await world.settle()
    await show(world, replace(item, revision=None, digest=None, updated_at=None))
    item = await world.pull(item)
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    row = await world.delivery(artifact(2), flux)
    fetched = (await world.sync(row.applied_sync)).fetched
    assert fetched is not None
    assert fetched.at < item.updated_at  # type: ignore[operator]


# -- the order of streams at first sight ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_first_look_may_come_in_any_order(world: World, order: tuple[int, ...]) -> None:
    """The lists of git sources, artifacts and targets race at the start: what is followed then is the same."""
    first = world.commit("fleet", "first", apps__a="0")
    item = source(revision=tagged(1), updated_at=world.clock.time, **annotated(world, first))
    flux = world.kustomization(source=item.key, last_applied_origin=f"main@sha1:{first}")
    flux.succeed(tagged(1), "d1")
    streams: list[Step] = [lambda: world.fetch("fleet", first), lambda: show(world, item), lambda: world.play(flux)]
    for index in order:
        await streams[index]()
        await world.settle()
    fleet = next(one for one in world.registry.repositories.values() if one.url)
    target = world.target(flux)
    assert (target.repository_id, target.branch, target.applied_sha) == (fleet.id, "main", first)
    assert not target.awaits_baseline
    skipped, last = world.commit("fleet", "one", apps__a="1"), world.commit("fleet", "two", apps__a="2")
    await world.settle()
    assert await world.verdicts([skipped, last], flux) == ["pending"] * 2
    await world.pull(item, revision=tagged(2), **annotated(world, last))
    await apply_made_from(world, flux, 2, last, "d2")
    assert await world.verdicts([first, skipped, last], flux) == ["-", "deployed", "deployed"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_the_first_look_at_a_made_artifact_may_come_in_any_order(world: World, order: tuple[int, ...]) -> None:
    first = world.commit("fleet", "first", apps__a="0")
    item = source("ExternalArtifact", "", revision=tagged(1), updated_at=world.clock.time, origin=f"main@sha1:{first}")
    made = ArtifactGenerator(key=GENERATOR, uid=ObjectUid("g1"), inputs={"manifests": (SourceInput(GIT),)})
    flux = world.kustomization(source=item.key, last_applied_origin=f"main@sha1:{first}")
    flux.succeed(tagged(1), "d1")
    streams: list[Step] = [
        lambda: world.fetch("fleet", first),
        lambda: show(world, item),
        lambda: world.play(flux),
        lambda: world.generate(made),
    ]
    for index in order:
        await streams[index]()
        await world.settle()
    target = world.target(flux)
    assert (target.branch, target.applied_sha, target.awaits_baseline) == ("main", first, False)
    last = world.commit("fleet", "one", apps__a="1")
    await world.pull(item, revision=tagged(2), origin=f"main@sha1:{last}")
    await apply_made_from(world, flux, 2, last, "d2")
    assert await world.verdicts([last], flux) == ["deployed"]


async def test_a_step_back_to_an_artifact_from_before_its_repository_was_known(world: World) -> None:
    """An artifact that was followed as itself is followed by its commit once that can be."""
    first = world.commit("fleet", "first", apps__a="0")
    item, flux = await begin(world, source(), **annotated(world, first))
    second = world.commit("fleet", "second", apps__a="1")
    item = await world.pull(item, revision=tagged(2), **annotated(world, second))
    await apply_made_from(world, flux, 2, second, "d2")
    await world.fetch("fleet", second)
    await world.settle()
    await world.pull(item, revision=tagged(1), **annotated(world, first))
    await apply(world, flux, tagged(1), "d1")
    target = world.target(flux)
    assert target.applied_sha == first
    assert (await world.sync(target.sync_id)).attribution is Attribution.DONE


@pytest.mark.parametrize("origin", ["HEAD@sha1:{}", "{}", "main@sha1:{}", "refs/heads/main@sha1:{}"])
async def test_the_forms_of_an_origin(world: World, origin: str) -> None:
    first = world.commit("fleet", "first", apps__a="0")
    await world.fetch("fleet", first)
    await world.settle()
    url = world.origins["fleet"].url
    item, flux = await begin(world, source(), origin=origin.format(first), origin_url=url)
    last = world.commit("fleet", "one", apps__a="1")
    await world.settle()
    await world.pull(item, revision=tagged(2), origin=origin.format(last), origin_url=url)
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([last], flux) == ["deployed"]


def test_an_origin_without_its_branch() -> None:
    """`flux push artifact --revision="$(git branch --show-current)@sha1:…"` has no branch where HEAD is detached."""
    wire = {
        "metadata": {"name": "a"},
        "spec": {"ref": {"tag": "latest", "digest": f"sha256:{artifact(1)}"}},
        "status": {"artifact": {"metadata": {"org.opencontainers.image.revision": "@sha1:" + "a" * 40}}},
    }
    item = project_artifact_source(msgspec.convert(wire, WireArtifactSource), kind="OCIRepository")
    assert (item.origin, item.pointer) == ("sha1:" + "a" * 40, PINNED)


# -- made artifacts -------------------------------------------------------------------------------------------------


async def test_a_made_artifact_with_its_sources_revision_is_followed_as_that_source(world: World) -> None:
    """`revision: "@alias"` without `originRevision`: the artifact's revision is its source's commit."""
    first = world.commit("fleet", "first", apps__a="0")
    await world.fetch("fleet", first)
    made = ArtifactGenerator(key=GENERATOR, uid=ObjectUid("g1"), inputs={"manifests": (SourceInput(GIT),)})
    await world.generate(made)
    item = await world.pull(source("ExternalArtifact", ""), revision=f"main@sha1:{first}", digest="sha256:d1")
    flux = world.kustomization(source=item.key)
    await apply(world, flux, f"main@sha1:{first}", "d1")
    skipped, last = world.commit("fleet", "one", apps__a="1"), world.commit("fleet", "two", apps__a="2")
    await world.settle()
    assert await world.verdicts([skipped, last], flux) == ["pending"] * 2
    await world.fetch("fleet", last)
    await world.pull(item, revision=f"main@sha1:{last}", digest="sha256:d2")
    await apply(world, flux, f"main@sha1:{last}", "d2")
    assert await world.verdicts([skipped, last], flux) == ["deployed"] * 2


async def test_another_input_of_a_composite_that_bears_the_revision_of_one(world: World) -> None:
    """With `revision: "@git"`, what the other sources bring leaves the revision as it is: the digest tells."""
    world.origin("shop")
    fleet, shop = world.commit("fleet", "first", base__a="0"), world.commit("shop", "first", app__a="0")
    await world.fetch("fleet", fleet)
    await world.fetch("shop", shop)
    inputs = (SourceInput(GIT), SourceInput(replace(GIT, name="shop")))
    await world.generate(ArtifactGenerator(key=GENERATOR, uid=ObjectUid("g1"), inputs={"manifests": inputs}))
    item = await world.pull(source("ExternalArtifact", ""), revision=f"main@sha1:{fleet}", digest="sha256:d1")
    flux = world.kustomization(source=item.key)
    await apply(world, flux, f"main@sha1:{fleet}", "d1")
    app = world.commit("shop", "app", app__a="1")
    await world.fetch("shop", app)
    item = await world.pull(item, digest="sha256:d2")
    await apply(world, flux, f"main@sha1:{fleet}", "d2")
    assert await world.verdicts([app], flux) == ["deployed"]
    base = world.commit("fleet", "base", base__a="1")
    await world.fetch("fleet", base)
    await world.pull(item, revision=f"main@sha1:{base}", digest="sha256:d3")
    await apply(world, flux, f"main@sha1:{base}", "d3")
    assert await world.verdicts([app], flux) == ["deployed"]


# -- order ----------------------------------------------------------------------------------------------------------


async def test_two_artifacts_of_one_second_stand_in_the_order_they_came(world: World) -> None:
    item, flux = await begin(world, source(), number=9)
    when = world.clock.time.replace(microsecond=0) + timedelta(seconds=30)
    world.clock.time = when
    for number in (8, 3, 5):
        await show(world, replace(item, revision=tagged(number), updated_at=when))
    await world.settle()
    await apply(world, flux, tagged(3), "d3")
    assert await world.verdicts([artifact(8), artifact(3), artifact(5)], flux) == ["deployed", "deployed", "pending"]


async def test_what_a_cluster_that_lags_has_fetched_before_stands_before(world: World) -> None:
    """The stream of one cluster is cut and resumed: the artifact that only it fetched is not the newest of all."""
    item, flux = await begin(world, source())
    second = world.kustomization(source=item.key)
    await show(world, item, cluster=OTHER, was_held=False)
    world.now(second).succeed(tagged(1), "d1")
    await world.play(second, cluster=OTHER)
    await world.settle()
    only_there = world.clock.time.replace(microsecond=0) + timedelta(seconds=1)
    world.clock.forward(30)
    await world.pull(item, revision=tagged(3))
    await apply(world, flux, tagged(3), "d3")
    await show(world, replace(item, revision=tagged(2), updated_at=only_there), cluster=OTHER)
    second.now = max(second.now, only_there)
    second.succeed(tagged(2), "d2")
    await world.play(second, cluster=OTHER)
    await world.settle()
    assert await verdict_on(world, artifact(2), second, OTHER) == "deployed"
    assert await verdict_on(world, artifact(2), flux, CLUSTER) == "deployed"
    await show(world, replace(item, revision=tagged(3), updated_at=world.clock.time), cluster=OTHER)
    world.now(second).succeed(tagged(3), "d3")
    await world.play(second, cluster=OTHER)
    await world.settle()
    for sha in (artifact(2), artifact(3)):
        assert await verdict_on(world, sha, second, OTHER) == "deployed"


async def test_an_old_artifact_that_only_a_late_cluster_fetched_is_no_news_to_others(world: World) -> None:
    """First sight claims no history, whoever tells of it later."""
    item, flux = await begin(world, source(), number=5)
    old = world.clock.time.replace(microsecond=0) - timedelta(days=3)
    await show(world, replace(item, revision=tagged(3), updated_at=old), cluster=OTHER, was_held=False)
    second = world.kustomization(source=item.key)
    world.now(second).succeed(tagged(3), "d3")
    await world.play(second, cluster=OTHER)
    await world.settle()
    assert await verdict_on(world, artifact(3), flux, CLUSTER) == "-"
    await show(world, replace(item, revision=tagged(5), updated_at=world.clock.time), cluster=OTHER)
    world.now(second).succeed(tagged(5), "d5")
    await world.play(second, cluster=OTHER)
    await world.settle()
    assert await verdict_on(world, artifact(3), second, OTHER) == "-"
    await world.restart()
    await world.settle()
    assert await verdict_on(world, artifact(3), flux, CLUSTER) == "-"


async def test_what_another_tag_brought_is_not_awaited_from_this_one(world: World) -> None:
    """A source that is turned to an older tag has fetched newer artifacts: of the tag before."""
    item, flux = await begin(world, source())
    item = await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d2")
    item = await world.pull(item, pointer="stable", revision=tagged(1, "stable"))
    await apply(world, flux, tagged(1, "stable"), "d1")
    assert world.target(flux).branch == "stable"
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    unseen = await world.pull(item, revision=tagged(3, "stable"))
    await apply(world, flux, tagged(3, "stable"), "d3")
    assert unseen.revision is not None
    assert await world.verdicts([artifact(3)], flux) == ["deployed"]
    repository = world.target(flux).repository_id
    assert repository is not None
    async with world.ledger.unit() as unit:
        line = await unit.chain_slice(repository, "stable", after=None, through=None, limit=9)
    assert [commit.sha for commit in line] == [artifact(1), artifact(3)]


async def test_what_a_tag_of_versions_pulls(world: World) -> None:
    item = source(pointer=">=1.0.0")
    item = await world.pull(item, revision=tagged(1, "1.0.0"))
    flux = world.kustomization(source=item.key)
    await apply(world, flux, tagged(1, "1.0.0"), "d1")
    await world.pull(item, revision=tagged(2, "1.1.0"))
    await apply(world, flux, tagged(2, "1.1.0"), "d2")
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]


async def test_pinned_digests_are_a_line_of_their_own(world: World) -> None:
    """Each pin is written by somebody (a bot, mostly): a newer one is a change, and not a new beginning."""
    item = source(pointer=PINNED)
    item = await world.pull(item, revision=f"sha256:{artifact(1)}")
    flux = world.kustomization(source=item.key)
    await apply(world, flux, f"sha256:{artifact(1)}", "d1")
    item = await world.pull(item, revision=f"sha256:{artifact(2)}")
    await apply(world, flux, f"sha256:{artifact(2)}", "d2")
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    await world.pull(item, revision=f"sha256:{artifact(1)}")
    await apply(world, flux, f"sha256:{artifact(1)}", "d1")
    assert await world.verdicts([artifact(2)], flux) == ["rolled_back"]


async def test_a_new_artifact_of_the_same_content_affects_nobody(world: World) -> None:
    """New annotations over the same layer: another manifest digest, the same `artifact.digest`."""
    item, flux = await begin(world, source(), digest="sha256:aa")
    await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d1")
    assert await world.verdicts([artifact(2)], flux) == ["unaffected"]


# -- registries and time --------------------------------------------------------------------------------------------


async def test_a_registry_that_stays_closed_holds_up_the_line_for_a_day_only(world: World) -> None:
    item, flux = await begin(world, source())
    world.layers.problem = UpstreamError("it is closed", subject=PLACE, retryable=True)
    item = await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d2")
    assert (await world.sync(world.target(flux).sync_id)).attribution is Attribution.PENDING
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    world.clock.forward(timedelta(hours=24, minutes=5).total_seconds())
    await world.settle()
    assert (await world.sync(world.target(flux).sync_id)).attribution is Attribution.GAP
    assert world.attributor.gaps == 1
    world.clock.forward(timedelta(hours=2).total_seconds())
    await world.settle()
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    world.layers.problem = None
    for number in (3, 4):
        item = await world.pull(item, revision=tagged(number))
    await apply(world, flux, tagged(4), "d4")
    assert await world.verdicts([artifact(3), artifact(4)], flux) == ["deployed"] * 2


async def test_what_can_be_read_is_recorded_before_what_cannot(world: World) -> None:
    item, flux = await begin(world, source())
    item = await world.pull(item, revision=tagged(2))
    world.layers.closed = {f"sha256:{artifact(3)}"}
    item = await world.pull(item, revision=tagged(3))
    await world.settle()
    assert await world.verdicts([artifact(2)], flux) == ["pending"]


async def test_what_revisions_are_followed_as_is_remembered_within_bounds(world: World) -> None:
    item, flux = await begin(world, source())
    for number in range(2, 400):
        await show(world, replace(item, revision=tagged(number), updated_at=world.clock.time))
        world.clock.forward(1)
    assert max(map(len, world.registry.shas.values())) <= 256
    await world.settle()
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([artifact(2), artifact(399)], flux) == ["deployed", "pending"]


# -- the registry is what the ledger is -----------------------------------------------------------------------------


async def test_a_batch_that_is_not_kept_leaves_nothing_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item, _ = await begin(world, source("ExternalArtifact", ""))

    async def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    made = ArtifactGenerator(key=GENERATOR, uid=ObjectUid("g1"), inputs={"manifests": (SourceInput(GIT),)})
    with monkeypatch.context() as patch:
        patch.setattr("fluxtrail.ledger.unit.SqlUnit.add_transitions", fail)
        with pytest.raises(StoreError):
            await world.generate(made)
        with pytest.raises(StoreError):
            await show(world, replace(item, revision=tagged(2), updated_at=world.clock.time))
    assert not world.registry.inputs
    assert all(tagged(2) not in known for known in world.registry.shas.values())


async def test_a_generator_that_is_gone_says_nothing_any_more(world: World) -> None:
    made = ArtifactGenerator(key=GENERATOR, uid=ObjectUid("g1"), inputs={"manifests": (SourceInput(GIT),)})
    await world.generate(made)
    await world.follower.observe(CLUSTER, [Gone(key=GENERATOR, uid=ObjectUid("g1"), observed_at=world.clock.time)])
    assert not world.registry.inputs


async def test_a_success_in_the_second_of_the_first_look_is_history(world: World) -> None:
    """What the history held already when a target was first seen is not claimed after a restart."""
    item = await world.pull(source(), revision=tagged(1))
    item = await world.pull(item, revision=tagged(2))
    flux = world.kustomization(source=item.key)
    world.now(flux).now = flux.now.replace(microsecond=0)
    flux.succeed(tagged(1), "d1")
    flux.now = flux.now.replace(microsecond=0)
    flux.succeed(tagged(2), "d2")
    flux.writes = flux.writes[-1:]
    await world.play(flux)
    await world.settle()
    await world.restart()
    flux.write()
    await world.play(flux)
    await world.settle()
    assert await world.verdicts([artifact(1), artifact(2)], flux) == ["-", "-"]


# -- restarts -------------------------------------------------------------------------------------------------------


async def play_recorded(world: World, restart_after: int | None) -> list[tuple[str, str]]:
    """Play what was recorded of a registry: pushes, a skipped one, a second tag, a step back, a lost storage."""
    item = source()
    flux = world.kustomization(source=item.key)
    shas = [f"a{number:039x}" for number in range(6)]
    for number in range(2, 6):
        layer(world, number, (shas[number], world.clock.time.isoformat()))
    count = 0

    async def step(made: Awaitable[Any]) -> Any:
        nonlocal count
        found = await made
        if count == restart_after:
            await world.restart()
            current = replace(item if not isinstance(found, ArtifactSource) else found)
            await show(world, current, was_held=False)
            await world.play(flux)
        count += 1
        return found

    item = await step(world.pull(item, revision=tagged(1), digest="sha256:1"))
    await step(apply(world, flux, tagged(1), "d1"))
    item = await step(world.pull(item, revision=tagged(2), digest="sha256:2"))
    await step(apply(world, flux, tagged(2), "d2"))
    item = await step(world.pull(item, revision=tagged(3), digest="sha256:2"))  # the same layer, new annotations
    await step(apply(world, flux, tagged(3), "d2"))
    item = await step(world.pull(item, revision=tagged(4), digest="sha256:4"))  # skipped
    item = await step(world.pull(item, revision=tagged(5), digest="sha256:5"))
    await step(apply(world, flux, tagged(5), "d5"))
    item = await step(world.pull(item, revision=tagged(4), digest="sha256:4"))  # moved back
    await step(apply(world, flux, tagged(4), "d4"))
    await step(show(world, replace(item, revision=None, digest=None, updated_at=None)))
    item = await step(world.pull(item, revision=tagged(4), digest="sha256:4"))
    item = await step(world.pull(item, revision=tagged(6), digest="sha256:6"))
    await step(apply(world, flux, tagged(6), "d6"))
    target = world.target(flux)
    names = [*(artifact(number) for number in range(2, 7)), *shas[2:]]
    return [*zip(names, await world.verdicts(names, flux), strict=True), (target.applied_sha or "", str(target.branch))]


@pytest.mark.parametrize("restart_after", range(15))
async def test_a_restart_at_any_step_ends_the_same(world: World, tmp_path: Path, restart_after: int) -> None:
    folder = tmp_path / "again"
    folder.mkdir()
    async with World(folder) as unbroken:
        expected = await play_recorded(unbroken, None)
    assert await play_recorded(world, restart_after) == expected
    assert {verdict for _, verdict in expected[:-1]} == {"deployed", "unaffected"}
