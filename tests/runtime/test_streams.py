"""From a kubeconfig to followed objects: which clusters, which namespaces, which kinds, and what is said meanwhile."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs
from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    Running,
    make_environ,
    make_repository,
    make_settings,
    push,
    running,
    stream_of,
    until,
)

from fluxtrail.runtime.subjects import KINDS
from fluxtrail.simulator.apiserver.resources import FLUX_RESOURCES

SERVED = {item.kind for item in KINDS} & {resource.kind for resource in FLUX_RESOURCES}
"""The kinds that are watched and that the simulated API server has."""


async def names(run: Running) -> set[str]:
    return {item["target"].partition("/")[2] for item in await run.targets()}


async def test_commit_is_followed_from_the_branch_to_the_cluster(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster("prod", cluster_uid="11111111-2222-3333-4444-555555555555")
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit)
            await run.until_attributed()
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "Scale")
            await run.until_verdict(commit, "pending")
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            delivery = await run.until_verdict(commit, "deployed")
            status = await run.ask("/status")
            clusters = (await run.ask("/clusters"))["items"]
    assert set(delivery["stages"]) == {"merged", "fetched", "applied"}
    assert delivery["stages"]["applied"]["precision"] == "exact"
    assert [(item["uid"], item["name"]) for item in clusters] == [("11111111-2222-3333-4444-555555555555", "prod")]
    assert stream_of(status, "prod", "Kustomization")["state"] == "current"
    assert stream_of(status, "prod", "GitRepository")["state"] == "current"


async def test_forbidden_cluster_falls_back_to_the_own_namespace_and_says_so(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster(tokens={"s3cret-t0ken": "tracker"})
    cluster.server.access.restrict("tracker", namespaces=frozenset({NAMESPACE}))
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        cluster.apply(repository.head_commit, name="foreign", namespace="elsewhere")
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE)
        with capture_logs() as logs:
            async with running(settings, make_environ(tmp_path)) as run:
                await run.until_ready()
                await run.until_applied(repository.head_commit)
                found = await names(run)
    assert found == {f"{NAMESPACE}/apps"}
    said = [line for line in logs if line["event"] == "cluster-wide watch forbidden, watching the own namespace"]
    assert {(line["cluster"], line["kind"], line["namespace"]) for line in said} == {
        ("prod", kind, NAMESPACE) for kind in SERVED - {"Kustomization", "HelmRelease"}
    }
    assert "s3cret-t0ken" not in str(logs)


async def test_forbidden_cluster_without_any_namespace_falls_back_to_that_of_the_context(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster(tokens={"s3cret-t0ken": "tracker"})
    cluster.server.access.restrict("tracker", namespaces=frozenset({"default"}))
    async with cluster.server:
        cluster.apply(repository.head_commit, namespace="default")
        cluster.apply(repository.head_commit, name="foreign")
        with capture_logs() as logs:
            async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
                await run.until_ready()
                await run.until_applied(repository.head_commit)
                found = await names(run)
    assert found == {"default/apps"}
    assert {
        (line["kind"], line["namespace"]) for line in logs if line["event"].startswith("cluster-wide watch forbidden")
    } == {(kind, "default") for kind in SERVED}


async def test_sources_that_are_forbidden_cluster_wide_are_read_where_targets_are(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster(tokens={"s3cret-t0ken": "tracker"})
    cluster.server.access.restrict("tracker", namespaces=frozenset({NAMESPACE, "team"}))
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit, namespace="team")
        settings = make_settings(tmp_path, cluster, namespaces=("team", NAMESPACE))
        with capture_logs() as logs:
            async with running(settings, make_environ(tmp_path)) as run:
                await run.until_ready()
                await run.until_applied(repository.head_commit)
                [target] = await run.targets()
    assert target["repository"] is not None
    said = [line for line in logs if "watching the stated namespaces" in line["event"]]
    assert {line["kind"] for line in said} == SERVED - {"Kustomization", "HelmRelease"}
    assert all(line["namespaces"] == ["team", NAMESPACE] for line in said)


async def test_namespace_that_is_forbidden_too_is_shown_and_followed_once_it_is_permitted(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.apply(repository.head_commit)
        cluster.server.faults.forbid_namespace(NAMESPACE, resource="kustomizations")
        settings = make_settings(tmp_path, cluster, namespaces=(NAMESPACE,))
        async with running(settings, make_environ(tmp_path)) as run:

            async def is_shown() -> bool:
                return "[-]cluster/prod/Kustomization not ready: forbidden" in (await run.readiness())[1]

            await until(is_shown, "forbidden in /readyz")
            cluster.server.faults.permit_namespace(NAMESPACE, resource="kustomizations")
            await run.until_ready()
            await run.until_applied(repository.head_commit)


async def test_runtime_namespace_means_that_namespace_only(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        cluster.apply(repository.head_commit, name="more")
        cluster.apply(repository.head_commit, name="foreign", namespace="elsewhere")
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit, target="more")
            assert await names(run) == {f"{NAMESPACE}/apps", f"{NAMESPACE}/more"}


async def test_namespaces_win_over_the_runtime_namespace(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.apply(repository.head_commit, name=f"kube-manifests-{NAMESPACE}")
        cluster.apply(repository.head_commit, namespace="elsewhere")
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE, namespaces=("elsewhere",))
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit)
            assert await names(run) == {"elsewhere/apps"}


async def test_tracked_kustomization_is_followed_alone_the_newer_name_first(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    old, both = Cluster("old"), Cluster("both")
    async with old.server, both.server:
        for cluster in (old, both):
            cluster.apply(repository.head_commit)
            cluster.apply(repository.head_commit, name=f"kube-manifests-{NAMESPACE}")
        both.apply(repository.head_commit, name=f"kube-manifests-oci-{NAMESPACE}")
        settings = make_settings(tmp_path, old, both, runtime_namespace=NAMESPACE)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            found = {(item["cluster"], item["target"].rpartition("/")[2]) for item in await run.targets()}
    assert found == {("old", f"kube-manifests-{NAMESPACE}"), ("both", f"kube-manifests-oci-{NAMESPACE}")}


async def test_cluster_that_is_down_holds_up_no_other_and_is_ready_later(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    up, down = Cluster("up"), Cluster("down")
    async with up.server:
        async with down.server:  # gives it a port
            settings = make_settings(tmp_path, up, down, cluster_names={"up": "Europe"})
        up.apply(repository.head_commit)
        async with running(settings, make_environ(tmp_path)) as run, AsyncExitStack() as stack:

            async def is_said() -> bool:
                status, text = await run.readiness()
                is_up = "[+]cluster/Europe/Kustomization ok" in text
                return status == 503 and is_up and "[-]cluster/down/Kustomization not ready: unreachable" in text

            await until(is_said, "what is missing in /readyz")
            await run.until_applied(repository.head_commit)
            await stack.enter_async_context(down.server)
            await run.until_ready()
            assert {item["name"] for item in (await run.ask("/clusters"))["items"]} == {"Europe", "down"}


async def test_kind_that_is_not_installed_is_waited_for_and_does_not_hold_up_readiness(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    kustomizations = next(item for item in FLUX_RESOURCES if item.kind == "Kustomization")
    cluster = Cluster(resources=[item for item in FLUX_RESOURCES if item is not kustomizations])
    async with cluster.server, running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        stream = stream_of(await run.ask("/status"), "prod", "Kustomization")
        assert stream["state"] == "not_installed"
        assert "is its CRD installed?" in stream["message"]
        cluster.server.store.install(kustomizations)
        cluster.apply(repository.head_commit)
        await run.until_applied(repository.head_commit)
        assert stream_of(await run.ask("/status"), "prod", "Kustomization")["state"] == "current"


async def test_older_flux_is_followed_at_the_version_that_it_serves(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    cluster.server.faults.serve_versions("kustomizations", "v1beta2")
    cluster.server.faults.serve_versions("gitrepositories", "v1beta2")
    async with cluster.server:
        legacy = f"main/{repository.head}"
        cluster.fetch(legacy, url=repository.url)
        cluster.apply(legacy)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(legacy)
            await run.until_attributed()
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(f"main/{commit.sha}", url=repository.url)
            cluster.apply(f"main/{commit.sha}")
            await run.until_verdict(commit, "deployed")


async def test_one_object_that_is_none_does_not_stop_the_others(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit, name="a-broken")
        cluster.apply(repository.head_commit)
        cluster.server.faults.malformed_object("kustomizations")
        cluster.server.faults.fail_requests(422, "kustomizations", verbs=("watch",))  # no WatchList: a plain list
        settings = make_settings(tmp_path, cluster)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit)
            assert await run.sample("fluxtrail_watch_decode_errors_total", kind="Kustomization") == 1
            await run.until_attributed()
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            await run.until_verdict(commit, "deployed")
    assert cluster.server.faults.struck["malformed"] == 1


async def test_object_full_of_nulls_is_followed_like_the_others(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        for name in ("a-null", "apps"):
            cluster.apply(repository.head_commit, name=name)
        cluster.server.faults.explicit_nulls("kustomizations")
        cluster.server.faults.fail_requests(422, "kustomizations", verbs=("watch",))  # no WatchList: a plain list
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit)
            assert await names(run) == {f"{NAMESPACE}/a-null", f"{NAMESPACE}/apps"}
            cluster.apply(f"main@sha1:{'a' * 40}", name="a-null")
            await run.until_applied(f"main@sha1:{'a' * 40}", target="a-null")
    assert cluster.server.faults.struck["nulls"] == 1


async def test_what_was_deleted_while_nobody_watched_is_gone_after_the_restart(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        for name in ("apps", "left"):
            cluster.apply(repository.head_commit, name=name)
        settings = make_settings(tmp_path, cluster)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_applied(repository.head_commit, target="left")
            await run.until_attributed()
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            await run.until_verdict(commit, "pending", target="left")
        cluster.store.delete("kustomizations", "left", NAMESPACE)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_verdict(commit, "abandoned", target="left", seconds=5)
            await run.until_verdict(commit, "pending")


async def test_sources_are_known_by_the_name_of_the_context_that_is_used(tmp_path: Path) -> None:
    cluster = Cluster("current")
    async with cluster.server:
        settings = make_settings(tmp_path, cluster, kube_contexts=(), cluster_names={"current": "Europe"})
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            clusters: list[dict[str, Any]] = (await run.ask("/clusters"))["items"]
            readiness = await run.readiness()
    assert [item["name"] for item in clusters] == ["Europe"]
    assert "[+]cluster/Europe/Kustomization ok" in readiness[1]


async def test_nobody_is_said_to_be_gone_who_was_not_looked_for_or_could_not_be_read(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        for name, namespace in (("apps", NAMESPACE), ("foreign", "elsewhere"), ("unread", NAMESPACE)):
            cluster.apply(repository.head_commit, name=name, namespace=namespace)
        settings = make_settings(tmp_path, cluster)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_applied(repository.head_commit, target="unread")
        narrow = make_settings(tmp_path, cluster, namespaces=("elsewhere",))
        async with running(narrow, make_environ(tmp_path)) as run:
            await run.until_ready()
            assert {item["deleted_at"] for item in await run.targets()} == {None}
        cluster.server.faults.malformed_object("kustomizations")  # in place of the first: apps
        cluster.server.faults.fail_requests(422, "kustomizations", verbs=("watch",))
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            assert cluster.server.faults.struck["malformed"] == 1
            assert {item["deleted_at"] for item in await run.targets()} == {None}
        for name in ("apps", "unread"):
            cluster.store.delete("kustomizations", name, NAMESPACE)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            assert await names(run) == {"elsewhere/foreign"}


async def test_refused_token_is_shown_and_followed_once_it_is_taken(tmp_path: Path) -> None:
    cluster = Cluster(tokens={"s3cret-t0ken": "tracker"})
    async with cluster.server:
        settings = make_settings(tmp_path, cluster)
        cluster.server.faults.rotate_tokens({"another": "tracker"})
        async with running(settings, make_environ(tmp_path)) as run:

            async def is_said() -> bool:
                return "[-]cluster/prod/Kustomization not ready: unauthorized" in (await run.readiness())[1]

            await until(is_said, "unauthorized in /readyz")
            assert "s3cret" not in (await run.readiness())[1]
            cluster.server.faults.rotate_tokens({"s3cret-t0ken": "tracker"})
            await run.until_ready()


async def test_kubeconfig_that_goes_away_under_way_is_shown_and_read_again(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server:
        settings = make_settings(tmp_path, cluster)
        path = tmp_path / "kubeconfig"
        text = path.read_text()
        cluster.server.faults.fail_requests(503, "namespaces", count=1)
        async with running(settings, make_environ(tmp_path)) as run:
            path.unlink()

            async def is_said() -> bool:
                return "no kubeconfig found" in (await run.readiness())[1]

            await until(is_said, "the missing file in /readyz")
            path.write_text(text)
            await run.until_ready()
