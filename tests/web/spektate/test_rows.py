"""Spektate's rows: what is in them, and what Spektate got wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.ledger.world import sha
from tests.model.ci import NOON, minutes, run

from fluxtrail.model.ci import Approval, CiRole, CiRun, CiStage, CiState, CiSystem, PullRequest
from fluxtrail.model.ci_views import AppliedHead, Origin, OriginExport
from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.views import CellView, CommitView
from fluxtrail.web.spektate.builds import build_of, js_time, repo_of, spent
from fluxtrail.web.spektate.rows import Commit, cluster_sync, rows_of
from fluxtrail.web.spektate.shapes import Deployment

SHOP, HLD, MANIFESTS = "github.com/acme/shop", "github.com/acme/hld", "github.com/acme/manifests"
NOW = minutes(60)
BUILD = run("1", sha=sha(1), image="ghcr.io/acme/shop:main-1", author="ada", queued_at=NOON, updated_at=minutes(5))
RELEASE = replace(
    BUILD, run_id="2", role=CiRole.EXPORT, pipeline="release", queued_at=minutes(6), finished_at=minutes(8),
    updated_at=minutes(8), carrier_repository=HLD, carrier_sha=sha(2), image="ghcr.io/acme/shop:main-1",
)  # fmt: skip
MANIFEST = replace(
    RELEASE, run_id="3", pipeline="manifests", queued_at=minutes(9), finished_at=minutes(10.25),
    updated_at=minutes(10.5), carrier_repository=MANIFESTS, carrier_sha=sha(3),
)  # fmt: skip
EXPORT = OriginExport(sha=sha(3), repository=MANIFESTS, committed_at=minutes(10))
PULL = PullRequest(
    repository=SHOP, number=12, title="Sell more", author="ada", source_branch="more", target_branch="main",
    state="merged", merged_by="grace", url="https://github.com/acme/shop/pull/12",
    approvals=(Approval(by="grace", state="approved"),),
)  # fmt: skip


def commit(*runs: CiRun, exports: tuple[OriginExport, ...] = (), cells: Any = (), **more: Any) -> Commit:
    pull, exported_at = more.pop("pull_request", None), more.pop("exported_at", None)
    view = CommitView(
        sha=sha(1), repository=SHOP, subject="Sell more (#12)", author="Ada", committed_at=NOON,
        merged=exact(NOON, Evidence.COMMITTER_DATE), pull_request=pull.number if pull else None, is_carrier=False,
        web_url=None, verdicts={}, **more,
    )  # fmt: skip
    origin = Origin(repository=SHOP, sha=sha(1), runs=runs, exports=exports, pull_request=pull, exported_at=exported_at)
    return Commit(view, origin, cells)


def row(*runs: CiRun, **more: Any) -> Deployment:
    (found,) = rows_of(commit(*runs, **more), now=NOW)
    return found


def test_a_whole_row() -> None:
    found = msgspec.to_builtins(row(BUILD, RELEASE, MANIFEST, exports=(EXPORT,), pull_request=PULL))
    parts = {name: found.pop(name) for name in ("srcToDockerBuild", "dockerToHldRelease", "hldToManifestBuild")}
    assert {name: part["id"] for name, part in parts.items()} == {
        "srcToDockerBuild": "1",
        "dockerToHldRelease": "2",
        "hldToManifestBuild": "3",
    }
    assert len(found.pop("deploymentId")) == 12
    assert found == {
        "commitId": sha(1)[:7],
        "hldCommitId": sha(2)[:7],
        "manifestCommitId": sha(3)[:7],
        "imageTag": "main-1",
        "timeStamp": "2026-03-01T12:10:30.000Z",
        "author": {"name": "Ada", "username": "ada", "url": "https://github.com/ada", "imageUrl": ""},
        "environment": "",
        "service": "shop",
        "duration": "8.25",
        "status": "Complete",
        "endTime": "2026-03-01T12:10:30.000Z",
        "pr": "12",
        "sourceRepo": "https://github.com/acme/shop",
        "hldRepo": "https://github.com/acme/hld",
        "manifestRepo": "https://github.com/acme/manifests",
        "pullRequest": {
            "id": 12, "title": "Sell more", "sourceBranch": "more", "targetBranch": "main", "description": "",
            "mergedBy": {"name": "grace", "username": "grace", "url": "https://github.com/grace", "imageUrl": ""},
            "url": "https://github.com/acme/shop/pull/12",
        },
    }  # fmt: skip


def test_a_build_has_the_fields_of_azure_pipelines() -> None:
    stages = (CiStage(name="build", state=CiState.SUCCEEDED), CiStage(name="hld_update", state=CiState.FAILED))
    seen = replace(
        BUILD, system=CiSystem.AZURE_PIPELINES, repository="dev.azure.com/acme/store/shop", branch="master",
        number="20191031.3", started_at=minutes(1), stages=stages,
        url="https://dev.azure.com/acme/guid/_build/results?buildId=1",
    )  # fmt: skip
    assert msgspec.to_builtins(build_of(seen)) == {
        "buildNumber": "20191031.3",
        "id": "1",
        "author": "ada",
        "queueTime": "2026-03-01T12:00:00.000Z",
        "startTime": "2026-03-01T12:01:00.000Z",
        "finishTime": "2026-03-01T12:05:00.000Z",
        "lastUpdateTime": "2026-03-01T12:05:00.000Z",
        "result": "succeeded",
        "status": "completed",
        "sourceBranch": "refs/heads/master",
        "sourceVersion": sha(1),
        "sourceVersionURL": f"https://dev.azure.com/acme/store/_git/shop/commit/{sha(1)}",
        "URL": "https://dev.azure.com/acme/guid/_build/results?buildId=1",
        "timelineURL": "https://dev.azure.com/acme/guid/_apis/build/builds/1/Timeline",
        "repository": {"org": "acme", "project": "store", "repo": "shop"},
        "stages": {
            "1": {"name": "build", "id": "1", "state": "completed", "result": "succeeded", "order": 1},
            "2": {"name": "hld_update", "id": "2", "state": "completed", "result": "failed", "order": 2},
        },
    }


@pytest.mark.parametrize(
    ("runs", "exports", "status"),
    [
        ([BUILD], (), "Incomplete"),  # D.7.2: a green source build alone was complete
        ([BUILD, RELEASE], (), "Complete"),
        ([BUILD], (EXPORT,), "Complete"),
        ([replace(BUILD, state=CiState.FAILED)], (), "failed"),
        ([replace(BUILD, state=CiState.CANCELLED)], (), "canceled"),
        ([replace(BUILD, state=CiState.SKIPPED)], (), "Incomplete"),
        ([replace(BUILD, state=CiState.UNKNOWN)], (), "Incomplete"),
        ([replace(BUILD, state=CiState.RUNNING, finished_at=None)], (), "In Progress"),
        ([replace(BUILD, state=CiState.QUEUED, finished_at=None)], (), "In Progress"),
        ([replace(BUILD, state=CiState.WAITING, finished_at=None)], (), "In Progress"),
        ([BUILD, replace(RELEASE, state=CiState.FAILED)], (), "failed"),
        ([BUILD, RELEASE, replace(MANIFEST, state=CiState.FAILED)], (), "failed"),
        ([BUILD, RELEASE, replace(MANIFEST, state=CiState.CANCELLED)], (), "canceled"),
        ([BUILD, replace(RELEASE, state=CiState.FAILED), MANIFEST], (), "Complete"),
        ([BUILD, replace(RELEASE, pull_request=7)], (), "Incomplete"),
        ([BUILD, replace(RELEASE, pull_request=7)], (EXPORT,), "Complete"),
        ([BUILD, replace(RELEASE, pull_request=7), MANIFEST], (), "Complete"),
        ([replace(BUILD, state=CiState.FAILED, finished_at=minutes(1)), replace(BUILD, run_id="9", queued_at=minutes(2),
          state=CiState.RUNNING, finished_at=None)], (), "In Progress"),
    ],
)  # fmt: skip
def test_status_says_how_it_stands(runs: list[CiRun], exports: tuple[OriginExport, ...], status: str) -> None:
    assert row(*runs, exports=exports).status == status


@pytest.mark.parametrize(
    ("state", "status"),
    [(CiState.RUNNING, "In Progress"), (CiState.FAILED, "failed"), (CiState.CANCELLED, "canceled"),
     (CiState.SUCCEEDED, "Complete")],
)  # fmt: skip
def test_that_the_definitions_are_written_does_not_make_the_manifests(state: CiState, status: str) -> None:
    """The ledger calls a commit exported when the first run that exports it succeeded: that may be the first of two."""
    manifests = replace(MANIFEST, state=state)
    assert row(BUILD, RELEASE, manifests, exported_at=RELEASE.finished_at).status == status


def test_a_row_is_not_made_complete_by_the_export_of_another_service() -> None:
    cart, pay = replace(BUILD, service="cart"), replace(BUILD, run_id="5", service="pay", pipeline="pay")
    exported = replace(MANIFEST, service="cart")
    found = rows_of(commit(cart, pay, exported, exported_at=exported.finished_at), now=NOW)
    assert [(one.service, one.status) for one in found] == [("cart", "Complete"), ("pay", "Incomplete")]


def test_a_run_that_states_its_manifests_from_inside_goes_on() -> None:
    going = replace(BUILD, state=CiState.RUNNING, finished_at=None)
    stated = replace(BUILD, role=CiRole.EXPORT, carrier_repository=MANIFESTS, carrier_sha=sha(3))
    assert row(going, stated).status == "In Progress"
    assert row(BUILD, stated).status == "Complete"
    assert row(going, replace(stated, run_id="9")).status == "Complete", "another run, which is over"


def test_the_definitions_wait_for_their_pull_request() -> None:
    found = row(BUILD, replace(RELEASE, pull_request=7))
    assert found.docker_to_hld_release is not None
    assert (found.docker_to_hld_release.id, found.pr, found.hld_to_manifest_build) == ("2", "7", None)
    assert (found.hld_commit_id, found.manifest_commit_id) == (sha(2)[:7], "")


def test_manifests_are_made_of_the_definitions() -> None:
    """The front end links the definitions' commit from there."""
    found = row(BUILD, RELEASE, MANIFEST).hld_to_manifest_build
    assert found is not None
    assert (found.source_version, found.repository) == (sha(2), {"username": "acme", "reponame": "hld"})
    assert found.source_version_url == f"https://github.com/acme/hld/commit/{sha(2)}"
    alone = row(BUILD, MANIFEST).hld_to_manifest_build
    assert alone is not None
    assert alone.source_version == sha(1), "of the source itself, where nothing is between"


@pytest.mark.parametrize("system", [CiSystem.GITHUB_ACTIONS, CiSystem.GITLAB_CI, CiSystem.AZURE_PIPELINES])
@pytest.mark.parametrize(
    ("state", "status", "result"),
    [
        (CiState.QUEUED, "notStarted", None),
        (CiState.WAITING, "inProgress", None),
        (CiState.RUNNING, "inProgress", None),
        (CiState.SUCCEEDED, "completed", "succeeded"),
        (CiState.FAILED, "completed", "failed"),
        (CiState.CANCELLED, "completed", "canceled"),
        (CiState.SKIPPED, "completed", "skipped"),
        (CiState.UNKNOWN, "none", None),
    ],
)
def test_every_state_of_every_system_has_its_word(
    system: CiSystem, state: CiState, status: str, result: str | None
) -> None:
    """D.7.2: `failure`, `cancelled`, `in_progress` and `running` of GitHub and GitLab had none."""
    seen = build_of(replace(BUILD, system=system, state=state))
    assert (seen.status, seen.result) == (status, result)


def test_a_run_that_goes_on_lasts_until_now() -> None:
    """D.7.3: one that had no finish yet ended in 1970."""
    running = replace(BUILD, state=CiState.RUNNING, finished_at=None, updated_at=minutes(1))
    assert row(running).duration == "60.00"
    assert msgspec.to_builtins(build_of(running))["finishTime"] is None, "there, and null, as `Date.toJSON` has it"
    assert row(replace(running, queued_at=minutes(70))).duration == "0.00", "clocks may differ; no time is negative"
    assert row(replace(running, queued_at=None)).duration == "0.00"
    assert spent(replace(BUILD, queued_at=None, started_at=minutes(2)), NOW) == timedelta(minutes=3)


def test_the_duration_of_a_row_is_that_of_its_runs() -> None:
    """D.5: the sum over the three, in minutes with two decimals."""
    thirds = [
        replace(BUILD, queued_at=NOON, finished_at=NOON + timedelta(seconds=200.3)),
        replace(RELEASE, finished_at=minutes(6) + timedelta(seconds=54.1)),
        replace(MANIFEST, finished_at=minutes(9) + timedelta(seconds=300)),
    ]
    assert row(*thirds).duration == "9.24"


def test_one_run_of_several_stages_counts_once() -> None:
    both = replace(BUILD, role=CiRole.EXPORT, carrier_repository=HLD, carrier_sha=sha(2))
    found = row(BUILD, both, MANIFEST)
    assert found.docker_to_hld_release is None
    assert found.docker_to_hld_release_stage is not None
    assert found.docker_to_hld_release_stage.id == "1"
    assert found.duration == "6.25"


def test_one_run_that_builds_and_makes_manifests_counts_once() -> None:
    both = replace(BUILD, role=CiRole.EXPORT, carrier_repository=MANIFESTS, carrier_sha=sha(3))
    assert row(BUILD, both).duration == "5.00"
    stated = replace(both, queued_at=None, finished_at=minutes(3))
    assert row(BUILD, stated).duration == "5.00", "the build's own times, which are asked for"


@pytest.mark.parametrize(
    ("system", "source", "other"),
    [
        (CiSystem.AZURE_PIPELINES, ("completed", "succeeded"), ("completed", "failed")),
        (CiSystem.GITHUB_ACTIONS, ("completed", "failed"), ("completed", "failed")),
    ],
)
def test_stages_of_a_run_that_failed_are_told_apart(
    system: CiSystem, source: tuple[str, str], other: tuple[str, str]
) -> None:
    """There only Azure Pipelines had stages: the first builds, the second writes the definitions."""
    stages = (CiStage(name="build", state=CiState.SUCCEEDED), CiStage(name="hld_update", state=CiState.FAILED))
    failed = replace(BUILD, system=system, state=CiState.FAILED, stages=stages)
    both = replace(failed, role=CiRole.EXPORT, carrier_repository=HLD, carrier_sha=sha(2))
    for found in (row(failed, both), row(failed, replace(both, pull_request=7))):
        second = found.docker_to_hld_release_stage or found.hld_to_manifest_build
        assert found.src_to_docker_build is not None
        assert second is not None
        assert (found.src_to_docker_build.status, found.src_to_docker_build.result) == source
        assert (second.status, second.result, found.status) == (*other, "failed")


def test_two_pipelines_with_one_number_are_two_runs() -> None:
    """D.7.6 and 8: ids were compared by themselves, of whatever system and project they were."""
    other = replace(RELEASE, run_id=BUILD.run_id, project="acme/deployer")
    found = row(BUILD, other, MANIFEST)
    assert found.docker_to_hld_release_stage is None
    assert found.docker_to_hld_release is not None


@pytest.mark.parametrize(
    ("runs", "exports", "end"),
    [
        ([BUILD, RELEASE, MANIFEST], (EXPORT,), 10.5),
        ([BUILD, RELEASE, replace(MANIFEST, updated_at=minutes(9), queued_at=minutes(8.5))], (EXPORT,), 9),
        ([BUILD], (), 5),
        ([], (EXPORT,), 10),
    ],
)
def test_the_end_is_that_of_the_last_part(runs: list[CiRun], exports: tuple[OriginExport, ...], end: float) -> None:
    """Not the moment of the question: a row without runs would be the newest for ever."""
    assert row(*runs, exports=exports).end_time == js_time(minutes(end))


def test_a_row_without_builds_is_still_there() -> None:
    """D.7.4: one build that could not be read took all rows with it, one that had expired its own."""
    found = row(exports=(EXPORT,))
    assert (found.status, found.src_to_docker_build, found.manifest_commit_id) == ("Complete", None, sha(3)[:7])


def test_what_was_exported_with_a_later_commit_is_complete() -> None:
    found = row(BUILD, exported_at=minutes(20))
    assert (found.status, found.end_time) == ("Complete", js_time(BUILD.updated_at))
    assert row(exported_at=minutes(20)).end_time == js_time(minutes(20))


def test_a_commit_to_which_nothing_happened_has_no_row() -> None:
    assert rows_of(commit(), now=NOW) == []
    waiting = CellView(verdict="pending", reason="awaiting_export")
    assert rows_of(commit(cells=[("prod", waiting)]), now=NOW) == []


def test_what_flux_applies_itself_is_its_own_manifest() -> None:
    found = row(cells=[("prod", CellView(verdict="deployed"))])
    assert (found.manifest_commit_id, found.service, found.environment) == (sha(1)[:7], "", "prod")
    assert found.status == "Complete"
    assert row(BUILD, cells=[("prod", CellView(verdict="deployed"))]).status == "Complete"


def test_rows_are_of_services_and_environments() -> None:
    cart = replace(BUILD, service="cart")
    pay = replace(BUILD, run_id="5", service="pay", image="ghcr.io/acme/pay:9", pipeline="pay")
    cells = [("dev", CellView(verdict="deployed")), ("prod", CellView(verdict="pending")),
             ("lab", CellView(verdict="unaffected"))]  # fmt: skip
    found = rows_of(commit(cart, pay, exports=(EXPORT,), cells=cells), now=NOW)
    assert [(one.service, one.environment, one.image_tag) for one in found] == [
        ("cart", "dev", "main-1"), ("cart", "prod", "main-1"), ("pay", "dev", "9"), ("pay", "prod", "9"),
    ]  # fmt: skip
    assert len({one.deployment_id for one in found}) == 4
    stated = rows_of(commit(cart, replace(MANIFEST, environment="stage"), cells=cells), now=NOW)
    assert [(one.service, one.environment) for one in stated] == [("cart", "stage")]


def test_an_export_that_flux_does_not_follow_is_the_definitions() -> None:
    found = row(BUILD, RELEASE, exports=(EXPORT,))
    assert (found.hld_commit_id, found.manifest_commit_id) == (sha(2)[:7], sha(3)[:7])
    assert found.hld_to_manifest_build is None


def test_the_pull_request_of_an_export_is_the_rows() -> None:
    found = row(BUILD, replace(RELEASE, pull_request=7), MANIFEST, pull_request=PULL)
    assert (found.pr, found.pull_request) == ("7", None)


@pytest.mark.parametrize(
    ("canonical", "repo"),
    [
        ("github.com/username/reponame", {"username": "username", "reponame": "reponame"}),
        ("dev.azure.com/epicstuff/project/reponame", {"org": "epicstuff", "project": "project", "repo": "reponame"}),
        ("gitlab.com/group/sub/shop", {"projectId": "group/sub/shop"}),
    ],
)
def test_repositories_are_told_apart(canonical: str, repo: dict[str, str]) -> None:
    assert repo_of(canonical) == repo


def test_clusters_are_tags() -> None:
    heads = [
        AppliedHead(cluster="alaska", repository=MANIFESTS, sha=sha(3), at=minutes(11), targets=2),
        AppliedHead(cluster="east-us", repository=MANIFESTS, sha=sha(4), at=minutes(12)),
    ]
    sync = msgspec.to_builtins(cluster_sync(heads))
    assert sync["releasesURL"] == "/clusters"
    assert [(tag["name"], tag["commit"]) for tag in sync["tags"]] == [("ALASKA", sha(3)[:7]), ("EAST-US", sha(4)[:7])]
    assert sync["tags"][0]["date"] == "2026-03-01T12:11:00.000Z"


def test_of_exports_that_runs_state_each_row_has_its_own() -> None:
    """One environment's export is no other's, and definitions that Flux applies, too, are no manifests."""
    dev = replace(MANIFEST, environment="dev")
    prod = replace(dev, run_id="4", environment="prod", state=CiState.FAILED, carrier_sha=sha(4))
    stated = (replace(EXPORT, is_stated=True), replace(EXPORT, sha=sha(5), is_stated=True))
    found = rows_of(commit(replace(BUILD, service="shop"), dev, prod, exports=stated), now=NOW)
    told = [(row.environment, row.manifest_commit_id, row.status) for row in found]
    assert told == [("dev", sha(3)[:7], "Complete"), ("prod", sha(4)[:7], "failed")]
