"""What Azure DevOps is told while Flux delivers: statuses of commits, and pipelines that wait for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    ago,
    make_environ,
    make_repository,
    make_settings,
    push,
    revision,
    running,
    until,
)

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.azure_tasks import AzurePullRequest, Plan
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Commit, Repository
from fluxtrail.simulator.statuses import Conditions

TOKEN = {"AZURE_DEVOPS_TOKEN": "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef"}
CLUSTERS = ("prod-eu", "prod-us", "staging")
ENVIRONMENTS = [{"name": "production", "clusters": ["prod-*"]}]
PLACE = "acme/shop/deployments"
TASKS = {
    "name": "approvals",
    "to": "azure_devops_task",
    "repository": f"ado.test/{PLACE}",
    "environments": ["production"],
    "interval_seconds": 5,
}


@pytest.fixture
async def forges() -> AsyncIterator[Forges]:
    async with Forges(SimulatedClock()) as found:
        yield found


@pytest.fixture
async def clusters() -> AsyncIterator[list[Cluster]]:
    made = [Cluster(name) for name in CLUSTERS]
    for cluster in made:
        await cluster.server.start()
    yield made
    for cluster in made:
        await cluster.server.stop()


@pytest.fixture
async def repository(tmp_path: Path) -> Repository:
    return await make_repository(tmp_path / "repositories")


def settings_of(
    folder: Path, clusters: list[Cluster], repository: Repository, forges: Forges, route: dict[str, Any]
) -> Any:
    forge = {"kind": "azure_devops", "owner": "acme/shop", "repo": "fleet"}
    return make_settings(
        folder,
        *clusters,
        forges=[{"host": "ado.test", "kind": "azure_devops", "api_url": f"{forges.url}/azure"}],
        repositories=[{"url": repository.url, "branch": "main", "forge": forge}],
        environments=ENVIRONMENTS,
        routes=[route],
        public_url="https://trail.example",
    )


async def begin(clusters: list[Cluster], repository: Repository) -> None:
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "First")
    for cluster in clusters:
        cluster.fetch(first, url=repository.url)
        cluster.apply(first, path="./apps")


def say(cluster: Cluster, commit: Commit, *, ready: str, reason: str, **more: Any) -> None:
    """Let the Kustomization say what came of a commit; its manifests are as before."""
    found = cluster.store.get("kustomizations", "apps", NAMESPACE)["status"]
    conditions = Conditions(found["conditions"], generation=1)
    conditions.set("Ready", ready, reason, f"{reason} of {revision(commit)}", at=ago(0))
    status = {"lastAttemptedRevision": revision(commit), "conditions": conditions.listed(), **more}
    cluster.store.patch_status("kustomizations", "apps", NAMESPACE, status)


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
    await begin(clusters, repository)
    settings, environ = settings_of(tmp_path, clusters, repository, forges, TASKS), make_environ(tmp_path, **TOKEN)
    for number in (12, 13, 14):
        waiting(forges, number)
    for number, hours in ((20, 1.0), (21, 71.0), (22, 100.0)):
        forges.azure_tasks.abandon(waiting(forges, number), hours_ago=hours)
    async with running(settings, environ) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Merged PR 12: scale / up (äöü)")
        await until(lambda: len(ended(forges)) == 2, "abandoned ones fail")
        for cluster in clusters:
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
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
        for cluster in clusters:
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
        await until(lambda: len(ended(forges)) == 5, "the next one goes on")
    assert ended(forges)[4:] == [("task14", "succeeded")]


async def test_a_pipeline_waits_until_all_of_its_environment_is_there(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    waiting(forges, 12)
    probe = waiting(forges, 20)
    settings = settings_of(tmp_path, clusters, repository, forges, TASKS)
    async with running(settings, make_environ(tmp_path, **TOKEN)) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Merged PR 12: scale")
        for cluster in (clusters[0], clusters[2]):
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
        forges.azure_tasks.abandon(probe)
        await until(lambda: ended(forges) == [("task20", "failed")], "another look has passed")
        clusters[1].fetch(commit, url=repository.url)
        say(clusters[1], commit, ready="False", reason="BuildFailed")
        await until(lambda: ("task12", "failed") in ended(forges), "it failed")
    assert len(ended(forges)) == 2


async def test_statuses_of_a_commit_stand_side_by_side_and_its_mark_is_right(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    route = {"name": "commits", "to": "azure_devops_status"}
    settings = settings_of(tmp_path, clusters, repository, forges, route)

    def shown(sha: str) -> dict[str, str]:
        found = forges.azure_statuses.shown("acme/shop/fleet", sha)
        return {item["context"]["name"]: item["state"] for item in found}

    async with running(settings, make_environ(tmp_path, **TOKEN)) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        await until(lambda: shown(commit.sha) == {"production": "pending", "staging": "pending"}, "pending")
        for cluster in (clusters[0], clusters[2]):
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
        await until(lambda: shown(commit.sha).get("staging") == "succeeded", "staging is there")
        await until(lambda: forges.azure_statuses.mark("acme/shop/fleet", commit.sha) == "pending", "not all of it")
        clusters[1].fetch(commit, url=repository.url)
        clusters[1].apply(commit)
        await until(lambda: set(shown(commit.sha).values()) == {"succeeded"}, "all is there")
    assert forges.azure_statuses.mark("acme/shop/fleet", commit.sha) == "succeeded"
    assert forges.recorder.violation_counts.total() == 0
