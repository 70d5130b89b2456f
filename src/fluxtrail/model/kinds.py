"""Kinds as people write them: `deploy`, `deployments`, `Deployment`, `hr`, `rollouts.argoproj.io`.

Source: short names and plurals of `kubectl api-resources`, and of Flux's CRDs.
"""

from typing import NamedTuple

from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP
from fluxtrail.model.sources import GENERATOR_GROUP, IMAGE_GROUP
from fluxtrail.model.workloads import APPS_GROUP, BATCH_GROUP, CORE_GROUP

NETWORKING_GROUP = "networking.k8s.io"
RBAC_GROUP = "rbac.authorization.k8s.io"


class KindName(NamedTuple):
    """A kind, as far as its name tells: one that is not known here has its group and whatever was written."""

    group: str
    kind: str


_SHORT: tuple[tuple[str, str, str], ...] = (
    (CORE_GROUP, "Pod", "po"),
    (CORE_GROUP, "Service", "svc"),
    (CORE_GROUP, "ConfigMap", "cm"),
    (CORE_GROUP, "Secret", ""),
    (CORE_GROUP, "Namespace", "ns"),
    (CORE_GROUP, "ServiceAccount", "sa"),
    (CORE_GROUP, "PersistentVolumeClaim", "pvc"),
    (APPS_GROUP, "Deployment", "deploy"),
    (APPS_GROUP, "StatefulSet", "sts"),
    (APPS_GROUP, "DaemonSet", "ds"),
    (APPS_GROUP, "ReplicaSet", "rs"),
    (BATCH_GROUP, "Job", ""),
    (BATCH_GROUP, "CronJob", "cj"),
    ("autoscaling", "HorizontalPodAutoscaler", "hpa"),
    ("policy", "PodDisruptionBudget", "pdb"),
    (NETWORKING_GROUP, "Ingress", "ing"),
    (NETWORKING_GROUP, "NetworkPolicy", "netpol"),
    (RBAC_GROUP, "Role", ""),
    (RBAC_GROUP, "RoleBinding", ""),
    (RBAC_GROUP, "ClusterRole", ""),
    (RBAC_GROUP, "ClusterRoleBinding", ""),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "crd"),
    (KUSTOMIZE_GROUP, "Kustomization", "ks"),
    (HELM_GROUP, "HelmRelease", "hr"),
    (SOURCE_GROUP, "GitRepository", "gitrepo"),
    (SOURCE_GROUP, "OCIRepository", "ocirepo"),
    (SOURCE_GROUP, "HelmRepository", "helmrepo"),
    (SOURCE_GROUP, "HelmChart", "hc"),
    (SOURCE_GROUP, "Bucket", ""),
    (SOURCE_GROUP, "ExternalArtifact", ""),
    (GENERATOR_GROUP, "ArtifactGenerator", "ag"),
    (IMAGE_GROUP, "ImageRepository", "imgrepo"),
    (IMAGE_GROUP, "ImagePolicy", "imgpol"),
    (IMAGE_GROUP, "ImageUpdateAutomation", "iua"),
)
_EXTRA_SHORT = {"crds": "crd", "helmrepos": "helmrepo", "gitrepos": "gitrepo", "imagepolicies": "imgpol"}


def _plural(kind: str) -> str:
    name = kind.lower()
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("s") else f"{name}s"


def _names() -> dict[str, KindName]:
    found: dict[str, KindName] = {}
    for group, kind, short in _SHORT:
        name = KindName(group, kind)
        for text in filter(None, (kind.lower(), _plural(kind), short)):
            found[text] = name
            if group:
                found[f"{text}.{group}"] = name
    return found | {extra: found[short] for extra, short in _EXTRA_SHORT.items()}


_NAMES = _names()
CLUSTER_WIDE = frozenset({"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"})


def find_kind(text: str) -> KindName | None:
    """Return which kind is meant, in any letter case; None where neither a name nor a group tells."""
    written = text.strip().lower()
    known = _NAMES.get(written)
    if known is not None:
        return known
    kind, dot, group = written.partition(".")
    return KindName(group, kind) if dot and kind and group else None
