"""What a forge is told while Flux delivers: over real clusters' watches, a real repository and GitHub's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.runtime.telling import begin, deliver, settings_of
from tests.runtime.worlds import Cluster, make_environ, push, running, until

from fluxtrail.reports.standings import revisiting
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Repository

TOKEN = {"GITHUB_TOKEN": "ghp_0123456789abcdefghijABCDEFGHIJ012345"}
CHECKS = {"name": "checks", "to": "github_status"}


def github(folder: Path, clusters: list[Cluster], repository: Repository, forges: Forges, *routes: Any) -> Settings:
    forge = {"kind": "github", "owner": "acme", "repo": "fleet"}
    return settings_of(folder, clusters, repository, *routes, forge=forge, github={"base_url": forges.url})


def told(forges: Forges, system: str = "github") -> dict[tuple[str, str], str]:
    """What stands, by (sha, context)."""
    return {(key[2], key[3]): status.last.state for key, status in forges.final_statuses(system).items()}


async def test_a_commit_is_pending_at_once_and_green_when_it_is_everywhere(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    async with running(github(tmp_path, clusters, repository, forges, CHECKS), make_environ(tmp_path, **TOKEN)) as here:
        await here.until_followed()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        production, staging = (commit.sha, "fluxtrail/production"), (commit.sha, "fluxtrail/staging")
        both = {production: "pending", staging: "pending"}
        await until(lambda: told(forges) == both, "pending everywhere")
        deliver((clusters[0], clusters[2]), repository, commit)
        await until(lambda: told(forges) == {production: "pending", staging: "success"}, "staging is green")
        deliver(clusters[1:2], repository, commit)
        await until(lambda: told(forges) == {production: "success", staging: "success"}, "all is green")
    [first, *_, last] = [item for item in forges.recorder.writes if item.context == "fluxtrail/production"]
    assert (first.repository, last.url) == ("acme/fleet", f"https://trail.example/commits/{commit.sha}")
    assert last.description.startswith("deployed on 2 clusters")


async def test_five_commits_in_one_interval_end_in_one_final_status_each(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    async with running(github(tmp_path, clusters, repository, forges, CHECKS), make_environ(tmp_path, **TOKEN)) as here:
        await here.until_followed()
        commits = [await push(repository, {"apps/web.yaml": f"replicas: {n}\n"}, f"No {n}") for n in range(2, 7)]
        await until(lambda: len(told(forges)) == 10, "pending everywhere")
        deliver(clusters, repository, commits[-1])
        expected = {
            (commit.sha, f"fluxtrail/{name}"): "success" for commit in commits for name in ("production", "staging")
        }
        await until(lambda: told(forges) == expected, "all is green")
    finals = [status.finals for status in forges.final_statuses("github").values()]
    assert finals == [1] * 10
    assert forges.recorder.violation_counts.total() == 0


async def test_what_was_said_is_not_said_again_after_a_restart(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    settings, environ = github(tmp_path, clusters, repository, forges, CHECKS), make_environ(tmp_path, **TOKEN)
    async with running(settings, environ) as here:
        await here.until_followed()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        deliver(clusters, repository, commit)
        await until(lambda: list(told(forges).values()) == ["success", "success"], "all is green")
    count = forges.recorder.total_writes
    async with running(settings, environ) as here:
        await here.until_followed()
        again = await push(repository, {"apps/web.yaml": "replicas: 3\n"}, "Three")
        await until(lambda: (again.sha, "fluxtrail/staging") in told(forges), "the next one is told")
    mine = [item for item in list(forges.recorder.writes)[count:] if item.sha == commit.sha]
    assert mine == []


async def test_a_deployment_is_made_once_and_told_of_in_place(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    route = {"name": "deployments", "to": "github_deployment", "production": ["production"]}
    settings = github(tmp_path, clusters, repository, forges, route)
    await begin(clusters, repository)
    async with running(settings, make_environ(tmp_path, **TOKEN)) as here:
        await here.until_followed()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        await until(lambda: len([w for w in forges.recorder.writes if w.environment]) >= 2, "deployments")
        deliver(clusters, repository, commit)
        await until(
            lambda: [w.state for w in forges.recorder.writes if w.sha == commit.sha].count("success") >= 2, "success"
        )
    made = [w.environment for w in forges.recorder.writes if w.call == "deployment"]
    assert sorted(made) == ["production", "staging"]


async def test_a_cluster_that_is_taken_out_of_the_settings_holds_nothing_open(
    tmp_path: Path,
    clusters: list[Cluster],
    repository: Repository,
    forges: Forges,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revisiting, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(revisiting, "QUIET_SECONDS", 0.4)
    await begin(clusters, repository)
    environ = make_environ(tmp_path, **TOKEN)
    async with running(github(tmp_path, clusters, repository, forges, CHECKS), environ) as here:
        await here.until_followed()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        deliver(clusters[:1], repository, commit)
        production, staging = (commit.sha, "fluxtrail/production"), (commit.sha, "fluxtrail/staging")
        await until(lambda: told(forges) == {production: "pending", staging: "pending"}, "two clusters are late")
    async with running(github(tmp_path, clusters[:1], repository, forges, CHECKS), environ):
        await until(lambda: told(forges) == {production: "success", staging: "success"}, "none is waited for")
    last = {item.context: item.description for item in forges.recorder.writes}
    assert last["fluxtrail/staging"] == "not delivered: cluster staging is retired"
