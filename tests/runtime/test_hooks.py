"""Notices from outside, over the hooks listener: they make the service look, and change nothing by themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.telling import SECRET, send, signed
from tests.runtime.worlds import (
    FREE,
    Cluster,
    Running,
    make_environ,
    make_repository,
    make_settings,
    push,
    revision,
    running,
    until,
)

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime import hinted
from fluxtrail.runtime.settings.settings import Settings, load_settings
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Commit, Repository

SENDERS = [{"name": "github", "secret": SECRET}]


async def post(here: Running, path: str, body: Any, **headers: str) -> int:
    data = json.dumps(body).encode()
    return await send(here, path, data, **{"X-Hub-Signature-256": signed(data), **headers})


async def test_a_push_is_looked_at_at_once(tmp_path: Path, cluster: Cluster) -> None:
    """Whether the repository is named by the URL that git is given, or as its forge knows it."""
    repository = await make_repository(tmp_path / "repositories")
    async with Forges(SimulatedClock()) as forges:
        forge = {"kind": "github", "owner": "acme", "repo": "shop"}
        settings = make_settings(
            tmp_path,
            cluster,
            git={"poll_seconds": 3600, "allow_file_protocol": True},
            repositories=[{"url": repository.url, "branch": "main", "forge": forge}],
            github={"base_url": forges.url},
            hooks={"listen": FREE, "senders": SENDERS},
        )
        async with running(settings, make_environ(tmp_path)) as here:

            async def is_known(sha: str) -> bool:
                return any(item["sha"] == sha for item in (await here.ask("/commits"))["items"])

            await until(partial(is_known, repository.head_commit.sha), "the branch is read")
            for number, name in enumerate([repository.url, f"{forges.url}/acme/shop.git"], 1):
                commit = await push(repository, {"apps/web.yaml": f"replicas: {number}0\n"}, "Other")
                body = {"ref": "refs/heads/main", "after": commit.sha, "repository": {"clone_url": name}}
                assert await post(here, "/hooks/github", body, **{"X-GitHub-Event": "push"}) == 202
                await until(partial(is_known, commit.sha), "the commit that was pushed")
                assert await here.sample("fluxtrail_hooks_dealt_with_total", hook="github") == number


@pytest.mark.parametrize(
    ("path", "body"), [("/hooks/flux", {"involvedObject": {"kind": "Kustomization", "name": "x"}})]
)
async def test_what_nobody_signed_is_refused(tmp_path: Path, cluster: Cluster, path: str, body: Any) -> None:
    settings = make_settings(tmp_path, cluster, hooks={"listen": FREE, "senders": SENDERS})
    async with running(settings, make_environ(tmp_path)) as here:
        assert await post(here, path, body, **{"X-Hub-Signature-256": ""}) == 401
        assert await post(here, path, body, **{"X-Hub-Signature-256": signed(b"another body")}) == 401
        assert await here.sample("fluxtrail_hooks_accepted_total") == 0


# -- a cluster that nobody watches -----------------------------------------------------------------------------------


def edge(folder: Path, repository: Repository, **changes: Any) -> Settings:
    """Settings without a cluster, with a sender that speaks of `edge`."""
    sender = {"name": "flux-edge", "secret": SECRET, "cluster": "edge", "repository": repository.url, "path": "apps"}
    given: dict[str, Any] = {
        "watch": False,
        "hooks": {"listen": FREE, "senders": [sender], "flux": {"anonymous": True}},
        "repositories": [{"url": repository.url, "branch": "main"}],
        **changes,
    }
    return make_settings(folder, **given)


def event(commit: Commit, reason: str = "ReconciliationSucceeded", **metadata: str) -> dict[str, Any]:
    involved = {"kind": "Kustomization", "namespace": "flux-system", "name": "apps", "uid": "u1"}
    return {
        "involvedObject": {**involved, "apiVersion": "kustomize.toolkit.fluxcd.io/v1"},
        "severity": "error" if "Failed" in reason else "info",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": reason,
        "message": reason,
        "metadata": {"revision": revision(commit), **metadata},
    }


async def test_signed_events_deliver_a_commit_where_nobody_watches(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path / "repositories")
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "One")
    async with running(edge(tmp_path, repository), make_environ(tmp_path)) as here:
        await here.until_ready()
        assert await post(here, "/hooks/flux", event(first)) == 202
        await here.until_applied(first)
        second = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        await here.until_verdict(second, "pending")
        sent = event(second)
        assert await post(here, "/hooks/flux", sent) == 202
        delivery = await here.until_verdict(second, "deployed")
        assert delivery["cluster"] == "edge"
        applied = delivery["stages"]["applied"]
        assert (applied["at"], applied["evidence"], applied["precision"]) == (sent["timestamp"], "event", "exact")
        assert delivery["running"] == "unknown"
        (cluster,) = (await here.ask("/clusters"))["items"]
        assert (cluster["name"], cluster["uid"], cluster["known_by"]) == ("edge", "hooks/edge", "events")


async def test_a_status_is_told_of_what_only_events_told(tmp_path: Path) -> None:
    """gitops-connector's own case: statuses, and no right in any cluster."""
    repository = await make_repository(tmp_path / "repositories")
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "One")
    forge = {"kind": "github", "owner": "acme", "repo": "fleet"}
    async with Forges(SimulatedClock()) as forges:

        def states(commit: Commit) -> list[str]:
            found = forges.final_statuses("github").items()
            return [status.last.state for key, status in found if key[2:4] == (commit.sha, "fluxtrail/edge")]

        settings = edge(
            tmp_path,
            repository,
            github={"base_url": forges.url},
            repositories=[{"url": repository.url, "branch": "main", "forge": forge}],
            routes=[{"name": "checks", "to": "github_status"}],
        )
        environ = make_environ(tmp_path, GITHUB_TOKEN="ghp_0123456789abcdefghijABCDEFGHIJ012345")
        async with running(settings, environ) as here:
            assert await post(here, "/hooks/flux", event(first)) == 202
            await here.until_applied(first)
            second = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
            await until(lambda: states(second) == ["pending"], "pending")
            assert await post(here, "/hooks/flux", event(second, "HealthCheckFailed")) == 202
            await until(lambda: states(second) == ["failure"], "red")
            assert await post(here, "/hooks/flux", event(second)) == 202
            await until(lambda: states(second) == ["success"], "green")


async def test_what_nobody_signed_and_what_is_of_another_cluster_changes_nothing(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path / "repositories")
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "One")
    async with running(edge(tmp_path, repository), make_environ(tmp_path)) as here:
        await here.until_ready()
        assert await send(here, "/hooks/flux", json.dumps(event(first)).encode()) == 202
        assert await post(here, "/hooks/flux", event(first, cluster="prod")) == 202

        async def are_dealt_with() -> bool:
            return await here.sample("fluxtrail_hooks_dealt_with_total", hook="flux") == 2

        await until(are_dealt_with, "both notices")
        assert await here.targets() == []
        assert (await here.ask("/clusters"))["items"] == []


async def test_what_was_answered_survives_the_process(tmp_path: Path) -> None:
    """Stopped between the answer and the dealing: an event is held back for a while, so it was not dealt with yet."""
    repository = await make_repository(tmp_path / "repositories")
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "One")
    settings, environ = edge(tmp_path, repository), make_environ(tmp_path)
    async with running(settings, environ) as here:
        assert await post(here, "/hooks/flux", event(first)) == 202
        assert await here.sample("fluxtrail_hooks_dealt_with_total") == 0
    async with running(settings, environ) as here:
        await here.until_applied(first)


async def test_a_cluster_that_is_watched_again_is_believed_itself(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path / "repositories")
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "One")
    async with running(edge(tmp_path, repository), make_environ(tmp_path)) as here:
        assert await post(here, "/hooks/flux", event(first)) == 202
        await here.until_applied(first)
    made = Cluster("edge")
    await made.server.start()
    try:
        watching = make_settings(tmp_path, made, hooks=edge(tmp_path, repository).hooks.model_dump())
        async with running(watching, make_environ(tmp_path)) as here:

            async def are_gone() -> bool:
                return await here.targets() == []

            await until(are_gone, "the target that was told goes")
            made.fetch(first, url=repository.url)
            made.apply(first)
            await here.until_applied(first)
            assert [item["cluster_uid"].startswith("hooks/") for item in await here.targets()] == [False]
    finally:
        await made.server.stop()


@pytest.mark.parametrize("changes", [{}, {"hooks": {"listen": ":0"}, "deployment_records": {"enabled": True}}])
def test_without_clusters_somebody_has_to_tell(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "fluxtrail.yaml"
    path.write_text(json.dumps({"watch": False, **changes}), encoding="utf-8")
    with pytest.raises(ConfigError, match="watch"):
        load_settings(path=path, flags={}, environ={"LOGICAL_ENVIRONMENT": "prod", "CLUSTER": "edge", "ORG": "acme"})


# -- a watch that is dead though its connection is open --------------------------------------------------------------


async def test_a_hint_finds_a_dead_watch(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hinted, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(hinted, "SILENCE_SECONDS", 0.0)
    repository = await make_repository(tmp_path / "repositories")
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "One")
    cluster.fetch(first, url=repository.url)
    cluster.apply(first)
    settings = make_settings(tmp_path, cluster, hooks={"listen": FREE, "senders": SENDERS})
    async with running(settings, make_environ(tmp_path)) as here:
        await here.until_applied(first)
        assert cluster.server.faults.freeze_watches("kustomizations") == 1
        second = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        cluster.apply(second)
        assert await post(here, "/hooks/flux", event(second)) == 202
        await here.until_applied(second)
        resumes = await here.sample("fluxtrail_watch_resumes_total", kind="Kustomization")
        assert resumes == 1
        # One that is alive, and brought everything, is left alone.
        assert await post(here, "/hooks/flux", event(second, again="1")) == 202

        async def are_dealt_with() -> bool:
            return await here.sample("fluxtrail_hooks_dealt_with_total", hook="flux") == 2

        await until(are_dealt_with, "both notices")
        assert await here.sample("fluxtrail_watch_resumes_total", kind="Kustomization") == resumes
