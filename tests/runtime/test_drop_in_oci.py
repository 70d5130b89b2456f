"""In the place of flux-commit-tracker where it reads the exporter's layer: the same numbers, without its weaknesses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.remotes.oci.registry import EXPORTER_INFO, RealRegistry, running_registry
from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    Running,
    ago,
    make_environ,
    make_settings,
    running,
    until,
)

from fluxtrail.trail.strategies.exporter_info import SIZE_LIMIT_BYTES

pytestmark = pytest.mark.requires("registry")

TRACKED = f"kube-manifests-oci-{NAMESPACE}"
END_TO_END = "flux_commit_tracker_e2e_export_time_seconds"
LABELS = {"k8s_namespace_name": NAMESPACE, "k8s_resource_name": TRACKED, "k8s_cluster_name": "prod"}
REPOSITORY = "grafana/kube-manifests"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    with running_registry(tmp_path) as made:
        yield made


class Exporter:
    """Pushes artifacts, and lets the cluster pull and apply them."""

    def __init__(self, cluster: Cluster, registry: RealRegistry) -> None:
        self._cluster = cluster
        self._registry = registry
        self._number = 0

    def push(self, *entries: Any, layer: bytes | None = None, has_layer: bool = True) -> str:
        """Push an artifact and let it be pulled; returns its revision."""
        self._number += 1
        info = {"commit": "x", "commits_since_last_export": list(entries), "export_build_link": "https://ci/1"}
        layers = [(EXPORTER_INFO, layer or json.dumps(info).encode())] if has_layer else []
        digest = self._registry.push(REPOSITORY, config=str(self._number).encode(), layers=layers)
        return self._cluster.pull(self._registry.url(REPOSITORY), digest)

    def apply(self, revision: str, *, at: datetime | None = None) -> None:
        self._cluster.apply(revision, name=TRACKED, source="manifests", kind="OCIRepository", at=at)


def entry(letter: str, at: datetime) -> dict[str, str]:
    return {"hash": letter * 40, "summary": "Change", "author": "Ada", "email": "", "time": at.isoformat()}


async def until_measured(run: Running, count: int, seconds: float | None = None) -> None:
    async def is_measured() -> bool:
        found = await run.sample(f"{END_TO_END}_count", **LABELS), await run.sample(f"{END_TO_END}_sum", **LABELS)
        return found[0] == count and (seconds is None or found[1] == pytest.approx(seconds, abs=1e-9))

    await until(is_measured, f"{count} samples of {seconds} s in all")


async def test_a_commit_a_quarter_of_an_hour_old_is_900_seconds_once_ever(
    tmp_path: Path, registry: RealRegistry
) -> None:
    """A source in the same namespace, which the reference leaves out; the tool counts again with every start."""
    cluster = Cluster()
    exporter = Exporter(cluster, registry)
    applied = ago(0)
    async with cluster.server:
        exporter.apply(exporter.push(entry("a", applied - timedelta(minutes=15))), at=applied)
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE, allow=("http://127.0.0.1/*",))
        for _ in range(2):
            async with running(settings, make_environ(tmp_path)) as run:
                await run.until_ready()
                await until_measured(run, 1, 900.0)
                await run.until_attributed()
                await until_measured(run, 1, 900.0)


async def test_what_the_tool_got_wrong_is_right_here(tmp_path: Path, registry: RealRegistry) -> None:
    cluster = Cluster()
    exporter = Exporter(cluster, registry)
    async with cluster.server:
        exporter.apply(exporter.push())
        settings = make_settings(tmp_path, cluster, runtime_namespace=NAMESPACE, allow=("http://127.0.0.1/*",))
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_attributed()
            await until_measured(run, 0)
            # Skipped: of three artifacts only the last is applied, and each carries a commit of its own.
            for letter in "abc":
                revision = exporter.push(entry(letter, ago(60)))
            exporter.apply(revision)
            await until_measured(run, 3)
            # A null amid the entries costs only itself; a commit of the future gives no negative sample.
            exporter.apply(exporter.push(None, entry("d", ago(60)), entry("e", ago(-3600))))
            await until_measured(run, 4)
            # Neither no layer, nor one that is no JSON, nor one without end holds up what comes after it.
            exporter.apply(exporter.push(has_layer=False))
            exporter.apply(exporter.push(layer=b"{not json"))
            exporter.apply(exporter.push(layer=b'"' + b"x" * SIZE_LIMIT_BYTES + b'"'))
            exporter.apply(exporter.push(entry("f", ago(60))))
            await until_measured(run, 5)
            # Back to what was applied before, as a roll-back does: nothing is measured a second time.
            exporter.apply(revision)
            exporter.apply(exporter.push(entry("b", ago(60)), entry("9", ago(60))))
            await until_measured(run, 6)
            await run.until_attributed()
            assert (await run.ask("/status"))["attribution"]["gaps"] == 0
