"""gitops-connector replaced, its notifications signed: what was wrong there and what was asked for, over one service.

Every test merges its own commits into the one manifests repository; its cluster applies them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.runtime.connector_places import (
    PAGE,
    SENDERS,
    TOKENS,
    Place,
    event,
    open_place,
    post,
    reconcile_again,
)
from tests.runtime.worlds import Running, until

from fluxtrail.simulator.repositories import Commit

CONTEXT = "fluxtrail/prod"
DIGEST = "c3" * 32
KINDS = [f"kind{number}" for number in range(12)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Place, Running]]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FLUXTRAIL_")]:
            patch.delenv(name)
        async with open_place(tmp_path_factory.mktemp("connector")) as place:
            place.subscribe("board")
            place.subscribe("odd", text="  {url} \r\nwhatever follows\r\n")
            async with place.running(hooks={"senders": SENDERS}) as here:
                yield place, here


@pytest.fixture
def place(world: tuple[Place, Running]) -> Place:
    return world[0]


@pytest.fixture
def here(world: tuple[Place, Running]) -> Running:
    return world[1]


async def merged(place: Place, run: int) -> Commit:
    """Merge what a pipeline's run has made."""
    return await place.push(f"Merge pull request #{run} from acme/deploy/{run}/v{run}/main")


async def until_green(place: Place, commit: Commit) -> None:
    await until(lambda: place.told(commit).get(CONTEXT) == "success", "it is green")


async def until_dispatched(place: Place, commit: Commit) -> None:
    await until(lambda: place.dispatches(commit), "its pipeline goes on")


async def until_told(place: Place, commit: Commit, count: int) -> None:
    """Wait until both subscribers have so many records of a commit."""

    def counts() -> list[int]:
        return [len(place.records(name, commit)) for name in ("board", "odd")]

    await until(lambda: counts() == [count, count], f"{count} records")


async def until_reason(here: Running, commit: Commit, reason: str) -> None:
    async def is_known() -> bool:
        return [item["reason"] for item in await here.deliveries(commit.sha)] == [reason]

    await until(is_known, reason)


async def test_6_a_check_of_somebody_else_suppresses_nothing(place: Place) -> None:
    commit = await merged(place, 61)
    check = {"state": "failure", "context": "ci/lint"}
    url = f"{place.forges.url}/repos/acme/manifests/statuses/{commit.sha}"
    headers = {"Authorization": f"token {TOKENS['GITHUB']}"}
    async with aiohttp.ClientSession() as session, session.post(url, json=check, headers=headers) as answer:
        assert answer.status == 201
    place.deliver(commit)
    await until_green(place, commit)
    await until_dispatched(place, commit)
    assert place.told(commit) == {CONTEXT: "success", "ci/lint": "failure"}


async def test_6_the_first_failure_is_not_the_last_word(place: Place) -> None:
    commit = await merged(place, 62)
    place.say(commit, ready="False", reason="BuildFailed")
    await until(lambda: place.told(commit) == {CONTEXT: "failure"}, "it is red")
    assert place.dispatches(commit) == []
    place.deliver(commit)
    await until_green(place, commit)
    await until_dispatched(place, commit)


async def test_7_two_quick_successes_dispatch_once(place: Place, here: Running) -> None:
    commit = await merged(place, 71)
    place.deliver(commit)
    told = [event(commit, "ReconciliationSucceeded", f"finished in {n} ms") for n in (1, 2)]
    assert [status for status, _ in await asyncio.gather(*(post(here, one) for one in told))] == [200, 200]
    await until_green(place, commit)
    following = await merged(place, 72)
    place.deliver(following)
    await until_dispatched(place, following)
    assert len(place.dispatches(commit)) == 1
    assert place.steps(commit, CONTEXT)[-1:] == ["success"]
    assert place.steps(commit, CONTEXT).count("success") == 1


async def test_27_38_one_dispatch_for_a_commit_and_not_for_each_reconciliation(place: Place, here: Running) -> None:
    commit = await merged(place, 27)
    place.deliver(commit)
    await until_dispatched(place, commit)
    for count in range(4):
        reconcile_again(place.cluster, commit)
        again = event(commit, "ReconciliationSucceeded", f"finished in {count} ms")
        again["metadata"]["commit_status"] = "update"
        assert (await post(here, again))[0] == 200
    following = await merged(place, 28)
    place.deliver(following)
    await until_dispatched(place, following)
    assert len(place.dispatches(commit)) == 1
    statuses = [item for item in place.forges.recorder.writes if item.sha == commit.sha and item.call == "status"]
    assert [item.state for item in statuses if item.is_final] == ["success"]


async def test_39_what_waits_for_a_dependency_is_no_failure(place: Place, here: Running) -> None:
    commit = await merged(place, 39)
    place.say(commit, ready="False", reason="DependencyNotReady")
    await until_reason(here, commit, "waiting_for_dependency")
    assert (await post(here, event(commit, "DependencyNotReady", severity="error")))[0] == 200
    await until(lambda: place.told(commit) == {CONTEXT: "pending"}, "it is told to wait")
    place.deliver(commit)
    await until_green(place, commit)
    assert place.steps(commit, CONTEXT) == ["pending", "success"]


async def test_12_42_44_five_quick_commits_have_each_its_status_and_its_dispatch(place: Place) -> None:
    commits = [await merged(place, run) for run in range(421, 426)]
    place.deliver(commits[-1])
    await until(lambda: [place.told(one) for one in commits] == [{CONTEXT: "success"}] * 5, "all are green")
    await until(lambda: [len(place.dispatches(one)) for one in commits] == [1] * 5, "all pipelines go on")
    assert [place.dispatches(one)[0]["runid"] for one in commits] == ["421", "422", "423", "424", "425"]


async def test_5_odd_messages_of_commits_are_delivered_and_dispatch_nothing(place: Place) -> None:
    odd = ["a/b", "////", "Merged PR", "Merged PR x: y", "deploy/", "from acme/deploy/1", '🚀 «ä» & "x" [skip ci]']
    commits = [await place.push(message) for message in odd]
    place.deliver(commits[-1])
    await until(lambda: all(place.told(one) == {CONTEXT: "success"} for one in commits), "all are green")
    following = await merged(place, 51)
    place.deliver(following)
    await until_dispatched(place, following)
    assert [place.dispatches(one) for one in commits] == [[]] * len(odd)


async def test_5_odd_notices_are_told_or_refused_whole(place: Place, here: Running) -> None:
    commit = await merged(place, 52)
    unknown = [event(commit, reason, "said") for reason in ("HealthCheckCanceled", "GitOperationSucceeded", "Never")]
    unhealthy = event(commit, "HealthCheckFailed", "timed out")
    empty: list[dict[str, Any]] = [
        event(commit, "ReconciliationSucceeded", metadata=nothing) for nothing in ({}, None, {"revision": None})
    ]
    taken = [*unknown, unhealthy, *empty]
    assert [(await post(here, body))[0] for body in taken] == [200] * len(taken)
    broken: list[Any] = [b"", b"{", b"\xff\xfe", [], {}, {"involvedObject": None}, event(commit, "x", metadata=7)]
    answers = [await post(here, body) for body in broken]
    assert [status for status, _ in answers] == [400] * len(broken)
    assert not any(commit.sha in text for _, text in answers)
    await until_told(place, commit, 5)
    assert sorted(place.said("board", commit)) == [
        ("Status", "GitOperationSucceeded", "said"),
        ("Status", "HealthCheckCanceled", "said"),
        ("Status", "HealthCheckFailed", "Health Check Failed"),
        ("Status", "Never", "said"),
        ("timed out", "HealthCheckFailed", "timed out"),
    ]


async def test_2_what_nobody_signed_is_refused_and_nothing_is_given_back(place: Place, here: Running) -> None:
    commit = await merged(place, 21)
    status, text = await post(here, event(commit, "ReconciliationFailed"), is_signed=False)
    assert (status, commit.sha in text) == (401, False)
    assert (await post(here, event(commit, "info")))[1].strip() != ""
    await until_told(place, commit, 1)
    assert [state for _, state, _ in place.said("board", commit)] == ["info"]


async def test_9_names_are_whole_and_counts_apart(place: Place, here: Running) -> None:
    commit = await merged(place, 91)
    failed = "timeout waiting for: [Deployment/dev/foo status: 'InProgress', Deployment/dev/bar status: 'Failed']"
    assert (await post(here, event(commit, "HealthCheckFailed", failed)))[0] == 200
    await until_told(place, commit, 3)
    done = "service/x created\ndeployment.apps/a configured\nservice/y configured\nservice/z configured"
    assert (await post(here, event(commit, "Progressing", done)))[0] == 200
    await until_told(place, commit, 7)
    names = [name for name, _, _ in place.said("board", commit)]
    assert names[:3] == [
        "Status",
        "Deployment/dev/foo status: 'InProgress'",
        "Deployment/dev/bar status: 'Failed'",
    ]
    assert place.said("board", commit)[3:] == [
        ("Status", "Progressing", "Reconciliation underway."),
        ("service", "NotApplicable", "1 created, 2 configured"),
        ("deployment.apps", "NotApplicable", "1 configured"),
        ("Status", "Progressing", "Reconciliation underway."),
    ]


async def test_13_other_kinds_are_told_and_digests_are_no_commits(place: Place, here: Running) -> None:
    commit = await merged(place, 131)
    digest = {"revision": f"latest@sha256:{DIGEST}"}
    assert (await post(here, event(commit, "ReconciliationSucceeded", "by digest", metadata=digest)))[0] == 200
    origin = digest | {"originRevision": f"main@sha1:{commit.sha}"}
    assert (await post(here, event(commit, "ReconciliationSucceeded", "by origin", metadata=origin)))[0] == 200
    named = {"event.toolkit.fluxcd.io/commit": commit.sha}
    for kind in ("HelmRelease", "OCIRepository", "Bucket", "ImageUpdateAutomation"):
        assert (await post(here, event(commit, "info", kind, kind=kind, metadata=named)))[0] == 200
    await until_told(place, commit, 5)
    genres = {record["genre"]: record["message"] for record in place.records("board", commit)}
    assert genres.pop("Kustomization") == "by origin"
    assert genres == {kind: kind for kind in ("HelmRelease", "OCIRepository", "Bucket", "ImageUpdateAutomation")}
    assert not any(body["commit_id"] == DIGEST for _, body, _ in place.forges.webhooks.bodies)


async def test_14_an_address_with_white_space_around_it_is_reached(place: Place, here: Running) -> None:
    commit = await merged(place, 141)
    assert (await post(here, event(commit, "ReconciliationSucceeded")))[0] == 200
    await until_told(place, commit, 1)
    assert place.records("odd", commit) == place.records("board", commit)


async def test_15_records_keep_their_order(place: Place, here: Running) -> None:
    commit = await merged(place, 151)
    work = "\n".join(f"{kind}/x created" for kind in KINDS)
    assert (await post(here, event(commit, "Progressing", work)))[0] == 200
    await until_told(place, commit, len(KINDS) + 2)
    for subscriber in ("board", "odd"):
        assert [name for name, _, _ in place.said(subscriber, commit)] == ["Status", *KINDS, "Status"]


async def test_15_there_are_metrics_and_health(here: Running) -> None:
    assert (await here.get("health", "/healthz"))[0] == 200
    assert (await here.readiness())[0] == 200
    samples = await here.samples()
    assert {"fluxtrail_hooks_accepted_total", "fluxtrail_hooks_dealt_with_total"} <= set(samples)


async def test_spektate_finds_a_record_by_the_manifests_commit(place: Place, here: Running) -> None:
    """Its `/api/flux` keeps what it is posted, and takes `commit_id`, `status_name`, `message` and `genre` of it."""
    commit = await merged(place, 161)
    assert (await post(here, event(commit, "ReconciliationSucceeded", "Applied")))[0] == 200
    await until_told(place, commit, 1)
    assert place.records("board", commit) == [
        {
            "commit_id": commit.sha,
            "status_name": "Status",
            "state": "ReconciliationSucceeded",
            "message": "Applied",
            "callback_url": PAGE,
            "gitops_operator": "Flux",
            "genre": "Kustomization",
        }
    ]
