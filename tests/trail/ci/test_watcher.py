"""The watcher over CI: what it asks, when, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace
from tests.ledger.world import World, at, moment, sha
from tests.model.ci import run
from tests.trail.ci.worlds import SHOP, CiWorld, ScriptedCi

from fluxtrail.model.ci import Approval, CiRole, CiRun, CiStage, CiState, CiSystem, PullRequest
from fluxtrail.model.errors import AuthError, RateLimitedError
from fluxtrail.model.moment import Evidence, Moment, Precision
from fluxtrail.model.records import AliasKind, CommitRecord, ExportRecord
from fluxtrail.trail.ci.asking import FIRST_PAGE, PAGE
from fluxtrail.trail.ci.durations import Durations
from fluxtrail.trail.ci.roles import CiRule

STAGES = (CiStage(name="Build", state=CiState.SUCCEEDED, started_at=at(40), finished_at=at(85)),)


def push(number: int = 1, run_id: str = "7", **changed: Any) -> CiRun:
    """A push's run for commit `number`: queued at 30 s, over at 90 s."""
    fields: dict[str, Any] = {
        "sha": sha(number), "event": "push", "repository": "mirror.test/acme/shop", "project": "acme/shop",
        "queued_at": at(30), "finished_at": at(90), "updated_at": at(90), "url": f"https://ci.test/{run_id}",
    }  # fmt: skip
    return run(run_id, **(fields | changed))


def going(**changed: Any) -> CiRun:
    return push(**({"state": CiState.RUNNING, "finished_at": None, "updated_at": at(60)} | changed))


async def test_a_commit_is_built_when_its_run_ends(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.shop.runs = [going()]
    assert await world.look() == ["recent acme/shop"]
    assert (await world.commit()).build_state is CiState.RUNNING
    world.shop.runs, world.shop.stages = [push()], {"7": STAGES}
    assert await world.look(after=31) == ["recent acme/shop", "run 7"]
    commit = await world.commit()
    assert commit.build_state is CiState.SUCCEEDED
    assert commit.built is not None
    assert (commit.built.at, commit.built.evidence) == (at(90), Evidence.CI_RUN)
    assert await world.built_lines() == [("", "running"), ("running", "succeeded")]


async def test_looking_again_changes_nothing_and_asks_for_no_stages_again(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.shop.runs, world.shop.stages = [push()], {"7": STAGES}
    assert await world.look() == ["recent acme/shop", "run 7"]
    before = await world.commit()
    assert await world.look() == ["recent acme/shop"]
    world.start()
    assert await world.look() == ["recent acme/shop"]
    async with world.ledger.unit() as unit:
        (kept,) = (await unit.ci_runs_of(SHOP, [sha(1)]))[sha(1)]
    assert kept.stages == STAGES
    assert await world.commit() == before
    assert await world.built_lines() == [("", "succeeded")]


async def test_runs_of_what_is_not_followed_are_not_kept_until_it_is(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.shop.runs = [push(2, "8")]
    await world.look()
    async with world.ledger.unit() as unit:
        assert await unit.ci_runs_of(SHOP, [sha(2)]) == {}
    await world.commits(range(2, 3))
    await world.look()
    assert (await world.commit(2)).build_state is CiState.SUCCEEDED


async def test_a_run_that_left_the_page_is_asked_for_until_it_is_over(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.shop.runs = [going()]
    await world.look()
    world.shop.page_size = 0
    assert await world.look(after=31) == ["recent acme/shop", "run 7"]
    assert await world.look(after=31) == ["recent acme/shop"]
    world.shop.runs, world.shop.stages = [push()], {"7": STAGES}
    assert await world.look(after=60) == ["recent acme/shop", "run 7"]
    assert (await world.commit()).build_state is CiState.SUCCEEDED
    assert await world.look() == ["recent acme/shop"]


async def test_what_is_tried_again_under_its_own_number_is_looked_at_again(world: CiWorld) -> None:
    """A pipeline of GitLab, or a build of Azure Pipelines, has no attempts: it goes on, and its stages are others."""
    world.shop.system = CiSystem.GITLAB_CI
    await world.commits(range(1, 2))
    pipeline: dict[str, Any] = {"system": CiSystem.GITLAB_CI}
    failed = (replace(STAGES[0], state=CiState.FAILED),)
    world.shop.runs, world.shop.stages = [push(state=CiState.FAILED, **pipeline)], {"7": failed}
    assert await world.look() == ["recent acme/shop", "run 7"]
    world.shop.runs, world.shop.stages = [going(updated_at=at(100), **pipeline)], {}
    await world.look()
    assert (await world.commit()).build_state is CiState.RUNNING
    over = push(finished_at=at(120), updated_at=at(120), **pipeline)
    world.shop.runs, world.shop.stages = [over], {"7": STAGES}
    assert await world.look() == ["recent acme/shop", "run 7"]
    async with world.ledger.unit() as unit:
        (kept,) = (await unit.ci_runs_of(SHOP, [sha(1)]))[sha(1)]
    assert (kept.state, kept.stages) == (CiState.SUCCEEDED, STAGES)
    assert await world.built_lines() == [("", "failed"), ("failed", "running"), ("running", "succeeded")]


async def test_what_was_tried_again_between_two_looks_is_asked_for_though_it_ended_the_same(world: CiWorld) -> None:
    world.shop.system = CiSystem.GITLAB_CI
    await world.commits(range(1, 2))
    failed: dict[str, Any] = {"system": CiSystem.GITLAB_CI, "state": CiState.FAILED}
    world.shop.runs, world.shop.stages = [push(**failed)], {"7": (replace(STAGES[0], state=CiState.FAILED),)}
    await world.look()
    again = (*world.shop.stages["7"], replace(STAGES[0], name="Test"))
    world.shop.runs, world.shop.stages = (
        [push(**failed | {"finished_at": at(150), "updated_at": at(150)})],
        {"7": again},
    )
    assert await world.look() == ["recent acme/shop", "run 7"]
    async with world.ledger.unit() as unit:
        (kept,) = (await unit.ci_runs_of(SHOP, [sha(1)]))[sha(1)]
    assert (kept.stages, kept.finished_at) == (again, at(150))
    assert await world.look() == ["recent acme/shop"]


async def test_a_run_that_is_gone_hides_no_other(world: CiWorld) -> None:
    await world.commits(range(1, 3))
    world.shop.runs = [going(), going(number=2, run_id="8")]
    await world.look()
    world.shop.page_size = 0
    world.shop.runs = [push(2, "8")]
    assert await world.look() == ["recent acme/shop", "run 7", "run 8"]
    assert [commit.build_state for commit in await world.known([1, 2])] == [CiState.RUNNING, CiState.SUCCEEDED]
    assert await world.look() == ["recent acme/shop"]


async def test_a_run_that_cannot_be_read_alone_hides_no_other(world: CiWorld) -> None:
    await world.commits(range(1, 3))
    world.shop.runs, world.shop.odd = [push(), push(2, "8")], {"8"}
    assert sorted(await world.look()) == ["recent acme/shop", "run 7", "run 8"]
    assert [commit.build_state for commit in await world.known([1, 2])] == [CiState.SUCCEEDED] * 2


async def test_commits_that_a_full_page_does_not_show_are_asked_for_ever_more_rarely(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    crowd = [push(500 + number, str(500 + number), queued_at=at(200)) for number in range(FIRST_PAGE)]
    world.shop.runs = [push(), *crowd]
    assert await world.look() == ["recent acme/shop", f"sha {sha(1)[:8]}", "run 7"]
    assert (await world.commit()).build_state is CiState.SUCCEEDED
    await world.commits(range(2, 3))
    asked = [f"sha {sha(2)[:8]}" in await world.look(after=400) for _ in range(8)]
    assert asked[0]
    assert 3 <= sum(asked) < 8


async def test_a_look_after_the_first_takes_the_newest_alone(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    limits = []
    recent_runs = world.shop.recent_runs

    async def noting(repository: str, *, since: datetime, limit: int = 100) -> Sequence[CiRun]:
        limits.append(limit)
        return await recent_runs(repository, since=since, limit=limit)

    world.shop.recent_runs = noting  # type: ignore[method-assign]
    for _ in range(3):
        await world.look()
    assert limits == [FIRST_PAGE, PAGE, PAGE]


async def test_a_pull_request_is_asked_for_until_it_is_merged(world: CiWorld) -> None:
    (commit,) = await world.commits(range(1, 2))
    async with world.ledger.unit() as unit:
        await unit.put_commits([replace(commit, pull_request=12)])
    pull = PullRequest(repository="mirror.test/acme/shop", number=12, title="Sell", author="ada")
    world.shop.pulls = {12: pull}
    assert "pull 12" in await world.look()
    assert "pull 12" not in await world.look(after=301)
    merged = replace(
        pull, state="merged", merged_by="grace", merged_at=at(1), approvals=(Approval(by="grace", state="approved"),)
    )
    world.shop.pulls = {12: merged}
    assert "pull 12" in await world.look(after=301)
    assert "pull 12" not in await world.look(after=3000)
    async with world.ledger.unit() as unit:
        assert (await unit.pull_requests_of(SHOP, [12]))[12][0] == replace(merged, repository=SHOP)


async def test_a_number_that_is_no_pull_request_is_asked_for_once(world: CiWorld) -> None:
    (commit,) = await world.commits(range(1, 2))
    async with world.ledger.unit() as unit:
        await unit.put_commits([replace(commit, pull_request=12)])
    assert "pull 12" in await world.look()
    assert "pull 12" not in await world.look(after=3000)


@pytest.mark.parametrize(
    ("rule", "run_of_it", "roles"),
    [
        (CiRule(), push(), [CiRole.BUILD]),
        (CiRule(), push(event="schedule"), []),
        (CiRule(), push(event="pull_request"), []),
        (CiRule(builds=("Bui*",)), push(event="pull_request"), [CiRole.BUILD]),
        (CiRule(builds=("image",)), push(), []),
        (CiRule(exports=("build",)), push(), [CiRole.EXPORT]),
        (CiRule(exports=("BUILD",), builds=("*",)), push(), [CiRole.EXPORT, CiRole.BUILD]),
        (CiRule(builds=("*",), ignore=("build",)), push(), []),
        (CiRule(builds=("*",)), push(event="schedule"), []),
        (CiRule(), push(event="individualCI"), [CiRole.BUILD]),
    ],
    ids=[
        "push",
        "nightly",
        "pull request",
        "stated",
        "another",
        "export",
        "both",
        "ignored",
        "nightly, stated",
        "azure",
    ],
)
def test_what_a_run_is_for(rule: CiRule, run_of_it: CiRun, roles: list[CiRole]) -> None:
    assert list(rule.roles_of(run_of_it)) == roles


async def test_a_repository_that_is_switched_off_is_not_asked_about(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.start(rules=[CiRule(repository="github.com/acme/*", enabled=False)])
    assert await world.look() == []


async def test_where_all_are_carriers_nothing_is_asked(world: CiWorld) -> None:
    await world.commits(range(1, 3), is_carrier=True)
    assert await world.look() == []


async def test_of_several_builds_the_last_before_the_export_counts(world: CiWorld) -> None:
    (commit,) = await world.commits(range(1, 2))
    (carrier,) = await world.commits(range(200, 201), name="manifests", is_carrier=True)
    async with world.ledger.unit() as unit:
        await unit.put_exports([ExportRecord(carrier_id=carrier.id, source_id=commit.id, stated_at=None)])
    later = push(run_id="9", queued_at=at(300), finished_at=at(360), updated_at=at(360))
    world.shop.runs = [push(), later]
    await world.look()
    built = (await world.commit()).built
    assert built is not None
    assert built.at == at(90)


async def test_the_run_that_the_export_names_counts(world: CiWorld) -> None:
    (commit,) = await world.commits(range(1, 2))
    (carrier,) = await world.commits(range(400, 401), name="manifests", is_carrier=True)
    link = "https://ci.test/7/attempts/1"
    async with world.ledger.unit() as unit:
        stated = ExportRecord(carrier_id=carrier.id, source_id=commit.id, stated_at=None, build_link=link)
        await unit.put_exports([stated])
    other = push(run_id="9", pipeline="lint", queued_at=at(31), finished_at=at(200), updated_at=at(200))
    world.shop.runs = [push(), other]
    await world.look()
    built = (await world.commit()).built
    assert built is not None
    assert built.at == at(90)


async def test_what_is_applied_directly_was_built_before(world: CiWorld) -> None:
    commit = await _applied(world, seconds=120)
    world.shop.runs = [push(), push(run_id="9", queued_at=at(300), finished_at=at(360), updated_at=at(360))]
    await world.look()
    built = (await world.known([1]))[0].built
    assert built is not None
    assert (commit.sha, built.at) == (sha(1), at(90))


async def test_a_pull_requests_runs_tell_of_what_was_merged_from_it(world: CiWorld) -> None:
    """Where the merge itself is not built; when it was built before it was merged, that is no stage on its way."""
    (commit,) = await world.commits(range(60, 61))
    async with world.ledger.unit() as unit:
        await unit.put_aliases(commit.repository_id, commit.id, AliasKind.PULL_REQUEST, [sha(700)])
    world.shop.runs = [push(700, queued_at=at(1), finished_at=at(30), updated_at=at(30), state=CiState.FAILED)]
    await world.look()
    assert (await world.commit(60)).build_state is CiState.FAILED
    world.shop.runs.append(push(700, "8", queued_at=at(2), finished_at=at(40), updated_at=at(40)))
    await world.look()
    found = await world.commit(60)
    assert (found.build_state, found.built) == (CiState.SUCCEEDED, None)
    own = push(60, "9", queued_at=at(70), updated_at=at(80), finished_at=None, state=CiState.RUNNING)
    world.shop.runs.append(own)
    await world.look()
    assert (await world.commit(60)).build_state is CiState.RUNNING


async def test_a_failing_repository_is_asked_ever_more_rarely_and_stops_no_other(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    await world.commits(range(1, 2), name="cart")
    other = world.ci["github.com/acme/cart"] = ScriptedCi()
    world.shop.fails = AuthError("refused", status=403)
    assert await world.look() == ["recent acme/shop"]
    assert other.take_asked() == ["recent acme/cart"]
    assert await world.look(after=29) == []
    world.watcher.poke(next(iter(world.registry.repositories)))
    assert await world.look(after=0) == []
    assert await world.look(after=2) == ["recent acme/shop"]
    assert await world.look(after=31) == []
    assert world.watcher.failures == {"github.com": 2}
    world.shop.fails = None
    world.shop.runs = [push()]
    await world.look(after=60)
    assert (await world.commit()).build_state is CiState.SUCCEEDED


async def test_a_rate_limit_is_waited_for(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.shop.fails = RateLimitedError("limited", status=403, retry_after_seconds=900)
    assert await world.look() == ["recent acme/shop"]
    assert await world.look(after=890) == []
    world.shop.fails = None
    assert await world.look(after=20) == ["recent acme/shop"]


async def test_what_was_found_before_a_failure_is_kept(world: CiWorld) -> None:
    (commit,) = await world.commits(range(1, 2))
    async with world.ledger.unit() as unit:
        await unit.put_commits([replace(commit, pull_request=12)])
    world.shop.runs = [push()]

    async def refuse(repository: str, number: int) -> PullRequest | None:
        raise AuthError("refused", status=403)

    world.shop.pull_request = refuse  # type: ignore[method-assign]
    await world.look()
    assert (await world.commit()).build_state is CiState.SUCCEEDED
    assert sum(world.watcher.failures.values()) == 1


async def test_a_spent_budget_puts_questions_off(world: CiWorld) -> None:
    await world.commits(range(1, 30))
    world.shop.runs = [push(number, str(number)) for number in range(1, 30)]
    world.start(requests_per_hour=60)
    asked = await world.look()
    assert 1 <= len(asked) <= 9
    assert world.watcher.budget.refused == 1
    assert {commit.build_state for commit in await world.known(range(1, 30))} == {CiState.SUCCEEDED}
    assert await world.look(after=30) == []
    assert len(await world.look(after=600)) > 1


async def test_where_nothing_is_under_way_it_is_asked_less_often_until_something_happens(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.shop.runs = [push()]
    await world.look(after=4000)
    assert await world.look(after=31) == []
    world.watcher.poke(next(iter(world.registry.repositories)))
    assert await world.look(after=1) == ["recent acme/shop"]
    assert await world.look(after=301) == ["recent acme/shop"]


async def test_how_long_building_takes_is_counted_once_and_kept(world: CiWorld) -> None:
    await _applied(world, seconds=120)
    world.shop.runs = [push()]
    await world.look()
    for _ in range(2):
        buckets, total = world.watcher.durations.cumulative(SHOP)
        assert (buckets[-1], total) == ((float("inf"), 1), 89.0)
        assert [count for bound, count in buckets if bound in (60, 120)] == [0, 1]
        world.start()
        await world.look()


async def test_what_is_counted_stays_as_it_was(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.shop.runs = [push()]
    await world.look(after=200)
    assert world.watcher.durations.histograms == {}
    await world.look(after=4000)
    assert world.watcher.durations.cumulative(SHOP)[1] == 89.0
    again = push(run_id="9", queued_at=at(5000), finished_at=at(5100), updated_at=at(5100))
    world.shop.runs.append(again)
    await world.look(after=2000)
    built = (await world.commit()).built
    assert built is not None
    assert built.at == at(90)
    assert world.watcher.durations.cumulative(SHOP)[1] == 89.0


async def _applied(world: CiWorld, *, seconds: float) -> CommitRecord:
    (commit,) = await world.commits(range(1, 2))
    async with world.ledger.unit() as unit:
        making = World(unit)
        shop = await making.repository()
        target = await making.target(shop)
        sync = await making.sync(target, 1, applied=moment(seconds))
        await making.delivery(commit, target, applied_sync=sync.id)
    return commit


PAGES = [
    [],
    [going()],
    [going(), going(number=2, run_id="8", queued_at=at(40))],
    [push(state=CiState.FAILED), going(number=2, run_id="8", queued_at=at(40))],
    [going(attempt=2, updated_at=at(100)), push(2, "8", queued_at=at(40))],
    [push(attempt=2, updated_at=at(150), finished_at=at(150)), push(2, "8", queued_at=at(40))],
]


@pytest.mark.parametrize("restarts", list(product([False, True], repeat=3)))
@pytest.mark.parametrize("left_out", range(len(PAGES) - 1))
async def test_the_end_is_the_same_whatever_was_seen_on_the_way(
    world: CiWorld, restarts: tuple[bool, ...], left_out: int
) -> None:
    """Looks that were missed and restarts between looks change no state, no moment and no figure."""
    await _applied(world, seconds=160)
    await world.commits(range(2, 3))
    world.shop.stages = {"7": STAGES, "8": STAGES}
    pages = [page for index, page in enumerate(PAGES) if index != left_out]
    for index, page in enumerate(pages):
        world.shop.runs = page
        if restarts[index % len(restarts)]:
            world.start()
        await world.look(after=31)
    await world.look(after=4000)
    first, second = await world.known([1, 2])
    assert [(item.build_state, item.built and item.built.at) for item in (first, second)] == [
        (CiState.SUCCEEDED, at(150)),
        (CiState.SUCCEEDED, at(90)),
    ]
    buckets, total = world.watcher.durations.cumulative(SHOP)
    assert (buckets[-1][1], total) == (2, 149.0 + 88.0)
    lines = await world.built_lines()
    assert all(before != after for before, after in lines)


async def test_a_note_of_another_version_begins_anew(world: CiWorld) -> None:
    await _applied(world, seconds=120)
    async with world.ledger.unit() as unit:
        await unit.put_note(Durations.NOTE, '{"histograms": {"x": {"counts": [1]}}}')
    world.shop.runs = [push()]
    await world.look()
    assert set(world.watcher.durations.histograms) == {SHOP}


async def test_a_commit_merged_nobody_knows_when_is_in_no_figure(world: CiWorld) -> None:
    (commit,) = await world.commits(range(1, 2))
    guess = Moment(at=at(1), evidence=Evidence.COMMITTER_DATE, precision=Precision.ESTIMATED, not_before=at(0))
    async with world.ledger.unit() as unit:
        await unit.put_commits([replace(commit, merged=guess)])
    world.shop.runs = [push()]
    await world.look(after=5000)
    assert (await world.commit()).built is not None
    assert world.watcher.durations.histograms == {}


async def test_what_cannot_be_foreseen_stops_no_other(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    await world.commits(range(1, 2), name="cart")
    other = world.ci["github.com/acme/cart"] = ScriptedCi()

    async def break_down(repository: str, *, since: object, limit: int = 100) -> list[CiRun]:
        raise KeyError(repository)

    world.shop.recent_runs = break_down  # type: ignore[method-assign]
    await world.look()
    assert other.take_asked() == ["recent acme/cart"]
    assert await world.look() == []


async def test_a_hint_that_comes_while_it_looks_is_not_lost(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    shop = world.registry.find_repository(SHOP)
    assert shop is not None
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(world.watcher.run())
        await world.shop.was_asked.wait()
        world.shop.was_asked.clear()
        world.shop.runs = [push()]
        world.watcher.poke(shop.id)
        await world.shop.was_asked.wait()
        world.shop.was_asked.clear()
        world.watcher.poke(shop.id)
        await world.shop.was_asked.wait()
        task.cancel()
    assert (await world.commit()).build_state is CiState.SUCCEEDED


async def test_looks_at_one_repository_do_not_overlap(world: CiWorld) -> None:
    """However slow its forge is: polls that overlapped brought old rows back."""

    class SlowCi(ScriptedCi):
        def __init__(self) -> None:
            super().__init__()
            self.may_answer = asyncio.Event()

        async def recent_runs(self, repository: str, *, since: datetime, limit: int = 100) -> Sequence[CiRun]:
            found = await super().recent_runs(repository, since=since, limit=limit)
            await self.may_answer.wait()
            return found

    slow = world.ci[SHOP] = SlowCi()
    await world.commits(range(1, 2))
    async with asyncio.TaskGroup() as group:
        group.create_task(world.watcher.look())
        await slow.was_asked.wait()
        world.clock.forward(400)
        await world.watcher.look()
        slow.may_answer.set()
    assert slow.take_asked() == ["recent acme/shop"]
