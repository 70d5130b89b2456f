"""The cases of Spektate's own tests that apply here, each as what our rows and answers say of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.ledger.world import sha
from tests.model.ci import run
from tests.web.spektate.test_app import Place, fill, place, rows
from tests.web.spektate.test_app import sha as spaced
from tests.web.spektate.test_rows import BUILD, EXPORT, MANIFEST, NOW, PULL, RELEASE, commit, row

from fluxtrail.model.ci import CiRole, CiRun, CiStage, CiState, CiSystem
from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.ci import CiSetting
from fluxtrail.web.spektate.builds import build_of, repo_of
from fluxtrail.web.spektate.rows import cluster_sync, rows_of
from fluxtrail.web.statements import RunReference, read_repository

__all__ = ["place"]


def when(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_row_that_spektate_was_tested_with() -> None:
    """p1 7254, p2 264, p3 7255: `Complete`, its end is that of p3's last change, 9.24 minutes."""
    built = run(
        "7254", sha="37a429fa259e983d34a4b3035dff9b3431508a2d", system=CiSystem.AZURE_PIPELINES, host="dev.azure.com",
        project="epicstuff/bedrock", queued_at=when("2019-10-31T18:08:22.082"),
        finished_at=when("2019-10-31T18:12:10.761"), updated_at=when("2019-10-31T18:12:11.083"),
    )  # fmt: skip
    released = replace(
        built, run_id="264", role=CiRole.EXPORT, pipeline="release", queued_at=when("2019-10-31T18:12:16"),
        finished_at=when("2019-10-31T18:14:31.5"), updated_at=when("2019-10-31T18:14:31.5"), carrier_sha="b" * 40,
    )  # fmt: skip
    manifests = replace(
        released, run_id="7255", pipeline="manifests", queued_at=when("2019-10-31T18:12:43.2"),
        finished_at=when("2019-10-31T18:15:53.5"), updated_at=when("2019-10-31T18:15:53.767"),
        carrier_sha="096c952" + "0" * 33,
    )  # fmt: skip
    found = row(built, released, manifests)
    assert (found.status, found.end_time, found.duration) == ("Complete", "2019-10-31T18:15:53.767Z", "9.24")
    assert found.manifest_commit_id == "096c952"
    parts = (found.src_to_docker_build, found.docker_to_hld_release, found.hld_to_manifest_build)
    assert [part and part.id for part in parts] == ["7254", "264", "7255"]


@pytest.mark.parametrize(
    ("given", "is_found"),
    [
        ({"environment": "Dev"}, True),
        ({"environment": "DEV"}, True),
        ({"environment": "prod"}, False),
        ({"image": "tag"}, True),
        ({"image": "TAG"}, True),
        ({"image": "tag2"}, False),
        ({"run_id": "211"}, True),
        ({"run_id": "21"}, False),
        ({"sha": "ABCDEFA"}, True),
        ({"service": "service"}, True),
        ({"service": "group/Service"}, True),
        ({"run_id": "211", "environment": "prod"}, False),
    ],
)
def test_the_writer_finds_what_it_filters_by(given: dict[str, Any], is_found: bool) -> None:
    """Values were stored in lower case, and those that were asked for were not all."""
    stated = run(
        "211", sha="abcdefa" + "0" * 33, environment="dev", service="Service", image="ghcr.io/acme/shop:tag"
    )  # fmt: skip
    assert RunReference(**given).fits(stated) is is_found


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("?env=Alaska", [2, 1]),
        ("?imageTag=MAIN-2", [2]),
        ("?p1=2", [2]),
        ("?p1=2&p1=3", [2, 3]),
        (f"?commitId={spaced(3)[:7].upper()}", [3]),
        (f"?commitId={spaced(3)[:7]}&service=Shop", [3]),
        (f"?commitId={spaced(3)[:7]}&p1=1", []),
        ("?imageTag=tag", []),
    ],
)
async def test_columns_are_filters(place: Place, query: str, numbers: list[int]) -> None:
    await fill(place)
    async with place.ledger.unit() as unit:
        (known,) = (await unit.ci_runs_of("github.com/acme/shop", [spaced(2)]))[spaced(2)]
        await unit.put_ci_runs([replace(known, image="ghcr.io/acme/shop:main-2", updated_at=NOW)])
    assert [found["commitId"] for found in await rows(place, query)] == [spaced(number)[:7] for number in numbers]


async def test_a_row_is_found_by_its_id(place: Place) -> None:
    await fill(place)
    (_, second, _) = await rows(place)
    assert await rows(place, f"?deploymentId={second['deploymentId'].upper()}") == [second]
    assert (await place.get("/api/flux?deploymentId=1"))[0] == 400, "a filter of rows alone"


@pytest.mark.parametrize(
    ("text", "repo"),
    [
        ("https://github.com/username/reponame", {"username": "username", "reponame": "reponame"}),
        ("https://dev.azure.com/epicstuff/project/_git/reponame",
         {"org": "epicstuff", "project": "project", "repo": "reponame"}),
        ("dev.azure.com/epicstuff/project/_git/reponame",
         {"org": "epicstuff", "project": "project", "repo": "reponame"}),
        ("https://gitlab.com/group/reponame", {"projectId": "group/reponame"}),
    ],
)  # fmt: skip
def test_addresses_of_repositories_are_understood(text: str, repo: dict[str, str]) -> None:
    assert repo_of(read_repository(text, "sourceRepo")) == repo


@pytest.mark.parametrize("text", ["", "123", "reponame"])
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        read_repository(text, "sourceRepo")


def test_stages_keep_their_order_and_their_ends() -> None:
    stages = [CiStage(name="build", state=CiState.SUCCEEDED), CiStage(name="hld_update", state=CiState.FAILED)]
    found = build_of(replace(BUILD, stages=tuple(stages))).stages
    assert found is not None
    assert [(number, stage.name, stage.result) for number, stage in found.items()] == [
        ("1", "build", "succeeded"),
        ("2", "hld_update", "failed"),
    ]


@pytest.mark.parametrize(
    ("runs", "has_exports"), [([BUILD], False), ([], True), ([RELEASE], False), ([MANIFEST], True)]
)  # fmt: skip
def test_the_author_is_the_commits_whatever_is_known_of_its_builds(runs: Sequence[CiRun], has_exports: bool) -> None:
    """There it hung on the first of four places that told a repository; without any there was none."""
    found = row(*runs, exports=(EXPORT,) if has_exports else ())
    assert found.author is not None
    assert found.author.name == "Ada"


IN_A_BUILD = {
    "URL", "author", "buildNumber", "finishTime", "id", "lastUpdateTime", "queueTime", "sourceBranch", "sourceVersion",
    "sourceVersionURL", "startTime", "status", "timelineURL",
}  # fmt: skip
IN_A_RELEASE = {"URL", "finishTime", "id", "lastUpdateTime", "queueTime", "releaseName", "startTime", "status"}
IN_A_ROW = {
    "commitId", "deploymentId", "duration", "endTime", "environment", "hldCommitId", "imageTag", "manifestCommitId",
    "service", "status", "timeStamp",
}  # fmt: skip


@pytest.mark.parametrize("state", CiState)
def test_what_its_answers_always_had_is_always_there(state: CiState) -> None:
    """Clients take these fields without a question: the front end cuts `refs/heads/` off `sourceBranch`, say."""
    bare = {"state": state, "queued_at": None, "finished_at": None, "started_at": None, "branch": "", "url": ""}
    built, released, made = (replace(known, **bare) for known in (BUILD, RELEASE, MANIFEST))
    found = msgspec.json.decode(msgspec.json.encode(row(built, released, made)))
    assert set(found) >= IN_A_ROW
    assert set(found["srcToDockerBuild"]) >= IN_A_BUILD
    assert set(found["hldToManifestBuild"]) >= IN_A_BUILD
    assert set(found["dockerToHldRelease"]) >= IN_A_RELEASE
    assert set(msgspec.json.decode(msgspec.json.encode(row(built)))) >= IN_A_ROW


def test_a_pull_request_is_shown_where_one_is_known() -> None:
    assert row(BUILD).pull_request is None
    found = row(BUILD, pull_request=PULL).pull_request
    assert found is not None
    assert (found.id, found.source_branch, found.target_branch) == (12, "more", "main")
    assert found.merged_by is not None
    assert found.merged_by.username == "grace"


def test_no_clusters_are_an_empty_list() -> None:
    """There a missing setting was an error."""
    assert cluster_sync([]).tags == []


@pytest.mark.parametrize(("given", "seconds"), [({}, 30), ({"poll_seconds": "50"}, 50)])
def test_the_interval_is_a_setting(given: dict[str, str], seconds: float) -> None:
    assert CiSetting.model_validate(given).poll_seconds == seconds


def test_an_interval_that_is_none_is_refused() -> None:
    """There it became 30 without a word."""
    with pytest.raises(ValueError, match="poll_seconds"):
        CiSetting.model_validate({"poll_seconds": ")*"})


async def test_asked_again_the_rows_are_the_same_in_the_same_order(place: Place) -> None:
    """D.7.14: the order of rows that ended at one time was whatever it became."""
    await fill(place)
    async with place.ledger.unit() as unit:
        known = await unit.ci_runs_of("github.com/acme/shop", [spaced(number) for number in (1, 2, 3)])
        await unit.put_ci_runs([replace(found, updated_at=NOW) for some in known.values() for found in some])
    first = await rows(place)
    assert len({found["endTime"] for found in first}) == 1
    assert [await rows(place) for _ in range(3)] == [first] * 3


async def test_a_row_that_changed_takes_its_own_place(place: Place) -> None:
    """As the cache there: the number of rows stays, the changed one is replaced and goes to the top."""
    await fill(place)
    before = await rows(place)
    async with place.ledger.unit() as unit:
        (known,) = (await unit.ci_runs_of("github.com/acme/shop", [spaced(1)]))[spaced(1)]
        again = replace(known, attempt=2, state=CiState.RUNNING, finished_at=None, updated_at=NOW)
        await unit.put_ci_runs([again])
    after = await rows(place)
    assert {found["deploymentId"] for found in after} == {found["deploymentId"] for found in before}
    assert (after[0]["commitId"], after[0]["srcToDockerBuild"]["status"]) == (spaced(1)[:7], "inProgress")


async def test_rows_that_are_new_are_on_top_and_those_that_went_are_gone(place: Place) -> None:
    await fill(place)
    newer = run("99", sha=spaced(3), service="cart", updated_at=NOW)
    async with place.ledger.unit() as unit:
        await unit.put_ci_runs([newer])
    assert (await rows(place))[0]["service"] == "cart"
    async with place.ledger.unit() as unit:
        while await unit.prune_ci(NOW, 100):
            pass
    assert [found["commitId"] for found in await rows(place)] == [spaced(2)[:7], spaced(1)[:7]], "those are exported"


async def test_what_is_not_well_is_an_error_of_health(place: Place) -> None:
    """Each thing that cannot be reached by itself; there GitHub and GitLab were always errors."""
    status, health = await place.get("/api/health")
    assert status == 200
    assert isinstance(health["errors"], list)
    assert all(set(error) == {"message"} for error in health["errors"])


def test_a_commit_of_several_rows_has_an_id_for_each() -> None:
    one = rows_of(commit(replace(BUILD, service="cart"), replace(BUILD, run_id="5", service="pay")), now=NOW)
    again = rows_of(commit(replace(BUILD, run_id="5", service="pay"), replace(BUILD, service="cart")), now=NOW)
    assert {found.deployment_id for found in one} == {found.deployment_id for found in again}
    assert len({found.deployment_id for found in one}) == 2
    assert sha(1)[:7] == one[0].commit_id
