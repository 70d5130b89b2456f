"""In the place of flux-commit-tracker: its own Kustomization, its three histograms, the same numbers, once."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    Running,
    ago,
    make_environ,
    make_repository,
    make_settings,
    push,
    running,
    until,
)

TRACKED = f"kube-manifests-{NAMESPACE}"
EXPORT = "flux_commit_tracker_kube_manifests_exporter_export_time_seconds"
RECONCILE = "flux_commit_tracker_flux_reconcile_time_seconds"
END_TO_END = "flux_commit_tracker_e2e_export_time_seconds"
LABELS = {"k8s_namespace_name": NAMESPACE, "k8s_resource_name": TRACKED, "k8s_cluster_name": "prod"}


def exporter_info(sha: str, seconds_ago: float) -> str:
    entry = {"hash": sha, "summary": "Change", "author": "Ada", "email": "", "time": ago(seconds_ago).isoformat()}
    return json.dumps({"commit": "x", "commits_since_last_export": [entry], "export_build_link": "https://ci/1"})


async def histograms(run: Running) -> dict[str, tuple[float, float]]:
    """Return count and sum of each of the three."""
    return {
        name: (await run.sample(f"{name}_count", **LABELS), await run.sample(f"{name}_sum", **LABELS))
        for name in (RECONCILE, EXPORT, END_TO_END)
    }


async def test_export_found_at_first_sight_is_measured_once_ever(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    applied = ago(0)
    text = json.dumps(
        {
            "commit": "x",
            "commits_since_last_export": [
                {"hash": "b" * 40, "summary": "Change", "time": (applied - timedelta(seconds=1500)).isoformat()}
            ],
        }
    )
    commit = await push(repository, {"exporter-info.json": text}, at=applied - timedelta(seconds=600))
    cluster = Cluster()
    expected = {RECONCILE: (1, 600), EXPORT: (1, 900), END_TO_END: (1, 1500)}
    async with cluster.server:
        cluster.fetch(commit, url=repository.url, at=applied)
        cluster.apply(commit, name=TRACKED, at=applied)
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE)
        async with running(settings, make_environ(tmp_path)) as run:

            async def is_measured() -> bool:
                return await histograms(run) == expected

            await until(is_measured, "600, 900 and 1500 s")
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_attributed()
            assert await histograms(run) == expected
            later = await push(repository, {"exporter-info.json": exporter_info("c" * 40, 60)}, at=ago(30))
            cluster.fetch(later, url=repository.url)
            cluster.apply(later, name=TRACKED)

            async def is_next() -> bool:
                return {count for count, _ in (await histograms(run)).values()} == {2}

            await until(is_next, "the next export's samples")


async def test_baseline_of_any_other_kustomization_is_no_sample(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    commit = await push(repository, {"exporter-info.json": exporter_info("b" * 40, 1500)}, at=ago(600))
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(commit, url=repository.url)
        cluster.apply(commit)
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(commit)
            await run.until_attributed()
            found = await run.samples()
    assert not [name for name in found if name.startswith("flux_commit_tracker") and name.endswith("_count")]


async def test_kustomization_that_has_not_succeeded_is_no_sample_until_it_has(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    commit = await push(repository, {"exporter-info.json": exporter_info("b" * 40, 1500)}, at=ago(600))
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(commit, url=repository.url)
        cluster.target(TRACKED)
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await until(run.targets, "the target")
            assert (await histograms(run))[END_TO_END] == (0, 0)
            cluster.apply(commit, name=TRACKED)

            async def is_measured() -> bool:
                return (await histograms(run))[END_TO_END][0] == 1

            await until(is_measured, "its first success")
