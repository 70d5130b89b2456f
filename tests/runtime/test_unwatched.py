"""Where workloads are not watched, nothing is said to be on its way to running for ever."""

from __future__ import annotations

from pathlib import Path

from tests.runtime.worlds import Cluster, ago, make_environ, make_repository, make_settings, push, running, until

from fluxtrail.runtime.settings.settings import Settings


def _settings(folder: Path, cluster: Cluster) -> Settings:
    return make_settings(folder, cluster, workloads={"enabled": False})


async def test_whether_it_runs_is_unknown_where_workloads_are_not_watched(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "First", at=ago(600))
    cluster = Cluster()
    cluster.fetch(first, url=repository.url)
    cluster.apply(first)
    async with cluster.server, running(_settings(tmp_path, cluster), make_environ(tmp_path)) as service:
        await service.until_applied(first)
        change = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Change")
        cluster.fetch(change, url=repository.url)
        cluster.apply(change)
        await service.until_verdict(change, "deployed")

        async def is_unknown() -> bool:
            found = await service.deliveries(change.sha)
            return [item["running"] for item in found] == ["unknown"]

        await until(is_unknown, "running: unknown")
