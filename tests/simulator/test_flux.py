"""The order in which a simulated Flux writes statuses: what a watcher of a real one sees."""

from __future__ import annotations

from typing import Any

from tests.simulator.worlds import Play, Record, commits

from fluxtrail.simulator.script import Action, Step

Json = dict[str, Any]

SETTINGS = Step(Action.SETTINGS, app="cart", folder="staging")


def condition(obj: Json, kind: str) -> Json:
    return next((c for c in obj.get("status", {}).get("conditions", ()) if c["type"] == kind), {})


def walk(states: list[Json], sha: str) -> list[str]:
    """Tell each status write about a revision in a few words."""
    told = []
    for obj in states:
        status = obj["status"]
        ready, progress = condition(obj, "Ready"), condition(obj, "Reconciling").get("message", "")
        words = [
            ready.get("status", ""),
            progress.partition(" for revision")[0],
            "attempted" if status.get("lastAttemptedRevision", "").endswith(sha) else "",
            condition(obj, "Healthy").get("status", ""),
            "applied" if status.get("lastAppliedRevision", "").endswith(sha) else "",
        ]
        told.append(" · ".join(words))
    return told


async def test_a_reconciliation_without_checks_is_written_step_by_step(record: Record) -> None:
    async with record(SETTINGS, resource="kustomizations", name="apps") as (world, states):
        sha = commits(world, "Set level")[0]["sha"]
        about = [obj for obj in states if sha in str(obj["status"]["conditions"])]
        assert walk(about, sha) == [
            "Unknown · Fetching manifests ·  ·  · ",
            "Unknown · Building manifests ·  ·  · ",
            "Unknown · Building manifests · attempted ·  · ",
            "Unknown · Detecting drift · attempted ·  · ",
            "True ·  · attempted ·  · ",
            "True ·  · attempted ·  · applied",
        ]


async def test_checks_run_before_the_revision_is_the_applied_one(record: Record) -> None:
    async with record(SETTINGS, resource="kustomizations", name="backend") as (world, states):
        sha = commits(world, "Set level")[0]["sha"]
        about = [obj for obj in states if sha in str(obj["status"]["conditions"])]
        assert walk(about, sha)[3:] == [
            "Unknown · Detecting drift · attempted · True · ",
            "Unknown · Running health checks · attempted · Unknown · ",
            "Unknown · Running health checks · attempted · True · ",
            "True ·  · attempted · True · ",
            "True ·  · attempted · True · applied",
        ]
        checking = condition(about[4], "Reconciling")["message"]
        assert checking == f"Running health checks for revision main@sha1:{sha} with a timeout of 60s"


async def test_a_source_is_ready_before_its_artifact_is_written(record: Record) -> None:
    async with record(SETTINGS, resource="gitrepositories", name="manifests") as (world, states):
        sha = commits(world, "Set level")[0]["sha"]
        about = [obj for obj in states if sha in str(obj["status"])]
        told = [(condition(o, "Ready")["status"], o["status"]["artifact"]["revision"].endswith(sha)) for o in about]
        assert told[:3] == [("Unknown", False), ("True", False), ("True", True)]


async def test_an_unchanged_output_keeps_its_snapshot_and_takes_the_new_revision(play: Play) -> None:
    async with play(Step(Action.ASIDE)) as world:
        sha = commits(world, "Explain")[0]["sha"]
        status = world.clusters["staging"].server.store.get("kustomizations", "apps", "flux-system")["status"]
        (snapshot,) = status["history"]
        assert snapshot["metadata"]["revision"] == f"main@sha1:{sha}"
        assert snapshot["totalReconciliations"] == 2
        assert snapshot["lastReconciledStatus"] == "ReconciliationSucceeded"


async def test_a_failed_build_is_attempted_and_retried_and_not_applied(play: Play) -> None:
    async with play(Step(Action.LASTING_FAILURE)) as world:
        sha = commits(world, "Try a shortcut")[0]["sha"]
        status = world.clusters["staging"].server.store.get("kustomizations", "infra", "flux-system")["status"]
        by_type = {c["type"]: c for c in status["conditions"]}
        assert (by_type["Ready"]["status"], by_type["Ready"]["reason"]) == ("False", "BuildFailed")
        assert by_type["Reconciling"]["reason"] == "ProgressingWithRetry"
        assert status["lastAttemptedRevision"].endswith(sha)
        assert not status["lastAppliedRevision"].endswith(sha)


async def test_a_failed_check_leaves_a_snapshot_of_its_own(play: Play) -> None:
    async with play(Step(Action.BAD_HEALTH)) as world:
        history = world.clusters["staging"].server.store.get("kustomizations", "backend", "flux-system")["status"]
        reasons = [snapshot["lastReconciledStatus"] for snapshot in history["history"]]
        assert reasons == ["ReconciliationSucceeded", "HealthCheckFailed", "ReconciliationSucceeded"]


async def test_a_dependent_waits_for_the_same_revision(record: Record) -> None:
    async with record(SETTINGS, resource="kustomizations", name="infra") as (_, states):
        waits = {
            condition(obj, "Ready")["message"]
            for obj in states
            if condition(obj, "Ready").get("reason") == "DependencyNotReady"
        }
        label = "dependency 'flux-system/backend'"
        assert waits
        assert waits <= {f"{label} is not ready", f"{label} revision is not up to date"}
        assert condition(states[-1], "Ready")["status"] == "True"


async def test_an_older_flux_writes_old_revisions_and_no_history(play: Play) -> None:
    async with play(SETTINGS, legacy=frozenset({"staging"})) as world:
        sha = commits(world, "Set level")[0]["sha"]
        server = world.clusters["staging"].server
        obj = server.store.get("kustomizations", "apps", "flux-system")
        assert obj["apiVersion"] == "kustomize.toolkit.fluxcd.io/v1beta2"
        assert obj["status"]["lastAppliedRevision"] == f"main/{sha}"
        assert "history" not in obj["status"]
