"""Cluster calls and jobs: what is sent, whose record was taken, how a job ends."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.remotes.github.artifacts import SINGLE, ArtifactClientMaker, VirtualClock, counts, record
from tests.remotes.github.forge import FakeForge, Says

from fluxtrail.model.deployment import Content, DeploymentStatus
from fluxtrail.model.errors import AuthError, ConflictError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.remotes.github.artifact_errors import (
    JobConflictError,
    JobTimeoutError,
    LimitedOutError,
    NoRepositoriesError,
    RequestRefusedError,
    RetriesExhaustedError,
    UnsendableError,
)
from fluxtrail.remotes.github.artifact_wire import ClusterAnswer, Job, Rejection, WireDeployment, deployment_of

PLACE = ("test-cluster", "production", "us-east-1")
PROCESSING = Says(json={"job_id": 42, "status": "processing", "started_at": "2026-06-10T12:00:00Z"})
COMPLETED = Says(json={"job_id": 42, "status": "completed", "total_count": 10})


# -- submitting a job -----------------------------------------------------------------------------------------


async def test_no_records_are_an_error_and_ask_nothing(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    client = make_artifacts(retries=0)
    with pytest.raises(UnsendableError, match="records cannot be empty"):
        await client.submit_job(*PLACE, [])
    with pytest.raises(UnsendableError, match="records cannot be empty"):
        await client.post_cluster(*PLACE, [])
    assert forge.asked == []
    assert counts(client.counters) == (0,) * 6


@pytest.mark.parametrize(("body", "expected"), [
    (b'{"job_id":42,"errors":[]}', Job(job_id=42)),
    (b'{"job_id":42}', Job(job_id=42)),
    (b'{"job_id":42,"errors":null}', Job(job_id=42)),
    (
        b'{"job_id":99,"errors":[{"name":"bad-image","cause":"unauthorized"}]}',
        Job(job_id=99, errors=(Rejection(name="bad-image", cause="unauthorized"),)),
    ),
    (
        b'{"job_id":7,"errors":["odd",null,5,{"deployment":{"name":"i","deployment_name":"d"},"cause":"not_found"}]}',
        Job(job_id=7, errors=(
            Rejection(cause="odd"), Rejection(name="i", deployment_name="d", cause="not_found"),
        )),
    ),
], ids=["empty", "absent", "null", "rejected", "odd"])  # fmt: skip
async def test_a_job_is_submitted(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, body: bytes, expected: Job
) -> None:
    forge.says(Says(status=202, body=body))
    client = make_artifacts(retries=0)
    assert await client.submit_job(*PLACE, [record()]) == expected
    assert counts(client.counters) == (1, 0, 0, 0, 0, 0)
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", f"{SINGLE}/cluster/test-cluster/jobs")
    assert msgspec.json.decode(asked.body) == {
        "logical_environment": "production",
        "physical_environment": "us-east-1",
        "partial_success": True,
        "deployments": [{
            "name": "ghcr.io/my-org/my-image", "digest": "sha256:abc123", "version": "v1.0.0", "status": "deployed",
            "deployment_name": "my-deployment",
        }],
    }  # fmt: skip


@pytest.mark.parametrize(("status", "kind", "text", "expected"), [
    (409, JobConflictError, "already pending or processing", (0, 0, 0, 0, 0, 0)),
    (404, NoRepositoriesError, "no repositories", (0, 1, 0, 0, 0, 0)),
    (400, RequestRefusedError, "cluster job creation failed", (0, 0, 0, 0, 0, 1)),
    (500, RetriesExhaustedError, "cluster job creation failed", (0, 0, 0, 1, 1, 0)),
    (429, LimitedOutError, "cluster job creation failed", (0, 0, 1, 0, 1, 0)),
    (403, AuthError, "cluster job creation failed", (0, 0, 0, 0, 0, 1)),
])  # fmt: skip
async def test_a_job_that_is_not_made(
    forge: FakeForge,
    make_artifacts: ArtifactClientMaker,
    status: int,
    kind: type[UpstreamError],
    text: str,
    expected: tuple[int, ...],
) -> None:
    forge.says(Says(status=status, json={"message": "said so"}))
    client = make_artifacts(retries=0)
    with pytest.raises(kind, match=text) as caught:
        await client.submit_job(*PLACE, [record()])
    assert counts(client.counters) == expected
    assert caught.value.status == status
    assert caught.value.retryable == (status in (409, 429, 500))
    assert isinstance(caught.value, ConflictError) == (status == 409)
    assert isinstance(caught.value, NotFoundError) == (status == 404)
    if status == 429:
        assert caught.value.retry_after_seconds == pytest.approx(60)


@pytest.mark.parametrize("body", [b"{invalid json", b"", b"[]", b"null", b"{}", b'{"job_id":null}', b'{"job_id":"x"}'])
async def test_an_answer_that_is_no_job(forge: FakeForge, make_artifacts: ArtifactClientMaker, body: bytes) -> None:
    forge.says(Says(status=202, body=body))
    client = make_artifacts(retries=0)
    with pytest.raises(WireError, match="failed to parse job response") as caught:
        await client.submit_job(*PLACE, [record()])
    assert caught.value.retryable, "the same job may be submitted again"
    assert counts(client.counters) == (1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("method", "limit"), [("submit_job", 5000), ("post_cluster", 1000)])
async def test_a_bulk_has_a_limit(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, method: str, limit: int
) -> None:
    forge.says(Says(status=202, json={"job_id": 1}))
    call = getattr(make_artifacts(), method)
    records = [record(f"n{number}") for number in range(limit + 1)]
    await call(*PLACE, records[:limit])
    assert len(msgspec.json.decode(forge.asked[0].body)["deployments"]) == limit
    with pytest.raises(UnsendableError, match=f"{limit + 1} records are more"):
        await call(*PLACE, records)
    with pytest.raises(UnsendableError, match="'n1' is there twice"):
        await call(*PLACE, [record("n1"), record("n2"), record("n1")])
    assert len(forge.asked) == 1


@pytest.mark.parametrize(("cluster", "segment"), [
    ("a b", "a%20b"), ("a/b", "a%2Fb"), ("../x", "..%2Fx"), ("a?b#c", "a%3Fb%23c"), ("ä", "%C3%A4"), ("50%", "50%25"),
    ("arn:aws:eks:eu:1:cluster/x", "arn%3Aaws%3Aeks%3Aeu%3A1%3Acluster%2Fx"), ("\ud800", "%3F"),
])  # fmt: skip
async def test_a_clusters_name_is_one_segment_of_the_path(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, cluster: str, segment: str
) -> None:
    forge.says(Says(status=202, json={"job_id": 1, "status": "completed"}))
    client = make_artifacts()
    await client.submit_job(cluster, "p", "", [record()])
    await client.job_status(cluster, 1)
    await client.post_cluster(cluster, "p", "", [record()])
    base = f"{SINGLE}/cluster/{segment}"
    assert [asked.path for asked in forge.asked] == [f"{base}/jobs", f"{base}/jobs/1", base]


@pytest.mark.parametrize("cluster", ["", ".", "..", "x" * 129])
async def test_what_cannot_be_a_clusters_name(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, cluster: str
) -> None:
    with pytest.raises(UnsendableError, match="cannot be a cluster's name"):
        await make_artifacts().submit_job(cluster, "p", "", [record()])
    assert forge.asked == []


# -- a cluster call -------------------------------------------------------------------------------------------

THREE = [record("a", digest="sha256:1"), record("b", digest="sha256:2"), record("c", digest="sha256:3", name="busybox")]


def answer(accepted: str, rejected: dict[str, str], unanswered: str = "") -> tuple[Any, ...]:
    return frozenset(accepted), rejected, frozenset(unanswered)


@pytest.mark.parametrize(("body", "expected"), [
    ({"deployment_records": [{"deployment_name": n} for n in "abc"], "total_count": 3}, answer("abc", {})),
    ({"deployment_records": [{"deployment_name": "a"}], "errors": [
        {"cause": "not_found", "deployment": {"deployment_name": "b", "digest": "sha256:2", "name": "x"}},
        {"cause": "unauthorized", "deployment": {"digest": "sha256:3"}},
    ]}, answer("a", {"b": "not_found", "c": "unauthorized"})),
    ({"deployment_records": [], "errors": [{"name": "busybox", "cause": "not_found"}]},
     answer("", {"c": "not_found"}, "ab")),
    ({"errors": [{"name": "busybox", "cause": "error"}]}, answer("ab", {"c": "error"})),
    ({"total_count": 3}, answer("abc", {})),
    ({"deployment_records": None, "errors": None, "total_count": None}, answer("abc", {})),
    ({"deployment_records": [None, {"deployment_name": None}, {"deployment_name": "z"}, {}]}, answer("", {}, "abc")),
    ({"deployment_records": [{"deployment_name": "a"}, {"deployment_name": "c"}],
      "errors": [{"name": "ghcr.io/my-org/my-image", "cause": "not_found"}]}, answer("ac", {"b": "not_found"})),
    ({"errors": [{"cause": "error"}, "odd", 5, None, {"deployment": [1], "name": 4}]}, answer("abc", {})),
], ids=["all", "nested", "by image", "no list", "count only", "nulls", "strange", "taken wins", "odd"])  # fmt: skip
async def test_a_cluster_call_says_whose_record_was_taken(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, body: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    forge.says(Says(json=body))
    client = make_artifacts()
    found = await client.post_cluster(*PLACE, THREE)
    assert isinstance(found, ClusterAnswer)
    assert (found.accepted, found.rejected, found.unanswered) == expected
    assert counts(client.counters) == (1, 0, 0, 0, 0, 0)


async def test_a_cluster_call_asks_for_part_of_it_and_for_its_records(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    forge.says(Says(json={"deployment_records": [{"deployment_name": "a"}]}))
    entry = WireDeployment(
        name="n", digest="sha256:1", status="deployed", deployment_name="a",
        runtime_risks=("sensitive-data",), tags={"k": "v"},
    )  # fmt: skip
    await make_artifacts().post_cluster("c1", "prod", "", [entry])
    (asked,) = forge.asked
    assert (asked.method, asked.path) == ("POST", f"{SINGLE}/cluster/c1")
    assert msgspec.json.decode(asked.body) == {
        "logical_environment": "prod", "physical_environment": "", "partial_success": True, "return_records": True,
        "deployments": [{
            "name": "n", "digest": "sha256:1", "status": "deployed", "deployment_name": "a",
            "runtime_risks": ["sensitive-data"], "tags": {"k": "v"},
        }],
    }  # fmt: skip


async def test_a_kept_content_becomes_an_entry(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    content = Content(
        name="n", digest="sha256:1", version="v1", status=DeploymentStatus.DECOMMISSIONED, tags=(("a", "b"),)
    )
    forge.says(Says(status=202, json={"job_id": 1}))
    await make_artifacts().submit_job("c", "prod", "", [deployment_of("shop/web/app", content)])
    assert msgspec.json.decode(forge.asked[0].body)["deployments"] == [{
        "name": "n", "digest": "sha256:1", "version": "v1", "status": "decommissioned",
        "deployment_name": "shop/web/app", "tags": {"a": "b"},
    }]  # fmt: skip


@pytest.mark.parametrize(("status", "kind", "text", "expected"), [
    (409, JobConflictError, "already pending", (0, 0, 0, 0, 0, 0)),
    (404, NoRepositoriesError, "said so", (0, 1, 0, 0, 0, 0)),
    (400, RequestRefusedError, "setting cluster records failed: client error.*said so", (0, 0, 0, 0, 0, 1)),
    (500, RetriesExhaustedError, "setting cluster records failed: all retries exhausted", (0, 0, 0, 1, 1, 0)),
    (200, WireError, "failed to parse cluster response", (1, 0, 0, 0, 0, 0)),
])  # fmt: skip
async def test_a_cluster_call_that_fails(
    forge: FakeForge,
    make_artifacts: ArtifactClientMaker,
    status: int,
    kind: type[Exception],
    text: str,
    expected: tuple[int, ...],
) -> None:
    forge.says(Says(status=status, json={"message": "said so", "errors": 7 if status == 200 else None}))
    client = make_artifacts(retries=0)
    with pytest.raises(kind, match=text):
        await client.post_cluster(*PLACE, [record()])
    assert counts(client.counters) == expected


async def test_an_answer_larger_than_its_limit_is_not_read_as_one(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    forge.says(Says(body=b'{"job_id": 42, "status": "completed", "x": "' + b"x" * 11 * 2**20 + b'"}'))
    client = make_artifacts()
    for call in (client.post_cluster(*PLACE, THREE), client.submit_job(*PLACE, THREE), client.job_status("c", 42)):
        with pytest.raises(WireError, match="larger than the limit of 10485760 bytes"):
            await call


# -- the status of a job --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("says", "status"), [(COMPLETED, "completed"), (PROCESSING, "processing")])
async def test_the_status_of_a_job(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, says: Says, status: str
) -> None:
    forge.says(says)
    client = make_artifacts(retries=0)
    found = await client.job_status("test-cluster", 42)
    assert (found.job_id, found.status, found.is_finished) == (42, status, status == "completed")
    assert (forge.asked[0].method, forge.asked[0].path) == ("GET", f"{SINGLE}/cluster/test-cluster/jobs/42")
    assert forge.asked[0].body == b""
    assert "content-type" not in forge.asked[0].headers
    assert counts(client.counters) == (0,) * 6, "a poll is no post"


@pytest.mark.parametrize(("says", "kind", "text"), [
    (Says(status=404), NotFoundError, "job 42 not found"),
    (Says(status=500), RetriesExhaustedError, "failed to get job status: all retries exhausted"),
    (Says(status=400, json={"message": "no"}), RequestRefusedError, "failed to get job status.*400: no"),
    (Says(status=409), JobConflictError, "failed to get job status"),
    (Says(body=b"{"), WireError, "failed to parse job status"),
    (Says(json={"status": None}), WireError, "failed to parse job status"),
])  # fmt: skip
async def test_a_status_that_cannot_be_had(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, says: Says, kind: type[Exception], text: str
) -> None:
    forge.says(says)
    client = make_artifacts(retries=0)
    with pytest.raises(kind, match=text):
        await client.job_status("test-cluster", 42)
    hard_or_client = (client.counters.post_record_hard_fail, client.counters.post_record_client_error)
    assert hard_or_client == (0, 0)


# -- waiting for a job ----------------------------------------------------------------------------------------


async def test_a_job_is_waited_for(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    forge.says(PROCESSING, PROCESSING, COMPLETED)
    status = await make_artifacts(retries=0).wait_for_job("test-cluster", 42)
    assert (status.status, status.total_count, len(forge.asked)) == ("completed", 10, 3)
    assert turning.slept == [2.0, 4.0]


async def test_a_failed_job_is_no_error(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(Says(json={"job_id": 42, "status": "failed", "errors": [{"name": "bad", "cause": "error"}]}))
    status = await make_artifacts(retries=0).wait_for_job("test-cluster", 42)
    assert (status.status, status.errors) == ("failed", (Rejection(name="bad", cause="error"),))


async def test_a_job_without_end_is_left_after_five_minutes(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    forge.says(Says(json={"job_id": 42, "status": "pending"}))
    with pytest.raises(JobTimeoutError, match="polling job 42: it is still pending after 300 s") as caught:
        await make_artifacts().wait_for_job("test-cluster", 42)
    assert caught.value.retryable
    assert turning.slept[:7] == [2, 4, 8, 16, 30, 30, 30]
    assert turning.elapsed == pytest.approx(300)


async def test_a_short_limit_is_kept(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    forge.says(PROCESSING)
    with pytest.raises(JobTimeoutError):
        await make_artifacts().wait_for_job("test-cluster", 42, limit_seconds=1)
    assert (turning.elapsed, len(forge.asked)) == (1.0, 2)


async def test_who_is_cancelled_waits_no_longer(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(PROCESSING)
    clock = VirtualClock(is_still=True)
    call = asyncio.create_task(make_artifacts(clock=clock).wait_for_job("test-cluster", 42))
    await clock.asleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(forge.asked) == 1


async def test_a_poll_that_fails_says_which_job(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(Says(status=500))
    with pytest.raises(RetriesExhaustedError, match="polling job 42: failed to get job status"):
        await make_artifacts(retries=0).wait_for_job("test-cluster", 42)


async def test_a_poll_that_is_postponed_says_until_when(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    forge.says(PROCESSING, Says(status=429, headers={"Retry-After": "120"}))
    with pytest.raises(RateLimitedError, match="polling job 42") as caught:
        await make_artifacts(longest_wait_seconds=5.0).wait_for_job("test-cluster", 42)
    assert caught.value.retry_after_seconds == pytest.approx(120)


async def test_polls_share_the_pace_of_posts(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    forge.says(PROCESSING)
    client = make_artifacts(burst=1)
    await client.job_status("c", 1)
    await client.post_record(record())
    await client.job_status("c", 1)
    assert turning.elapsed == pytest.approx(2 / 3)
