"""A real registry, an OCIRepository and its Kustomization, followed by the running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.remotes.oci.registry import EXPORTER_INFO, RealRegistry, running_registry
from tests.runtime.worlds import Cluster, ago, make_environ, make_repository, make_settings, push, running

pytestmark = pytest.mark.requires("registry")

SOURCE = "a1" * 20
NEXT = "b2" * 20


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    with running_registry(tmp_path) as made:
        yield made


def exporter_info(*commits: tuple[str, datetime]) -> bytes:
    entries = [{"hash": sha, "summary": "Scale", "author": "Ada", "time": at.isoformat()} for sha, at in commits]
    return json.dumps({"commit": "x", "commits_since_last_export": [*entries, None], "export_build_link": ""}).encode()


async def test_the_exporters_layer_is_followed_from_the_registry_to_the_cluster(
    tmp_path: Path, registry: RealRegistry
) -> None:
    """Artifacts that Flux skipped count too, and so does one with an entry that is `null`."""
    cluster = Cluster()
    url = registry.url("acme/manifests")
    first = registry.push("acme/manifests", layers=[(EXPORTER_INFO, exporter_info())])
    async with cluster.server:
        applied = cluster.pull(url, first)
        cluster.apply(applied, source="manifests", kind="OCIRepository")
        settings = make_settings(tmp_path, cluster, allow=("http://127.0.0.1/*",))
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_attributed()
            merged = ago(15 * 60)
            skipped = registry.push("acme/manifests", layers=[(EXPORTER_INFO, exporter_info((SOURCE, merged)))])
            cluster.pull(url, skipped)
            await run.until_verdict(SOURCE, "pending")
            last = registry.push("acme/manifests", layers=[(EXPORTER_INFO, exporter_info((NEXT, merged)))])
            cluster.apply(cluster.pull(url, last), source="manifests", kind="OCIRepository")
            delivery = await run.until_verdict(SOURCE, "deployed")
            assert delivery["via"] == last.removeprefix("sha256:")
            assert (await run.until_verdict(NEXT, "deployed"))["via"] is None
            for said in (last, f"latest@{last}", last.removeprefix("sha256:")[:12]):
                assert (await run.ask(f"/trail?q={said}"))["commit"]["sha"] == last.removeprefix("sha256:")
    stages = {name: datetime.fromisoformat(stage["at"]) for name, stage in delivery["stages"].items()}
    took = stages["applied"] - stages["merged"]
    assert timedelta(minutes=15) - timedelta(seconds=2) < took < timedelta(minutes=16)
    assert {"merged", "exported", "fetched", "applied"} <= set(stages)


async def test_the_annotated_origin_is_followed_as_git(tmp_path: Path, registry: RealRegistry) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    url = registry.url("acme/fleet")
    async with cluster.server:

        def release(sha: str) -> str:
            annotations = {
                "org.opencontainers.image.revision": f"main@sha1:{sha}",
                "org.opencontainers.image.source": repository.url,
            }
            digest = registry.push("acme/fleet", config=sha.encode(), annotations=annotations)
            return cluster.pull(url, digest, annotations=annotations)

        head = repository.head_commit
        assert head is not None
        cluster.apply(release(head.sha), source="manifests", kind="OCIRepository")
        settings = make_settings(
            tmp_path, cluster, allow=("http://127.0.0.1/*",), repositories=({"url": repository.url},)
        )
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_attributed()
            skipped = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "Scale")
            last = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Scale again")
            await run.until_verdict(skipped, "pending")
            cluster.apply(release(last.sha), source="manifests", kind="OCIRepository")
            await run.until_verdict(last, "deployed")
            delivery = await run.until_verdict(skipped, "deployed")
    assert delivery["via"] == last.sha
