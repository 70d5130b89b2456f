"""Carriers of every kind, on real git: hydrated branches, image automation, and two strategies in one commit."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.trail.following import World
from tests.trail.transcripts import CLUSTER, Controller

from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import Gone, ObjectKey, ObjectUid, Seen
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.scanning import ImagePolicy, ImageRepository
from fluxtrail.model.sources import IMAGE_GROUP, ImageUpdateAutomation
from fluxtrail.trail.follower import Follower

replace = msgspec.structs.replace
UNKNOWN_DRY = "https://git.example.com/acme/dry.git"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    for name in ("fleet", "dry", "shop"):
        made.origin(name)
    made.stated["dry"] = []
    async with made:
        yield made


def hydrate(world: World, number: int, dry_sha: str, *, url: str | None = None, **files: str) -> str:
    """Commit to the hydrated branch what a dry commit rendered to."""
    metadata = {"repoURL": url or world.origins["dry"].url, "drySha": dry_sha, "subject": "s", "author": "Ada"}
    written = {"hydrator.metadata": json.dumps(metadata), "apps/a": str(number)}
    return world.commit_files("fleet", f"hydrate {number}", written | files)


def dry_commits(world: World, *names: str) -> list[str]:
    return [world.commit("dry", name, **{f"base__{name}": "1"}) for name in names]


async def begin(world: World, first: str) -> Controller:
    flux = world.kustomization()
    await world.deliver(flux, "fleet", first, "d0")
    return flux


async def is_carrier(world: World, sha: str) -> bool:
    return (await world.record(sha)).is_carrier


# -- hydrated branches --------------------------------------------------------------------------------------------


async def test_a_hydrated_commit_delivers_the_dry_commits_it_skipped(world: World) -> None:
    first, *skipped, last = dry_commits(world, "a", "b", "c", "d")
    flux = await begin(world, hydrate(world, 0, first))
    hydrated = hydrate(world, 1, last)
    await world.settle()
    assert await world.verdicts([*skipped, last, hydrated], flux) == ["pending"] * 4
    await world.deliver(flux, "fleet", hydrated, "d1")
    assert await world.verdicts([*skipped, last, hydrated], flux) == ["deployed"] * 4
    carrier = await world.record(hydrated)
    assert carrier.is_carrier
    for sha in (*skipped, last):
        assert (await world.delivery(sha, flux)).carrier_id == carrier.id
        assert not await is_carrier(world, sha)


async def test_each_hydrated_commit_of_a_range_carries_its_own_dry_commits(world: World) -> None:
    first, one, two, three, four = dry_commits(world, "a", "b", "c", "d", "e")
    flux = await begin(world, hydrate(world, 0, first))
    earlier, later = hydrate(world, 1, two), hydrate(world, 2, four)
    await world.deliver(flux, "fleet", later, "d1")
    rows = [await world.delivery(sha, flux) for sha in (one, two, three, four)]
    carriers = [(await world.record(sha)).id for sha in (earlier, earlier, later, later)]
    assert [row.verdict.value for row in rows] == ["deployed"] * 4
    assert [row.carrier_id for row in rows] == carriers


async def test_of_an_unknown_dry_repository_only_the_named_commit_is_delivered(world: World) -> None:
    first, skipped, last = dry_commits(world, "a", "b", "c")
    flux = await begin(world, hydrate(world, 0, first, url=UNKNOWN_DRY))
    hydrated = hydrate(world, 1, last, url=UNKNOWN_DRY)
    await world.deliver(flux, "fleet", hydrated, "d1")
    async with world.ledger.unit() as unit:
        home = next(item for item in await unit.repositories() if item.canonical == "git.example.com/acme/dry")
        known = await unit.commits_by_sha(home.id, [first, skipped, last])
    assert set(known) == {last}
    assert home.url == ""
    assert (await world.delivery(hydrated, flux)).verdict.value == "deployed"
    async with world.ledger.unit() as unit:
        (row,) = (await unit.deliveries(world.target(flux).id, [known[last].id])).values()
    assert row.verdict.value == "deployed"


async def test_a_dry_repository_that_cannot_be_read_costs_the_skipped_ones(world: World) -> None:
    first, skipped, last = dry_commits(world, "a", "b", "c")
    flux = await begin(world, hydrate(world, 0, first))
    await world.settle()
    hydrated = hydrate(world, 1, "ab" * 20)
    await world.deliver(flux, "fleet", hydrated, "d1")
    assert await world.verdicts(["ab" * 20, hydrated], flux) == ["deployed"] * 2
    assert await world.verdicts([skipped, last], flux) == ["-", "-"]


@pytest.mark.parametrize(
    "text",
    ["{not json", "[]", '{"drySha": "5394cb7"}', '{"drySha": null}', "", '{"repoURL": 5}'],
    ids=["broken", "list", "short", "null", "empty", "without"],
)
async def test_bad_metadata_costs_only_itself(world: World, text: str) -> None:
    first, one, two = dry_commits(world, "a", "b", "c")
    flux = await begin(world, hydrate(world, 0, first))
    good = hydrate(world, 1, one)
    bad = world.commit_files("fleet", "bad", {"hydrator.metadata": text, "apps/a": "bad"})
    after = hydrate(world, 3, two)
    await world.deliver(flux, "fleet", after, "d1")
    assert await world.verdicts([good, bad, after, one, two], flux) == ["deployed"] * 5
    assert world.exports.problems >= 1


async def test_a_dry_repository_that_is_watched_is_known_too(world: World) -> None:
    """It need not be stated: a GitRepository of the cluster names its URL."""
    shop = [world.commit("shop", name, **{name: "1"}) for name in ("a", "b", "c")]
    await world.fetch("shop", shop[0])
    flux = await begin(world, hydrate(world, 0, shop[0], url=world.origins["shop"].url))
    hydrated = hydrate(world, 1, shop[2], url=world.origins["shop"].url)
    await world.deliver(flux, "fleet", hydrated, "d1")
    assert await world.verdicts([*shop[1:], hydrated], flux) == ["deployed"] * 3


async def test_a_step_back_of_the_dry_branch_carries_the_dry_commit_alone(world: World) -> None:
    first, one, two = dry_commits(world, "a", "b", "c")
    flux = await begin(world, hydrate(world, 0, first))
    await world.deliver(flux, "fleet", hydrate(world, 1, two), "d1")
    back = hydrate(world, 2, one)
    await world.deliver(flux, "fleet", back, "d2")
    assert await world.verdicts([one, two, back], flux) == ["deployed"] * 3


# -- two strategies -----------------------------------------------------------------------------------------------


async def test_an_exporter_and_a_hydrator_in_one_commit_are_combined(world: World) -> None:
    first, one = dry_commits(world, "a", "b")
    flux = await begin(world, hydrate(world, 0, first))
    exported = "cd" * 20
    entry = {"hash": exported, "summary": "s", "author": "Ada", "time": "2026-03-01T11:00:00Z"}
    info = json.dumps({"commit": "x", "commits_since_last_export": [entry]})
    carrier = hydrate(world, 1, one, **{"exporter-info.json": info})
    await world.deliver(flux, "fleet", carrier, "d1")
    assert await world.verdicts([exported, one, carrier], flux) == ["deployed"] * 3
    assert {(await world.delivery(sha, flux)).carrier_id for sha in (exported, one)} == {
        (await world.record(carrier)).id
    }
    dry = parse_repository(world.origins["dry"].url).canonical
    async with world.ledger.unit() as unit:
        names = {item.id: item.canonical for item in await unit.repositories()}
    assert names[(await world.record(one)).repository_id] == dry
    assert names[(await world.record(exported)).repository_id].endswith("#sources")


async def test_a_bad_exporter_beside_a_good_hydrator_costs_only_itself(world: World) -> None:
    first, one = dry_commits(world, "a", "b")
    flux = await begin(world, hydrate(world, 0, first))
    carrier = hydrate(world, 1, one, **{"exporter-info.json": "{not json"})
    await world.deliver(flux, "fleet", carrier, "d1")
    assert await world.verdicts([one, carrier], flux) == ["deployed"] * 2
    assert world.exports.problems == 1


# -- image automation ---------------------------------------------------------------------------------------------


async def automate(
    world: World, last_push: str | None, *, source: str = "fleet", author_email: str | None = None
) -> None:
    key = ObjectKey(IMAGE_GROUP, "ImageUpdateAutomation", "flux-system", "images")
    item = ImageUpdateAutomation(
        key=key,
        uid=ObjectUid("i1"),
        source=ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", source),
        last_push=last_push,
        author_email=author_email,
    )
    await world.follower.observe(CLUSTER, [Seen(key=key, object=item, observed_at=world.clock.time, was_held=True)])


async def test_what_image_automation_pushed_is_a_carrier(world: World) -> None:
    flux = await begin(world, world.commit("fleet", "first", apps__a="0"))
    pushed = world.commit("fleet", "Update images", apps__a="1")
    await world.settle()
    assert not await is_carrier(world, pushed)
    await automate(world, pushed)
    assert await is_carrier(world, pushed)
    await world.deliver(flux, "fleet", pushed, "d1")
    assert await world.verdicts([pushed], flux) == ["deployed"]
    assert await is_carrier(world, pushed)


async def test_a_push_that_is_told_before_the_branch_is_read_stays_a_carrier(world: World) -> None:
    flux = await begin(world, world.commit("fleet", "first", apps__a="0"))
    pushed = world.commit("fleet", "Update images", apps__a="1")
    await automate(world, pushed)
    await world.deliver(flux, "fleet", pushed, "d1")
    record = await world.record(pushed)
    assert (record.is_carrier, record.subject) == (True, "Update images")
    assert await world.verdicts([pushed], flux) == ["deployed"]


async def test_pushes_before_the_newest_are_carriers_by_their_author(world: World) -> None:
    """`lastPushCommit` names one commit: of two pushes between two looks the first is known by its author alone."""
    flux = await begin(world, world.commit("fleet", "first", apps__a="0"))
    await automate(world, None, author_email="ada@example.com")
    first = world.commit("fleet", "Update images", apps__a="1")
    second = world.commit("fleet", "Update images again", apps__a="2")
    await world.settle()
    await automate(world, second, author_email="ada@example.com")
    assert [await is_carrier(world, sha) for sha in (first, second)] == [True, True]
    await automate(world, second, author_email="somebody@example.com")
    by_hand = world.commit("fleet", "by hand", apps__a="3")
    await world.deliver(flux, "fleet", by_hand, "d1")
    assert not await is_carrier(world, by_hand)


async def test_pushes_while_nobody_looked_are_carriers_though_the_branch_is_read_first(world: World) -> None:
    await begin(world, world.commit("fleet", "first", apps__a="0"))
    await automate(world, None, author_email="ada@example.com")
    pushed = world.commit("fleet", "Update images", apps__a="1")
    await world.restart()
    await world.settle()
    assert await is_carrier(world, pushed)


async def test_an_automation_that_is_gone_is_forgotten_over_a_restart(world: World) -> None:
    await begin(world, world.commit("fleet", "first", apps__a="0"))
    await automate(world, None, author_email="ada@example.com")
    key = ObjectKey(IMAGE_GROUP, "ImageUpdateAutomation", "flux-system", "images")
    await world.follower.observe(CLUSTER, [Gone(key=key, uid=ObjectUid("i1"), observed_at=world.clock.time)])
    by_hand = world.commit("fleet", "by hand", apps__a="1")
    await world.restart()
    await world.settle()
    assert not await is_carrier(world, by_hand)


async def test_host_of_a_scanned_image_may_be_asked(world: World) -> None:
    asked: list[str] = []
    chosen: list[tuple[str, str]] = []
    follower = Follower(
        registry=world.registry,
        ledger=world.ledger,
        on_sync=lambda _: None,
        on_source=asked.append,
        on_move=lambda _: None,
        on_image=lambda image, digest: chosen.append((image, digest)),
    )
    objects: list[ImageRepository | ImagePolicy] = [
        ImageRepository(key=_image_key(name), uid=ObjectUid(name), image=image, is_insecure=insecure)
        for name, image, insecure in (
            ("a", "ghcr.io/acme/shop", False),
            ("b", "registry.local:5000/x", True),
            ("c", "nginx", False),
            ("d", "", False),
            ("e", "ghcr.io/acme shop", False),
        )
    ]
    policy = ImagePolicy(
        key=_image_key("p"), uid=ObjectUid("p"), repository=None, name="ghcr.io/acme/shop", tag="2", digest="sha256:ab"
    )
    now = world.clock.time
    for item in [*objects, policy, replace(policy, digest=None)]:
        await follower.observe(CLUSTER, [Seen(key=item.key, object=item, observed_at=now, was_held=True)])
    assert asked == [
        "https://ghcr.io/acme/shop",
        "http://registry.local:5000/x",
        "https://docker.io/library/nginx",
    ]
    assert chosen == [("ghcr.io/acme/shop:2", "sha256:ab")]
    assert follower.unfollowed == 0


def _image_key(name: str) -> ObjectKey:
    return ObjectKey(IMAGE_GROUP, "ImageRepository", "flux-system", name)


@pytest.mark.parametrize("last_push", [None, "main", "5394cb7", "sha256:" + "a" * 64, "ef" * 20])
async def test_a_push_that_says_nothing_of_the_branch(world: World, last_push: str | None) -> None:
    flux = await begin(world, world.commit("fleet", "first", apps__a="0"))
    await automate(world, last_push)
    await automate(world, "ab" * 20, source="unknown")
    own = world.commit("fleet", "by hand", apps__a="1")
    await world.deliver(flux, "fleet", own, "d1")
    assert await world.verdicts([own], flux) == ["deployed"]
    assert not await is_carrier(world, own)
