"""What a restart makes of sources that are known, and are not to be asked, or cannot be."""

from __future__ import annotations

from pathlib import Path

from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    make_environ,
    make_repository,
    make_settings,
    running,
)


async def test_urls_of_sources_do_not_keep_it_from_starting_again(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.fetch(None, url="https://git.example.com", name="without-path")
        chart_repository = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmRepository",
            "metadata": {"name": "charts", "namespace": NAMESPACE},
            "spec": {"url": "https://charts.example.com", "interval": "1m"},
        }
        cluster.store.create("helmrepositories", chart_repository)
        cluster.apply(repository.head_commit)
        settings = make_settings(tmp_path, cluster)
        for _ in range(2):
            async with running(settings, make_environ(tmp_path)) as run:
                await run.until_ready()
                await run.until_applied(repository.head_commit)
