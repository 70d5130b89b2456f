"""Azure DevOps' waiting tasks: found by what a pull request says, ended once, and nobody else is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.remotes.azure_devops.keeping import PROJECT, REPOSITORY, ROOT, Keeper, refusal
from tests.remotes.forges import SECRET, FakeForge, Says

from fluxtrail.model.errors import AuthError, FluxtrailError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient
from fluxtrail.remotes.azure_devops.tasks import AzureTask, AzureTasks

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def keeper(keeper: Keeper) -> Keeper:
    """One whose pull request 12 has a pipeline that waits."""
    keeper.plans["plan 1"] = {"state": "inProgress"}
    keeper.note(12)
    return keeper


@pytest.fixture
def tasks(client: AzureDevOpsClient) -> AzureTasks:
    return AzureTasks(client)


async def found(tasks: AzureTasks, number: int = 12) -> AzureTask:
    task = await tasks.find_task(REPOSITORY, number)
    assert task is not None
    return task


async def test_a_task_is_found_and_ended(forge: FakeForge, keeper: Keeper, tasks: AzureTasks) -> None:
    task = await found(tasks)
    assert (task.task_id, task.job_id, task.plan_id, task.project_id) == ("t1", "j1", "plan 1", PROJECT)
    assert not await tasks.is_over(task)
    await tasks.complete(task, succeeded=True)
    assert await tasks.is_over(task)
    assert keeper.events == [{"name": "TaskCompleted", "taskId": "t1", "jobId": "j1", "result": "succeeded"}]
    plans = f"/tfs/acme/{PROJECT}/_apis/distributedtask/hubs/build/plans/plan%201"
    assert [asked.path for asked in forge.asked] == [
        f"{ROOT}/pullRequests/12/properties?api-version=6.0-preview",
        plans,
        f"{plans}/events?api-version=2.0-preview.1",
        plans,
    ]


async def test_a_task_may_fail(keeper: Keeper, tasks: AzureTasks) -> None:
    await tasks.complete(await found(tasks), succeeded=False)
    assert [event["result"] for event in keeper.events] == ["failed"]


async def test_a_pull_request_without_a_task_or_that_there_is_none_of(keeper: Keeper, tasks: AzureTasks) -> None:
    keeper.properties[13] = {"other": {"$type": "System.Int32", "$value": 7}}
    keeper.properties[14] = {}
    with capture_logs() as logs:
        assert [await tasks.find_task(REPOSITORY, number) for number in (13, 14, 99)] == [None] * 3
    assert logs == []
    with pytest.raises(NotFoundError, match=r"TF401019.*scopes Code \(read\) and Build"):
        await tasks.find_task("acme/other/cart", 12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "'taskid'",
        "[" * 10_000,
        "x" * 20_000,
        7,
        None,
        {"taskid": "t1"},
        '{"taskid": "t1"}',
        '{"taskid": "t1", "jobid": "j1", "planid": "p1", "projectid": "../..", "planurl": 7}',
    ],
)
async def test_what_is_no_task_is_told_in_the_log(text: Any, keeper: Keeper, tasks: AzureTasks) -> None:
    keeper.properties[12] = {"callback-task-id": {"$value": text}}
    with capture_logs() as logs:
        assert await tasks.find_task(REPOSITORY, 12) is None
    assert [(entry["event"], entry["pull_request"]) for entry in logs] == [
        ("task_not_readable", f"ado.test/{REPOSITORY}!12")
    ]


@pytest.mark.parametrize("value", [None, 7, "text", [], {}])
async def test_a_property_of_another_shape_is_told_in_the_log(value: Any, keeper: Keeper, tasks: AzureTasks) -> None:
    keeper.properties[12] = {"callback-task-id": value}
    with capture_logs() as logs:
        assert await tasks.find_task(REPOSITORY, 12) is None
    assert len(logs) == 1


@pytest.mark.parametrize("name", ["taskid", "jobid", "planid", "projectid"])
@pytest.mark.parametrize("value", ["", "..", ". .", "a\nb", "x" * 300, 7, None])
async def test_an_id_must_be_one(name: str, value: Any, keeper: Keeper, tasks: AzureTasks) -> None:
    keeper.note(12, **{name: value})
    with capture_logs() as logs:
        assert await tasks.find_task(REPOSITORY, 12) is None
    assert f"its {name} is missing" in logs[0]["error"]


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/acme/",
        "http://127.0.0.2:{port}/tfs/acme/",
        "http://127.0.0.1:1/tfs/acme/",
        "https://127.0.0.1:{port}/tfs/acme/",
        "http://127.0.0.1:{port}/tfs/other/",
        "http://127.0.0.1:{port}/acme/",
        "http://127.0.0.1:{port}/tfs/acme/../other/",
        "http://127.0.0.1:{port}@evil.example/tfs/acme/",
        "http://evil.example@127.0.0.1:{port}/tfs/acme/",
        "http://127.0.0.1:{port}/tfs/acme/?x=",
        "http://127.0.0.1:{port}/tfs/acme/#x",
        "http://127.0.0.1:{port}.evil.example/tfs/acme/",
        "http://[::1/tfs/acme/",
        "file:///tfs/acme/",
        "//evil.example/tfs/acme/",
        "https://acme.visualstudio.com/",
        "tfs/acme",
        "",
    ],
)
async def test_a_hostile_address_is_never_asked(
    address: str, forge: FakeForge, keeper: Keeper, tasks: AzureTasks
) -> None:
    keeper.note(12, planurl=address.format(port=forge.base_url.rpartition(":")[2]))
    with capture_logs() as logs:
        assert await tasks.find_task(REPOSITORY, 12) is None
    assert "planurl is not the address of this organisation" in logs[0]["error"]
    assert len(forge.asked) == 1


@pytest.mark.parametrize("tail", ["/tfs/acme/", "/tfs/acme", "/TFS/Acme/", "/tfs//acme/", "/tfs/%61cme/"])
async def test_the_organisations_own_address_may_be_written_in_many_ways(
    tail: str, forge: FakeForge, keeper: Keeper, tasks: AzureTasks
) -> None:
    keeper.note(12, planurl=forge.base_url + tail)
    assert not await tasks.is_over(await found(tasks))


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        ("https://dev.azure.com/Acme/", True),
        ("https://acme.visualstudio.com/", True),
        ("https://acme.visualstudio.com/DefaultCollection/", True),
        ("https://acme.visualstudio.com:8443/", False),
        ("http://acme.visualstudio.com/", False),
        ("https://evil.visualstudio.com/", False),
        ("https://acme.visualstudio.com/evil/", False),
        ("https://dev.azure.com/evil/", False),
        ("https://dev.azure.com/", False),
    ],
)
async def test_the_old_name_of_an_organisation_is_its_own(address: str, is_own: bool, make_client: Any) -> None:
    client: AzureDevOpsClient = make_client(host="dev.azure.com", api_url="https://dev.azure.com")
    assert client.is_of(client.repository_of("acme/shop/cart"), address) is is_own


async def test_a_server_behind_another_address_has_its_own_name(make_client: Any) -> None:
    client: AzureDevOpsClient = make_client(host="ado.test:8443")
    repository = client.repository_of("acme/shop/cart")
    assert client.is_of(repository, "https://ado.test:8443/tfs/acme/")
    assert client.is_of(repository, "https://ADO.test/tfs/acme/")
    assert not client.is_of(repository, "ftp://ado.test:8443/tfs/acme/")
    assert not client.is_of(repository, "https://ado.test.evil.example/tfs/acme/")


async def test_keys_may_be_written_in_capitals(forge: FakeForge, keeper: Keeper, tasks: AzureTasks) -> None:
    ids = f'"taskId": "t1", "JobID": "j1", "planId": "plan 1", "projectId": "{PROJECT}"'
    keeper.note(12, f'{{{ids}, "planUrl": "{forge.base_url}/tfs/acme/"}}')
    assert (await found(tasks)).task_id == "t1"


@pytest.mark.parametrize("character", ["/", "..%2f", "?x=1&", "#", " ", "%", "ü", "\\", ":"])
async def test_no_character_of_an_id_leads_elsewhere(
    character: str, forge: FakeForge, keeper: Keeper, tasks: AzureTasks
) -> None:
    name = f"a{character}b"
    keeper.plans[name] = {"state": "inProgress"}
    keeper.note(12, planid=name, taskid=name)
    task = await found(tasks)
    assert not await tasks.is_over(task)
    await tasks.complete(task, succeeded=True)
    assert keeper.events[0]["taskId"] == name
    assert all("/distributedtask/hubs/build/plans/a" in asked.path for asked in forge.asked[1:])


async def test_a_plan_that_was_deleted_is_over_and_a_project_that_is_hidden_is_not(
    forge: FakeForge, keeper: Keeper, tasks: AzureTasks
) -> None:
    keeper.note(12, planid="gone")
    task = await found(tasks)
    assert await tasks.is_over(task)
    forge.says(refusal(404, "TF200016: The following project does not exist"))
    with pytest.raises(NotFoundError, match="TF200016"):
        await tasks.is_over(task)


@pytest.mark.parametrize(
    ("records", "is_over"),
    [
        ([{"id": "j1", "state": "completed"}], True),
        ([{"id": "j1", "state": "inProgress"}, {"id": "j2", "state": "completed"}], False),
        ([{"id": None, "state": None}], False),
        (None, False),
    ],
)
async def test_a_job_may_end_before_its_build(
    records: list[dict[str, Any]] | None, is_over: bool, keeper: Keeper, tasks: AzureTasks
) -> None:
    keeper.plans["plan 1"]["owner"] = {"id": 77, "name": "20260304.1"}
    if records is not None:
        keeper.timelines["77"] = records
    assert await tasks.is_over(await found(tasks)) is is_over


@pytest.mark.parametrize("status", [400, 404, 409, 500])
async def test_a_task_that_ended_meanwhile_is_as_good(
    status: int, forge: FakeForge, keeper: Keeper, tasks: AzureTasks
) -> None:
    task = await found(tasks)
    keeper.plans["plan 1"]["state"] = "completed"
    forge.says(refusal(status, "The plan cannot be changed."), keeper)
    await tasks.complete(task, succeeded=True)
    assert keeper.events == []


async def test_a_refusal_while_it_waits_is_one(forge: FakeForge, keeper: Keeper, tasks: AzureTasks) -> None:
    task = await found(tasks)
    forge.says(refusal(400, "No such event"), keeper)
    with pytest.raises(UpstreamError, match="No such event") as caught:
        await tasks.complete(task, succeeded=True)
    assert not caught.value.retryable
    forge.says(refusal(403, "TF: no"))
    with pytest.raises(AuthError, match="tasks need a token with the scopes"):
        await tasks.complete(task, succeeded=True)
    forge.says(Says(status=429, headers={"Retry-After": "100"}, json={}))
    with pytest.raises(RateLimitedError):
        await tasks.complete(task, succeeded=True)


async def test_an_answer_that_got_lost_is_looked_for(forge: FakeForge, keeper: Keeper, tasks: AzureTasks) -> None:
    task = await found(tasks)
    forge.says(keeper.losing_its_answer, keeper)
    await tasks.complete(task, succeeded=True)
    assert len(keeper.events) == 1


def pulls(count: int, **more: Any) -> list[dict[str, Any]]:
    closed = (NOW - timedelta(hours=1)).isoformat().replace("+00:00", ".1234567Z")
    return [{"pullRequestId": n, "status": "abandoned", "closedDate": closed, **more} for n in range(count, 0, -1)]


async def abandoned(tasks: AzureTasks) -> list[int]:
    closed_after = NOW - timedelta(hours=72)
    return [one.number async for one in tasks.abandoned(REPOSITORY, closed_after=closed_after)]


async def test_abandoned_pull_requests_come_in_pages(forge: FakeForge, keeper: Keeper, tasks: AzureTasks) -> None:
    keeper.pulls = pulls(250)
    assert await abandoned(tasks) == list(range(250, 0, -1))
    assert len(forge.asked) == 3
    assert forge.asked[2].path.startswith(f"{ROOT}/pullRequests?api-version=6.0&searchCriteria.status=abandoned&")
    assert "&%24top=100&%24skip=200" in forge.asked[2].path
    assert "searchCriteria.minTime=2026-03-01T12%3A00%3A00Z" in forge.asked[2].path


async def test_old_ones_are_left_out_and_those_without_a_date_are_not(keeper: Keeper, tasks: AzureTasks) -> None:
    old, edge = NOW - timedelta(hours=72, seconds=1), NOW - timedelta(hours=72)
    keeper.pulls = [
        {"pullRequestId": 1, "status": "abandoned", "closedDate": old.isoformat()},
        {"pullRequestId": 2, "status": "abandoned", "closedDate": edge.isoformat()},
        {"pullRequestId": 3, "status": "abandoned"},
        {"pullRequestId": 4, "status": "abandoned", "closedDate": None},
        {"pullRequestId": 5, "status": "completed", "closedDate": NOW.isoformat()},
        {"pullRequestId": 6, "closedDate": NOW.isoformat()},
        {"pullRequestId": 7, "closedDate": "0001-01-01T00:00:00"},
        {"pullRequestId": 8, "closedDate": "yesterday"},
    ]
    assert await abandoned(tasks) == [2, 3, 4, 6, 7, 8]


async def test_pages_without_end_are_left_in_the_end(forge: FakeForge, keeper: Keeper, tasks: AzureTasks) -> None:
    forge.says(Says(json={"value": pulls(100)}))
    with capture_logs() as logs:
        assert len(await abandoned(tasks)) == 2_000
    assert len(forge.asked) == 20
    assert logs[-1]["event"] == "abandoned_cut"


async def test_every_write_is_audited(keeper: Keeper, client: AzureDevOpsClient) -> None:
    told: list[tuple[str, str]] = []
    tasks = AzureTasks(client, audit=lambda what, where: told.append((what, where)))
    await tasks.complete(await found(tasks), succeeded=False)
    assert told == [("task failed t1", f"ado.test/{REPOSITORY}#plan 1")]


async def test_what_is_no_task_of_ours_is_a_mistake(tasks: AzureTasks) -> None:
    with pytest.raises(TypeError, match="str is no task"):
        await tasks.is_over("t1")


async def test_odd_answers_are_wire_errors(forge: FakeForge, keeper: Keeper, tasks: AzureTasks) -> None:
    task = await found(tasks)
    for body in (b"<html>", b"[]", b'{"value": 7, "state": 7}', b"\xff"):
        forge.says(Says(body=body))
        with pytest.raises(WireError):
            await tasks.find_task(REPOSITORY, 12)
        with pytest.raises(WireError):
            await tasks.is_over(task)
        with pytest.raises(WireError):
            await abandoned(tasks)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500])
async def test_no_error_and_no_log_repeats_the_token(code: int, forge: FakeForge, tasks: AzureTasks) -> None:
    forge.says(Says(status=code, json={"message": f"no: {SECRET}"}))
    with capture_logs() as logs, pytest.raises(FluxtrailError) as caught:
        await tasks.find_task(f"tfs/{REPOSITORY}", 12)
    assert SECRET not in f"{caught.value} {caught.value!r} {logs}"
