"""When a commit was exported, as its runs say; and what is known of runs that several commits or systems share."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from tests.ledger.world import at, sha
from tests.trail.ci.test_watcher import push
from tests.trail.ci.worlds import SHOP, CiWorld, ScriptedCi

from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState, CiSystem
from fluxtrail.model.errors import AuthError
from fluxtrail.model.moment import Evidence
from fluxtrail.trail.ci.judging import judge_builds
from fluxtrail.trail.ci.roles import CiRule
from fluxtrail.trail.ci.stating import take_statements

RULES = (CiRule(builds=("build",), exports=("deploy",)),)


def export(number: int = 1, run_id: str = "20", *, end: float = 150, **changed: Any) -> CiRun:
    given = {"pipeline": "deploy", "queued_at": at(100), "finished_at": at(end), "updated_at": at(end)}
    return push(number, run_id, **(given | changed))


async def exported(world: CiWorld, number: int = 1) -> float | None:
    (commit,) = await world.known([number])
    if commit.exported is None:
        return None
    assert commit.exported.evidence is Evidence.CI_RUN
    return (commit.exported.at - at(0)).total_seconds()


async def test_a_commit_is_exported_when_a_run_that_exports_is_over(world: CiWorld) -> None:
    await world.commits(range(1, 3))
    world.start(rules=RULES)
    world.shop.runs = [push(), export(state=CiState.RUNNING, finished_at=None), export(2, "21", state=CiState.FAILED)]
    await world.look()
    assert await exported(world) is None
    world.shop.runs = [push(), export(), export(2, "21", state=CiState.FAILED)]
    await world.look()
    assert (await exported(world), await exported(world, 2)) == (150, None)
    assert (await world.commit()).build_state is CiState.SUCCEEDED, "an export is no build"


async def test_what_was_exported_first_stays(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.start(rules=RULES)
    world.shop.runs = [export()]
    await world.look()
    world.shop.runs = [export(), export(run_id="21", end=900)]
    await world.look()
    assert await exported(world) == 150
    known = await world.known([1])
    async with world.ledger.unit() as unit:
        await unit.prune_ci(at(5_000), 10)
        await judge_builds(unit, SHOP, known, now=at(6_000))
    assert await exported(world) == 150


async def test_a_build_that_ended_behind_the_export_built_something_else(world: CiWorld) -> None:
    await world.commits(range(1, 2))
    world.start(rules=RULES)
    world.shop.runs = [push(), export(), push(run_id="30", queued_at=at(300), finished_at=at(360), updated_at=at(360))]
    await world.look()
    built = (await world.commit()).built
    assert built is not None
    assert built.at == at(90)


async def test_a_run_for_the_last_of_several_pushes_exports_them_all(world: CiWorld) -> None:
    await world.commits(range(1, 5))
    world.start(rules=RULES)
    world.shop.runs = [export(1, "20", end=110), export(3, "22", end=170)]
    await world.look()
    assert [await exported(world, number) for number in range(1, 5)] == [110, 170, 170, None]
    known = await world.known([2])
    async with world.ledger.unit() as unit:
        await judge_builds(unit, SHOP, known, now=at(6_000))
    assert await exported(world, 2) == 170, "judged without the others it is as it was"


async def test_a_run_of_one_service_exports_no_other_commit(world: CiWorld) -> None:
    await world.commits(range(1, 3))
    async with world.ledger.unit() as unit:
        stated = replace(export(2), role=CiRole.EXPORT, repository=SHOP, service="cart", evidence=CiEvidence.STATED)
        await take_statements(unit, [stated], now=at(200))
    await world.look()
    assert (await exported(world, 1), await exported(world, 2)) == (None, 150)


async def test_what_was_exported_in_its_pull_request_alone_is_not_exported(world: CiWorld) -> None:
    await world.commits(range(60, 61))
    world.start(rules=RULES)
    world.shop.runs = [export(60, queued_at=at(10), end=20)]
    await world.look()
    assert await exported(world, 60) is None


async def test_commits_that_a_pipeline_states_of_its_run_go_on_with_it(world: CiWorld) -> None:
    """The forge knows it by one commit; its pipeline said that it exports two more, and never that it ended."""
    await world.commits(range(1, 4))
    async with world.ledger.unit() as unit:
        said = [
            replace(
                export(number), role=CiRole.EXPORT, repository=SHOP, state=CiState.RUNNING, finished_at=None,
                updated_at=at(101), evidence=CiEvidence.STATED, carrier_sha=sha(9),
            )
            for number in (1, 2, 3)
        ]  # fmt: skip
        assert len(await take_statements(unit, said, now=at(102))) == 3
        assert await take_statements(unit, said, now=at(103)) == []
    world.shop.runs = [export(3, event="workflow_dispatch")]
    await world.look()
    assert [await exported(world, number) for number in (1, 2, 3)] == [150, 150, 150]
    async with world.ledger.unit() as unit:
        runs = await unit.ci_runs_of(SHOP, [sha(1), sha(2)])
    assert {(run.state, run.carrier_sha) for some in runs.values() for run in some} == {(CiState.SUCCEEDED, sha(9))}


async def test_every_system_that_builds_a_repository_is_asked(world: CiWorld) -> None:
    """And one that fails stops no other; what is open elsewhere is asked for nowhere else."""
    await world.commits(range(1, 3))
    azure = world.others[SHOP] = ScriptedCi(CiSystem.AZURE_PIPELINES)
    azure.runs = [
        push(2, "6663", system=CiSystem.AZURE_PIPELINES, event="individualCI", state=CiState.RUNNING, finished_at=None)
    ]
    world.shop.runs = [push()]
    await world.look()
    assert [(await world.commit(number)).build_state for number in (1, 2)] == [CiState.SUCCEEDED, CiState.RUNNING]
    azure.page_size = world.shop.page_size = 0
    assert "run 6663" not in await world.look()
    assert "run 6663" in azure.take_asked()
    azure.fails, world.shop.page_size = AuthError("no"), 100
    world.shop.runs = [push(), push(2, "8")]
    for _ in range(2):
        assert "recent acme/shop" in await world.look(after=31)
        assert len(azure.take_asked()) == 1
    assert "recent acme/shop" in await world.look(after=31)
    assert azure.take_asked() == [], "it is asked ever more rarely, the other as before"
    assert world.watcher.failures == {"github.com": 2}
