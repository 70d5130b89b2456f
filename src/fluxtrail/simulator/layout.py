"""The world's shape: clusters, their Kustomizations, the applications, and the two trees they are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fluxtrail.simulator.images.layout import CLUSTERS as IMAGE_CLUSTERS

NAMESPACE = "flux-system"
SOURCE = "manifests"
ORGANIZATION = "acme"
SOURCE_REPOSITORY = "acme/shop"
MANIFESTS_REPOSITORY = "acme/manifests"


@dataclass(frozen=True, slots=True)
class KustomizationPlan:
    name: str
    folder: str
    """Below `clusters/`."""
    wait: bool = False
    depends_on: tuple[str, ...] = ()
    kube_config: str | None = None
    """A Secret with the kubeconfig of the remote cluster it lands on."""
    target_namespace: str | None = None

    @property
    def path(self) -> str:
        return f"./clusters/{self.folder}"

    def manifest(self, *, timeout_seconds: float, interval_seconds: float) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "interval": f"{interval_seconds:g}s",
            "path": self.path,
            "prune": True,
            "retryInterval": "10s",
            "sourceRef": {"kind": "GitRepository", "name": SOURCE},
            "timeout": f"{timeout_seconds:g}s",
            "wait": self.wait,
        }
        if self.depends_on:
            spec["dependsOn"] = [{"name": name} for name in self.depends_on]
        if self.kube_config:
            spec["kubeConfig"] = {"secretRef": {"name": self.kube_config}}
        if self.target_namespace:
            spec["targetNamespace"] = self.target_namespace
        return {"metadata": {"name": self.name, "namespace": NAMESPACE}, "spec": spec}


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    name: str
    kustomizations: tuple[KustomizationPlan, ...]


def _usual(cluster: str) -> tuple[KustomizationPlan, ...]:
    return (
        KustomizationPlan("apps", f"{cluster}/apps"),
        KustomizationPlan("backend", f"{cluster}/backend", wait=True),
        KustomizationPlan("infra", f"{cluster}/infra", depends_on=("backend",)),
    )


CLUSTERS: tuple[ClusterPlan, ...] = (
    ClusterPlan(
        "prod-eu",
        (
            *_usual("prod-eu"),
            KustomizationPlan("edge", "edge/apps", kube_config="edge-kubeconfig"),
            KustomizationPlan("releases", "prod-eu/releases"),
        ),
    ),
    ClusterPlan(
        "prod-us",
        (*_usual("prod-us"), KustomizationPlan("apps-canary", "prod-us/apps", target_namespace="canary")),
    ),
    ClusterPlan("staging", (*_usual("staging"), KustomizationPlan("releases", "staging/releases"))),
)
FOLDERS = ("prod-eu", "prod-us", "staging", "edge")
"""What the exporter writes manifests for: the three clusters and the remote one behind prod-eu."""

APPLICATIONS: dict[str, str] = {
    "storefront": "apps",
    "cart": "apps",
    "orders": "backend",
    "payments": "backend",
    "gateway": "infra",
}
"""Application -> the Kustomization that delivers it."""

MAX_REPLICAS = 3

EDGE_APPLICATIONS = frozenset({"storefront", "cart"})

_JSONNET = """\
// What every cluster runs of {app}; the numbers come from values.yaml and from the cluster's own file.
local values = import 'values.libsonnet';
function(cluster) values.workload('{app}', cluster)
"""


def delivers(app: str, folder: str) -> bool:
    return folder != "edge" or app in EDGE_APPLICATIONS


def source_tree() -> dict[str, str]:
    """Return the first tree of the source repository: a folder of jsonnet and values for each application."""
    tree = {"README.md": "# Shop\n"}
    for app in APPLICATIONS:
        tree[f"apps/{app}/main.jsonnet"] = _JSONNET.format(app=app)
        tree[f"apps/{app}/values.yaml"] = values_file(1)
        for folder in FOLDERS:
            if delivers(app, folder):
                tree[f"apps/{app}/clusters/{folder}.yaml"] = cluster_file(2)
    return tree


def values_file(version: int, *, health: str = "good") -> str:
    return f"version: {version}\nhealth: {health}\n"


def cluster_file(version: int, *, health: str = "good") -> str:
    """Return a cluster's own values; other ones for each version."""
    return f"replicas: {1 + version % MAX_REPLICAS}\nlevel: {version}\nhealth: {health}\n"


def first_manifests() -> dict[str, str]:
    """Return what people keep in the manifests repository by hand: bases and kustomization files."""
    tree = {
        "README.md": "# Manifests\n",
        "base/common/kustomization.yaml": "resources:\n- config.yaml\n",
        "base/common/config.yaml": config_map("common", {"theme": "light"}),
    }
    for folder in FOLDERS:
        apps = [app for app, group in APPLICATIONS.items() if group == "apps" and delivers(app, folder)]
        images = [*(["assistant.yaml"] if folder in IMAGE_CLUSTERS else []), *(["vault.yaml"] * (folder == "staging"))]
        resources = ["../../../base/common", "settings.yaml", *(f"{app}.yaml" for app in apps), *images]
        listing = "".join(f"- {entry}\n" for entry in resources)
        tree[f"clusters/{folder}/apps/kustomization.yaml"] = f"resources:\n{listing}"
        tree[f"clusters/{folder}/apps/settings.yaml"] = config_map("settings", {"level": "1"})
    return tree


def config_map(name: str, data: dict[str, str]) -> str:
    lines = "".join(f'  {key}: "{value}"\n' for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\ndata:\n{lines}"
