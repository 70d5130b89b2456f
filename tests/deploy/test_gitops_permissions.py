"""The rights of `deploy/components/gitops-apply` against what the commands ask a server that grants nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.deploy.documents import DEPLOY, load
from tests.deploy.test_permissions import Rules

from fluxtrail.cli.main import cli
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig
from fluxtrail.simulator.apiserver.resources import FLUX_RESOURCES, ResourceDefinition
from fluxtrail.simulator.apiserver.server import ApiServer

COMPONENT = DEPLOY / "components" / "gitops-apply"
NS = "flux-system"
SOURCES = ("GitRepository", "OCIRepository", "Bucket", "HelmRepository")
OBJECTS = [
    *(("source.toolkit.fluxcd.io/v1", kind) for kind in SOURCES),
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
]
GENERATORS = ResourceDefinition(
    group="source.extensions.fluxcd.io", versions=("v1beta1",), kind="ArtifactGenerator", plural="artifactgenerators"
)


def rules(*names: str) -> Rules:
    return Rules([item for name in names for item in load(COMPONENT / name)])


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(name="prod", seed=1, resources=[*FLUX_RESOURCES, GENERATORS]) as server:
        yield server


class Shell:
    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.folder = folder / "objects"
        self.folder.mkdir()
        self.kubeconfig = folder / "kubeconfig"
        write_kubeconfig(self.kubeconfig, [server])
        for api_version, kind in OBJECTS:
            spec = {"sourceRef": {"kind": "GitRepository", "name": "a"}} if kind == "Kustomization" else {}
            metadata = {"name": "a", "namespace": NS}
            document = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
            (self.folder / f"{kind}.yaml").write_text(yaml.safe_dump(document))

    async def run(self, verb: str, *arguments: str) -> Result:
        command = ["gitops", verb, "--kubeconfig", str(self.kubeconfig), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, cli, command)

    async def apply(self, *arguments: str) -> Result:
        return await self.run("apply", "-f", str(self.folder), "--yes", "--field-manager", "team", *arguments)


@pytest.fixture
def shell(server: ApiServer, tmp_path: Path) -> Shell:
    return Shell(server, tmp_path)


async def test_role_is_enough_for_every_command_but_prune_and_grants_nothing_beside(
    server: ApiServer, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted = rules("apply.yaml")
    monkeypatch.setattr(server.access, "authorize", granted.authorize)
    assert (await shell.apply()).exit_code == 0
    assert (await shell.apply()).exit_code == 0  # a second time it patches what is there
    chart = {"metadata": {"name": "flux-system-a", "namespace": NS}, "spec": {}}
    server.store.create("helmcharts", chart)
    server.store.patch_status("helmreleases", "a", NS, {"helmChart": f"{NS}/flux-system-a"})
    await shell.run("status")
    assert (await shell.run("status", "--watch", "--timeout", "1s")).exit_code == 3
    for kind in ("gitrepo", "ocirepo", "bucket", "helmrepo", "ks", "hr", "hc"):
        name = f"{kind}/{'flux-system-a' if kind == 'hc' else 'a'}"
        asked = await shell.run("reconcile", name, "--no-wait", "--with-source")
        assert (asked.exit_code, granted.refused) == (0, []), asked.output
    for verb in ("suspend", "resume"):
        assert (await shell.run(verb, "ks/a", "hr/a")).exit_code == 0
    assert granted.refused == []
    assert granted.granted == granted.used


async def test_prune_needs_its_own_role_and_no_more(
    server: ApiServer, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await shell.apply()).exit_code == 0
    for path in list(shell.folder.iterdir()):
        path.write_text(path.read_text().replace("name: a\n", "name: b\n"))
    without = rules("apply.yaml")
    monkeypatch.setattr(server.access, "authorize", without.authorize)
    refused = await shell.apply("--prune")
    assert refused.exit_code == 1
    assert {right for right, _, _ in without.refused} == rules("prune.yaml").granted
    both = rules("apply.yaml", "prune.yaml")
    monkeypatch.setattr(server.access, "authorize", both.authorize)
    pruned = await shell.apply("--prune")
    assert (pruned.exit_code, both.refused) == (0, []), pruned.output
    assert rules("prune.yaml").granted <= both.used
    assert [each["metadata"]["name"] for each in server.store.list("kustomizations")] == ["b"]


async def test_apply_needs_create_only_for_what_is_new(
    server: ApiServer, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await shell.apply()).exit_code == 0
    items = load(COMPONENT / "apply.yaml")
    for rule in items[0]["rules"]:
        rule["verbs"] = [verb for verb in rule["verbs"] if verb != "create"]
    weaker = Rules(items)
    monkeypatch.setattr(server.access, "authorize", weaker.authorize)
    assert (await shell.apply()).exit_code == 0
    path = shell.folder / "Kustomization.yaml"
    path.write_text(path.read_text().replace("name: a\n  namespace", "name: new\n  namespace"))
    refused = await shell.apply()
    assert refused.exit_code == 1
    assert 'cannot create resource "kustomizations"' in refused.output
