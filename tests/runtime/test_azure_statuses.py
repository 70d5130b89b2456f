"""What Azure DevOps is told while Flux delivers: statuses of commits, and pipelines that wait for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.runtime.telling import begin, deliver, say, settings_of
from tests.runtime.worlds import Cluster, make_environ, push, revision, running, until

from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.simulator.forges.azure_tasks import AzurePullRequest, Plan
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Repository

TOKEN = {"AZURE_DEVOPS_TOKEN": "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef"}
PLACE = "acme/shop/deployments"
TASKS = {
    "name": "approvals",
    "to": "azure_devops_task",
    "repository": f"ado.test/{PLACE}",
    "environments": ["production"],
    "interval_seconds": 5,
}


def azure(folder: Path, clusters: list[Cluster], repository: Repository, forges: Forges, route: Any) -> Settings:
    forge = {"kind": "azure_devops", "owner": "acme/shop", "repo": "fleet"}
    named = [{"host": "ado.test", "kind": "azure_devops", "api_url": f"{forges.url}/azure"}]
    return settings_of(folder, clusters, repository, route, forge=forge, forges=named)


def waiting(forges: Forges, number: int, *, project: str = "p1") -> AzurePullRequest:
    """Open a pull request whose pipeline waits."""
    pull = forges.azure_tasks.open_pull_request(PLACE, number)
    plan = Plan(id=f"plan{number}", task_id=f"task{number}", job_id="j")
    forges.azure_tasks.wait_for(pull, plan, server=f"{forges.url}/azure/acme/", project_id=project)
    return pull


def ended(forges: Forges) -> list[tuple[str, str]]:
    """Return (task, how it ended), in their order."""
    return [(item.context, item.state) for item in forges.recorder.writes if item.call == "task_event"]


async def test_each_task_is_ended_once_and_a_restart_repeats_nothing(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository, path="./apps")
    settings, environ = azure(tmp_path, clusters, repository, forges, TASKS), make_environ(tmp_path, **TOKEN)
    for number in (12, 13, 14):
        waiting(forges, number)
    for number, hours in ((20, 1.0), (21, 71.0), (22, 100.0)):
        forges.azure_tasks.abandon(waiting(forges, number), hours_ago=hours)
    async with running(settings, environ) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Merged PR 12: scale / up (äöü)")
        await until(lambda: len(ended(forges)) == 2, "abandoned ones fail")
        deliver(clusters, repository, commit)
        await until(lambda: ("task12", "succeeded") in ended(forges), "a pipeline goes on")
        aside = await push(repository, {"docs/a.md": "x\n"}, "Merged PR 13: words only")
        for cluster in clusters:
            cluster.fetch(aside, url=repository.url)
            say(cluster, aside, ready="True", reason="ReconciliationSucceeded", lastAppliedRevision=revision(aside))
        await until(lambda: ("task13", "succeeded") in ended(forges), "so does one that changed nothing here")
    assert sorted(ended(forges)) == [
        ("task12", "succeeded"),
        ("task13", "succeeded"),
        ("task20", "failed"),
        ("task21", "failed"),
    ]
    for plan in forges.azure_tasks.plans.values():  # were any of them told again, it would be taken
        plan.state = "inProgress"
    async with running(settings, environ) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 3\n"}, "Merged PR 14: scale")
        deliver(clusters, repository, commit)
        await until(lambda: len(ended(forges)) == 5, "the next one goes on")
    assert ended(forges)[4:] == [("task14", "succeeded")]


async def test_a_pipeline_waits_until_all_of_its_environment_is_there(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository, path="./apps")
    waiting(forges, 12)
    probe = waiting(forges, 20)
    settings = azure(tmp_path, clusters, repository, forges, TASKS)
    async with running(settings, make_environ(tmp_path, **TOKEN)) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Merged PR 12: scale")
        deliver((clusters[0], clusters[2]), repository, commit)
        forges.azure_tasks.abandon(probe)
        await until(lambda: ended(forges) == [("task20", "failed")], "another look has passed")
        clusters[1].fetch(commit, url=repository.url)
        say(clusters[1], commit, ready="False", reason="BuildFailed")
        await until(lambda: ("task12", "failed") in ended(forges), "it failed")
    assert len(ended(forges)) == 2


async def test_statuses_of_a_commit_stand_side_by_side_and_its_mark_is_right(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository, path="./apps")
    route = {"name": "commits", "to": "azure_devops_status"}
    settings = azure(tmp_path, clusters, repository, forges, route)

    def shown(sha: str) -> dict[str, str]:
        found = forges.azure_statuses.shown("acme/shop/fleet", sha)
        return {item["context"]["name"]: item["state"] for item in found}

    async with running(settings, make_environ(tmp_path, **TOKEN)) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        await until(lambda: shown(commit.sha) == {"production": "pending", "staging": "pending"}, "pending")
        deliver((clusters[0], clusters[2]), repository, commit)
        await until(lambda: shown(commit.sha).get("staging") == "succeeded", "staging is there")
        await until(lambda: forges.azure_statuses.mark("acme/shop/fleet", commit.sha) == "pending", "not all of it")
        deliver(clusters[1:2], repository, commit)
        await until(lambda: set(shown(commit.sha).values()) == {"succeeded"}, "all is there")
    assert forges.azure_statuses.mark("acme/shop/fleet", commit.sha) == "succeeded"
    assert forges.recorder.violation_counts.total() == 0
