"""The truth about each kind of episode. The expectations are written by hand: nothing of the real judge is used."""

from __future__ import annotations

import json

import pytest
from tests.simulator.worlds import Play, commits, delivery, verdicts

from fluxtrail.simulator.clock import parse_precise_time
from fluxtrail.simulator.script import EVERYWHERE, Action, Step, Style

STAGES = ["merged", "exported", "fetched", "applied", "healthy", "running"]


def step(action: Action, *, app: str = "cart", folder: str = "staging", style: Style = Style.DIRECT) -> Step:
    return Step(action, app=app, folder=folder, style=style)


@pytest.mark.parametrize("style", Style)
async def test_a_feature_is_deployed_where_its_application_runs(play: Play, style: Style) -> None:
    async with play(step(Action.FEATURE, app="orders", folder=EVERYWHERE, style=style)) as world:
        feature = commits(world, "Merge pull" if style is Style.MERGE else "Roll orders")[0]
        assert verdicts(feature) == {"staging/backend": "deployed"}
        stages = delivery(feature, "staging", "backend")["stages"]
        assert list(stages) == STAGES
        times = {stage: parse_precise_time(text) for stage, text in stages.items()}
        running = times.pop("running")
        assert list(times.values()) == sorted(times.values())
        # The check looks now and then: what it waits for ran a little before.
        assert times["applied"] <= running <= times["healthy"]


async def test_without_checks_there_is_no_healthy(play: Play) -> None:
    async with play(step(Action.SETTINGS)) as world:
        apps = delivery(commits(world, "Set level")[0], "staging", "apps")
        assert apps["verdict"] == "deployed"
        assert list(apps["stages"]) == ["merged", "fetched", "applied"]


async def test_a_base_concerns_whoever_is_built_from_it(play: Play) -> None:
    async with play(step(Action.BASE), clusters=("staging", "prod-us")) as world:
        assert verdicts(commits(world, "Change the theme")[0]) == {
            "staging/apps": "deployed",
            "prod-us/apps": "deployed",
            "prod-us/apps-canary": "deployed",
        }


@pytest.mark.parametrize("action", [Action.ASIDE, Action.NOTES])
async def test_what_changes_no_manifest_affects_nobody(play: Play, action: Action) -> None:
    async with play(step(action)) as world:
        assert verdicts(world.report()[0]) == {}


async def test_an_older_flux_cannot_tell_that_nothing_changed(play: Play) -> None:
    async with play(step(Action.NOTES), legacy=frozenset({"staging"})) as world:
        assert verdicts(world.report()[0]) == {"staging/apps": "deployed"}


async def test_of_two_quick_pushes_the_first_comes_with_the_second(play: Play) -> None:
    async with play(step(Action.BURST)) as world:
        first, second = commits(world, "Set level")
        assert delivery(first, "staging", "apps")["via"] == second["sha"]
        assert delivery(second, "staging", "apps")["via"] is None
        assert verdicts(first) == verdicts(second) == {"staging/apps": "deployed"}


async def test_a_bad_build_is_deployed_with_its_repair(play: Play) -> None:
    async with play(step(Action.BAD_BUILD), clusters=("prod-us",)) as world:
        bad, repair = commits(world, "Add more")[0], commits(world, "Repair")[0]
        assert delivery(bad, "prod-us", "infra")["verdict"] == "deployed"
        assert delivery(bad, "prod-us", "infra")["via"] == repair["sha"]


async def test_a_lasting_failure_fails_and_takes_later_commits_with_it(play: Play) -> None:
    later = step(Action.FEATURE, app="gateway")
    async with play(step(Action.LASTING_FAILURE), later) as world:
        assert verdicts(commits(world, "Try a shortcut")[0]) == {"staging/infra": "failed"}
        assert verdicts(commits(world, "Roll gateway")[0]) == {"staging/infra": "failed"}


async def test_an_unhealthy_release_was_applied_before_it_was_healthy(play: Play) -> None:
    async with play(step(Action.BAD_HEALTH)) as world:
        bad = commits(world, "Speed up payments")[0]
        stages = delivery(bad, "staging", "backend")["stages"]
        repaired = delivery(commits(world, "Slow payments")[0], "staging", "backend")["stages"]
        assert verdicts(bad) == {"staging/backend": "deployed"}
        assert delivery(bad, "staging", "backend")["via"] is None
        assert stages["applied"] < repaired["applied"]
        assert stages["healthy"] == repaired["healthy"]


async def test_a_revert_undoes(play: Play) -> None:
    async with play(step(Action.REVERT)) as world:
        tried, revert = commits(world, "Try something")[0], commits(world, "Revert")[0]
        assert delivery(tried, "staging", "apps")["undone_by"] == revert["sha"]
        assert delivery(tried, "staging", "apps")["verdict"] == "deployed"
        assert delivery(revert, "staging", "apps")["undone_by"] is None


async def test_what_was_applied_and_is_dropped_is_rolled_back(play: Play) -> None:
    async with play(step(Action.ROLLBACK)) as world:
        for commit in commits(world, "Set level"):
            assert verdicts(commit) == {"staging/apps": "rolled_back"}


async def test_what_is_dropped_before_anybody_fetched_it_is_lost(play: Play) -> None:
    async with play(step(Action.LOST)) as world:
        for commit in commits(world, "Set level"):
            assert verdicts(commit) == {"staging/apps": "lost"}
            assert list(delivery(commit, "staging", "apps")["stages"]) == ["merged"]


async def test_an_export_that_is_dropped_rolls_its_source_commit_back(play: Play) -> None:
    async with play(step(Action.EXPORT_ROLLBACK)) as world:
        assert verdicts(commits(world, "Release cart")[0]) == {"staging/apps": "rolled_back"}
        assert verdicts(commits(world, "Revert")[0]) == {}


async def test_what_came_while_suspended_comes_with_the_newest(play: Play) -> None:
    async with play(step(Action.SUSPEND)) as world:
        first, second = commits(world, "Set level")
        assert delivery(first, "staging", "apps")["via"] == second["sha"]
        assert parse_precise_time(delivery(first, "staging", "apps")["stages"]["applied"]) > parse_precise_time(
            delivery(second, "staging", "apps")["stages"]["merged"]
        )


async def test_the_log_on_disk_tells_the_same_story(play: Play) -> None:
    async with play(step(Action.FEATURE), step(Action.ROLLBACK)) as world:
        lines = [json.loads(line) for line in world.truth.path.read_text().splitlines()]
        kinds = [line["kind"] for line in lines]
        assert {"push", "export", "fetched", "applied", "succeeded", "force_push", "script_ends"} <= set(kinds)
        script = kinds.index("script_begins")
        pushed = [line["sha"] for line in lines[script:] if line["kind"] == "push"]
        assert pushed == [commit["sha"] for commit in world.report()]
        assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
