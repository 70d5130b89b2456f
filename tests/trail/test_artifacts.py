"""Artifacts without a git of their own: followed as themselves, by what they were made from, or by their commit."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.trail.following import World
from tests.trail.transcripts import CLUSTER, Controller

from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.moment import Evidence
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.records import Attribution
from fluxtrail.model.sources import GENERATOR_GROUP, ArtifactGenerator, ArtifactSource, SourceInput
from fluxtrail.trail.strategies.exporter_info import LAYER_TYPE

replace = msgspec.structs.replace
PLACE = "oci://registry.example.com/acme/manifests"


def artifact(number: int) -> str:
    return f"{number:064x}"


def tagged(number: int, tag: str = "latest") -> str:
    return f"{tag}@sha256:{artifact(number)}"


def source(kind: str = "OCIRepository", url: str = PLACE, **fields: Any) -> ArtifactSource:
    key = ObjectKey(SOURCE_GROUP, kind, "flux-system", "manifests")
    given: dict[str, Any] = {
        "key": key,
        "uid": ObjectUid("s1"),
        "generation": 1,
        "is_deleting": False,
        "is_suspended": False,
        "url": url,
        "pointer": "latest",
        "is_insecure": False,
        "made_from": None,
        "revision": None,
        "digest": None,
        "updated_at": None,
        "origin": None,
        "origin_url": None,
        "created_at": None,
        "conditions": (),
    }
    return ArtifactSource(**(given | fields))


def layer(world: World, number: int, *commits: tuple[str, str]) -> None:
    entries = [{"hash": sha, "summary": "s", "author": "Ada", "time": time} for sha, time in commits]
    info = {"commit": "x", "commits_since_last_export": entries, "export_build_link": "https://ci.example.com/7"}
    world.layers.layers[PLACE, f"sha256:{artifact(number)}", LAYER_TYPE] = json.dumps(info).encode()


async def begin(
    world: World, item: ArtifactSource, number: int = 1, **fields: Any
) -> tuple[ArtifactSource, Controller]:
    """Let a target have applied a first artifact."""
    item = await world.pull(item, revision=tagged(number), **fields)
    flux = world.kustomization(source=item.key)
    await apply(world, flux, tagged(number), f"d{number}")
    return item, flux


async def apply(world: World, flux: Controller, revision: str, made: str) -> None:
    world.now(flux).succeed(revision, made)
    await world.play(flux)
    await world.settle()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        made.origin("fleet")
        yield made


# -- as themselves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "url"),
    [("OCIRepository", PLACE), ("Bucket", "bucket://minio.example.com/manifests"), ("ExternalArtifact", "")],
)
async def test_an_artifact_without_origin_is_a_change_of_its_own(world: World, kind: str, url: str) -> None:
    item, flux = await begin(world, source(kind, url))
    item = await world.pull(item, revision=tagged(2))
    await world.settle()
    assert await world.verdicts([artifact(1), artifact(2)], flux) == ["-", "pending"]
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    row = await world.delivery(artifact(2), flux)
    assert (await world.sync(row.applied_sync)).fetched is not None


async def test_a_skipped_artifact_is_delivered_by_the_next(world: World) -> None:
    item, flux = await begin(world, source())
    for number in (2, 3):
        item = await world.pull(item, revision=tagged(number))
    await apply(world, flux, tagged(3), "d3")
    assert await world.verdicts([artifact(2), artifact(3)], flux) == ["deployed", "deployed"]
    assert (await world.sync((await world.delivery(artifact(2), flux)).applied_sync)).sha == artifact(3)


async def test_a_tag_that_is_moved_back_rolls_back(world: World) -> None:
    item, flux = await begin(world, source())
    for number in (2, 3):
        item = await world.pull(item, revision=tagged(number))
        await apply(world, flux, tagged(number), f"d{number}")
    await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([artifact(2), artifact(3)], flux) == ["deployed", "rolled_back"]


async def test_an_artifact_that_changed_nothing_affects_nobody(world: World) -> None:
    item, flux = await begin(world, source())
    await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d1")
    assert await world.verdicts([artifact(2)], flux) == ["unaffected"]


async def test_attribution_tells_whose_syncs_it_dealt_with(world: World) -> None:
    """Each cluster's roll-outs are read again for its own syncs only, however many clusters there are."""
    item, flux = await begin(world, source())
    await world.pull(item, revision=tagged(2))
    world.now(flux).succeed(tagged(2), "d2")
    await world.play(flux)
    assert await world.attributor.work() == {CLUSTER}
    assert not await world.attributor.work()


async def test_an_artifact_applied_before_its_source_was_seen(world: World) -> None:
    """The streams of sources and targets have no order between them."""
    item, flux = await begin(world, source())
    world.now(flux).succeed(tagged(2), "d2")
    await world.play(flux)
    await world.attributor.work()
    await world.pull(item, revision=tagged(2))
    await world.settle()
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]


async def test_an_artifact_that_came_and_went_unseen_is_followed_all_the_same(world: World) -> None:
    item, flux = await begin(world, source())
    world.now(flux).succeed(tagged(2), "d2")
    await world.play(flux)
    world.clock.forward(20)
    await world.settle()
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    await world.pull(item, revision=tagged(3))
    await apply(world, flux, tagged(3), "d3")
    assert await world.verdicts([artifact(2), artifact(3)], flux) == ["deployed", "deployed"]


async def test_another_tag_is_another_baseline(world: World) -> None:
    item, flux = await begin(world, source())
    item = await world.pull(item, revision=tagged(2))
    await world.settle()
    await world.pull(item, pointer="stable", revision=tagged(9, "stable"))
    await apply(world, flux, tagged(9, "stable"), "d9")
    assert await world.verdicts([artifact(2), artifact(9)], flux) == ["abandoned", "-"]


# -- by what the exporter says --------------------------------------------------------------------------------------


async def test_source_commits_of_every_artifact_are_delivered_the_skipped_ones_too(world: World) -> None:
    item, flux = await begin(world, source())
    one, two = "a1" * 20, "b2" * 20
    stated = world.clock.time.isoformat()
    layer(world, 2, (one, stated))
    layer(world, 3, (two, stated))
    for number in (2, 3):
        item = await world.pull(item, revision=tagged(number))
        await world.settle()
    assert await world.verdicts([one, two], flux) == ["pending", "pending"]
    await apply(world, flux, tagged(3), "d3")
    assert await world.verdicts([one, two, artifact(3)], flux) == ["deployed"] * 3
    assert (await world.record(artifact(3))).is_carrier
    await world.restart()
    assert await world.verdicts([one, two], flux) == ["deployed"] * 2
    await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([one, two], flux) == ["deployed", "rolled_back"]


async def test_the_artifact_at_first_sight_is_measured_once_in_the_replaced_tools_place(tmp_path: Path) -> None:
    """A commit a quarter of an hour before the apply is 900 seconds, once and never again."""
    async with World(tmp_path, measures_baseline=True) as world:
        one = "a1" * 20
        applied = world.clock.time.replace(microsecond=0) + timedelta(seconds=60)
        layer(world, 1, (one, (applied - timedelta(minutes=15)).isoformat()))
        item = await world.pull(source(), revision=tagged(1))
        flux = world.kustomization(source=item.key)
        flux.now = applied - timedelta(seconds=0.7)
        flux.succeed(tagged(1), "d1")
        await world.play(flux)
        await world.settle()
        (facts,) = [fact for fact in await world.facts() if fact.commit_id == (await world.record(one)).id]
        assert facts.applied is not None
        assert facts.merged is not None
        assert (facts.applied.at - facts.merged.at).total_seconds() == pytest.approx(900, abs=1)
        assert facts.merged.evidence is Evidence.EXPORTER_INFO
        await world.restart()
        await world.play(flux)
        await world.settle()
        assert len(await world.facts()) == 2


async def test_a_registry_that_is_down_holds_up_only_what_it_would_say(world: World) -> None:
    item, flux = await begin(world, source())
    one = "a1" * 20
    layer(world, 2, (one, world.clock.time.isoformat()))
    world.layers.problem = UpstreamError("it is down", subject=PLACE, retryable=True)
    item = await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d2")
    assert (await world.sync(world.target(flux).sync_id)).attribution is Attribution.PENDING
    world.layers.problem = None
    world.clock.forward(90)
    await world.settle()
    assert await world.verdicts([one, artifact(2)], flux) == ["deployed"] * 2


async def test_an_artifact_that_is_gone_from_the_registry_is_followed_without_its_sources(world: World) -> None:
    item, flux = await begin(world, source())
    world.layers.gone.add(f"sha256:{artifact(2)}")
    await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([artifact(2)], flux) == ["deployed"]
    assert world.attributor.gaps == 0


async def test_two_targets_of_one_artifact_read_it_once(world: World) -> None:
    item, flux = await begin(world, source())
    other = world.kustomization("other", source=item.key)
    await apply(world, other, tagged(1), "e1")
    world.layers.reads = 0
    await world.pull(item, revision=tagged(2))
    for controller in (flux, other):
        await apply(world, controller, tagged(2), "d2")
    assert world.layers.reads == 1


# -- by their origin ------------------------------------------------------------------------------------------------


async def test_the_origin_in_a_known_repository_is_followed_as_git(world: World) -> None:
    """Flux skips artifacts; the commits between two origins are delivered all the same."""
    url = world.origins["fleet"].url
    first = world.commit("fleet", "first", apps__a="0")
    await world.fetch("fleet", first)
    item, flux = await begin(world, source(), origin=f"main@sha1:{first}", origin_url=url)
    skipped, last = world.commit("fleet", "one", apps__a="1"), world.commit("fleet", "two", apps__a="2")
    await world.settle()
    assert await world.verdicts([skipped, last], flux) == ["pending"] * 2
    item = await world.pull(item, revision=tagged(3), origin=f"main@sha1:{last}")
    flux.object = replace(flux.object, last_applied_origin=f"main@sha1:{last}")
    await apply(world, flux, tagged(3), "d3")
    assert await world.verdicts([skipped, last], flux) == ["deployed"] * 2
    await world.pull(item, revision=tagged(4), origin=f"main@sha1:{first}")
    flux.object = replace(flux.object, last_applied_origin=f"main@sha1:{first}")
    await apply(world, flux, tagged(4), "d1")
    assert await world.verdicts([skipped, last], flux) == ["rolled_back"] * 2


async def test_the_origin_in_a_repository_that_may_not_be_asked_is_linked(world: World) -> None:
    origin = {"origin": "main@sha1:" + "c3" * 20, "origin_url": "https://github.com/acme/elsewhere"}
    item, flux = await begin(world, source())
    await world.pull(item, revision=tagged(2), **origin)
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts(["c3" * 20, artifact(2)], flux) == ["deployed"] * 2
    record = await world.record("c3" * 20)
    known = world.ledger
    async with known.unit() as unit:
        (home,) = [item for item in await unit.repositories() if item.id == record.repository_id]
    assert (home.canonical, home.url) == ("github.com/acme/elsewhere", "")


# -- by what they are composed of -----------------------------------------------------------------------------------


async def test_a_composite_carries_the_commits_of_each_of_its_inputs(world: World) -> None:
    world.origin("shop")
    fleet, shop = world.commit("fleet", "first", base__a="0"), world.commit("shop", "first", app__a="0")
    await world.fetch("fleet", fleet)
    await world.fetch("shop", shop)
    keys = {name: ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", name) for name in ("fleet", "shop")}
    inputs = (SourceInput(keys["fleet"], ("base",)), SourceInput(keys["shop"]))
    generator = ObjectKey(GENERATOR_GROUP, "ArtifactGenerator", "flux-system", "both")
    await world.generate(ArtifactGenerator(key=generator, uid=ObjectUid("g1"), inputs={"manifests": inputs}))
    item, flux = await begin(world, source("ExternalArtifact", ""))
    aside, base = world.commit("fleet", "aside", docs__x="1"), world.commit("fleet", "base", base__a="1")
    app = world.commit("shop", "app", app__a="1")
    await world.fetch("fleet", base)
    await world.fetch("shop", app)
    await world.pull(item, revision=tagged(2))
    await apply(world, flux, tagged(2), "d2")
    assert await world.verdicts([aside, base, app, artifact(2)], flux) == ["-", "deployed", "deployed", "deployed"]


async def test_what_an_include_brings_is_delivered_though_the_revision_stays(world: World) -> None:
    world.origin("shared")
    fleet, shared = world.commit("fleet", "first", apps__a="0"), world.commit("shared", "first", lib__a="0")
    await world.fetch("shared", shared)
    part = SourceInput(ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "shared"), ("lib",))
    including: dict[str, Any] = {"includes": (part,), "included": (f"main@sha1:{shared}",), "digest": "sha256:1"}
    await world.fetch("fleet", fleet, **including)
    flux = world.kustomization()
    await apply(world, flux, f"main@sha1:{fleet}", "d0")
    aside, bug = world.commit("shared", "aside", docs__x="1"), world.commit("shared", "fix", lib__a="1")
    await world.fetch("shared", bug)
    await world.fetch("fleet", fleet, **including | {"included": (f"main@sha1:{bug}",), "digest": "sha256:2"})
    await apply(world, flux, f"main@sha1:{fleet}", "d1")
    assert await world.verdicts([aside, bug], flux) == ["-", "deployed"]
    more = world.commit("fleet", "own", apps__a="1")
    await world.fetch("fleet", more, **including | {"included": (f"main@sha1:{bug}",), "digest": "sha256:3"})
    await apply(world, flux, f"main@sha1:{more}", "d2")
    assert await world.verdicts([more, bug], flux) == ["deployed", "deployed"]
