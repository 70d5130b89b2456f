"""HelmReleases of a simulated cluster: their status as it is written, and what is true of them at the end."""

from __future__ import annotations

from typing import Any

from tests.simulator.worlds import Json, Play, Record, commits

from fluxtrail.model.revision import version_sha
from fluxtrail.simulator.script import Action, Step

UPGRADE = Step(Action.RELEASE, folder="staging")
BAD = Step(Action.BAD_RELEASE, folder="staging")


def release(commit: Json, name: str) -> Json:
    found: Json = next(d for d in commit["deliveries"] if d["target"] == f"HelmRelease/platform/{name}")
    return found


def condition(obj: Json, kind: str) -> Json:
    found: Json = next((c for c in obj["status"].get("conditions", ()) if c["type"] == kind), {})
    return found


def walk(states: list[Json]) -> list[str]:
    """Return each state in a few words: what it does, Ready, what was attempted, the newest of the history."""
    told = []
    for obj in states:
        status = obj["status"]
        newest = (status.get("history") or [{}])[0]
        words = [
            condition(obj, "Reconciling").get("message", "").partition(" with timeout")[0],
            condition(obj, "Ready").get("reason", ""),
            f"v{newest.get('version', 0)} {newest.get('status', '')}",
            "observed" if status["observedGeneration"] == obj["metadata"]["generation"] else "",
        ]
        told.append(" · ".join(words))
    return told


def is_about(obj: Any, generation: int) -> bool:
    return bool(obj["metadata"]["generation"] == generation)


async def test_an_upgrade_is_written_step_by_step(record: Record) -> None:
    async with record(UPGRADE, resource="helmreleases", name="search-index") as (world, states):
        about = [obj for obj in states if is_about(obj, 2)]
        assert walk(about) == [
            " · InstallSucceeded · v1 deployed · ",
            "Fulfilling prerequisites · InstallSucceeded · v1 deployed · ",
            "Running 'upgrade' action · Progressing · v1 deployed · ",
            "Running 'upgrade' action · Progressing · v1 deployed · ",
            "Running 'upgrade' action · UpgradeSucceeded · v1 deployed · ",
            "Running 'upgrade' action · UpgradeSucceeded · v2 deployed · ",
            " · UpgradeSucceeded · v2 deployed · ",
            " · UpgradeSucceeded · v2 deployed · observed",
        ]
        status = about[-1]["status"]
        assert status["lastAttemptedReleaseAction"] == "upgrade"
        assert status["inventory"]["entries"] == [{"id": "platform_search-index_apps_Deployment", "v": "v1"}]
        assert [item["status"] for item in status["history"]] == ["deployed", "superseded"]
        assert (status["lastAttemptedRevision"], status["lastAttemptedGeneration"]) == ("2.11.0", 2)
        delivered = release(commits(world, "Turn search-index up")[0], "search-index")
        assert delivered["verdict"] == "deployed"
        assert list(delivered["stages"]) == ["merged", "applied", "healthy", "running"]
        [chart] = delivered["revisions"]
        assert chart == version_sha("2.11.0")
        assert delivered["stages"]["merged"] < delivered["charts"][chart] < delivered["stages"]["applied"]


async def test_what_a_release_runs_names_the_release_and_its_applier(play: Play) -> None:
    async with play(UPGRADE) as world:
        store = world.clusters["staging"].server.store
        deployment = store.get("deployments", "mailer", "platform")
        labels = deployment["metadata"]["labels"]
        assert labels == {"helm.toolkit.fluxcd.io/name": "mailer", "helm.toolkit.fluxcd.io/namespace": "platform"}
        applied = [
            entry["manager"] for entry in deployment["metadata"]["managedFields"] if entry["operation"] == "Apply"
        ]
        assert applied == ["helm-controller"]
        owner = store.get("helmreleases", "mailer", "platform")["metadata"]["labels"]
        assert owner["kustomize.toolkit.fluxcd.io/name"] == "releases"
        charts = {c["metadata"]["name"]: c for c in store.list("helmcharts")}
        assert charts["platform-catalogue"]["metadata"]["namespace"] == "flux-system"
        assert charts["platform-search-index"]["status"]["artifact"]["revision"] == "2.11.0"
        mailer = store.get("helmreleases", "mailer", "platform")["status"]
        assert mailer["lastAttemptedRevision"] == f"1.0.0+{mailer['lastAttemptedRevisionDigest'][7:19]}"


async def test_a_failed_upgrade_is_rolled_back_and_stays_so_until_it_is_repaired(record: Record) -> None:
    async with record(BAD, resource="helmreleases", name="mailer") as (world, states):
        failed = [obj for obj in states if is_about(obj, 2)][-1]
        assert condition(failed, "Ready")["reason"] == "RollbackSucceeded"
        assert condition(failed, "Released")["reason"] == "UpgradeFailed"
        assert condition(failed, "Remediated")["status"] == "True"
        assert condition(failed, "Stalled")["reason"] == "RetriesExceeded"
        told = [(item["version"], item["status"], item.get("action")) for item in failed["status"]["history"]]
        assert told == [(3, "deployed", "rollback"), (2, "failed", None), (1, "superseded", None)]
        assert condition(states[-1], "Ready")["reason"] == "UpgradeSucceeded"
        assert not condition(states[-1], "Stalled")
        bad, repair = (release(commits(world, word)[0], "mailer") for word in ("Hurry", "Calm"))
        assert (bad["verdict"], repair["verdict"]) == ("deployed", "deployed")
        # What was rolled back never came to run; it does since it was brought anew.
        assert bad["stages"]["running"] == repair["stages"]["running"] > bad["stages"]["applied"]
        assert list(repair["stages"]) == ["merged", "applied", "healthy", "running"]
        chart = world.clusters["staging"].server.store.get("helmreleases", "mailer", "platform")["status"]
        assert repair["revisions"] == (chart["lastAttemptedRevisionDigest"].partition(":")[2],)
        assert release(commits(world, "Hurry")[0], "catalogue")["verdict"] == "unaffected"


async def test_a_chart_in_git_is_released_with_every_commit_and_delivers_its_own(play: Play) -> None:
    async with play(Step(Action.CHART), Step(Action.ASIDE)) as world:
        [chart], [aside] = commits(world, "Publish catalogue"), commits(world, "Explain")
        assert release(chart, "catalogue")["verdict"] == "deployed"
        assert release(aside, "catalogue")["verdict"] == "unaffected"
        status = world.clusters["staging"].server.store.get("helmreleases", "catalogue", "platform")["status"]
        assert status["lastAttemptedRevision"].endswith(f"+{aside['sha'][:12]}")


async def test_an_older_flux_keeps_neither_inventory_nor_actions(play: Play) -> None:
    async with play(UPGRADE, legacy=frozenset({"staging"})) as world:
        status = world.clusters["staging"].server.store.get("helmreleases", "search-index", "platform")["status"]
        assert "inventory" not in status
        assert all("action" not in item for item in status["history"])
