"""What a notice makes us look at: the object it is about, and the branch that it says has moved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.trail.notices.telling import CLUSTER, SENDER, ToldWorld

from fluxtrail.model.notices import AnyNotice, FluxNotice, Hook, KeptNotice, NoticeId, PushNotice, RunNotice
from fluxtrail.model.records import BranchRecord, RepositoryId, RepositoryRecord
from fluxtrail.trail.notices.hints import Hinter
from fluxtrail.trail.registry import Registry

GOOD = "ReconciliationSucceeded"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Desk:
    """A world with one delivered Kustomization, and who is told to look."""

    def __init__(self, world: ToldWorld) -> None:
        self.world = world
        self.poked: list[RepositoryId] = []
        self.looked: list[tuple[str, str, str]] = []
        self.poked_ci: list[RepositoryId] = []
        self.hinter = Hinter(
            world.registry,
            poke=self.poked.append,
            look=self._look,
            clusters={SENDER: CLUSTER},
            look_at_ci=self.poked_ci.append,
        )

    def _look(self, notice: FluxNotice, cluster: str) -> None:
        self.looked.append((cluster, notice.kind, notice.name))

    def event(self, sha: str, **given: str) -> KeptNotice:
        self.world.clock.forward(1)
        return self.world.event(GOOD, sha, self.world.clock.time.replace(microsecond=0), **given)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    world = ToldWorld(tmp_path)
    async with world:
        world.origin("fleet")
        made = Desk(world)
        first = world.commit("fleet", "first", apps__a="1")
        await world.taker().handle([made.event(first)])
        await world.settle()
        yield made


@pytest.mark.parametrize("kind", ["Kustomization", "HelmRelease", "GitRepository"])
@pytest.mark.parametrize(("sender", "cluster"), [(SENDER, CLUSTER), ("anybody", "")])
async def test_the_object_is_looked_at_once_whatever_its_kind(desk: Desk, kind: str, sender: str, cluster: str) -> None:
    await desk.hinter.handle([desk.event("ab" * 20, kind=kind, sender=sender) for _ in range(3)])
    assert desk.looked == [(cluster, kind, "apps")]


async def test_a_revision_that_is_not_known_makes_us_read_its_branch(desk: Desk) -> None:
    second = desk.world.commit("fleet", "second", apps__a="2")
    await desk.hinter.handle([desk.event(second), desk.event(second)])
    target = desk.world.told_target()
    assert target is not None
    assert desk.poked == [target.repository_id]


async def test_what_is_known_is_no_reason_to_read_a_branch(desk: Desk) -> None:
    target = desk.world.told_target()
    assert target is not None
    assert target.applied_sha is not None
    await desk.hinter.handle([desk.event(target.applied_sha)])
    second = desk.world.commit("fleet", "second", apps__a="2")
    await desk.world.settle()  # its branch was read meanwhile
    await desk.hinter.handle([desk.event(second)])
    assert desk.poked == []


async def test_what_nobody_follows_is_no_reason_either(desk: Desk) -> None:
    await desk.hinter.handle([desk.event("ab" * 20, name="other"), desk.event("ab" * 20, kind="HelmRelease")])
    assert desk.poked == []


@pytest.mark.parametrize("is_push", [True, False], ids=["push", "run"])
async def test_a_run_is_a_reason_to_look_at_ci_and_a_push_at_its_branch_too(desk: Desk, is_push: bool) -> None:
    target = desk.world.told_target()
    assert target is not None
    assert target.repository_id is not None
    url = desk.world.registry.repositories[target.repository_id].url
    said: AnyNotice = PushNotice(repository=url, ref="refs/heads/main") if is_push else RunNotice(repository=url)
    now = desk.world.clock.time
    notices = [KeptNotice(id=NoticeId(n), hook=Hook.GITHUB, received_at=now, said=said) for n in range(2)]
    await desk.hinter.handle(notices)
    assert desk.poked_ci == [target.repository_id]
    assert desk.poked == ([target.repository_id] if is_push else [])


@pytest.mark.parametrize(
    "told",
    ["https://github.com/Acme/Shop.git", "git@github.com:acme/shop.git", "https://git.acme.example/Mirrors/shop"],
)
async def test_a_repository_that_is_fetched_from_a_mirror_is_known_by_its_forges_name_too(told: str) -> None:
    """A forge's webhook names the forge; what the settings have git fetch may be elsewhere."""
    registry, poked, poked_ci = Registry(), list[RepositoryId](), list[RepositoryId]()
    mirror = "git.acme.example/Mirrors/shop"
    registry.put_repositories(
        RepositoryRecord(id=RepositoryId(number), canonical=name, url=f"https://{name}")
        for number, name in enumerate([mirror, "github.com/acme/other"])
    )
    hinter = Hinter(
        registry, poke=poked.append, look=lambda *_: None, look_at_ci=poked_ci.append,
        names={"github.com/acme/shop": mirror},
    )  # fmt: skip
    said = PushNotice(repository=told, ref="refs/heads/main")
    await hinter.handle([KeptNotice(id=NoticeId(1), hook=Hook.GITHUB, received_at=NOW, said=said)])
    assert (poked, poked_ci) == ([RepositoryId(0)], [RepositoryId(0)])


STORE, SHOP, OTHER = "dev.azure.com/Fabrikam/store/cart", "github.com/acme/shop", "github.com/acme/other"


@pytest.mark.parametrize(
    ("told", "sha", "looked_at"),
    [
        ("https://dev.azure.com/fabrikam", "", [STORE, SHOP]),
        ("https://dev.azure.com/fabrikam/store", "", [STORE, SHOP]),
        ("https://dev.azure.com/fabrikam/sto", "", []),
        ("https://dev.azure.com/other", "", []),
        ("https://dev.azure.com/fabrikam", "ab" * 20, [SHOP]),
        ("https://dev.azure.com/fabrikam", "cd" * 20, [STORE, SHOP]),
    ],
)
async def test_a_build_of_a_project_is_a_reason_to_look_at_what_it_builds(
    told: str, sha: str, looked_at: list[str]
) -> None:
    """Azure DevOps does not always say of which repository a build was; by its commit it may be known."""
    registry, looked = Registry(), list[RepositoryId]()
    names = [STORE, SHOP, OTHER]
    registry.put_repositories(
        RepositoryRecord(id=RepositoryId(number), canonical=name, url=f"https://{name}")
        for number, name in enumerate(names)
    )
    at = BranchRecord(repository_id=RepositoryId(1), name="main", head="ab" * 20, looked_at=None)
    registry.branches[RepositoryId(1), "main"] = at
    hinter = Hinter(
        registry, poke=lambda _: None, look=lambda *_: None, look_at_ci=looked.append,
        builders=lambda canonical: "dev.azure.com/fabrikam/Store" if canonical == SHOP else "",
    )  # fmt: skip
    said = RunNotice(repository=told, is_part=True, sha=sha)
    await hinter.handle([KeptNotice(id=NoticeId(1), hook=Hook.AZURE_DEVOPS, received_at=NOW, said=said)])
    assert [names[number] for number in looked] == looked_at
