"""The `gitops` commands that speak to a cluster, on the simulator's API server, with a hand for Flux's controllers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from fluxtrail.cli.main import cli
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig
from fluxtrail.simulator.apiserver.server import ApiServer

Run = Callable[..., Awaitable[Result]]
NS = "flux-system"
SOURCE = {
    "apiVersion": "source.toolkit.fluxcd.io/v1",
    "kind": "GitRepository",
    "metadata": {"name": "fleet", "namespace": NS},
    "spec": {"interval": "5m0s", "url": "https://example.com/fleet.git"},
}


def kustomization(name: str, *depends_on: str, **spec: Any) -> dict[str, Any]:
    more = {"dependsOn": [{"name": each} for each in depends_on]} if depends_on else {}
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": NS},
        "spec": {
            "interval": "5m0s",
            "path": f"./{name}",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "fleet"},
            **more,
            **spec,
        },
    }


def write(folder: Path, name: str, *objects: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(yaml.safe_dump_all(objects))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    folder = tmp_path / "resources"
    write(folder, "flux-source-git-fleet.yaml", SOURCE)
    write(folder, "flux-ks-web.yaml", kustomization("web", "base"))
    write(folder, "flux-ks-base.yaml", kustomization("base"))
    return folder


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(name="prod", seed=1) as server:
        yield server


@pytest.fixture
def run(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, [server])
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    async def invoke(verb: str, *arguments: str) -> Result:
        command = ["gitops", verb, "--kubeconfig", str(path), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, cli, command)

    return invoke


def ready(generation: int, status: str = "True", reason: str = "ReconciliationSucceeded", message: str = "ok") -> Any:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"observedGeneration": generation, "conditions": [condition | {"observedGeneration": generation}]}


@asynccontextmanager
async def controller(server: ApiServer, status: str = "True", reason: str = "Succeeded") -> AsyncIterator[None]:
    """Reconcile whatever is not suspended, and handle requests, as a controller does."""

    async def reconcile(plural: str) -> None:
        changes = server.store.subscribe(plural)
        for each in server.store.list(plural):
            _handle(server, plural, each, status, reason)
        async for change in changes:
            if change.type in ("ADDED", "MODIFIED"):
                _handle(server, plural, change.object, status, reason)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(reconcile(plural)) for plural in ("gitrepositories", "kustomizations", "helmreleases")
        ]
        yield
        for task in tasks:
            task.cancel()


def _handle(server: ApiServer, plural: str, obj: dict[str, Any], status: str, reason: str) -> None:
    if obj["spec"].get("suspend"):
        return
    metadata = obj["metadata"]
    asked = metadata.get("annotations") or {}
    wanted = ready(metadata["generation"], status, reason, f"{reason} of {metadata['name']}")
    for name in ("Reconcile", "Force", "Reset"):
        key = f"reconcile.fluxcd.io/{'requested' if name == 'Reconcile' else name.lower()}At"
        if key in asked:
            wanted[f"lastHandled{name}At"] = asked[key]
    server.store.patch_status(plural, metadata["name"], metadata["namespace"], wanted)


# apply


async def test_dry_run_shows_the_changes_and_changes_nothing(server: ApiServer, run: Run, layout: Path) -> None:
    result = await run("apply", "-f", str(layout), "--dry-run")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines if line.startswith("create")] == [
        ["create", f"GitRepository/{NS}/fleet"],
        ["create", f"Kustomization/{NS}/base"],
        ["create", f"Kustomization/{NS}/web"],
    ]
    assert f"+++ declared/Kustomization/{NS}/web" in lines
    assert "+  path: ./web" in lines
    assert server.store.list("kustomizations") == []


async def test_what_asks_nobody_is_told_once(run: Run, layout: Path) -> None:
    write(layout, "flux-ks-web.yaml", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edge"}})
    first = await run("install", "--manifests", str(layout), "--yes", "--no-wait")
    assert [line.split()[0] for line in first.stdout.splitlines()] == ["created"] * 3
    assert "created      Namespace/edge" in first.stdout.splitlines()
    again = await run("install", "--manifests", str(layout), "--no-wait")
    assert [line.split()[0] for line in again.stdout.splitlines()] == ["unchanged"] * 3


async def test_where_nothing_may_be_read_nothing_is_ready(server: ApiServer, run: Run) -> None:
    server.access.forbid("", resource="kustomizations")
    assert (await run("status")).exit_code == 0
    assert (await run("status", "--kind", "ks")).exit_code == 1
    server.access.forbid("")
    for more in ([], ["--watch", "--timeout", "5s"]):
        result = await run("status", *more)
        assert result.exit_code == 1
        assert "403" in result.stderr


async def test_apply_is_done_in_order_in_our_name_and_again_without_a_change(
    server: ApiServer, run: Run, layout: Path
) -> None:
    first = await run("apply", "-f", str(layout), "--yes")
    assert (first.exit_code, [line.split()[0] for line in first.stdout.splitlines()]) == (0, ["created"] * 3)
    stored = server.store.get("kustomizations", "web", NS)
    assert [(each["manager"], each["operation"]) for each in stored["metadata"]["managedFields"]] == [
        ("fluxtrail-gitops", "Apply")
    ]
    again = await run("apply", "-f", str(layout))
    assert (again.exit_code, {line.split()[0] for line in again.stdout.splitlines()}) == (0, {"unchanged"})
    assert server.store.get("kustomizations", "web", NS) == stored


async def test_nobody_is_asked_where_nobody_is(server: ApiServer, run: Run, layout: Path) -> None:
    result = await run("apply", "-f", str(layout))
    assert result.exit_code == 2
    assert "give --yes" in result.stderr
    assert server.store.list("gitrepositories") == []


async def test_choice_goes_by_file_names(server: ApiServer, run: Run, layout: Path) -> None:
    write(layout, "values.yaml", {"replicas": 3})
    write(layout, "flux-ks-extra.yaml", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "extra"}})
    result = await run("apply", "kustomizations", "-f", str(layout), "--yes")
    assert result.exit_code == 0, result.output
    assert server.store.list("gitrepositories") == []
    assert server.store.find("namespaces", "extra") is not None
    assert len(server.store.list("kustomizations")) == 2


async def test_malformed_object_stops_no_other(server: ApiServer, run: Run, layout: Path) -> None:
    write(layout, "flux-ks-none.yaml", {"kind": "Kustomization"})
    (layout / "flux-ks-broken.yaml").write_text("a: [")
    write(layout, "flux-ks-unserved.yaml", kustomization("old") | {"apiVersion": "kustomize.toolkit.fluxcd.io/v1beta1"})
    result = await run("apply", "-f", str(layout), "--yes", "-o", "json")
    assert result.exit_code == 1
    assert "flux-ks-none.yaml:1 has no apiVersion" in result.stderr
    assert "flux-ks-broken.yaml is not valid YAML" in result.stderr
    done = {each["name"]: each["action"] for each in json.loads(result.stdout)["items"]}
    assert done == {"fleet": "created", "base": "created", "web": "created", "old": "failed"}
    assert len(server.store.list("kustomizations")) == 2


async def test_conflict_names_owner_and_remedy_and_force_takes_the_field(
    server: ApiServer, run: Run, layout: Path
) -> None:
    await run("apply", "-f", str(layout), "--yes")
    server.store.patch("kustomizations", "base", NS, {"spec": {"interval": "1m"}}, manager="kubectl-edit")
    refused = await run("apply", "-f", str(layout), "--yes")
    assert refused.exit_code == 1
    assert "kubectl-edit owns .spec.interval: --force-conflicts takes them over" in " ".join(refused.stdout.split())
    assert server.store.get("kustomizations", "base", NS)["spec"]["interval"] == "1m"
    forced = await run("apply", "-f", str(layout), "--yes", "--force-conflicts")
    assert forced.exit_code == 0
    assert server.store.get("kustomizations", "base", NS)["spec"]["interval"] == "5m0s"


async def test_field_that_flux_applies_is_to_be_changed_in_git(server: ApiServer, run: Run, layout: Path) -> None:
    server.store.create("kustomizations", kustomization("base", path="./other"), manager="kustomize-controller")
    result = await run("apply", "-f", str(layout), "--dry-run", "--no-diff")
    assert result.exit_code == 1
    told = " ".join(result.stdout.split())
    assert "applied by Flux (kustomize-controller), which would set it back; change it in Git" in told


async def test_namespace_and_kind_that_come_with_it_are_no_obstacle(
    server: ApiServer, run: Run, tmp_path: Path
) -> None:
    spec = {
        "group": "example.dev",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    }
    folder = tmp_path / "new"
    widget = {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "new"}}
    write(folder, "a.yaml", widget, kustomization("x") | {"metadata": {"name": "x", "namespace": "new"}})
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    write(folder, "b.yaml", crd | {"metadata": {"name": "widgets.example.dev"}, "spec": spec})
    write(folder, "c.yaml", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})
    assert (await run("apply", "-f", str(folder), "--dry-run")).exit_code == 0
    result = await run("apply", "-f", str(folder), "--yes")
    assert result.exit_code == 0, result.output
    assert server.store.find("widgets", "w", "new") is not None


async def test_secret_is_applied_and_never_shown(server: ApiServer, run: Run, tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": NS},
        "data": {"a": "cGxhbnRlZA=="},
    }
    write(tmp_path / "s", "s.yaml", secret)
    shown = await run("apply", "-f", str(tmp_path / "s"), "--dry-run")
    done = await run("apply", "-f", str(tmp_path / "s"), "--yes", "-o", "yaml")
    assert server.store.get("secrets", "s", NS)["data"] == {"a": "cGxhbnRlZA=="}
    assert "cGxhbnRlZA" not in shown.output + done.output
    assert "+  a: '***'" in shown.stdout


async def test_prune_deletes_what_was_dropped_of_its_own_name_alone(
    server: ApiServer, run: Run, layout: Path, tmp_path: Path
) -> None:
    ours = ("--field-manager", "team-a", "--yes")
    await run("apply", "-f", str(layout), *ours)
    write(tmp_path / "other", "flux-ks-other.yaml", kustomization("other"))
    await run("apply", "-f", str(tmp_path / "other"), "--yes")
    server.store.create("kustomizations", kustomization("made-by-hand"), manager="kubectl")
    (layout / "flux-ks-web.yaml").unlink()
    kept = await run("apply", "-f", str(layout), *ours)
    assert "web" not in kept.output
    pruned = await run("apply", "-f", str(layout), *ours, "--prune")
    assert pruned.exit_code == 0, pruned.output
    assert f"deleted      Kustomization/{NS}/web" in pruned.stdout
    assert [each["metadata"]["name"] for each in server.store.list("kustomizations")] == [
        "base",
        "made-by-hand",
        "other",
    ]


async def test_prune_is_refused_where_it_could_delete_too_much(server: ApiServer, run: Run, layout: Path) -> None:
    shared = await run("apply", "-f", str(layout), "--yes", "--prune")
    assert (shared.exit_code, "--field-manager of its own" in shared.stderr) == (2, True)
    (layout / "flux-ks-broken.yaml").write_text("a: [")
    broken = await run("apply", "-f", str(layout), "--yes", "--prune", "--field-manager", "team-a")
    assert broken.exit_code == 2
    assert "while a file cannot be read" in broken.stderr
    assert server.store.list("kustomizations") == []


# status


async def test_status_tells_what_each_waits_for(server: ApiServer, run: Run, layout: Path) -> None:
    await run("apply", "-f", str(layout), "--yes")
    result = await run("status", "-o", "json")
    assert result.exit_code == 1
    items = {each["name"]: each for each in json.loads(result.stdout)["items"]}
    assert items["fleet"]["state"] == "working"
    assert items["web"]["waits_for"] == [f"GitRepository/{NS}/fleet", f"Kustomization/{NS}/base"]
    table = await run("status", "--kind", "ks")
    assert "Kustomization/base" in table.stdout
    assert "fleet is not ready yet" in table.stdout
    assert "2 objects: 2 waiting" in table.stderr


async def test_status_watches_until_all_are_ready(server: ApiServer, run: Run, layout: Path) -> None:
    await run("apply", "-f", str(layout), "--yes")
    watching = asyncio.ensure_future(run("status", "--watch", "--timeout", "30s"))
    await asyncio.sleep(0)
    async with controller(server):
        result = await watching
    assert result.exit_code == 0, result.output
    assert "3 objects: 3 ready" in result.stderr
    assert f"ready      Kustomization/{NS}/web" in result.stdout


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        ({"suspend": True}, 4, "suspended"),
        ({"dependsOn": [{"name": "nowhere"}]}, 4, f"Kustomization/{NS}/nowhere does not exist"),
    ],
)
async def test_watch_ends_with_four_where_it_will_not_happen(
    server: ApiServer, run: Run, change: dict[str, Any], code: int, word: str
) -> None:
    server.store.create("gitrepositories", SOURCE)
    server.store.patch_status("gitrepositories", "fleet", NS, ready(1))
    server.store.create("kustomizations", kustomization("base", **change))
    result = await run("status", "--watch", "--timeout", "30s")
    assert result.exit_code == code, result.output
    assert word in result.stdout


async def test_watch_ends_with_one_where_it_failed_and_with_three_where_time_is_over(
    server: ApiServer, run: Run
) -> None:
    server.store.create("gitrepositories", SOURCE)
    assert (await run("status", "--watch", "--timeout", "1s")).exit_code == 3
    server.store.patch_status("gitrepositories", "fleet", NS, ready(1, "False", "GitOperationFailed", "no route"))
    failed = await run("status", "--watch", "--timeout", "30s")
    assert failed.exit_code == 1
    assert "no route" in failed.stdout
    assert (await run("status", "--watch", "--timeout", "1s", "--fail-after", "1m")).exit_code == 3


async def test_status_of_a_cluster_without_flux_says_how_to_get_it(tmp_path: Path) -> None:
    async with ApiServer(name="bare", resources=()) as server:
        path = tmp_path / "kubeconfig"
        write_kubeconfig(path, [server])
        command = ["gitops", "status", "--kubeconfig", str(path)]
        result = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert result.exit_code == 1
    assert "gitops install" in result.stderr


# reconcile, suspend, resume


async def test_reconcile_asks_source_and_object_and_waits_for_both(server: ApiServer, run: Run, layout: Path) -> None:
    await run("apply", "-f", str(layout), "--yes")
    async with controller(server):
        result = await run("reconcile", "ks/base", "--with-source", "--timeout", "20s")
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines()] == [
        f"GitRepository/{NS}/fleet",
        f"Kustomization/{NS}/base",
    ]
    for plural, name in (("gitrepositories", "fleet"), ("kustomizations", "base")):
        stored = server.store.get(plural, name, NS)
        asked = stored["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
        assert stored["status"]["lastHandledReconcileAt"] == asked


async def test_release_is_forced_and_reset_by_the_same_token(server: ApiServer, run: Run) -> None:
    chart = {"spec": {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}
    release = {"metadata": {"name": "web", "namespace": NS}, "spec": {"interval": "5m", "chart": chart}}
    server.store.create("helmreleases", release)
    async with controller(server):
        result = await run("reconcile", "hr", "web", "--force", "--reset", "--timeout", "20s")
    assert result.exit_code == 0, result.output
    stored = server.store.get("helmreleases", "web", NS)
    annotations = stored["metadata"]["annotations"]
    tokens = {annotations[f"reconcile.fluxcd.io/{name}At"] for name in ("requested", "force", "reset")}
    assert len(tokens) == 1
    assert {stored["status"][f"lastHandled{name}At"] for name in ("Reconcile", "Force", "Reset")} == tokens


async def test_reconcile_tells_failures_and_what_will_not_happen(server: ApiServer, run: Run, layout: Path) -> None:
    await run("apply", "-f", str(layout), "--yes")
    async with controller(server, "False", "BuildFailed"):
        failed = await run("reconcile", "ks/base", "--timeout", "20s")
    assert (failed.exit_code, "BuildFailed of base" in failed.stdout) == (1, True)
    silent = await run("reconcile", "ks/base", "--timeout", "1s")
    assert (silent.exit_code, "has not handled the request" in silent.stdout) == (3, True)
    await run("suspend", "ks/base")
    suspended = await run("reconcile", "ks/base")
    assert (suspended.exit_code, "resume" in suspended.stdout) == (4, True)


async def test_missing_object_kind_or_flag_is_told(run: Run) -> None:
    missing = await run("reconcile", "ks/nothing")
    assert (missing.exit_code, "name its namespace with -n" in missing.stderr) == (1, True)
    for words in (["deploy/x"], ["ks"], [], ["ks/a", "b"]):
        assert (await run("reconcile", *words)).exit_code == 2
    assert "for HelmReleases" in (await run("reconcile", "gitrepo/x", "--reset")).stderr
    assert "nothing reconciles Alert" in (await run("reconcile", "alert/x")).stderr


async def test_suspend_and_resume_change_one_field_in_our_name(server: ApiServer, run: Run, layout: Path) -> None:
    await run("apply", "-f", str(layout), "--yes")
    assert (await run("suspend", "ks", "--all")).exit_code == 0
    assert [each["spec"]["suspend"] for each in server.store.list("kustomizations")] == [True, True]
    owners = server.store.get("kustomizations", "web", NS)["metadata"]["managedFields"]
    assert [each["manager"] for each in owners if "f:suspend" in each["fieldsV1"].get("f:spec", {})] == ["fluxtrail"]
    async with controller(server):
        resumed = await run("resume", "ks/base", "ks/web", "--wait", "--timeout", "20s")
    assert resumed.exit_code == 0, resumed.output
    assert [each["spec"]["suspend"] for each in server.store.list("kustomizations")] == [False, False]
    applied = await run("apply", "-f", str(layout), "--yes")
    assert applied.exit_code == 0, applied.output


async def test_what_cannot_be_suspended_is_told(run: Run) -> None:
    refused = await run("suspend", "externalartifact/x")
    assert (refused.exit_code, "cannot be suspended" in refused.stderr) == (2, True)


# install

MANAGER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "source-controller", "namespace": NS},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "source-controller"}},
        "template": {
            "metadata": {"labels": {"app": "source-controller"}},
            "spec": {"containers": [{"name": "manager", "image": "source-controller:v1"}]},
        },
    },
}
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "crd-controller"}}


def roll_out(server: ApiServer) -> None:
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "observedGeneration"), 1)
    server.store.patch_status("deployments", "source-controller", NS, counts)


async def test_install_of_a_file_waits_until_the_controllers_run(server: ApiServer, run: Run, tmp_path: Path) -> None:
    write(tmp_path / "f", "gotk-components.yaml", MANAGER, ROLE | {"rules": []})
    path = str(tmp_path / "f" / "gotk-components.yaml")
    waiting = await run("install", "--manifests", path, "--yes", "--timeout", "1s")
    assert (waiting.exit_code, "its new state was not seen yet" in waiting.stderr) == (3, True)
    roll_out(server)
    done = await run("install", "--manifests", path, "--yes", "--timeout", "20s")
    assert done.exit_code == 0, done.output
    assert f"Deployment/{NS}/source-controller runs" in done.stderr


async def test_install_takes_what_the_flux_on_path_exports(
    server: ApiServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flux = tmp_path / "bin" / "flux"
    flux.parent.mkdir()
    (tmp_path / "out.yaml").write_text(yaml.safe_dump(MANAGER))
    flux.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexec cat {tmp_path}/out.yaml\n')
    flux.chmod(0o755)
    monkeypatch.setenv("PATH", f"{flux.parent}:/usr/bin:/bin")
    extra = ("--version", "v2.7.0", "--components-extra", "image-reflector-controller")
    result = await run("install", "--yes", "--no-wait", *extra)
    assert result.exit_code == 0, result.output
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["install", "--export", "--version=v2.7.0", "--components-extra=image-reflector-controller"]
    assert server.store.find("deployments", "source-controller", NS) is not None
    assert (await run("install", "--yes", "--version", "--help")).exit_code == 2
    assert (await run("install", "--dry-run", "-n", "flux-2")).exit_code == 0
    assert (tmp_path / "asked").read_text().split() == ["install", "--export", "--namespace=flux-2"]


async def test_install_without_flux_says_what_to_give(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = await run("install", "--yes")
    assert (result.exit_code, "--manifests FILE" in result.stderr) == (2, True)
