"""gitops-connector replaced: its variables and its folder, real repositories behind both forges, Flux's objects."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.connector_places import PAGE, SECRET, SENDERS, SYSTEMS, TOKENS, Side, event, open_place, post
from tests.runtime.test_process import process
from tests.runtime.worlds import Running, revision, until

from fluxtrail.simulator.forges.faults import ForgeFault
from fluxtrail.simulator.repositories import Commit

MERGES: dict[Side, str] = {
    "GITHUB": "Merge pull request #12 from acme/deploy/4711/v1.2.3/main",
    "AZDO": "Merged PR 12: acme/deploy/4711/v1.2.3/main",
}


@pytest.mark.parametrize(
    ("manifests", "pipelines"),
    [("GITHUB", "GITHUB"), ("AZDO", "AZDO"), ("GITHUB", "AZDO"), ("AZDO", "GITHUB")],
)
async def test_each_pair_of_forges_works_by_its_variables_and_without_any_notification(
    tmp_path: Path, manifests: Side, pipelines: Side
) -> None:
    context = "fluxtrail/prod"
    async with open_place(tmp_path, manifests, pipelines) as place:
        place.wait(12)
        async with place.running():
            commit = await place.push(MERGES[manifests])
            await until(lambda: place.told(commit) == {context: "pending"}, "pending")
            assert (place.dispatches(commit), place.ended()) == ([], [])
            place.deliver(commit)
            well = {"GITHUB": "success", "AZDO": "succeeded"}[manifests]
            await until(lambda: place.told(commit) == {context: well}, "it is there")
            if pipelines == "GITHUB":
                [payload] = await until(lambda: place.dispatches(commit), "a dispatch")
                assert (payload["sha"], payload["runid"]) == ("v1.2.3", "4711")
                assert payload["commitmessage"] == MERGES[manifests]
            else:
                await until(lambda: place.ended() == [("task12", "succeeded")], "the pipeline goes on")
        status = next(item for item in place.forges.recorder.writes if item.sha == commit.sha)
        assert status.url.startswith(PAGE)
        assert status.repository == {"GITHUB": "acme/manifests", "AZDO": "acme/shop/manifests"}[manifests]
    assert place.forges.recorder.violation_counts.total() == 0
    assert {status for (_, _, status) in place.forges.recorder.counts} & {401, 403} == set()


async def until_told_of(here: Running, commit: Commit, cluster: str) -> None:
    """Wait until a cluster's target has a commit, and all that there is to tell of it is told."""

    async def is_so() -> bool:
        applied = {item["cluster"]: item["applied"] for item in await here.targets()}
        reports = (await here.ask("/reports"))["items"]
        return applied[cluster] == revision(commit) and all(item["state"] == "sent" for item in reports)

    await until(lambda: here.deliveries(commit.sha), "it is seen")
    await here.until_attributed()
    await until(is_so, f"{cluster} has it, and all is told")


# -- several of everything -------------------------------------------------------------------------------------------


async def test_40_several_kustomizations_of_one_repository_do_not_trigger_each_other(tmp_path: Path) -> None:
    context = "fluxtrail/prod"
    async with open_place(tmp_path, paths={"prod": "./apps"}) as place:
        place.cluster.apply(place.repository.head_commit, name="infra", path="./infra")
        async with place.running():
            one = await place.push("Merge pull request #1 from acme/deploy/1/v1/main")
            place.say(one, ready="False", reason="BuildFailed", name="infra")
            place.deliver(one)
            await until(lambda: len(place.dispatches(one)) == 1, "its pipeline goes on")
            await until(lambda: place.told(one) == {context: "success"}, "it is green")
            both = await place.push(
                "Merge pull request #2 from acme/deploy/2/v2/main",
                {"apps/web.yaml": "replicas: 9\n", "infra/dns.yaml": "ttl: 60\n"},
            )
            place.deliver(both)
            await until(lambda: place.told(both) == {context: "pending"}, "half of it is there")
            assert place.dispatches(both) == []
            place.cluster.apply(both, name="infra")
            await until(lambda: len(place.dispatches(both)) == 1, "its pipeline goes on")
            await until(lambda: place.told(both) == {context: "success"}, "it is green")
        assert len(place.dispatches(one)) == 1


async def test_11_80_clusters_on_one_branch_are_told_apart_and_a_pipeline_waits_for_them_all(
    tmp_path: Path,
) -> None:
    async with open_place(tmp_path, "GITHUB", "AZDO", paths={"dev": "./dev", "prod": "./prod"}) as place:
        dev, prod = place.clusters
        for number in (80, 81):
            place.wait(number)
        async with place.running() as here:
            broken = await place.push("Merge pull request #80 from acme/dev", {"dev/web.yaml": "replicas: x\n"})
            place.pass_by(broken, prod)
            await until_told_of(here, broken, "prod")
            assert (place.told(broken), place.ended()) == ({"fluxtrail/dev": "pending"}, [])
            place.say(broken, cluster=dev, ready="False", reason="BuildFailed")
            await until(lambda: place.ended() == [("task80", "failed")], "its pipeline fails")
            await until(lambda: place.told(broken) == {"fluxtrail/dev": "failure"}, "it is red")
            both = await place.push(
                "Merge pull request #81 from acme/dev", {"dev/web.yaml": "replicas: 2\n", "prod/web.yaml": "x: 1\n"}
            )
            place.deliver(both, dev)
            await until_told_of(here, both, "dev")
            assert place.told(both) == {"fluxtrail/dev": "success", "fluxtrail/prod": "pending"}
            assert len(place.ended()) == 1
            place.deliver(both, prod)
            await until(lambda: place.ended()[1:] == [("task81", "succeeded")], "its pipeline goes on")
            well = {"fluxtrail/dev": "success", "fluxtrail/prod": "success"}
            await until(lambda: place.told(both) == well, "both are green")


MERGED = (
    'Merged PR 41: fix «x» & "y" [skip ci] 🚀 #7 (#3)',
    "Merged PR 42 without a colon",
    "merged pr 43: in small letters",
    "Revert 'x' - Merged PR 44: behind something",
    "Merged PR 45: last",
)


async def test_41_42_44_each_of_five_quick_pull_requests_ends_its_task(tmp_path: Path) -> None:
    async with open_place(tmp_path, "AZDO", "AZDO") as place:
        for number in range(41, 46):
            place.wait(number)
        async with place.running():
            commits = [await place.push(message) for message in MERGED]
            place.deliver(commits[-1])
            await until(lambda: len(place.ended()) == 5, "all pipelines go on")
            expected = {"fluxtrail/prod": "succeeded"}
            await until(lambda: [place.told(one) for one in commits] == [expected] * 5, "all are green")
    assert sorted(place.ended()) == [(f"task{number}", "succeeded") for number in range(41, 46)]


async def test_15_abandoned_pull_requests_are_paged_and_asked_about_once(tmp_path: Path) -> None:
    async with open_place(tmp_path, "AZDO", "AZDO") as place:
        for number in range(1, 131):
            waits = number in (1, 130)  # on the last page, and on the first
            pulls = place.forges.azure_tasks
            pulls.abandon(place.wait(number) if waits else pulls.open_pull_request(place.pulls, number))
        asked = place.forges.recorder.counts
        properties, pages = (SYSTEMS["AZDO"], "properties", 200), (SYSTEMS["AZDO"], "pull_requests", 200)
        async with place.running():
            await until(lambda: len(place.ended()) == 2, "both fail")
        assert sorted(place.ended()) == [("task1", "failed"), ("task130", "failed")]
        assert (asked[properties], asked[pages]) == (130, 2)
        async with place.running():
            await until(lambda: asked[pages] == 4, "another look")
        assert asked[properties] <= 131  # the stop may have come before the last one was noted
        assert len(place.ended()) == 2


# -- trouble ---------------------------------------------------------------------------------------------------------


async def test_3_4_what_hangs_blocks_no_other_and_a_restart_loses_nothing(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        place.subscribe("board", "hung")
        hang: Any = {"action": "delay", "delay_seconds": 3600.0}
        place.forges.fail(ForgeFault(systems=("github",), calls=("status",), **hang))
        place.forges.fail(ForgeFault(systems=("webhook",), paths=("/webhooks/hung",), **hang))
        async with place.running():
            commit = await place.push("Merge pull request #3 from acme/deploy/3/v3/main")
            place.deliver(commit)
            await until(lambda: place.dispatches(commit), "the pipeline goes on")
            await until(lambda: place.records("board", commit), "a subscriber is told")
            assert (place.told(commit), place.records("hung", commit)) == ({}, [])
            await place.forges.__aexit__()
        place.forges.fail(ForgeFault(action="clear"))
        async with place.forges, place.running():
            await until(lambda: place.told(commit) == {"fluxtrail/prod": "success"}, "it is green")
            await until(lambda: place.records("hung", commit), "the other subscriber is told")
    assert len(place.dispatches(commit)) == 1
    assert len(place.records("board", commit)) == len(place.records("hung", commit)) == 1


@pytest.mark.process
@pytest.mark.timeout(60)
async def test_1_3_a_killed_process_has_told_no_token_and_loses_nothing(tmp_path: Path) -> None:
    async with open_place(tmp_path, "GITHUB", "AZDO") as place:
        place.wait(12)
        place.subscribe("board")
        environ = {
            **place.environ,
            "FLUXTRAIL_CONFIG": str(place.config(hooks={"senders": SENDERS})),
            "LOG_LEVEL": "debug",
        }
        place.forges.fail(ForgeFault(action="status", status=503))
        async with process(tmp_path, **environ) as first:
            await first.until_serving()
            await first.until_ready()
            await first.until_applied(place.repository.head_commit)
            commit = await place.push(MERGES["GITHUB"])
            place.deliver(commit)
            await first.until_verdict(commit, "deployed")
            await until(lambda: "receiver_down" in "".join(first.lines), "nobody takes anything")
            first.child.kill()
            await first.child.wait()
        place.forges.fail(ForgeFault(action="clear"))
        async with process(tmp_path, **environ) as second:
            await until(lambda: place.told(commit) == {"fluxtrail/prod": "success"}, "it is green")
            await until(lambda: place.ended() == [("task12", "succeeded")], "the pipeline goes on")
            await second.until_serving()
            assert await second.stop() == 0
        said = "".join([*first.lines, *second.lines])
    assert place.told(commit) == {"fluxtrail/prod": "success"}
    assert '"told"' in said
    basic = [
        base64.b64encode(f"{user}:{token}".encode()).decode()
        for token in TOKENS.values()
        for user in ("", "x-access-token")
    ]
    assert [secret for secret in (*TOKENS.values(), *basic, SECRET) if secret in said] == []


# -- who notifies ----------------------------------------------------------------------------------------------------


async def test_argo_cd_posts_signed_what_subscribers_knew(tmp_path: Path) -> None:
    async with open_place(tmp_path, operator="ARGOCD") as place:
        place.subscribe("board")
        async with place.running(hooks={"senders": SENDERS}) as here:
            commit = await place.push("Two")
            resources = [
                {"kind": "Deployment", "status": "Synced", "health": {"status": "Healthy"}},
                {"kind": "Service", "status": "OutOfSync", "health": {"status": "Healthy"}},
                {"kind": "ConfigMap", "status": None, "health": None},
            ]
            body = {"commitid": commit.sha, "phase": "Succeeded", "sync_status": "Synced", "health": "Healthy"}
            body |= {"message": 'a "quoted" text', "resources": resources}  # type: ignore[dict-item]
            assert (await post(here, body, is_signed=False))[0] == 401
            assert [(await post(here, body))[0] for _ in range(2)] == [200, 200]
            await until(lambda: len(place.records("board", commit)) == 3, "three records")
    assert place.said("board", commit) == [
        ("Phase", "Succeeded", 'Succeeded: a "quoted" text'),
        ("Sync", "Synced", "1/3 Synced, 1/3 OutOfSync"),
        ("Health", "Healthy", "2/3 Healthy"),
    ]
    [record, *_] = place.records("board", commit)
    assert (record["gitops_operator"], record["genre"], record["callback_url"]) == ("ArgoCD", "ArgoCD", PAGE)


async def test_a_provider_without_a_secret_makes_us_look_and_is_never_believed(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        place.subscribe("board")
        async with place.running(hooks={"gitopsphase": {"anonymous": True}}, git={"poll_seconds": 3600}) as here:
            commit = await place.push("Two")
            forged = event(commit, "HealthCheckFailed", "[Deployment/dev/foo]")
            assert (await post(here, forged, is_signed=False))[0] == 200
            fetched = event(commit, "NewArtifact", "stored artifact", kind="GitRepository", name="fleet")
            assert (await post(here, fetched, is_signed=False))[0] == 200
            await until(lambda: place.told(commit) == {"fluxtrail/prod": "pending"}, "the branch was looked at")
            place.deliver(commit)
            await until(lambda: place.told(commit) == {"fluxtrail/prod": "success"}, "it is green")
            await until(lambda: place.records("board", commit), "what came of it")
    [record] = place.said("board", commit)
    assert record[:2] == ("prod/flux-system/apps", "ReconciliationSucceeded")
