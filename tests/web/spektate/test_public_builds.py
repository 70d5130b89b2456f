"""Builds of the three CI systems as they really were, through our readers, to the rows of Spektate's clients.

The files are those that Spektate's own tests read; they lie beside the project, and none is part of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.docs.pages import ROOT
from tests.remotes.azure_devops.keeping import clients as azure_clients
from tests.remotes.forges import FakeForge, Says, Times, serve
from tests.remotes.github.keeping import clients as github_clients
from tests.remotes.gitlab.keeping import clients as gitlab_clients

from fluxtrail.model.ci import CiRun, CiState
from fluxtrail.remotes.azure_devops.builds import AzureProjectBuilds
from fluxtrail.remotes.github.actions import GitHubActions
from fluxtrail.remotes.gitlab.pipelines import GitLabPipelines
from fluxtrail.web.spektate.builds import build_of

FIXTURES = Path(os.environ.get("FLUXTRAIL_TEST_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "ci"
EVER = datetime(2000, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.requires("public builds")


def facts(name: str) -> Any:
    path = FIXTURES / name
    if not path.is_file():
        pytest.skip("the public builds are not beside the project; FLUXTRAIL_TEST_FIXTURES names their folder")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
async def forge() -> AsyncIterator[FakeForge]:
    async with serve(FakeForge()) as running:
        yield running


def as_answered(build: dict[str, Any]) -> dict[str, Any]:
    """A build as Azure DevOps answers it, from what Spektate's file keeps of the answer."""
    kept = ("id", "buildNumber", "queueTime", "startTime", "finishTime", "status", "result", "sourceBranch")
    name = f"{build['repository']['username']}/{build['repository']['reponame']}"
    return {
        **{field: build[field] for field in kept},
        "sourceVersion": build["sourceVersion"],
        "lastChangedDate": build["lastUpdateTime"],
        "requestedFor": {"displayName": build["author"]},
        "repository": {"id": name, "type": "GitHub", "url": f"https://github.com/{name}"},
        "_links": {"web": {"href": build["URL"]}},
    }


async def read_builds(forge: FakeForge, repository: str, builds: list[Any]) -> list[CiRun]:
    forge.says(Says(json={"count": len(builds), "value": builds}))
    async with azure_clients(forge, Times()) as make:
        reader = AzureProjectBuilds(make(), canonical=f"github.com/{repository}")
        return list(await reader.recent_runs("acme/store", since=EVER, limit=1000))


@pytest.mark.parametrize(
    "repository",
    ["edaena/spartan-app", "samiyaakhtar/hello-bedrock", "samiyaakhtar/hello-spektate",
     "samiyaakhtar/azure-voting-app-redis"],
)  # fmt: skip
async def test_builds_of_azure_pipelines_are_what_its_clients_had(repository: str, forge: FakeForge) -> None:
    """Sixty builds of GitHub's repositories, in one project: field by field."""
    known = facts("azure-devops-builds.json")
    found = await read_builds(forge, repository, [as_answered(build) for build in known.values()])
    theirs = {
        number: build for number, build in known.items() if "/".join(_names(build["repository"])) == repository
    }  # fmt: skip
    assert {run.run_id for run in found} == set(theirs)
    for run in found:
        given = msgspec.to_builtins(build_of(run))
        expected = {
            **theirs[run.run_id],
            "id": run.run_id,
            "repository": dict(zip(("username", "reponame"), repository.split("/"), strict=True)),
            "sourceVersionURL": f"https://github.com/{repository}/commit/{run.sha}",
        }
        assert {name: given[name] for name in expected} == expected
    assert "repositoryType=GitHub" in forge.asked[0].path


def _names(repository: dict[str, str]) -> tuple[str, str]:
    return repository["username"].lower(), repository["reponame"].lower()


async def test_a_build_that_cannot_be_read_takes_no_other_with_it(forge: FakeForge) -> None:
    """D.7.4: one bad id blanked the board."""
    builds = [as_answered(build) for build in facts("azure-devops-builds.json").values()]
    builds[0] |= {"sourceVersion": "not there any more"}
    assert len(await read_builds(forge, "edaena/spartan-app", builds)) == 30


@pytest.mark.parametrize(
    ("name", "number", "repository"),
    [
        ("gh-actions-1115488431.json", "254907244", "andrebriggs/spartan-app"),
        ("gh-actions-1255355142.json", "307160224", "samiyaakhtar/hello-world-full-stack"),
    ],
)
async def test_a_run_of_github_is_known_by_its_own_number(
    name: str, number: str, repository: str, forge: FakeForge
) -> None:
    """D.7.6: ids were those of jobs. D.5: author and branch were fixed words."""
    job = facts(name)
    run = {
        "id": job["run_id"], "head_sha": job["head_sha"], "head_branch": "master", "event": "push", "name": "CI",
        "status": "completed", "conclusion": "success", "created_at": job["started_at"],
        "run_started_at": job["started_at"], "updated_at": job["completed_at"], "actor": {"login": "edaena"},
        "html_url": f"https://github.com/{repository}/actions/runs/{job['run_id']}",
    }  # fmt: skip
    forge.says(Says(json=run), Says(json={"total_count": 1, "jobs": [job]}))
    async with github_clients(forge, Times()) as make:
        found = await GitHubActions(make()).run(repository, number)
    assert found is not None
    given = msgspec.to_builtins(build_of(found))
    assert (given["id"], given["status"], given["result"]) == (number, "completed", "succeeded")
    assert (given["author"], given["sourceBranch"]) == ("edaena", "refs/heads/master")
    assert given["finishTime"] == job["completed_at"].replace("Z", ".000Z")
    assert given["stages"] == {
        "1": {"name": "Build", "id": "1", "state": "completed", "result": "succeeded", "order": 1}
    }  # fmt: skip
    assert found.stages[0].url == job["html_url"]


async def test_a_job_that_goes_on_has_no_end(forge: FakeForge) -> None:
    """D.7.3: its end was in 1970."""
    job = facts("gh-actions-1115488431.json") | {"status": "in_progress", "conclusion": None, "completed_at": None}
    run = {
        "id": job["run_id"], "head_sha": job["head_sha"], "status": "in_progress", "conclusion": None,
        "created_at": job["started_at"], "updated_at": job["started_at"],
    }  # fmt: skip
    forge.says(Says(json=run), Says(json={"jobs": [job]}))
    async with github_clients(forge, Times()) as make:
        found = await GitHubActions(make()).run("andrebriggs/spartan-app", str(job["run_id"]))
    assert found is not None
    assert (found.state, found.finished_at, found.stages[0].finished_at) == (CiState.RUNNING, None, None)
    assert msgspec.to_builtins(build_of(found))["finishTime"] is None


@pytest.mark.parametrize(
    ("name", "number", "spent"),
    [("gitlab-pipeline-1.json", "208859532", 415.032), ("gitlab-pipeline-2.json", "208955061", 376.302)],
)
async def test_a_pipeline_of_gitlab_is_what_it_was(name: str, number: str, spent: float, forge: FakeForge) -> None:
    pipeline, project = facts(name), "samiyaakhtar/hello-world-full-stack"
    forge.says(Says(json=pipeline), Says(json=[]))
    async with gitlab_clients(forge, Times()) as make:
        # Not one of gitlab.com alone, and its token is shown as GitLab takes tokens (D.7.7).
        found = await GitLabPipelines(make(credentials=[{"host": "gitlab.test", "token": "s" * 20}])).run(
            project, number
        )
    assert found is not None
    given = msgspec.to_builtins(build_of(found))
    assert (given["id"], given["status"], given["result"], given["author"]) == (
        number, "completed", "succeeded", "samiyaakhtar",
    )  # fmt: skip
    assert (given["sourceVersion"], given["sourceBranch"]) == (pipeline["sha"], "refs/heads/master")
    assert (given["finishTime"], given["URL"]) == (pipeline["finished_at"], pipeline["web_url"])
    assert found.finished_at is not None
    assert found.queued_at is not None
    assert found.finished_at - found.queued_at == timedelta(seconds=spent)
    assert forge.asked[0].headers["authorization"] == f"Bearer {'s' * 20}"
