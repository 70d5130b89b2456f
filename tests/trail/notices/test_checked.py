"""A cluster known by events alone whose Kustomization has health checks: the apply is dated before them.

The events have the shapes that kustomize-controller 1.9 posts beside a Kustomization with `wait`.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.trail.notices.telling import ToldWorld

from fluxtrail.model.moment import Evidence, Moment, Precision, exact
from fluxtrail.model.notices import KeptNotice
from fluxtrail.model.records import SyncRecord

GOOD, UNDER_WAY, BAD = "ReconciliationSucceeded", "Progressing", "HealthCheckFailed"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ToldWorld]:
    made = ToldWorld(tmp_path)
    async with made:
        yield made


class Story:
    """`apps` had a baseline at second 0, of `first`; `commit` is what follows."""

    def __init__(self, world: ToldWorld) -> None:
        self.world = world
        self.begin = world.clock.time.replace(microsecond=0)
        self.first = world.commit("fleet", "first", apps__a="0")
        self.commit = self.first

    def at(self, second: float) -> datetime:
        return self.world.after(self.begin, second)

    def follow(self, name: str) -> str:
        self.commit = self.world.commit("fleet", name, apps__a=name)
        return self.commit

    def say(self, second: float, reason: str, message: str, commit: str = "") -> KeptNotice:
        at = self.at(second)
        self.world.clock.forward(max((at - self.world.clock.time).total_seconds(), 0.0))  # it is received later
        return self.world.event(reason, commit or self.commit, at, message=message)

    def changed(self, second: float) -> KeptNotice:
        return self.say(second, UNDER_WAY, "ConfigMap/default/web configured\nDeployment/default/web configured")

    def passed(self, second: float, took: str) -> KeptNotice:
        return self.say(second, UNDER_WAY, f"Health check passed in {took}")

    def good(self, second: float, took: str) -> KeptNotice:
        return self.say(second, GOOD, f"Reconciliation finished in {took}, next run in 10m0s")

    def bad(self, second: float, took: str) -> KeptNotice:
        why = "timeout waiting for: [Deployment/default/web status: 'InProgress']"
        return self.say(second, BAD, f"health check failed after {took}: {why}")

    async def tell(self, *notices: KeptNotice, one_by_one: bool = False) -> None:
        """Tell it to one that remembers nothing, or each to another one."""
        for part in [[notice] for notice in notices] if one_by_one else [notices]:
            self.world.clock.forward(0.1)
            await self.world.taker().handle(part)
            await self.world.settle()

    async def sync(self) -> SyncRecord:
        target = self.world.told_target()
        assert target is not None
        return await self.world.sync(target.sync_id)

    def told(self, second: float) -> Moment:
        return exact(self.at(second), Evidence.EVENT)


async def started(world: ToldWorld) -> Story:
    world.origin("fleet")
    story = Story(world)
    await story.tell(story.say(0, GOOD, "Reconciliation finished in 466.112316ms, next run in 10m0s"))
    story.follow("two")
    return story


async def test_a_success_is_applied_when_its_checks_began(world: ToldWorld) -> None:
    story = await started(world)
    await story.tell(story.changed(45), story.passed(50, "5.220527359s"), story.good(50, "6.25959415s"))
    (facts,) = await world.facts()
    assert (facts.applied, facts.healthy, facts.succeeded) == (story.told(45), story.told(50), story.told(50))
    target = world.told_target()
    assert target is not None
    assert target.has_checks


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_any_order_of_them_comes_to_the_same(world: ToldWorld, one_by_one: bool) -> None:
    """Also each of them alone, after a start: what is told too late to be waited for dates the apply all the same."""
    story = await started(world)
    for number, order in enumerate(itertools.permutations(range(3)), start=1):
        commit, begin = story.follow(f"change {number}"), number * 100
        events = [
            story.changed(begin + 45),
            story.passed(begin + 50, "5.220527359s"),
            story.good(begin + 50, "6.25959415s"),
        ]
        await story.tell(*[events[index] for index in order], one_by_one=one_by_one)
        assert await world.told_verdicts([commit]) == ["deployed"]
        sync = await story.sync()
        assert (sync.applied, sync.healthy) == (story.told(begin + 45), story.told(begin + 50)), order
        before = await world.everything()
        await story.tell(*events, one_by_one=one_by_one)
        assert await world.everything() == before


async def test_a_failed_check_leaves_the_apply_before_it_exact(world: ToldWorld) -> None:
    story = await started(world)
    commit = story.commit
    await story.tell(story.changed(54), story.bad(84, "30.021603291s"))
    assert await world.told_verdicts([commit]) == ["failed"]
    sync = await story.sync()
    assert (sync.applied, sync.failed, sync.healthy) == (story.told(54), story.told(84), None)
    # a retry of it that is well in the end keeps the moment of its first apply
    await story.tell(story.bad(120, "30.009884445s"), story.passed(160, "5.1s"), story.good(160, "5.9s"))
    assert await world.told_verdicts([commit]) == ["deployed"]
    sync = await story.sync()
    assert (sync.applied, sync.failed, sync.healthy) == (story.told(54), None, story.told(160))


async def test_a_failed_check_alone_is_enough(world: ToldWorld) -> None:
    story = await started(world)
    await story.tell(story.bad(84, "30.021603291s"))
    assert (await story.sync()).applied == story.told(54)


async def test_a_failed_check_that_does_not_say_how_long_is_dated_by_the_apply(world: ToldWorld) -> None:
    story = await started(world)
    await story.tell(story.changed(54), story.say(84, BAD, "timeout waiting for: [Deployment/default/web]"))
    assert (await story.sync()).applied == story.told(54)


async def test_a_failed_check_of_which_nothing_else_was_heard_is_an_estimate(world: ToldWorld) -> None:
    story = await started(world)
    await story.tell(story.say(84, BAD, "timeout waiting for: [Deployment/default/web]"))
    applied = (await story.sync()).applied
    assert applied is not None
    assert (applied.precision, applied.not_after) == (Precision.ESTIMATED, story.at(84))


async def test_a_success_without_a_word_of_its_checks_lies_within_its_run(world: ToldWorld) -> None:
    """Flux posts no end of checks where a new revision changed nothing."""
    story = await started(world)
    await story.tell(story.changed(54), story.passed(54, "102.129607ms"), story.good(54, "1.612563232s"))
    story.follow("three")
    await story.tell(story.good(93, "1.986952s"))
    sync = await story.sync()
    assert sync.applied is not None
    assert (sync.applied.precision, sync.applied.evidence) == (Precision.ESTIMATED, Evidence.BRACKET)
    assert (sync.applied.not_before, sync.applied.not_after) == (story.at(93 - 1.986952), story.at(93))
    assert sync.healthy == story.told(93)
    # that checks passed may be told later: then it is exact
    await story.tell(story.passed(93, "1.2s"))
    assert (await story.sync()).applied == story.told(92)


async def test_without_any_sign_of_checks_a_success_is_when_it_was_applied(world: ToldWorld) -> None:
    story = await started(world)
    await story.tell(story.changed(54), story.good(56, "2.5s"))
    sync = await story.sync()
    assert (sync.applied, sync.healthy) == (story.told(56), None)
    # what is heard of a later revision says nothing of this one
    story.follow("three")
    await story.tell(story.bad(130, "30.02s"))
    assert (story.told(56), None) in [(item.applied, item.healthy) for item in await world.facts()]


async def test_checks_that_recover_later_do_not_move_the_apply(world: ToldWorld) -> None:
    story = await started(world)
    await story.tell(story.changed(45), story.passed(50, "5.22s"), story.good(50, "6.26s"))
    before = [(item.applied, item.healthy) for item in await world.facts()]
    await story.tell(story.bad(680, "30.01s"), story.passed(720, "10.05s"), story.good(720, "10.9s"))
    assert [(item.applied, item.healthy) for item in await world.facts()] == before
