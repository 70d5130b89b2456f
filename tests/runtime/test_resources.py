"""`gotk_resource_info` through the whole service: an API server, watches, `/metrics` and `/readyz`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from tests.runtime.resource_fleet import Fleet
from tests.runtime.worlds import NAMESPACE, Cluster, Running, make_environ, make_settings, running, until

from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.simulator.apiserver.resources import FLUX_RESOURCES
from fluxtrail.simulator.apiserver.statuses import forbidden

pytestmark = pytest.mark.timeout(60)
INFO = "gotk_resource_info"
ON = {"enabled": True}
GROUPS = {item.plural: item for item in FLUX_RESOURCES}


def settings_of(folder: Path, *clusters: Cluster, **resources: Any) -> Settings:
    return make_settings(folder, *clusters, workloads={"enabled": False}, resources={**ON, **resources})


async def series(run: Running) -> dict[str, dict[str, str]]:
    """Labels by kind, namespace and name."""
    found = (await run.samples()).get(INFO, [])
    return {
        "/".join((labels["customresource_kind"], labels["exported_namespace"], labels["name"])): labels
        for labels, _ in found
    }


async def until_series(run: Running, *names: str) -> dict[str, dict[str, str]]:
    async def are_there() -> dict[str, dict[str, str]] | None:
        found = await series(run)
        return found if set(found) == set(names) else None

    if not names:
        await until(lambda: _is_empty(run), "no series")
        return {}
    found: dict[str, dict[str, str]] = await until(are_there, f"the series of {', '.join(names)}")
    return found


async def _is_empty(run: Running) -> bool:
    return not await series(run)


async def test_objects_of_every_kind_have_series_until_they_go(tmp_path: Path) -> None:
    cluster = Fleet()
    kinds = {item.plural: item.kind for item in FLUX_RESOURCES}
    for plural in kinds:
        cluster.create(plural, "one")
    async with cluster.server, running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        found = await series(run)
        assert set(found) == {f"{kind}/{NAMESPACE}/one" for kind in kinds.values()}
        assert all("cluster" not in labels for labels in found.values())
        assert await run.sample("fluxtrail_resource_series") == len(kinds)
        for plural in kinds:
            cluster.delete(plural, "one")
        await until_series(run)


async def test_a_change_is_told_as_it_comes(tmp_path: Path) -> None:
    cluster = Fleet()
    cluster.create("kustomizations", "web", sourceRef={"kind": "GitRepository", "name": "fleet"})
    async with cluster.server, running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        cluster.say(
            "kustomizations",
            "web",
            conditions=[{"type": "Ready", "status": "False", "reason": "BuildFailed"}],
            lastAppliedRevision="main@sha1:1",
        )
        await until(lambda: run.sample(INFO, ready="False", revision="main@sha1:1", source_name="fleet"), "the change")
        assert "suspended" not in (await series(run))[f"Kustomization/{NAMESPACE}/web"]
        cluster.store.patch("kustomizations", "web", NAMESPACE, {"spec": {"suspend": True}})
        await until(lambda: run.sample(INFO, suspended="true"), "the suspension")


async def test_not_ready_before_every_kind_was_listed(tmp_path: Path) -> None:
    cluster = Fleet()
    cluster.create("alerts", "one")
    async with cluster.server:
        cluster.server.faults.fail_requests(503, "alerts", count=1000)
        async with running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:

            async def is_half_ready() -> bool:
                text = (await run.readiness())[1]
                return all(f"[+]cluster/prod/{name} ok" in text for name in ("Kustomization", "resources/Receiver"))

            await until(is_half_ready, "the other kinds")
            status, text = await run.readiness()
            assert status == 503
            assert "[-]cluster/prod/resources/Alert not ready: " in text
            cluster.server.faults.clear()
            await run.until_ready()
            assert set(await series(run)) == {f"Alert/{NAMESPACE}/one"}


async def test_kinds_come_and_go(tmp_path: Path) -> None:
    cluster = Fleet(resources=[item for item in FLUX_RESOURCES if item.plural != "receivers"])
    async with cluster.server, running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        assert await series(run) == {}
        cluster.store.install(GROUPS["receivers"])
        cluster.create("receivers", "hook")
        await until_series(run, f"Receiver/{NAMESPACE}/hook")


async def test_several_clusters_are_told_apart(tmp_path: Path) -> None:
    clusters = [Fleet("eu"), Fleet("us")]
    for cluster in clusters:
        cluster.create("alerts", "one")
    async with (
        clusters[0].server,
        clusters[1].server,
        # Their addresses are known from here on.
        running(settings_of(tmp_path, *clusters), make_environ(tmp_path)) as run,
    ):
        await run.until_ready()
        assert await run.sample(INFO, cluster="eu") == 1
        assert await run.sample(INFO, cluster="us") == 1


@pytest.mark.parametrize(("resources", "namespaces"), [({"namespaces": ("apps",)}, ("apps",)), ({}, ("apps",))])
async def test_namespaces_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resources: dict[str, Any], namespaces: tuple[str, ...]
) -> None:
    """Those that are stated, or those that Flux is followed in where the whole cluster is forbidden."""
    cluster = Fleet()
    cluster.create("helmreleases", "web", "apps")
    cluster.create("helmreleases", "db", "data")

    def authorize(user: str, verb: str, definition: Any, *, namespace: str, name: str = "") -> None:
        if definition.plural != "namespaces" and namespace != "apps":
            raise forbidden(definition, user=user, verb=verb, namespace=namespace, name=name)

    monkeypatch.setattr(cluster.server.access, "authorize", authorize)
    async with cluster.server:
        chosen = settings_of(tmp_path, cluster, **resources).model_copy(update={"namespaces": namespaces})
        async with running(chosen, make_environ(tmp_path)) as run:
            await run.until_ready()
            assert set(await series(run)) == {"HelmRelease/apps/web"}


async def ask(run: Running, query: str = "", **headers: str) -> tuple[str, str]:
    async with aiohttp.ClientSession() as session:
        url = f"{run.addresses['metrics']}/metrics{query}"
        async with session.get(url, headers={name.replace("_", "-"): text for name, text in headers.items()}) as answer:
            assert answer.status == 200
            return answer.headers["content-type"], await answer.text()


async def test_what_is_asked_for_is_what_is_answered(tmp_path: Path) -> None:
    cluster = Fleet()
    cluster.create("alerts", "one")
    cluster.create("providers", "two")
    async with cluster.server, running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        accept = "application/openmetrics-text;version=1.0.0"
        content_type, text = await ask(run, Accept=accept)
        families = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
        assert content_type.startswith("application/openmetrics-text")
        assert families["gotk_resource"].type == "info"
        assert len(families["gotk_resource"].samples) == 2
        _, text = await ask(run)
        assert text.count("# HELP gotk_resource_info") == 1
        assert "fluxtrail_build_info" in text
        _, text = await ask(run, "?resources=alerts,pods")
        assert [line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")] == [INFO]
        assert 'name="one"' in text
        _, text = await ask(run, "?resources=alerts&resources=providers", Accept=accept)
        assert text.endswith("# EOF\n")
        assert text.count("gotk_resource_info{") == 2
        _, text = await ask(run, "?exclude_resources=alerts")
        assert "fluxtrail_build_info" in text
        assert 'name="one"' not in text
        assert 'name="two"' in text


async def test_nothing_is_watched_or_told_where_it_is_off(tmp_path: Path) -> None:
    cluster = Fleet()
    cluster.create("alerts", "one")
    async with cluster.server, running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        _, text = await ask(run, "?resources=alerts")
        assert INFO not in text
        assert "resources/" not in (await run.readiness())[1]


async def test_deleted_while_the_server_was_away(tmp_path: Path) -> None:
    cluster = Fleet()
    cluster.create("alerts", "one")
    cluster.create("alerts", "two")
    async with cluster.server, running(settings_of(tmp_path, cluster), make_environ(tmp_path)) as run:
        await run.until_ready()
        cluster.server.faults.fail_requests(503, "alerts", count=1000)
        cluster.server.faults.drop_watches()
        cluster.delete("alerts", "one")

        async def is_failing() -> bool:
            return await run.sample("fluxtrail_watch_failures_total", kind="resources/Alert") > 0

        await until(is_failing, "a failing watch")
        cluster.server.faults.clear()
        await until_series(run, f"Alert/{NAMESPACE}/two")
