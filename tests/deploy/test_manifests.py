"""`deploy/` renders, is safe by default, and fits the code's own defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.documents import DEPLOY, Document, find, manifests, render

from fluxtrail import __version__
from fluxtrail.clusters.lease import LEASE_GROUP, LEASE_PLURAL, LEASE_VERBS
from fluxtrail.runtime.settings.connector import CONNECTOR_NAMES
from fluxtrail.runtime.settings.sections import LeaseSetting
from fluxtrail.runtime.settings.settings import Settings, load_settings
from fluxtrail.runtime.settings.tracker import TRACKER_NAMES
from fluxtrail.web.access.binding import check_binding
from fluxtrail.web.server import parse_address

COMPONENTS = (
    "api",
    "dashboards",
    "deployment-records",
    "doctor",
    "flux-secrets",
    "hooks",
    "network-policy",
    "pod-monitor",
    "resource-metrics",
    "rules",
)
NAMED = {
    "root": ".",
    "namespaced": "overlays/namespaced",
    "namespaced-records": "overlays/namespaced-records",
    "flux-commit-tracker": "overlays/flux-commit-tracker",
    "deployment-tracker": "overlays/deployment-tracker",
    "gitops-connector": "overlays/gitops-connector",
}
RECORDS_SETTINGS = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "fluxtrail"},
    "spec": {"template": {"spec": {"containers": [{"name": "fluxtrail", "env": [
        {"name": "FLUXTRAIL_DEPLOYMENT_RECORDS__ORGANIZATION", "value": "acme"},
        {"name": "FLUXTRAIL_DEPLOYMENT_RECORDS__LOGICAL_ENVIRONMENT", "value": "production"},
    ]}]}}},
}  # fmt: skip
"""What the component deployment-records leaves to its user."""
SECRETS = {"fluxtrail": True, "fluxtrail-files": True, "fluxtrail-api": False, "fluxtrail-hooks": False}
"""The Secrets that may be referred to, and whether the pod starts without them."""
SECRET_VARIABLES = {"PAT": "of-the-secret-fluxtrail"}
"""What is in the environment by a Secret."""


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """A kustomization of somebody's own, with every component."""
    # kustomize takes no absolute path.
    folder = tmp_path / "everything"
    folder.mkdir()
    root = Path(*[".."] * (len(folder.resolve().parts) - 1)) / DEPLOY.resolve().relative_to("/")
    lines = [f"resources: [{root / 'base'}]", f"components: [{root / 'cluster-wide'},"]
    lines.append(", ".join(str(root / "components" / name) for name in COMPONENTS) + "]")
    lines.append("patches: [{target: {kind: Deployment, name: fluxtrail}, path: records.yaml}]")
    (folder / "records.yaml").write_text(json.dumps(RECORDS_SETTINGS))
    (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(params=[*NAMED, "everything"])
def rendered(request: pytest.FixtureRequest) -> list[Document]:
    if request.param == "everything":
        return render(request.getfixturevalue("everything"))
    return render(DEPLOY / NAMED[request.param])


def container(items: list[Document]) -> Document:
    (only,) = find(items, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(items: list[Document]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container(items)["env"]}


@pytest.mark.requires("kubectl")
def test_no_secret_is_delivered_and_only_the_named_ones_are_used(rendered: list[Document]) -> None:
    assert not [item for item in rendered if item["kind"] == "Secret"]
    pod = find(rendered, "Deployment")["spec"]["template"]["spec"]
    used = {
        item["secret"]["secretName"]: item["secret"].get("optional", False)
        for item in pod["volumes"]
        if "secret" in item
    }
    used |= {
        item["secretRef"]["name"]: item["secretRef"].get("optional", False) for item in container(rendered)["envFrom"]
    }
    assert used.items() <= SECRETS.items()
    assert not [item for item in container(rendered)["env"] if "valueFrom" in item]


@pytest.mark.requires("kubectl")
def test_every_binding_finds_its_role_and_its_account(rendered: list[Document]) -> None:
    account = find(rendered, "ServiceAccount")["metadata"]
    deployment = find(rendered, "Deployment")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    bindings = [item for item in rendered if item["kind"].endswith("RoleBinding")]
    roles = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in rendered}
    for binding in bindings:
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]
        reference = binding["roleRef"]
        place = binding["metadata"].get("namespace") if reference["kind"] == "Role" else None
        assert (reference["kind"], place, reference["name"]) in roles
    bound = {(item["roleRef"]["kind"], item["metadata"].get("namespace"), item["roleRef"]["name"]) for item in bindings}
    assert {role for role in roles if role[0] in ("Role", "ClusterRole")} <= bound


@pytest.mark.requires("kubectl")
def test_lease_role_names_the_lease_that_is_asked_for(rendered: list[Document]) -> None:
    rules = find(rendered, "Role", "fluxtrail-lease")["rules"]
    assert {group for rule in rules for group in rule["apiGroups"]} == {LEASE_GROUP}
    assert {name for rule in rules for name in rule["resources"]} == {LEASE_PLURAL}
    assert sorted(verb for rule in rules for verb in rule["verbs"]) == sorted(LEASE_VERBS)
    (named,) = [rule["resourceNames"] for rule in rules if "create" not in rule["verbs"]]
    assert named == [LeaseSetting().name]


@pytest.mark.requires("kubectl")
def test_settings_are_understood_and_fit_the_volume(rendered: list[Document], tmp_path: Path) -> None:
    settings = settings_of(rendered, tmp_path)
    mounts = {item["mountPath"] for item in container(rendered)["volumeMounts"]}
    assert str(settings.ledger.folder) in mounts
    assert environment(rendered)["HOME"] in mounts
    assert settings.lease.enabled
    size = find(rendered, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"]
    assert size.endswith("Gi")
    assert settings.git.quota_bytes * 4 <= int(size.removesuffix("Gi")) * 1024**3 * 3


def settings_of(items: list[Document], folder: Path) -> Settings:
    """The settings of the container: its file, and its environment over it."""
    (config,) = [item for item in items if item["kind"] == "ConfigMap" and "fluxtrail.yaml" in item["data"]]
    path = folder / "fluxtrail.yaml"
    path.write_text(config["data"]["fluxtrail.yaml"])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment(items) | SECRET_VARIABLES).items():
            patch.setenv(name, value)
        return load_settings(path=path, flags={})


@pytest.mark.requires("kubectl")
def test_api_is_beyond_the_pod_only_with_a_token(rendered: list[Document], tmp_path: Path) -> None:
    settings = settings_of(rendered, tmp_path)
    host, port = parse_address(settings.api.listen, subject="api")
    token = "a-token-of-enough-letters" if settings.api.token_file else None
    check_binding(host, token=token)
    ports = {item["name"]: item["port"] for item in find(rendered, "Service")["spec"]["ports"]}
    if settings.deployment_records.metrics_port:
        assert ports.pop("deptracker") == int(settings.deployment_records.metrics_port)
    ports.pop("hooks", None)
    assert ports == ({"metrics": 8888, "api": port} if token else {"metrics": 8888})
    if settings.api.token_file:
        mounts = {item["name"]: item["mountPath"] for item in container(rendered)["volumeMounts"]}
        assert str(settings.api.token_file.parent) == mounts["api"]


@pytest.mark.requires("kubectl")
def test_ports_are_the_settings_defaults(rendered: list[Document], tmp_path: Path) -> None:
    settings = settings_of(rendered, tmp_path)
    ports = {item["name"]: item["containerPort"] for item in container(rendered)["ports"]}
    for name, address in {"metrics": settings.metrics.listen, "health": settings.health.listen}.items():
        assert ports.pop(name) == parse_address(address, subject=name)[1]
    if settings.deployment_records.metrics_port:
        assert ports.pop("deptracker") == int(settings.deployment_records.metrics_port)
    if settings.hooks.listen:
        assert ports.pop("hooks") == parse_address(settings.hooks.listen, subject="hooks")[1]
    assert set(ports) <= {"api"}


@pytest.mark.requires("kubectl")
def test_hooks_have_senders_whose_secrets_are_mounted_and_a_port(rendered: list[Document], tmp_path: Path) -> None:
    settings = settings_of(rendered, tmp_path)
    ports = {item["name"]: item["port"] for item in find(rendered, "Service")["spec"]["ports"]}
    mounts = {item["name"]: item["mountPath"] for item in container(rendered)["volumeMounts"]}
    assert (settings.hooks.listen != "") == ("hooks" in ports) == ("hooks" in mounts)
    if not settings.hooks.listen:
        return
    assert ports["hooks"] == parse_address(settings.hooks.listen, subject="hooks")[1]
    assert (settings.hooks.gitopsphase.anonymous, settings.hooks.flux.anonymous) == (False, False)
    assert [str(sender.secret_file) for sender in settings.hooks.senders] == [f"{mounts['hooks']}/flux"]
    policies = [item for item in rendered if item["kind"] == "NetworkPolicy"]
    for policy in policies:
        open_ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert ports["hooks"] in open_ports


@pytest.mark.requires("kubectl")
def test_gitops_connectors_variables_are_understood(tmp_path: Path) -> None:
    items = render(DEPLOY / NAMED["gitops-connector"])
    settings = settings_of(items, tmp_path)
    assert [route.name for route in settings.routes] == ["gitops-connector", "gitops-connector-dispatch"]
    assert set(environment(items)) & set(CONNECTOR_NAMES) == {
        "GITOPS_OPERATOR_TYPE", "GIT_REPOSITORY_TYPE", "CICD_ORCHESTRATOR_TYPE", "GITOPS_APP_URL", "GITHUB_ORG_URL",
        "GITHUB_GITOPS_MANIFEST_REPO_NAME", "GITHUB_GITOPS_REPO_NAME",
    }  # fmt: skip
    mounts = {item["name"]: item["mountPath"] for item in container(items)["volumeMounts"]}
    assert mounts["subscribers"] == str(settings.gitops_connector.subscribers)
    (port,) = find(items, "Service", "gitops-connector")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8080, "hooks")


@pytest.mark.requires("kubectl")
def test_drop_in_variables_are_understood(tmp_path: Path) -> None:
    settings = settings_of(render(DEPLOY / NAMED["flux-commit-tracker"]), tmp_path)
    assert settings.runtime_namespace == "flux-system"
    assert settings.telemetry.mode == "stdout-logs+otlp"


@pytest.mark.requires("kubectl")
def test_deployment_trackers_variables_are_understood(tmp_path: Path) -> None:
    items = render(DEPLOY / NAMED["deployment-tracker"])
    found = settings_of(items, tmp_path).deployment_records
    assert found.model_dump(exclude_defaults=True) == {
        "enabled": True, "organization": "acme", "logical_environment": "production", "cluster": "prod-eu",
        "base_url": "api.github.com", "metrics_port": "9090",
    }  # fmt: skip
    assert set(environment(items)) & set(TRACKER_NAMES) == set(TRACKER_NAMES) - {"ORG"}


@pytest.mark.requires("kubectl")
def test_namespaced_records_are_of_the_namespaces_it_may_read(tmp_path: Path) -> None:
    items = render(DEPLOY / NAMED["namespaced-records"])
    readers = {item["metadata"]["namespace"] for item in items if item["metadata"]["name"] == "fluxtrail-workloads"}
    assert set(settings_of(items, tmp_path).deployment_records.namespaces) == readers
    assert not [item for item in items if item["kind"].startswith("Cluster")]


@pytest.mark.requires("kubectl")
def test_namespaced_follows_the_namespaces_it_may_read(tmp_path: Path) -> None:
    items = render(DEPLOY / NAMED["namespaced"])
    readers = {item["metadata"]["namespace"] for item in items if item["metadata"]["name"] == "fluxtrail-reader"}
    settings = settings_of(items, tmp_path)
    assert set(settings.namespaces) == readers
    watched = {item["metadata"]["namespace"] for item in items if item["metadata"]["name"] == "fluxtrail-workloads"}
    assert set(settings.workloads.namespaces) == watched
    assert not [item for item in items if item["kind"].startswith("Cluster")]


# What holds without kubectl: the objects as they are written.


@pytest.fixture
def written() -> list[Document]:
    return list(manifests())


def test_probes_ask_for_what_is_served(written: list[Document]) -> None:
    only = container(written)
    ports = {item["name"]: item["containerPort"] for item in only["ports"]}
    default = parse_address(Settings.model_fields["health"].default.listen, subject="health")[1]
    for probe, path in {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
        asked = only[probe]["httpGet"]
        assert (asked["path"], ports[asked["port"]]) == (path, default)


def test_container_has_no_rights_it_does_not_need(written: list[Document]) -> None:
    pod = find(written, "Deployment")["spec"]["template"]["spec"]
    for field, value in {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}.items():
        assert pod["securityContext"][field] == value
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context: dict[str, Any] = container(written)["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


def test_one_writer(written: list[Document]) -> None:
    spec = find(written, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert find(written, "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]
    # A Service of our name would put FLUXTRAIL_PORT and the like among the settings.
    assert spec["template"]["spec"]["enableServiceLinks"] is False


def test_every_volume_is_there_for_a_mount(written: list[Document]) -> None:
    pod = find(written, "Deployment")["spec"]["template"]["spec"]
    mounted = {item["name"] for item in container(written)["volumeMounts"]}
    assert mounted == {item["name"] for item in pod["volumes"]}
    assert "/tmp" in {item["mountPath"] for item in container(written)["volumeMounts"]}


def test_image_is_of_this_version() -> None:
    text = (DEPLOY / "base" / "kustomization.yaml").read_text()
    assert f"newTag: {__version__}\n" in text
