"""The rights in `deploy/` against what the running service asks an API server that grants nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.documents import DEPLOY, Document, find, load, manifests, render
from tests.docs.pages import page, spans, tables
from tests.runtime.records import Shop
from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    Running,
    make_environ,
    make_repository,
    make_settings,
    running,
    until,
)

from fluxtrail.clusters import lease as lease_module
from fluxtrail.model.chained import is_flux
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.reports.resource_metrics.flux import flux_resources
from fluxtrail.runtime.standby import run_as_only_writer
from fluxtrail.runtime.subjects import KINDS, WORKLOAD_KINDS
from fluxtrail.simulator.apiserver.resources import FLUX_RESOURCES, ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import forbidden

HOME = "fluxtrail"
"""The namespace of the pod."""

Right = tuple[str, str, str]
"""(group, plural, verb)."""
EVENTS: Right = ("", "events", "list")
"""Used only where a workload does not get on for a while: tests/runtime/test_running_events.py."""
pytestmark = pytest.mark.timeout(60)


class Rules:
    """What RBAC objects grant their one account: asked like an authorizer, and remembering what was asked."""

    def __init__(self, items: list[Document]) -> None:
        self._rules: list[tuple[str | None, Document]] = [
            (None if item["kind"] == "ClusterRole" else item["metadata"]["namespace"], rule)
            for item in items
            if item["kind"] in ("Role", "ClusterRole")
            for rule in item["rules"]
        ]
        self.used: set[Right] = set()
        self.refused: list[tuple[Right, str, str]] = []

    @property
    def granted(self) -> set[Right]:
        return {
            (group, plural, verb)
            for _, rule in self._rules
            for group in rule["apiGroups"]
            for plural in rule["resources"]
            for verb in rule["verbs"]
        }

    def authorize(
        self, user: str, verb: str, definition: ResourceDefinition, *, namespace: str, name: str = ""
    ) -> None:
        right = (definition.group, definition.plural, verb)
        if not any(self._grants(place, rule, right, namespace, name) for place, rule in self._rules):
            self.refused.append((right, namespace, name))
            raise forbidden(definition, user=user, verb=verb, namespace=namespace, name=name)
        self.used.add(right)

    @staticmethod
    def _grants(place: str | None, rule: Document, right: Right, namespace: str, name: str) -> bool:
        group, plural, verb = right
        is_meant = group in rule["apiGroups"] and plural in rule["resources"] and verb in rule["verbs"]
        return is_meant and place in (None, namespace) and name in rule.get("resourceNames", [name])


async def ask_everything(
    rules: Rules,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    old_watches: int = 1,
    workload: str = "",
    pods_in: str = "shop",
    chains: bool = True,
    **settings: Any,
) -> None:
    """Run the service, lease and all, until it is ready and watches what it listed.

    Args:
        workload: the namespace of a Deployment that is waited for until it is recorded.
        pods_in: a namespace whose pods may be read.
        chains: ask about an object of each kind, too.
    """
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.1)
    cluster = Cluster(resources=[*FLUX_RESOURCES, *_not_yet_simulated()])
    cluster.store.insert_namespace(HOME)
    monkeypatch.setattr(cluster.server.access, "authorize", rules.authorize)
    repository = await make_repository(folder)
    cluster.fetch(repository.head_commit, url=repository.url)
    cluster.apply(repository.head_commit)
    if workload:
        Shop(cluster).deploy("web", 1, namespace=workload)
    async with cluster.server:
        # As a server that cannot begin a watch with what there is (Kubernetes before 1.32): it is listed first.
        for plural in {plural for _, plural, verb in rules.granted if verb == "watch"}:
            cluster.server.faults.fail_requests(422, plural, verbs=("watch",), count=old_watches)
        chosen = make_settings(folder, cluster, lease={"enabled": True, "namespace": HOME}, **settings)

        async def work() -> None:
            async with running(chosen, make_environ(folder)) as run:
                await run.until_ready()
                await run.until_applied(repository.head_commit)
                if workload:
                    await until(lambda: run.sample("fluxtrail_deployment_records"), "a record")
                if chains:
                    await ask_chains(run, pods_in)
                await until(lambda: rights("list", rules) == rights("watch", rules), "watches of all that was listed")
                await until(lambda: ("coordination.k8s.io", "leases", "update") in rules.used, "a renewal")

        async with asyncio.timeout(50):
            await run_as_only_writer(chosen, make_environ(folder), work)


async def ask_chains(run: Running, pods_in: str) -> None:
    """Ask where an object of each kind comes from, as `fluxtrail trace kind/name -n` does: each is read by a GET."""
    for item in KINDS:
        if is_flux(item.group):
            assert await run.ask(f"/chains/{item.kind}/{NAMESPACE}/none") is None
    for item in WORKLOAD_KINDS:
        assert await run.ask(f"/chains/{item.kind}/{pods_in}/none") is None
    assert await run.ask(f"/chains/HelmRepository/{NAMESPACE}/none") is None


def _not_yet_simulated() -> Iterator[ResourceDefinition]:
    """Kinds that are watched and that the simulator does not serve by itself."""
    served = {(item.group, item.plural) for item in FLUX_RESOURCES}
    kinds = {(item.group, item.resource): (item.kind, item.versions[:1]) for item in KINDS}
    kinds |= {(item.group, item.plural): (item.kind, ("v1",)) for item in flux_resources()} | kinds
    for (group, plural), (kind, versions) in kinds.items():
        if (group, plural) not in served:
            yield ResourceDefinition(group=group, versions=versions, kind=kind, plural=plural)


def rights(verb: str, rules: Rules) -> set[str]:
    return {plural for _, plural, used in rules.used if used == verb}


def in_namespace(items: list[Document], namespace: str) -> list[Document]:
    """As kustomize places them."""
    return [{**item, "metadata": {"namespace": namespace, **item["metadata"]}} for item in items]


BASE = in_namespace(list(manifests(DEPLOY / "base")), HOME)
READER = load(DEPLOY / "cluster-wide" / "reader.yaml")
IDENTITY = load(DEPLOY / "components" / "cluster-identity" / "identity.yaml")
WORKLOADS = load(DEPLOY / "components" / "workloads" / "reader.yaml")
RESOURCE_METRICS = load(DEPLOY / "components" / "resource-metrics" / "reader.yaml")
DOCTOR = load(DEPLOY / "components" / "doctor" / "treat.yaml")
FLUX_SECRETS = load(DEPLOY / "components" / "flux-secrets" / "reader.yaml")
HELM_LOCKS: Right = ("", "secrets", "list")
"""Of `doctor.helm_secrets`: on the page, and in no component."""
NAMESPACED_WORKLOADS = load(DEPLOY / "overlays" / "namespaced" / "workloads" / "reader.yaml")
NAMESPACED_READER = load(DEPLOY / "overlays" / "namespaced" / "reader" / "reader.yaml")


async def test_cluster_wide_grants_what_is_asked_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules([*BASE, *READER, *IDENTITY, *WORKLOADS])
    await ask_everything(rules, tmp_path, monkeypatch)
    assert rules.refused == []
    assert rules.used | {EVENTS} == rules.granted


async def test_namespaced_is_enough_for_its_namespace_and_grants_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [*in_namespace(NAMESPACED_READER, NAMESPACE), *in_namespace(NAMESPACED_WORKLOADS, "apps")]
    rules = Rules([*BASE, *own])
    # The second one is for the sources, which are asked for in the whole cluster first.
    await ask_everything(
        rules, tmp_path, monkeypatch, old_watches=2, pods_in="apps", namespaces=(NAMESPACE,),
        workloads={"namespaces": ("apps",)},
    )  # fmt: skip
    assert rules.used | {EVENTS} == rules.granted
    # Asked once for the whole cluster, and got over.
    watched = {(item.group, item.resource) for item in WORKLOAD_KINDS}
    assert {(right, namespace) for right, namespace, _ in rules.refused} <= {
        (("", "namespaces", "get"), "kube-system"),
        (("", "namespaces", "get"), ""),
        *((right, "") for right in rules.granted if right[2] == "list" and right[:2] not in watched),
    }


@pytest.mark.requires("kubectl")
async def test_drop_in_needs_no_more_to_look_for_the_kustomization_of_the_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(render(DEPLOY / "overlays" / "flux-commit-tracker"))
    await ask_everything(rules, tmp_path, monkeypatch, runtime_namespace=NAMESPACE)
    assert rules.refused == []
    assert rules.used | {EVENTS} == rules.granted
    assert rules.granted == Rules([*BASE, *READER, *IDENTITY, *WORKLOADS]).granted


RECORDS_ON = {"enabled": True, "dry_run": True, "organization": "acme", "logical_environment": "production"}


async def test_deployment_records_ask_for_what_the_component_grants_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules([*BASE, *READER, *IDENTITY, *WORKLOADS])
    await ask_everything(rules, tmp_path, monkeypatch, workload="shop", deployment_records=RECORDS_ON)
    assert rules.refused == []
    assert rules.used | {EVENTS} == rules.granted


async def test_resource_metrics_ask_for_what_the_component_grants_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules([*BASE, *READER, *IDENTITY, *WORKLOADS, *RESOURCE_METRICS])
    # The kinds that the follower watches too are asked for twice.
    await ask_everything(rules, tmp_path, monkeypatch, old_watches=2, resources={"enabled": True})
    assert rules.refused == []
    assert rules.used | {EVENTS} == rules.granted


def test_every_kind_that_has_metrics_may_be_read() -> None:
    wanted = {(item.group, item.plural, verb) for item in flux_resources() for verb in ("list", "watch")}
    assert wanted <= Rules([*READER, *RESOURCE_METRICS]).granted
    assert Rules(RESOURCE_METRICS).granted <= wanted


async def test_deployment_records_alone_need_no_get_of_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules([*BASE, *READER, *IDENTITY, *WORKLOADS])
    await ask_everything(
        rules, tmp_path, monkeypatch, workload="shop", chains=False, deployment_records=RECORDS_ON,
        workloads={"enabled": False},
    )  # fmt: skip
    assert not [right for right in rules.used if right[2] == "get" and right[1] == "pods"]


async def test_namespaced_records_need_no_right_on_the_whole_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [*in_namespace(NAMESPACED_READER, NAMESPACE), *in_namespace(NAMESPACED_WORKLOADS, "apps")]
    rules = Rules([*BASE, *own])
    narrowed = {**RECORDS_ON, "namespaces": ["apps"]}
    await ask_everything(
        rules, tmp_path, monkeypatch, old_watches=2, workload="apps", namespaces=(NAMESPACE,), pods_in="apps",
        deployment_records=narrowed,
    )  # fmt: skip
    assert rules.used | {EVENTS} == rules.granted
    asked = {(item.group, item.resource) for item in WORKLOAD_KINDS}
    assert not [right for right, namespace, _ in rules.refused if right[:2] in asked], "nothing was tried in vain"


def test_every_kind_that_is_watched_may_be_read() -> None:
    watched = {(item.group, item.resource, verb) for item in KINDS for verb in ("list", "watch")}
    read = {(item.group, item.resource, "get") for item in KINDS if is_flux(item.group)}
    assert Rules(READER).granted == watched | read | {(SOURCE_GROUP, "helmrepositories", "get")}


def test_rules_of_one_namespace_are_those_of_the_cluster() -> None:
    assert find(NAMESPACED_READER, "Role", "fluxtrail-reader")["rules"] == READER[0]["rules"]


def test_every_workload_that_is_watched_may_be_read_and_nothing_else() -> None:
    watched = {(item.group, item.resource, verb) for item in WORKLOAD_KINDS for verb in ("get", "list", "watch")}
    assert Rules(WORKLOADS).granted == watched | {EVENTS}
    assert find(NAMESPACED_WORKLOADS, "Role", "fluxtrail-workloads")["rules"] == WORKLOADS[0]["rules"]


def test_only_the_lease_is_written() -> None:
    rules = Rules([*BASE, *READER, *IDENTITY, *WORKLOADS])
    assert {right for right in rules.granted if right[2] not in ("get", "list", "watch")} == {
        ("coordination.k8s.io", "leases", "create"),
        ("coordination.k8s.io", "leases", "update"),
    }
    assert not {plural for _, plural, _ in rules.granted} & {"secrets", "*"}


def rights_in_page() -> set[Right]:
    """The tables of docs/permissions.md, the way the rules have them."""
    found = set()
    for rows in tables(page("permissions.md")):
        if rows[0][1:3] != ["resource", "verbs"]:
            continue
        for group, plurals, verbs, *_ in rows[1:]:
            name = "" if group.startswith("(core)") else spans(group)[0]
            found |= {(name, plural, verb) for plural in spans(plurals) for verb in spans(verbs)}
    return found


def test_page_lists_every_right_and_no_other() -> None:
    ours = [*BASE, *READER, *IDENTITY, *WORKLOADS, *RESOURCE_METRICS, *DOCTOR, *FLUX_SECRETS]
    assert rights_in_page() == Rules(ours).granted | {HELM_LOCKS}
