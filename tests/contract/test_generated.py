"""What is generated is taken by an API server: on a dry run, every object of the example, and one of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.world import World

from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.declaration.reading import parse_declaration, read_declaration
from fluxtrail.gitops.generate.files import plan
from fluxtrail.gitops.objects.manifests import read_manifests

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "gitops" / "generate" / "golden"
EVERYTHING = """
defaults: {branch: main, kustomizations: {source: fleet}}
sources:
  git: {fleet: {url: "https://git.example/fleet", ignore: ["/*", "!/deploy/"], timeout: 90s, suspend: true}}
  helm: {charts: {url: "oci://registry.example/charts", provider: aws, interval: 1h}}
  oci: {app: {url: "oci://registry.example/app", semver: ">=1.0.0 <2.0.0", layer_selector: "application/x:copy"}}
  bucket: {data: {bucket: data, endpoint: s3.example, provider: aws, region: eu-1}}
kustomizations:
  infra: {prune: true, wait: true, decryption: {secret: age}, spec: {postBuild: {substitute: {a: b}}}}
  apps: {depends_on: [infra], health_checks: [Deployment/web.shop], retry_interval: 500ms}
releases:
  shop/web: {chart: web, version: 1.10.x, source: charts, crds: CreateReplace, values: {a: [1, null, {b: 1.5}]}}
  shop/db: {chart_ref: OCIRepository/app.flux-system, values_from: [Secret/db], depends_on: [web]}
"""


async def accepted(world: World, data: dict[str, Any]) -> dict[str, Any]:
    moved = {**data, "metadata": {**data["metadata"], "namespace": world.namespace}}
    return await Writer(world.connection, field_manager="generated").apply(moved, dry_run=True)


async def test_every_object_of_the_example_is_accepted(world: World) -> None:
    planned = plan(read_declaration(ROOT / "examples" / "gitops.yaml"))
    assert len(planned) == 15
    for each in planned:
        assert (await accepted(world, each.data))["spec"]


async def test_each_kind_with_all_sorts_of_fields_is_accepted(world: World) -> None:
    for each in plan(parse_declaration(EVERYTHING, path=GOLDEN / "gitops.yaml")):
        stored = await accepted(world, each.data)
        assert {field: stored["spec"].get(field) for field in each.data["spec"]} == each.data["spec"]


@pytest.mark.parametrize("name", ["git-commit", "oci", "kustomization-checks", "release"])
async def test_what_flux_exports_is_accepted(world: World, name: str) -> None:
    (manifest,) = read_manifests([GOLDEN / f"{name}.yaml"])
    assert (await accepted(world, manifest.data))["kind"] == manifest.kind
