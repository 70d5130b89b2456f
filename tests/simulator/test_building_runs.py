"""CI of a world: what is pushed is built, in time is exported, and the truth knows when and how."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import anyio
from tests.simulator.worlds import Play, commits

from fluxtrail.model.ci import CiState
from fluxtrail.simulator.building_runs import Builds
from fluxtrail.simulator.clock import SimulatedClock, parse_precise_time
from fluxtrail.simulator.forges.ci_runs import CiBook
from fluxtrail.simulator.repositories import Commit, Person, Repository
from fluxtrail.simulator.script import Action, Step, Style
from fluxtrail.simulator.truth import Truth

ADA = Person("Ada", "ada@acme.example")
FEATURE = Step(Action.FEATURE, app="cart", style=Style.SQUASH)


class Dice(random.Random):
    """Decides as it is told, one commit after the other: what becomes of a run, and how long each job takes."""

    def __init__(self, *plans: tuple[str, float]) -> None:
        super().__init__(1)
        self._plans = list(plans)
        self._lasts = 0.0

    def choices(self, population, *args, **kwargs):  # type: ignore[no-untyped-def]
        del args, kwargs
        fate, self._lasts = self._plans.pop(0)
        return [next(item for item in population if item.value == fate)]

    def uniform(self, a: float, b: float) -> float:
        del a, b
        return self._lasts


@asynccontextmanager
async def running(directory: Path, *plans: tuple[str, float]) -> AsyncIterator[tuple[Repository, Builds, list[str]]]:
    """A repository with CI; yields also the subjects of what it handed on."""
    clock, done = SimulatedClock(scale=20.0), list[str]()
    repository = Repository(directory / "shop.git", name="acme/shop")
    await repository.create()
    truth = Truth(directory / "truth.jsonl", clock=clock)
    builds = Builds(
        repository,
        book=CiBook(),
        clock=clock,
        truth=truth,
        dice=Dice(*plans),
        on_built=lambda commit: done.append(commit.subject),
    )
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(builds.run)
            yield repository, builds, done
            group.cancel_scope.cancel()
    finally:
        truth.close()


async def push(repository: Repository, builds: Builds, *subjects: str) -> list[Commit]:
    at = datetime.now(UTC)
    made = [await repository.commit({subject: subject}, subject, author=ADA, at=at) for subject in subjects]
    for commit in made:
        builds.add(commit)
    return made


async def until_settled(builds: Builds) -> None:
    with anyio.fail_after(10):
        while not builds.is_settled():  # noqa: ASYNC110 - the builds of a world tell nobody
            await anyio.sleep(0.01)


async def test_a_run_that_fails_is_run_again_and_built_by_its_second_attempt(tmp_path: Path) -> None:
    async with running(tmp_path, ("failure", 0.2)) as (repository, builds, done):
        [commit] = await push(repository, builds, "one")
        await until_settled(builds)
        assert done == ["one"]
        [run] = builds.book.listed("acme/shop")
        assert [attempt.state for attempt in run.attempts] == [CiState.FAILED, CiState.SUCCEEDED]
        assert builds.truth.builds[commit.sha] == (CiState.SUCCEEDED, run.last.finished_at)
    notes = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [(note["attempt"], note["state"]) for note in notes] == [(1, "failed"), (2, "succeeded")]


async def test_what_is_cancelled_goes_with_the_next_and_was_never_built(tmp_path: Path) -> None:
    async with running(tmp_path, ("cancel", 0.1), ("success", 3.0)) as (repository, builds, done):
        first, second = await push(repository, builds, "one", "two")
        await until_settled(builds)
        assert done == ["one", "two"]
        assert builds.truth.builds[first.sha] == (CiState.CANCELLED, None)
        assert builds.truth.builds[second.sha].state is CiState.SUCCEEDED
        newer, older = builds.book.listed("acme/shop")
        assert (len(older.attempts), len(newer.attempts)) == (1, 1)


async def test_what_is_cancelled_and_the_newest_is_run_again(tmp_path: Path) -> None:
    async with running(tmp_path, ("cancel", 0.2)) as (repository, builds, done):
        [commit] = await push(repository, builds, "one")
        await until_settled(builds)
        assert (done, builds.truth.builds[commit.sha].state) == (["one"], CiState.SUCCEEDED)


async def test_a_slow_build_holds_up_what_was_pushed_after_it(tmp_path: Path) -> None:
    async with running(tmp_path, ("success", 2.0), ("success", 0.1)) as (repository, builds, done):
        await push(repository, builds, "slow", "quick")
        await until_settled(builds)
        assert done == ["slow", "quick"]
        quick, slow = builds.book.listed("acme/shop")
        assert quick.last.finished_at
        assert slow.last.finished_at
        assert quick.last.finished_at < slow.last.finished_at


async def test_a_world_with_ci_exports_what_is_built_and_links_the_run(play: Play) -> None:
    async with play(FEATURE, Step(Action.IMAGE, style=Style.MERGE), ci=True) as world:
        [told] = commits(world, "Roll cart forward")
        assert told["build_state"] == "succeeded"
        stages = next(d["stages"] for d in told["deliveries"] if d["verdict"] == "deployed")
        moments = [parse_precise_time(stages[stage]) for stage in ("merged", "built", "exported", "applied")]
        assert moments == sorted(moments)
        [image] = [c for c in world.report() if c["repository"] == "acme/assistant"]
        assert image["build_state"] == "succeeded"
        [export] = [c for c in world.report() if c["is_export"]]
        assert export["build_state"] is None
        info = json.loads(world.manifests_repository.commits[export["sha"]].files["exporter-info.json"])
        runs = {run.pipeline: run for run in world.forges.ci.listed("acme/shop")}
        assert set(runs) == {"Build", "Check", "Export"}
        assert info["export_build_link"] == world.forges.ci.page_of(runs["Export"])
        assert runs["Export"].sha == told["sha"]
        async with aiohttp.ClientSession() as session, session.get(info["export_build_link"]) as answer:
            assert answer.status == 200
        number = runs["Check"].pull_request
        async with aiohttp.ClientSession() as session:
            base = f"{world.github.url}/repos/acme/shop/pulls/{number}"
            async with session.get(base) as answer:
                pull = await answer.json()
            async with session.get(f"{base}/reviews") as answer:
                reviews = await answer.json()
        assert pull["merged_by"]["login"]
        assert pull["user"]["login"] == runs["Check"].author
        assert all(pull["created_at"] <= review["submitted_at"] <= pull["merged_at"] for review in reviews)


async def test_a_world_without_ci_says_nothing_of_builds(play: Play) -> None:
    async with play(FEATURE) as world:
        [told] = commits(world, "Roll cart forward")
        assert (told["build_state"], told["built"]) == (None, None)
        assert not list(world.forges.ci.all())
        assert not world.status()["builds"]
